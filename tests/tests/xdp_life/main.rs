//! What outlives the daemon: pinned programs, tables of another size, interfaces that come and go.
//! Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests may fail as a test may"
)]

mod growth;
mod interfaces;
mod pins;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use portcullis::enforcer::{
    AttachMode, AttachOptions, Capacities, Enforcer, EnforcerError, Mode, Origin, Reason, Target,
};
use portcullis_tests::netns::{Namespace, veth};

const HOUR: Duration = Duration::from_secs(3600);
const SERVER: &str = "10.77.0.1";
const ATTACKER: &str = "10.77.0.2";
const NEIGHBOUR: &str = "10.77.0.3";

/// A place of our own for pins; gone when dropped.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self(PathBuf::from(format!("/run/pc-test-{}-{number}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Enforcer::detach_pinned(&self.0);
    }
}

fn options(pins: &Path, hosts: u32) -> AttachOptions {
    AttachOptions {
        interfaces: vec!["gate".to_owned()],
        attach_mode: AttachMode::Auto,
        mode: Mode::Enforce,
        capacities: Capacities {
            hosts,
            ..Capacities::default()
        },
        pins: Some(pins.to_owned()),
        ..AttachOptions::default()
    }
}

fn attach(server: &Namespace, options: &AttachOptions) -> Enforcer {
    server
        .run(|| Enforcer::attach(options))
        .unwrap_or_else(|error| panic!("failed to attach: {error}"))
}

fn net() -> (Namespace, Namespace) {
    let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
    connect(&server, &clients);
    (server, clients)
}

fn connect(server: &Namespace, clients: &Namespace) {
    veth((server, "gate"), (clients, "out"));
    server.address("gate", &format!("{SERVER}/24"));
    clients.address("out", &format!("{ATTACKER}/24"));
    clients.address("out", &format!("{NEIGHBOUR}/24"));
}

fn host(address: &str) -> Target {
    Target::Host(address.parse().unwrap())
}

#[test]
fn bans_outlive_the_process_and_the_next_one_takes_them_over() {
    let ((server, clients), place) = (net(), Place::new());
    let first = attach(&server, &options(&place.0, 1_000));
    let targets = [
        host(ATTACKER),
        host("2001:db8::7"),
        Target::Prefix("2001:db8:1:2::/64".parse().unwrap()),
        Target::Prefix("198.51.100.0/24".parse().unwrap()),
        Target::Prefix("203.0.0.0/8".parse().unwrap()),
    ];
    for target in targets {
        first.ban(target, HOUR, Origin::Operator).unwrap();
    }
    first.allow("192.0.2.0/24".parse().unwrap()).unwrap();
    assert!(!clients.pings(ATTACKER, SERVER));
    let dropped = first.counters().unwrap().get(Reason::BannedHost).packets;
    drop(first);
    assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));

    let second = attach(&server, &options(&place.0, 1_000));
    assert!(second.counters().unwrap().get(Reason::BannedHost).packets > dropped);
    let contents = second.list().unwrap();
    assert_eq!(contents.bans.len(), targets.len());
    assert!(targets.iter().all(|target| second.lookup(*target).unwrap().is_some()));
    assert_eq!(contents.allowed, ["192.0.2.0/24".parse().unwrap()]);
    assert!(second.unban(host(ATTACKER)).unwrap());
    assert!(clients.pings(ATTACKER, SERVER));
}

#[test]
fn no_packet_passes_while_one_process_takes_over_from_another() {
    let ((server, clients), place) = (net(), Place::new());
    let first = attach(&server, &options(&place.0, 1_000));
    first.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    drop(first);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            clients.run(|| {
                let arguments = [
                    "-n", "-q", "-c", "300", "-i", "0.002", "-W", "1", "-I", ATTACKER, SERVER,
                ];
                Command::new("ping").args(arguments).output().unwrap()
            })
        });
        // Of other sizes too: then the tables are made anew and filled before the swap.
        for hosts in [1_000, 1_000, 50_000, 1_000] {
            drop(attach(&server, &options(&place.0, hosts)));
        }
        let output = String::from_utf8_lossy(&flood.join().unwrap().stdout).into_owned();
        assert!(output.contains(" 0 received"), "{output}");
    });
}

#[test]
#[ignore = "the next test starts it, and kills it"]
fn child() {
    let Ok(place) = std::env::var("PLACE") else { return };
    let enforcer = Enforcer::attach(&options(Path::new(&place), 1_000)).unwrap();
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    println!("attached");
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_process_leaves_its_bans_behind() {
    let ((server, clients), place) = (net(), Place::new());
    let mut child = server.run(|| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("PLACE", &place.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    });
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("attached")));
    let refused = server
        .run(|| Enforcer::attach(&options(&place.0, 1_000)))
        .err()
        .unwrap();
    assert!(matches!(refused, EnforcerError::PinsInUse { .. }), "{refused}");
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
    let next = attach(&server, &options(&place.0, 1_000));
    assert!(next.unban(host(ATTACKER)).unwrap());
    assert!(clients.pings(ATTACKER, SERVER));
}

#[test]
fn detaching_leaves_nothing_behind() {
    let ((server, clients), place) = (net(), Place::new());
    let enforcer = attach(&server, &options(&place.0, 1_000));
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    enforcer.detach().unwrap();
    assert!(clients.pings(ATTACKER, SERVER));
    assert!(!place.0.exists());
    drop(attach(&server, &options(&place.0, 1_000)));
    Enforcer::detach_pinned(&place.0).unwrap();
    assert!(!place.0.exists());
    let unpinned = AttachOptions {
        pins: None,
        ..options(&place.0, 16)
    };
    assert!(server.run(|| Enforcer::attach(&unpinned)).is_ok());
}
