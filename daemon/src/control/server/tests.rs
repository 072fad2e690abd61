//! The server and the client on a real socket, with a real guard and no packet layer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::path::PathBuf;
use std::thread::JoinHandle;

use portcullis_guard::blacklist::Allowed;
use portcullis_guard::guard::{Guard, Secrets};
use portcullis_guard::policy::{Mode as GuardMode, Policy};
use portcullis_guard::session::token::{MasterKey, MasterKeys};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::config::Config;
use crate::control::api::{AllowRequest, BanQuery, BanRequest, Code, Mode, Verdict};
use crate::control::client::{Client, ClientError};
use crate::control::socket::listen;

const BANS: usize = 3;

/// A control server that ends with the test.
struct Running {
    home: TempDir,
    gate: Arc<Gate>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start() -> Self {
        let policy = Policy {
            mode: GuardMode::Enforce,
            ..Policy::default()
        };
        let secrets = Secrets {
            master: MasterKeys::new(MasterKey::new(1, &Zeroizing::new([7; 32])), Vec::new()),
            run: Zeroizing::new([9; 32]),
        };
        let config = Config::parse("[http]\nupstream = \"http://127.0.0.1:1\"\n", "test.toml").unwrap();
        let gate = Arc::new(Gate::new(Guard::new(policy, secrets, BANS), None, config));
        let home = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = {
            let _entered = runtime.enter();
            listen(&home.path().join("control.sock"), None).unwrap()
        };
        let (stop, stopped) = watch::channel(false);
        let served = Arc::clone(&gate);
        let thread = std::thread::spawn(move || runtime.block_on(serve(served, listener, stopped)));
        Self {
            home,
            gate,
            stop,
            thread: Some(thread),
        }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("control.sock")
    }

    fn client(&self) -> Client {
        Client::new(self.path())
    }

    /// The status line and body of a request as it stands.
    fn raw(&self, request: &str) -> (String, String) {
        let mut stream = StdStream::connect(self.path()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn order(network: &str, for_seconds: u64) -> BanRequest {
    BanRequest {
        network: network.into(),
        for_seconds,
        reason: "too fast".into(),
        force: false,
        caller: None,
    }
}

fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Code {
    let error = answer.unwrap_err();
    let ClientError::Refused(problem) = error else {
        panic!("{error}")
    };
    problem.code
}

#[test]
fn a_ban_is_added_listed_checked_and_lifted() {
    let running = Running::start();
    let client = running.client();
    let added = client.ban(&order("192.0.2.0/24", 3600)).unwrap();
    assert_eq!(
        (added.mode, added.packet_layer, added.ban.origin.as_str()),
        (Mode::Enforce, false, "operator")
    );
    assert_eq!(added.ban.remaining_seconds, 3600);

    let bans = client.bans(&BanQuery::default()).unwrap().bans;
    assert_eq!(
        bans.iter().map(|ban| ban.network.to_string()).collect::<Vec<_>>(),
        ["192.0.2.0/24"]
    );

    let check = client.check("192.0.2.7".parse().unwrap()).unwrap();
    assert_eq!(
        (check.verdict, check.packet_layer),
        (Verdict::Refused, false),
        "no packet layer here"
    );
    assert_eq!(check.bans[0].ban.reason, "too fast");

    assert_eq!(
        client.unban("192.0.2.0/24".parse().unwrap()).unwrap().network,
        bans[0].network
    );
    assert_eq!(
        client.check("192.0.2.7".parse().unwrap()).unwrap().verdict,
        Verdict::Passes
    );
    assert!(running.gate.guard().bans(running.gate.now()).is_empty());
}

#[test]
fn never_ban_wins_and_lifts() {
    let running = Running::start();
    let client = running.client();
    client.ban(&order("192.0.2.7", 60)).unwrap();
    let entry = AllowRequest {
        network: "192.0.2.0/24".into(),
        reason: "office".into(),
        for_seconds: None,
    };
    let added = client.allow(&entry).unwrap();
    assert_eq!(added.lifted, ["192.0.2.7/32".parse().unwrap()]);
    assert_eq!(client.allowed().unwrap().allowed, [added.allowed]);
    assert_eq!(code(client.ban(&order("192.0.2.7", 60))), Code::NeverBan);
    assert_eq!(
        client.check("192.0.2.7".parse().unwrap()).unwrap().verdict,
        Verdict::NeverBanned
    );
    assert_eq!(
        client.disallow("192.0.2.0/24".parse().unwrap()).unwrap().reason,
        "office"
    );
    client.ban(&order("192.0.2.7", 60)).unwrap();
}

#[test]
fn every_refusal_of_the_guard_has_its_code() {
    let running = Running::start();
    let client = running.client();
    assert_eq!(code(client.ban(&order("10.0.0.7/24", 60))), Code::AddressInvalid);
    assert_eq!(code(client.ban(&order("8.0.0.0/7", 60))), Code::PrefixTooWide);
    assert_eq!(code(client.ban(&order("192.0.2.7", 0))), Code::DurationInvalid);
    for host in 1..=BANS {
        client.ban(&order(&format!("192.0.2.{host}"), 60)).unwrap();
    }
    assert_eq!(code(client.ban(&order("192.0.2.9", 60))), Code::BansFull);
    assert_eq!(code(client.unban("192.0.2.9/32".parse().unwrap())), Code::NotBanned);
    assert_eq!(code(client.disallow("192.0.2.0/24".parse().unwrap())), Code::NotAllowed);
    let fixed = Allowed::fixed("198.51.100.0/24".parse().unwrap(), "own");
    running.gate.guard().allow(fixed, running.gate.now()).unwrap();
    assert_eq!(
        code(client.disallow("198.51.100.0/24".parse().unwrap())),
        Code::AllowFixed
    );
    assert_eq!(code(client.revoke("AAECAwQFBgcICQr_")), Code::SessionUnknown);
    assert_eq!(code(client.revoke("short")), Code::SessionIdInvalid);
    assert_eq!(code(client.incident("0000000000000")), Code::ReferenceUnknown);
    assert_eq!(code(client.incident("short")), Code::ReferenceInvalid);
}

#[test]
fn a_wider_ban_is_named_when_there_is_none_to_lift() {
    let running = Running::start();
    let client = running.client();
    client.ban(&order("192.0.2.0/24", 60)).unwrap();
    let refused = client.unban("192.0.2.7/32".parse().unwrap()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "192.0.2.7/32 is not banned by itself, but 192.0.2.0/24 is, and covers it"
    );
}

#[test]
fn the_status_counts() {
    let running = Running::start();
    let client = running.client();
    client.ban(&order("192.0.2.7", 60)).unwrap();
    let status = client.status().unwrap();
    assert_eq!(
        (status.mode, status.version.as_str()),
        (Mode::Enforce, env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        (status.bans.intended, status.bans.in_kernel, status.packet_layer),
        (1, None, None)
    );
    assert_eq!((status.sessions, status.calls.admitted), (0, 0));
    assert!(client.sessions().unwrap().sessions.is_empty());
    assert!(client.incidents(5).unwrap().incidents.is_empty());
}

#[test]
fn paths_methods_and_bodies_that_are_not_served() {
    let running = Running::start();
    let ask = |line: &str, body: &str| {
        let length = body.len();
        let (status, body) = running.raw(&format!(
            "{line} HTTP/1.1\r\nHost: portcullis\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        format!("{status} {}", problem["code"].as_str().unwrap())
    };
    assert_eq!(ask("GET /v2/status", ""), "HTTP/1.1 404 Not Found not-found");
    assert_eq!(ask("GET /v1/", ""), "HTTP/1.1 404 Not Found not-found");
    assert_eq!(
        ask("PUT /v1/bans", ""),
        "HTTP/1.1 405 Method Not Allowed method-not-allowed"
    );
    assert_eq!(ask("POST /v1/bans", "{"), "HTTP/1.1 400 Bad Request body-invalid");
    let unknown = r#"{"network":"192.0.2.7","for_seconds":1,"reason":"","why":""}"#;
    assert_eq!(ask("POST /v1/bans", unknown), "HTTP/1.1 400 Bad Request body-invalid");
    assert_eq!(ask("DELETE /v1/bans", ""), "HTTP/1.1 400 Bad Request parameter-invalid");
    assert_eq!(
        ask("GET /v1/incidents?limit=many", ""),
        "HTTP/1.1 400 Bad Request parameter-invalid"
    );
    assert_eq!(
        ask("POST /v1/bans", &" ".repeat(LONGEST_BODY + 1)),
        "HTTP/1.1 413 Payload Too Large body-too-large"
    );
}

#[test]
fn a_head_without_end_is_refused() {
    let running = Running::start();
    let mut stream = StdStream::connect(running.path()).unwrap();
    let endless = format!("GET /v1/status HTTP/1.1\r\nX: {}", "x".repeat(2 * LONGEST_HEAD));
    // The server may hang up before it has read everything.
    drop(stream.write_all(endless.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    assert!(
        answer.starts_with(b"HTTP/1.1 431 ") || answer.is_empty(),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}
