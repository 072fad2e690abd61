//! A server that gives canned answers: the command line is tested without a daemon and without privileges.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// What to answer: the request line without the version, the status, the body.
pub type Canned = (&'static str, u16, &'static str);

/// Serves until the process ends. What has no canned answer is a 404 without a problem document.
#[derive(Debug)]
pub struct CannedServer {
    seen: Arc<Mutex<Vec<String>>>,
}

impl CannedServer {
    /// A control socket.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn on_socket(path: &Path, answers: &[Canned]) -> Result<Self> {
        let listener = UnixListener::bind(path).with_context(|| format!("failed to serve {}", path.display()))?;
        Ok(Self::serve(
            move || listener.accept().map(|(stream, _)| stream),
            answers,
        ))
    }

    /// A gate on loopback, and its address.
    ///
    /// # Errors
    /// If no port can be bound.
    pub fn on_loopback(answers: &[Canned]) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("failed to bind a port")?;
        let address = listener.local_addr().context("failed to read the port")?;
        Ok((
            Self::serve(move || listener.accept().map(|(stream, _)| stream), answers),
            address,
        ))
    }

    /// The requests so far: request line without the version, and the body behind it.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve<S: Read + Write>(accept: impl Fn() -> io::Result<S> + Send + 'static, answers: &[Canned]) -> Self {
        let answers: HashMap<_, _> = answers
            .iter()
            .map(|&(line, status, body)| (line, (status, body)))
            .collect();
        let seen = Arc::default();
        let record = Arc::clone(&seen);
        thread::spawn(move || {
            while let Ok(stream) = accept() {
                // A client that hangs up is the test's business.
                let _ = answer(stream, &answers, &record);
            }
        });
        Self { seen }
    }
}

fn answer(stream: impl Read + Write, answers: &HashMap<&str, (u16, &str)>, record: &Mutex<Vec<String>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (line, body) = read_request(&mut stream)?;
    record
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(format!("{line} {body}").trim_end().to_owned());
    let (status, body) = answers.get(line.as_str()).copied().unwrap_or((404, "no canned answer"));
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Canned\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.get_mut().write_all((head + body).as_bytes())?;
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> Result<(String, String)> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Ok((line, String::from_utf8(body)?))
}
