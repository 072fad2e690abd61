//! What a legitimate client gets while thousands of connections send a byte now and then.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;

use super::Subject;
use super::load::{Effort, connect, count, exchange};
use crate::bench::report::{Rounds, Row};

const ALONE: &str = "goodput/alone";

pub(super) fn measure(effort: &Effort, ours: &Subject) -> Result<Vec<Row>> {
    let (mut alone, mut beside) = (Rounds::default(), Rounds::default());
    for _ in 0..effort.rounds.min(3) {
        alone.push(1e6 / goodput(effort, ours.clear)?);
        let mut slow = Vec::with_capacity(effort.slow);
        for _ in 0..effort.slow {
            let mut line = connect(ours.clear)?;
            line.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ")?;
            slow.push(line);
        }
        beside.push(1e6 / goodput(effort, ours.clear)?);
        // One more byte each: they would not be slow without.
        slow.iter_mut().for_each(|line| _ = line.write_all(b"y"));
    }
    Ok(vec![
        Row::new(ALONE, "us", &alone),
        // 80 % of what it gets alone.
        Row::new("goodput/slowloris", "us", &beside).versus(ALONE, &alone, Some(1.25)),
    ])
}

/// Requests a second of one client over one connection.
pub(super) fn goodput(effort: &Effort, address: SocketAddr) -> Result<f64> {
    let request = format!("GET /public HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut line = connect(address)?;
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < effort.moment {
        exchange(&mut line, request.as_bytes(), &mut [0; 8192])?;
        done += 1;
    }
    Ok(count(done) / start.elapsed().as_secs_f64())
}
