//! Clients that never pause: what must not fail while something else goes on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::client::Wire;

/// Clients at work until they are told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// Starts as many clients that keep their connection as long as the gate lets them, and as many that open one for each
    /// request. Each asks for `path`, and expects 200.
    #[must_use]
    pub fn start(address: SocketAddr, path: &str, clients: usize) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let request = |keeps| {
            let connection = if keeps { "keep-alive" } else { "close" };
            format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: {connection}\r\n\r\n")
        };
        let start = |request: String| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || call(address, request.as_bytes(), &stop, &answered))
        };
        let clients = (0..2 * clients).map(|number| start(request(number % 2 == 0))).collect();
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Waits for so many answers from now on.
    ///
    /// # Errors
    /// If they do not come.
    pub fn await_answers(&self, count: u64) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let (goal, deadline) = (self.answered.load(Ordering::SeqCst) + count, Instant::now() + PATIENCE);
        while self.answered.load(Ordering::SeqCst) < goal {
            ensure!(Instant::now() < deadline, "the clients get no answers");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Stops them, and tells how many requests were answered.
    ///
    /// # Errors
    /// If one was not, or not as expected.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failed = Vec::new();
        for client in self.clients {
            failed.extend(client.join().map_err(|_| anyhow!("a client panicked"))?);
        }
        let answered = self.answered.load(Ordering::SeqCst);
        ensure!(
            failed.is_empty(),
            "{} of {} failed: {}",
            failed.len(),
            answered,
            failed[0]
        );
        Ok(answered)
    }
}

fn call(address: SocketAddr, request: &[u8], stop: &AtomicBool, answered: &AtomicU64) -> Vec<String> {
    let (mut failed, mut open) = (Vec::new(), None);
    while !stop.load(Ordering::SeqCst) {
        let wire = open.take().map_or_else(|| Wire::connect(address), Ok);
        let outcome = wire.and_then(|mut wire| {
            let answer = wire.exchange(request)?;
            ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
            let ends = answer.headers.get("connection").is_some_and(|value| value == "close");
            Ok((!ends).then_some(wire))
        });
        match outcome {
            Ok(kept) => {
                answered.fetch_add(1, Ordering::SeqCst);
                open = kept;
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    failed
}
