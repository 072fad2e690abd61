//! A control socket that gives canned answers: the command line is tested without a daemon and without privileges.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// What to answer: the request line without the version, the status, the body.
pub type Canned = (&'static str, u16, &'static str);

/// Serves until the process ends.
#[derive(Debug)]
pub struct FakeControl {
    seen: Arc<Mutex<Vec<String>>>,
}

impl FakeControl {
    /// Serves these answers at `path`; everything else is a 404 without a problem document.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn serve(path: &Path, answers: &[Canned]) -> Result<Self> {
        let listener = UnixListener::bind(path).with_context(|| format!("failed to serve {}", path.display()))?;
        let answers: HashMap<_, _> = answers
            .iter()
            .map(|&(line, status, body)| (line, (status, body)))
            .collect();
        let seen = Arc::default();
        let record = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is the test's business.
                let _ = answer(stream, &answers, &record);
            }
        });
        Ok(Self { seen })
    }

    /// The requests so far: request line without the version, and the body behind it.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(stream: UnixStream, answers: &HashMap<&str, (u16, &str)>, record: &Mutex<Vec<String>>) -> Result<()> {
    let mut reader = BufReader::new(&stream);
    let (line, body) = read_request(&mut reader)?;
    record
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(format!("{line} {body}").trim_end().to_owned());
    let (status, body) = answers.get(line.as_str()).copied().unwrap_or((404, "no canned answer"));
    let length = body.len();
    write!(
        &stream,
        "HTTP/1.1 {status} Canned\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
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
