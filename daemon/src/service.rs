//! What systemd is told (sd_notify(3)): ready, stopping, and that we are alive. Without systemd nobody is told anything.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::enforcer::Enforcer;
use crate::gate::Gate;
use crate::store::Store;

/// Ready: the program is attached, the listeners are bound, and what was kept is in force.
pub fn ready() {
    tell("READY=1");
}

/// From here on the daemon only finishes what is open.
pub fn stopping() {
    tell("STOPPING=1");
}

/// To be said only by who has just seen that the parts answer.
fn alive() {
    tell("WATCHDOG=1");
}

/// How often systemd wants to hear that we are alive: half of the time after which it gives up. `None`: not at all.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    let of_ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid.parse() == Ok(std::process::id()));
    interval(&env::var("WATCHDOG_USEC").ok()?).filter(|_| of_ours)
}

/// Who must answer for the daemon to be alive: each worker, from among its connections.
pub struct RollCall {
    asked: watch::Sender<u64>,
    answers: Vec<Arc<AtomicU64>>,
}

/// One of those who answer.
pub struct Member {
    asked: watch::Receiver<u64>,
    answer: Arc<AtomicU64>,
}

impl Default for RollCall {
    fn default() -> Self {
        Self {
            asked: watch::Sender::new(0),
            answers: Vec::new(),
        }
    }
}

impl RollCall {
    /// One more who must answer.
    pub fn member(&mut self) -> Member {
        let answer = Arc::new(AtomicU64::new(0));
        self.answers.push(Arc::clone(&answer));
        Member {
            asked: self.asked.subscribe(),
            answer,
        }
    }

    /// Asks all, and tells who had not answered the question before: by their numbers, from 0.
    fn call(&self) -> Vec<usize> {
        let last = *self.asked.borrow();
        let answers = self.answers.iter().enumerate();
        let late = answers.filter(|(_, answer)| answer.load(Ordering::Relaxed) != last);
        let late = late.map(|(number, _)| number).collect();
        self.asked.send_replace(last + 1);
        late
    }
}

impl Member {
    /// Answers, as long as this thread gets to it, until nobody asks any more.
    pub async fn answer(mut self) {
        while self.asked.changed().await.is_ok() {
            let question = *self.asked.borrow_and_update();
            self.answer.store(question, Ordering::Relaxed);
        }
    }
}

/// Says that we are alive after each worker has answered what it was asked the last time, and guard, the kernel's tables
/// and the store what they are asked now: a lock that nobody gives back, a worker or a runtime that is stuck or a thread
/// pool that is used up keep it silent.
pub async fn feed_watchdog(gate: Arc<Gate>, workers: RollCall, interval: Duration) {
    let mut interval = tokio::time::interval(interval);
    loop {
        interval.tick().await;
        let late = workers.call();
        if !late.is_empty() {
            tracing::error!(workers = ?late, "workers do not answer");
            continue;
        }
        let gate = Arc::clone(&gate);
        let looked = tokio::task::spawn_blocking(move || {
            let bans = gate.guard().ban_count();
            let sessions = gate.guard().session_count();
            let usage = gate.kernel().map(Enforcer::usage);
            let health = gate.store().map(Store::health);
            tracing::trace!(?bans, sessions, ?usage, ?health, "alive");
        });
        if looked.await.is_ok() {
            alive();
        }
    }
}

fn interval(microseconds: &str) -> Option<Duration> {
    let whole = microseconds.parse().ok().filter(|whole| *whole > 1)?;
    Some(Duration::from_micros(whole) / 2)
}

fn tell(state: &str) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(name.as_bytes(), state) {
        tracing::warn!(%error, state, "systemd cannot be told");
    }
}

/// A path, or after `@` a name without a file.
fn send(name: &[u8], state: &str) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name)))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_are_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("portcullis-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(path.as_os_str().as_bytes(), "READY=1").unwrap();
        send(format!("@{name}").as_bytes(), "STOPPING=1").unwrap();
        let mut buffer = [0; 32];
        let length = by_path.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        let length = by_name.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STOPPING=1");
    }

    #[tokio::test]
    async fn a_worker_that_is_stuck_is_missed_until_it_answers() {
        let mut roll = RollCall::default();
        let (well, stuck) = (roll.member(), roll.member());
        tokio::spawn(well.answer());
        assert!(roll.call().is_empty(), "nobody was asked anything yet");
        tokio::task::yield_now().await;
        assert_eq!(roll.call(), [1]);
        tokio::task::yield_now().await;
        assert_eq!(roll.call(), [1]);
        tokio::spawn(stuck.answer());
        tokio::task::yield_now().await;
        assert!(roll.call().is_empty());
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_needed() {
        assert_eq!(interval("30000000"), Some(Duration::from_secs(15)));
        assert_eq!(interval("0"), None);
        assert_eq!(interval("soon"), None);
    }
}
