//! When did packets begin to die? A datagram every few ten microseconds tells it to that precision.

use std::{
    io,
    net::UdpSocket,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use nix::sys::prctl::set_timerslack;

use super::{patience, place::Place};

const BETWEEN: Duration = Duration::from_micros(20);
/// How long it goes on afterwards.
const AFTER: Duration = Duration::from_millis(20);
/// How long a datagram may be under way.
const GRACE: Duration = Duration::from_millis(50);
const MOST_BEATS: usize = 50_000;

/// What was sent when, and how much of it arrived.
pub(super) struct Beats {
    sent: Vec<Instant>,
    arrived: usize,
}

impl Beats {
    /// When the first datagram was sent after which none arrived any more; `None` if they all did.
    pub(super) fn silence(&self) -> Option<Instant> {
        self.sent.get(self.arrived).copied()
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
    let (done, arrived) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(&sender, &done));
        let listening = scope.spawn(|| listen(&listener, &done, &arrived));
        let has_begun = || Ok((arrived.load(Ordering::Relaxed) > 0).then_some(()));
        let outcome = patience::until("the first datagram", has_begun).and_then(|()| act());
        thread::sleep(AFTER);
        done.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow!("the metronome panicked");
        let sent = sending.join().map_err(panicked)?;
        listening.join().map_err(panicked)??;
        let arrived = arrived.load(Ordering::Relaxed);
        Ok((outcome?, Beats { sent, arrived }))
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

/// Notes one more than the highest number that arrived.
fn listen(socket: &UdpSocket, done: &AtomicBool, arrived: &AtomicUsize) -> io::Result<()> {
    let mut number = [0; size_of::<usize>()];
    loop {
        match socket.recv(&mut number) {
            Ok(_) => {
                arrived.fetch_max(usize::from_be_bytes(number) + 1, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if done.load(Ordering::Relaxed) {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
}
