//! When did packets begin to die? A datagram every few ten microseconds tells it to that precision.

use std::{
    io,
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use nix::sys::prctl::set_timerslack;

use super::place::Place;

const BETWEEN: Duration = Duration::from_micros(20);
/// How long it goes on afterwards.
const AFTER: Duration = Duration::from_millis(20);
/// How long a datagram may be under way.
const GRACE: Duration = Duration::from_millis(50);
const MOST_BEATS: usize = 50_000;

/// What was sent when, and what arrived.
pub(super) struct Beats {
    sent: Vec<Instant>,
    last_arrived: Option<usize>,
}

impl Beats {
    /// When the first datagram was sent after which none arrived any more; `None` if they all did, or none.
    pub(super) fn silence(&self) -> Option<Instant> {
        self.sent.get(self.last_arrived? + 1).copied()
    }

    /// The mean time from one to the next.
    pub(super) fn resolution(&self) -> Duration {
        match (self.sent.first(), self.sent.last(), u32::try_from(self.sent.len())) {
            (Some(&first), Some(&last), Ok(count)) => (last - first) / count,
            _ => Duration::ZERO,
        }
    }
}

/// Sends datagrams from one place to another while `act` goes on.
pub(super) fn around<T>(from: &Place, to: &Place, act: impl FnOnce() -> Result<T>) -> Result<(T, Beats)> {
    let listener = to.run(|| UdpSocket::bind((to.address, 0)))?;
    listener.set_read_timeout(Some(GRACE))?;
    let target = listener.local_addr()?;
    let sender = from.run(|| UdpSocket::bind((from.address, 0)))?;
    sender.connect(target)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&sender, &done));
        let listening = scope.spawn(|| listen(&listener, &done));
        let outcome = act();
        thread::sleep(AFTER);
        done.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("the metronome panicked");
        let sent = sending.join().map_err(panicked)?;
        let last_arrived = listening.join().map_err(panicked)??;
        Ok((outcome?, Beats { sent, last_arrived }))
    })
}

fn send(socket: &UdpSocket, done: &AtomicBool) -> Vec<Instant> {
    // By default the kernel lets sleepers sleep 50 µs longer. Without this the beat is only slower.
    let _ = set_timerslack(1);
    let mut sent = Vec::with_capacity(MOST_BEATS);
    while !done.load(Ordering::Relaxed) && sent.len() < MOST_BEATS {
        let number = sent.len().to_be_bytes();
        sent.push(Instant::now());
        // One that cannot be sent does not arrive, which is what counts.
        let _ = socket.send(&number);
        thread::sleep(BETWEEN);
    }
    sent
}

/// The highest number that arrived.
fn listen(socket: &UdpSocket, done: &AtomicBool) -> Result<Option<usize>> {
    let mut last = None;
    let mut number = [0; size_of::<usize>()];
    loop {
        match socket.recv(&mut number) {
            Ok(_) => last = last.max(Some(usize::from_be_bytes(number))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if done.load(Ordering::Relaxed) {
                    return Ok(last);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
