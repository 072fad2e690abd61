//! Tables that grow while the program runs.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use portcullis::enforcer::{AttachOptions, Capacities, Enforcer, EnforcerError, Flow, Origin, Reason, Target};
use portcullis_tests::netns::Namespace;

use super::{ATTACKER, HOUR, NEIGHBOUR, Place, SERVER, attach, host, net, options};

const LIMIT: u32 = 64_000;

fn growing(place: &Place, pinned: bool, hosts: u32, limit: u32) -> AttachOptions {
    let options = options(&place.0, hosts);
    AttachOptions {
        pins: options.pins.filter(|_| pinned),
        capacities: Capacities {
            hosts_limit: limit,
            ..options.capacities
        },
        ..options
    }
}

fn v4(number: u32) -> Target {
    Target::Host(Ipv4Addr::from(0x2d00_0000 + number).into())
}

fn v6(number: u32) -> Target {
    Target::Host(Ipv6Addr::from((0x2a00_u128 << 112) + u128::from(number)).into())
}

/// Sends as fast as it can until it is told to stop; returns how many packets.
fn flood(clients: &Namespace, from: &str, to: SocketAddr, stop: &AtomicBool) -> u64 {
    let from: IpAddr = from.parse().unwrap();
    clients.run(|| {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            sent += u64::from(socket.send_to(b"flood", to).is_ok());
        }
        sent
    })
}

/// Counts what arrives, by whether it came from the attacker.
fn count(socket: &UdpSocket, stop: &AtomicBool) -> (u64, u64) {
    let attacker: IpAddr = ATTACKER.parse().unwrap();
    let (mut passed, mut honest) = (0, 0);
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 16];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((_, from)) if from.ip() == attacker => passed += 1,
            Ok(_) => honest += 1,
            Err(_) => {}
        }
    }
    (passed, honest)
}

/// Ends the threads that wait for it, also when a test fails.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bans hosts of both families, and lifts every tenth of them again.
fn ban_and_lift(enforcer: &Enforcer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        for target in [v4(number), v6(number)] {
            enforcer.ban(target, HOUR, Origin::List).unwrap();
            if number % 10 == 0 {
                assert!(enforcer.unban(target).unwrap());
            }
        }
    }
}

fn no_banned_packet_passes(pinned: bool) {
    let ((server, clients), place) = (net(), Place::new());
    let enforcer = attach(&server, &growing(&place, pinned, 1_000, LIMIT));
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    let socket = server.run(|| UdpSocket::bind((SERVER, 0))).unwrap();
    let to = socket.local_addr().unwrap();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let outcome = thread::scope(|scope| {
        let receiver = scope.spawn(|| count(&socket, &stop));
        let attacker = scope.spawn(|| flood(&clients, ATTACKER, to, &stop));
        let neighbour = scope.spawn(|| {
            let socket = clients.run(|| UdpSocket::bind((NEIGHBOUR, 0))).unwrap();
            while !stop.load(Ordering::Relaxed) {
                socket.send_to(b"honest", to).unwrap();
                thread::sleep(Duration::from_millis(1));
            }
        });
        let stop_at_last = StopWhenDropped(&stop);
        for part in 0..2 {
            let (enforcer, done) = (&enforcer, &done);
            scope.spawn(move || {
                ban_and_lift(enforcer, part * 10_000..(part + 1) * 10_000);
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while done.load(Ordering::Relaxed) < 2 {
            enforcer.grow_if_crowded().unwrap();
            assert!(Instant::now() < deadline, "a thread that bans ended early");
        }
        drop(stop_at_last);
        neighbour.join().unwrap();
        (receiver.join().unwrap(), attacker.join().unwrap())
    });
    let ((passed, honest), sent) = outcome;
    let growth = enforcer.growth();
    let usage = enforcer.usage();
    println!("pinned {pinned}: {passed} of {sent} banned packets passed, {honest} honest ones; {growth:?}, {usage:?}");
    assert_eq!(passed, 0);
    assert!(sent > 1_000 && honest > 10, "{sent} {honest}");
    assert!(growth.times >= 5 && usage.capacity >= 32_000, "{growth:?} {usage:?}");
    for number in 0..20_000 {
        for target in [v4(number), v6(number)] {
            assert_eq!(enforcer.lookup(target).unwrap().is_some(), number % 10 != 0, "{target}");
        }
    }
    assert_eq!(enforcer.list().unwrap().bans.len(), 1 + 2 * 18_000);
    assert!(enforcer.counters().unwrap().get(Reason::BannedHost).packets >= sent);
}

#[test]
fn no_banned_packet_passes_while_pinned_tables_grow() {
    no_banned_packet_passes(true);
}

#[test]
fn no_banned_packet_passes_while_tables_grow() {
    no_banned_packet_passes(false);
}

#[test]
fn everything_that_was_there_is_there_after_growing() {
    for pinned in [true, false] {
        let ((server, clients), place) = (net(), Place::new());
        let enforcer = attach(&server, &growing(&place, pinned, 16, 1_000_000));
        let flow = Flow {
            remote: "192.0.2.1:4000".parse().unwrap(),
            local: "192.0.2.2:80".parse().unwrap(),
        };
        let targets = [
            host(ATTACKER),
            host("2001:db8::7"),
            Target::Prefix("2001:db8:1:2::/64".parse().unwrap()),
            Target::Prefix("198.51.100.0/24".parse().unwrap()),
            Target::Prefix("203.0.0.0/8".parse().unwrap()),
            Target::Flow(flow),
        ];
        for target in targets {
            enforcer.ban(target, HOUR, Origin::Operator).unwrap();
        }
        enforcer.allow("192.0.2.0/24".parse().unwrap()).unwrap();
        enforcer.set_exempt_ports(&[2222]).unwrap();
        assert!(!clients.pings(ATTACKER, SERVER));
        let hits = enforcer.lookup(host(ATTACKER)).unwrap().unwrap().hits.unwrap();
        let dropped = enforcer.counters().unwrap().get(Reason::BannedHost).packets;

        let start = Instant::now();
        let many = (0..100_000).map(|number| (v4(number), HOUR, Origin::List));
        assert_eq!(enforcer.ban_all(many).len(), 0);
        println!("100000 bans into tables for 16, pinned {pinned}: {:?}", start.elapsed());
        assert_eq!(enforcer.usage().hosts, 100_003);
        assert!(targets.iter().all(|target| enforcer.lookup(*target).unwrap().is_some()));
        assert_eq!(enforcer.allowed().unwrap(), ["192.0.2.0/24".parse().unwrap()]);
        assert!(matches!(
            enforcer.ban(host("192.0.2.9"), HOUR, Origin::List),
            Err(EnforcerError::NeverBanned { .. })
        ));
        assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
        let now = enforcer.lookup(host(ATTACKER)).unwrap().unwrap().hits.unwrap();
        assert!(now.packets > hits.packets, "{now:?} after {hits:?}");
        assert!(enforcer.counters().unwrap().get(Reason::BannedHost).packets > dropped);
        if !pinned {
            continue;
        }
        drop(enforcer);
        assert!(!clients.pings(ATTACKER, SERVER));
        let next = attach(&server, &growing(&place, true, 16, 1_000_000));
        assert!(next.usage().capacity >= 100_003, "{:?}", next.usage());
        assert_eq!(next.list().unwrap().bans.len(), 100_000 + targets.len());
        assert_eq!(next.growth().times, 0);
        let names = super::pins::names(&place.0);
        assert_eq!(
            names.iter().filter(|name| name.starts_with("maps-")).count(),
            1,
            "{names:?}"
        );
        next.detach().unwrap();
        assert!(!place.0.exists());
    }
}

/// Takes every capability from this thread.
fn give_up_privileges() {
    // `struct __user_cap_header_struct` of version 3, and twice `struct __user_cap_data_struct`.
    let header = [0x2008_0522_u32, 0];
    let none = [0_u32; 6];
    // SAFETY: both are as the kernel lays them out, and live through the call.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(result, 0);
}

#[test]
fn tables_that_cannot_grow_keep_what_they_have_and_say_why() {
    for pinned in [true, false] {
        let ((server, clients), place) = (net(), Place::new());
        let enforcer = attach(&server, &growing(&place, pinned, 16, 1_000));
        enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
        for number in 0..13 {
            enforcer.ban(v4(number), HOUR, Origin::List).unwrap();
        }
        let refused = server.run(|| {
            give_up_privileges();
            enforcer.grow_if_crowded().unwrap_err()
        });
        let said = refused.to_string();
        assert_eq!(enforcer.growth().failure, Some(said.clone()));
        assert!(
            said.contains("CAP_BPF missing") && said.contains("packet.max_bans"),
            "{said}"
        );
        enforcer.ban(v4(13), HOUR, Origin::List).unwrap();
        enforcer.ban(v4(14), HOUR, Origin::List).unwrap();
        let full = enforcer.ban(v4(15), HOUR, Origin::List).unwrap_err();
        assert!(matches!(full, EnforcerError::MapFull { capacity: 16, .. }), "{full}");
        assert_eq!(enforcer.list().unwrap().bans.len(), 16);
        assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));

        assert!(enforcer.grow_if_crowded().unwrap());
        assert_eq!((enforcer.growth().times, enforcer.growth().failure), (1, None));
        enforcer.ban(v4(15), HOUR, Origin::List).unwrap();
        assert_eq!(enforcer.list().unwrap().bans.len(), 17);
        assert!(!enforcer.grow_if_crowded().unwrap(), "there is room");
        assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
    }
}

#[test]
fn the_limit_holds() {
    let place = Place::new();
    let options = AttachOptions {
        interfaces: Vec::new(),
        ..growing(&place, false, 16, 40)
    };
    let enforcer = Enforcer::attach(&options).unwrap();
    let refused = enforcer.ban_all((0..50).map(|number| (v4(number), HOUR, Origin::List)));
    assert_eq!(
        (refused.len(), enforcer.usage().capacity, enforcer.usage().hosts),
        (10, 40, 40)
    );
    assert!(matches!(refused[0].1, EnforcerError::MapFull { capacity: 40, .. }));
}
