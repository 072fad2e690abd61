//! A small real backend: it answers with what it was sent, so that tests see what reached the application.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};

/// A backend that runs until the process ends.
#[derive(Clone)]
pub struct Backend {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Backend {
    /// Starts one on loopback. `GET /…/status/404` answers 404; everything else answers 200 with the request as text. What
    /// a request carries as `X-Answer: NAME: VALUE` becomes a field of the answer.
    ///
    /// # Errors
    /// If no port can be bound.
    pub fn start() -> Result<Self> {
        Self::start_on("127.0.0.1:0".parse()?)
    }

    /// Starts one on this address, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn start_on(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).context("failed to bind the backend")?;
        let backend = Self {
            address: listener.local_addr()?,
            requests: Arc::default(),
        };
        let counter = Arc::clone(&backend.requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                thread::spawn(move || serve(&stream, &counter));
            }
        });
        Ok(backend)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests reached it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Answers requests until the peer is done. Errors end the connection; the test sees that.
fn serve(stream: &TcpStream, counter: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let mut body = vec![0; content_length(&head)];
        reader.read_exact(&mut body).ok()?;
        counter.fetch_add(1, Ordering::SeqCst);
        let answer = format!("{head}{}", String::from_utf8_lossy(&body));
        let status = status(&head);
        let length = answer.len();
        // In one piece: pieces would wait for each other's acknowledgements.
        let fields = wanted_fields(&head);
        let answer = format!("HTTP/1.1 {status} Made To Order\r\n{fields}content-length: {length}\r\n\r\n{answer}");
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

fn content_length(head: &str) -> usize {
    let field = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length:")
            .map(str::to_owned)
    });
    field.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

fn wanted_fields(head: &str) -> String {
    let wanted = head.lines().filter_map(|line| line.strip_prefix("x-answer: "));
    wanted.map(|field| format!("{field}\r\n")).collect()
}

fn status(head: &str) -> u16 {
    let target = head.split_whitespace().nth(1).unwrap_or_default();
    target
        .rsplit_once("/status/")
        .and_then(|(_, status)| status.parse().ok())
        .unwrap_or(200)
}
