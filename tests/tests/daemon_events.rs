//! Following what happens in a running daemon, over its control socket.

#![expect(clippy::unwrap_used, reason = "a helper of tests may fail as a test may")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::backend::Backend;
use portcullis_tests::binary;
use portcullis_tests::daemon::{Daemon, Wanted};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(20);

struct Follower {
    child: Child,
    lines: Receiver<Value>,
}

impl Follower {
    fn start(daemon: &Daemon) -> Self {
        let mut child = Command::new(binary::portcullis().unwrap())
            .arg("--socket")
            .arg(daemon.control())
            .args(["events", "--follow", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let out = child.stdout.take().unwrap();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        Self { child, lines }
    }

    /// The next event of a kind.
    fn next(&self, kind: &str, patience: Duration) -> Option<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(event) if event["kind"] == kind => return Some(event),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn daemon() -> (Backend, Daemon) {
    let backend = Backend::start().unwrap();
    let daemon = Daemon::start(&Wanted::enforcing(
        backend.address(),
        "[protect]\npaths = [\"/api/**\"]\n",
    ))
    .unwrap();
    (backend, daemon)
}

#[test]
fn followers_are_told_of_bans_refusals_operators_and_modes() {
    let (_backend, daemon) = daemon();
    let follower = Follower::start(&daemon);
    // Until it follows, nothing is told.
    let deadline = Instant::now() + PATIENCE;
    let ban = loop {
        daemon
            .cli(&["ban", "add", "192.0.2.7", "--for", "1h", "--reason", "test"])
            .unwrap();
        if let Some(ban) = follower.next("ban", Duration::from_millis(300)) {
            break ban;
        }
        assert!(Instant::now() < deadline, "nothing is told");
    };
    assert_eq!(
        (&ban["network"], &ban["origin"]),
        (&"192.0.2.7/32".into(), &"operator".into())
    );
    let deed = follower.next("operator", PATIENCE).unwrap();
    assert_eq!((&deed["action"], &deed["reason"]), (&"ban".into(), &"test".into()));
    daemon.cli(&["ban", "del", "192.0.2.7"]).unwrap();
    assert_eq!(follower.next("unban", PATIENCE).unwrap()["network"], "192.0.2.7/32");
    ureq::get(&format!("http://{}/api/x", daemon.address()))
        .call()
        .unwrap_err();
    let refusal = follower.next("refusal", PATIENCE).unwrap();
    assert_eq!(
        (&refusal["method"], &refusal["path"]),
        (&"GET".into(), &"/api/x".into())
    );
    daemon.cli(&["mode", "monitor"]).unwrap();
    assert_eq!(follower.next("operator", PATIENCE).unwrap()["action"], "mode");
    let lately: Value = serde_json::from_str(&daemon.cli(&["events", "--json"]).unwrap()).unwrap();
    let kinds: Vec<_> = lately["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].clone())
        .collect();
    assert!(
        kinds.contains(&"refusal".into()) && kinds.contains(&"operator".into()),
        "{kinds:?}"
    );
}

#[test]
fn no_more_than_eight_follow() {
    let (_backend, daemon) = daemon();
    let deadline = Instant::now() + PATIENCE;
    let mut followers: Vec<_> = (0..9).map(|_| Follower::start(&daemon)).collect();
    // One of them ends by itself, and says so with its exit status.
    loop {
        let ended = followers
            .iter_mut()
            .find_map(|follower| follower.child.try_wait().unwrap());
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(1));
            break;
        }
        assert!(Instant::now() < deadline, "nine follow");
        thread::sleep(Duration::from_millis(10));
    }
    daemon.cli(&["status"]).unwrap();
}

#[test]
fn an_import_leaves_out_where_the_operator_is_logged_in() {
    let (_backend, daemon) = daemon();
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    fs::write(&list, "203.0.113.8\n203.0.113.9\n198.51.100.0/24\n").unwrap();
    let import = |force: &[&str]| -> Value {
        let output = Command::new(binary::portcullis().unwrap())
            .arg("--socket")
            .arg(daemon.control())
            .args(["ban", "import", list.to_str().unwrap(), "--json", "--dry-run"])
            .args(force)
            .env("SSH_CONNECTION", "203.0.113.9 50022 10.0.0.1 22")
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let done = import(&[]);
    assert_eq!((&done["entries"], &done["caller"]), (&2.into(), &1.into()));
    assert_eq!(done["left_out"][0]["line"], 2);
    assert_eq!(import(&["--force"])["entries"], 3);
}
