//! Interfaces that come, go, are renamed, and change.

use std::{
    io::Write as _,
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use portcullis::enforcer::{AttachMode, AttachOptions, Enforcer, InterfaceChanges, InterfaceStatus, Origin};
use portcullis_tests::netns::{Namespace, veth};

use super::{ATTACKER, HOUR, NEIGHBOUR, Place, SERVER, attach, connect, host, net, options};

/// How long an interface may be there without the program.
const AT_ONCE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows the changes in the server's namespace, as the daemon does, while `work` runs.
fn following(server: &Namespace, enforcer: &Enforcer, work: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    let changes = enforcer.take_interface_changes().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            server.run(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut readable = [PollFd::new(changes.as_fd(), PollFlags::POLLIN)];
                    if poll(&mut readable, PollTimeout::from(10_u8)).unwrap() > 0 {
                        // A refusal is tested where it is meant.
                        let _ = enforcer.follow_interfaces(&changes);
                    }
                }
            });
        });
        work();
        stop.store(true, Ordering::Relaxed);
    });
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

fn guarded(enforcer: &Enforcer, name: &str) -> Option<InterfaceStatus> {
    enforcer
        .interfaces()
        .into_iter()
        .find(|interface| interface.name == name)
}

fn unpinned(place: &Place) -> AttachOptions {
    AttachOptions {
        pins: None,
        ..options(&place.0, 1_000)
    }
}

#[test]
fn an_interface_that_comes_back_is_guarded_at_once() {
    for pinned in [true, false] {
        let ((server, clients), place) = (net(), Place::new());
        let options = if pinned {
            options(&place.0, 1_000)
        } else {
            unpinned(&place)
        };
        let enforcer = attach(&server, &options);
        enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
        let waits = Mutex::new(Vec::new());
        following(&server, &enforcer, || {
            for _ in 0..10 {
                server.ip("link delete gate");
                until("the interface is not forgotten", || enforcer.interfaces().is_empty());
                assert_eq!(enforcer.unguarded(), ["gate"]);
                thread::scope(|scope| {
                    scope.spawn(|| waits.lock().unwrap().push(server.run(|| time_unguarded(&enforcer))));
                    connect(&server, &clients);
                });
                assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
            }
        });
        let mut waits = waits.into_inner().unwrap();
        waits.sort();
        println!("unguarded for, pinned {pinned}: {waits:?}");
        assert!(waits[waits.len() / 2] < AT_ONCE, "{waits:?}");
        drop(enforcer);
    }
}

/// From the moment when the interface is there to the moment when the program is on it.
fn time_unguarded(enforcer: &Enforcer) -> Duration {
    until("no interface", || if_nametoindex("gate").is_ok());
    let there = Instant::now();
    until("no program", || !enforcer.interfaces().is_empty());
    there.elapsed()
}

#[test]
fn a_renamed_interface_stays_guarded_and_the_next_of_its_name_is_too() {
    for pinned in [true, false] {
        let ((server, clients), place) = (net(), Place::new());
        let options = if pinned {
            options(&place.0, 1_000)
        } else {
            unpinned(&place)
        };
        let enforcer = attach(&server, &options);
        for address in [ATTACKER, "10.78.0.2"] {
            enforcer.ban(host(address), HOUR, Origin::Operator).unwrap();
        }
        following(&server, &enforcer, || {
            server.ip("link set gate down");
            until("down is not noticed", || {
                guarded(&enforcer, "gate").is_some_and(|gate| !gate.up)
            });
            server.ip("link set gate name other");
            until("the rename is not noticed", || guarded(&enforcer, "other").is_some());
            server.ip("link set other up");
            until("up is not noticed", || {
                guarded(&enforcer, "other").is_some_and(|other| other.up)
            });
            assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
            assert_eq!(enforcer.unguarded(), ["gate"]);

            veth((&server, "gate"), (&clients, "out2"));
            server.address("gate", "10.78.0.1/24");
            clients.address("out2", "10.78.0.2/24");
            clients.address("out2", "10.78.0.3/24");
            until("the next of its name is not guarded", || {
                guarded(&enforcer, "gate").is_some()
            });
            assert!(!clients.pings("10.78.0.2", "10.78.0.1") && clients.pings("10.78.0.3", "10.78.0.1"));
            assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
            assert_eq!((enforcer.interfaces().len(), enforcer.unguarded()), (2, vec![]));

            server.ip("link delete other");
            until("what went is not forgotten", || enforcer.interfaces().len() == 1);
            assert!(!clients.pings("10.78.0.2", "10.78.0.1"));
        });
    }
}

#[test]
fn an_interface_that_gets_a_guarded_name_is_guarded() {
    let ((server, clients), place) = (net(), Place::new());
    server.ip("link set gate down");
    server.ip("link set gate name plain");
    veth((&server, "gate"), (&clients, "out2"));
    let enforcer = attach(&server, &options(&place.0, 1_000));
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    following(&server, &enforcer, || {
        server.ip("link delete gate");
        server.ip("link set plain name gate");
        server.ip("link set gate up");
        until("it is not guarded", || {
            guarded(&enforcer, "gate").is_some_and(|gate| gate.up)
        });
        assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
    });
}

#[test]
fn lost_changes_are_made_up_for_by_looking_at_everything() {
    let ((server, clients), place) = (net(), Place::new());
    let enforcer = attach(&server, &options(&place.0, 1_000));
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    let changes = enforcer.take_interface_changes().unwrap();
    assert!(enforcer.take_interface_changes().is_none());
    // Of the program's own attachment.
    server.run(|| enforcer.follow_interfaces(&changes)).unwrap();
    make_noise(&server, 1);
    assert!(
        !follow(&server, &enforcer, &changes),
        "a change of another interface concerns us"
    );
    make_noise(&server, 2_000);
    server.ip("link delete gate");
    connect(&server, &clients);
    assert!(follow(&server, &enforcer, &changes));
    assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
}

fn follow(server: &Namespace, enforcer: &Enforcer, changes: &InterfaceChanges) -> bool {
    server.run(|| enforcer.follow_interfaces(changes)).unwrap()
}

/// So many changes of an interface that is not ours; a thousand do not fit in the socket.
fn make_noise(server: &Namespace, changes: usize) {
    let mut ip = Command::new("ip")
        .args(["-n", server.name(), "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = (0..changes)
        .map(|number| format!("link set lo mtu {}\n", 60_000 + number % 2))
        .collect();
    ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success());
}

#[test]
fn one_interface_that_refuses_does_not_keep_the_others_from_being_guarded() {
    let ((server, clients), place) = (net(), Place::new());
    veth((&server, "gate2"), (&clients, "out2"));
    let both = AttachOptions {
        interfaces: vec!["gate2".to_owned(), "gate".to_owned()],
        ..options(&place.0, 1_000)
    };
    let enforcer = attach(&server, &both);
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    server.ip("link delete gate");
    server.ip("link delete gate2");
    assert_eq!(server.run(|| enforcer.refresh_interfaces()).unwrap(), []);
    connect(&server, &clients);
    veth((&server, "gate2"), (&clients, "out2"));
    let foreign = AttachOptions {
        interfaces: vec!["gate2".to_owned()],
        attach_mode: AttachMode::Generic,
        pins: None,
        ..options(&place.0, 16)
    };
    let foreign = attach(&server, &foreign);
    let refused = server.run(|| enforcer.refresh_interfaces()).unwrap_err().to_string();
    assert!(
        refused.contains("gate2") && refused.contains("bpftool link detach id"),
        "{refused}"
    );
    assert_eq!(enforcer.unguarded(), ["gate2"]);
    assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
    drop(foreign);
    assert_eq!(server.run(|| enforcer.refresh_interfaces()).unwrap().len(), 2);
}
