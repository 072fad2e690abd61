//! The daemon is killed at random moments while operators ban and lift: what they were told holds afterwards, and
//! meanwhile, where the packet layer is pinned. The second part needs root.
//!
//! `PORTCULLIS_CASES` sets how often, and `PORTCULLIS_SEED` when.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use portcullis::control::api::{BanQuery, BanRequest};
use portcullis::control::client::Client;
use portcullis_tests::daemon::{Daemon, Home, Wanted};
use portcullis_tests::netns::{Namespace, veth};
use portcullis_tests::pins::Pins;

const CASES: u64 = 25;
const OPERATORS: u8 = 3;

/// What an operator knows of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Banned,
    Lifted,
    /// No answer came: either may be.
    Open,
}

type Notes = Mutex<BTreeMap<IpNet, Known>>;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn network(operator: u8, round: u8) -> IpNet {
    let text = format!("10.{operator}.0.{}/32", round % 40);
    text.parse().unwrap_or_default()
}

/// Bans and lifts until the daemon is gone.
fn operate(client: &Client, operator: u8, notes: &Notes) {
    for round in 0..=u8::MAX {
        let network = network(operator, round.wrapping_mul(7));
        let set = |known| notes.lock().map(|mut notes| notes.insert(network, known)).is_ok();
        let before = notes.lock().ok().and_then(|notes| notes.get(&network).copied());
        set(Known::Open);
        let done = if before == Some(Known::Banned) {
            client.unban(network).map(|_| Known::Lifted)
        } else {
            let order = BanRequest {
                network: network.to_string(),
                for_seconds: 3600,
                reason: format!("round {round}"),
                force: false,
                caller: None,
            };
            client.ban(&order).map(|_| Known::Banned)
        };
        match done {
            Ok(known) => set(known),
            Err(_) => return,
        };
    }
}

/// Compares what is held with what was told; returns how much.
fn compare(client: &Client, notes: &Notes, case: &str) -> Result<usize> {
    let query = BanQuery {
        limit: Some(10_000),
        ..BanQuery::default()
    };
    let held: Vec<IpNet> = client.bans(&query)?.bans.iter().map(|ban| ban.network).collect();
    let mut notes = notes.lock().map_err(|_| anyhow::anyhow!("an operator panicked"))?;
    for (network, known) in notes.iter_mut() {
        let is_held = held.contains(network);
        match *known {
            Known::Banned => ensure!(is_held, "{case}: the ban of {network} is lost"),
            Known::Lifted => ensure!(!is_held, "{case}: {network} is banned again"),
            Known::Open => *known = if is_held { Known::Banned } else { Known::Lifted },
        }
    }
    Ok(notes.len())
}

/// Numbers that the seed decides.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn no_kill_loses_what_an_operator_was_told() -> Result<()> {
    let (cases, seed) = (number("PORTCULLIS_CASES", CASES), number("PORTCULLIS_SEED", 1));
    let wanted = Wanted::enforcing(SocketAddr::from(([127, 0, 0, 1], 1)), "");
    let notes = Notes::default();
    let mut home = Home::new()?;
    let mut dice = Dice::new(seed);
    let mut told = 0;
    for case in 0..cases {
        let case = format!("case {case}, seed {seed}");
        let daemon = Daemon::start_in(home, &wanted).with_context(|| case.clone())?;
        let client = Client::new(daemon.control());
        told += compare(&client, &notes, &case)?;
        home = std::thread::scope(|scope| {
            for operator in 0..OPERATORS {
                let (client, notes) = (client.clone(), &notes);
                scope.spawn(move || operate(&client, operator, notes));
            }
            std::thread::sleep(Duration::from_micros(dice.below(60_000)));
            daemon.kill()
        })?;
    }
    ensure!(told > 0, "nothing was compared");
    Ok(())
}

const SERVER: &str = "10.77.12.1";
const HONEST: &str = "10.77.12.2";
/// Sources that are banned one after the other, and never lifted.
const ABUSERS: &str = "10.78.0.0/16";
const MOST_ABUSERS: u16 = 2_000;
const PACKET_CASES: u64 = 20;

/// Networks of our own, a pinned packet layer, and somebody who floods it from whatever is banned.
struct Flooded {
    pins: Pins,
    server: Namespace,
    clients: Namespace,
    /// Sources whose ban was acknowledged.
    banned: Mutex<Vec<UdpSocket>>,
    over: AtomicBool,
    sent: AtomicU64,
    passed: AtomicU64,
    honest: AtomicU64,
}

impl Flooded {
    fn new() -> Self {
        let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
        veth((&server, "pcs"), (&clients, "pcc"));
        server.address("pcs", &format!("{SERVER}/24"));
        clients.address("pcc", &format!("{HONEST}/24"));
        clients.ip(&format!("route add local {ABUSERS} dev lo"));
        server.ip(&format!("route add {ABUSERS} via {HONEST}"));
        Self {
            server,
            clients,
            pins: Pins::new(),
            banned: Mutex::default(),
            over: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            honest: AtomicU64::new(0),
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Sends from every source that is banned, and from one that is not, until it is over.
    fn flood(&self, to: SocketAddr) -> Result<()> {
        let honest = self.clients.run(|| UdpSocket::bind((HONEST, 0)))?;
        while !self.is_over() {
            honest.send_to(b"honest", to)?;
            let banned = self.banned.lock().map_err(|_| anyhow::anyhow!("somebody panicked"))?;
            for source in banned.iter() {
                // A full queue is no wonder in a flood.
                let sent = source.send_to(b"banned", to).is_ok();
                self.sent.fetch_add(u64::from(sent), Ordering::Relaxed);
            }
            drop(banned);
            // Others want to run as well, on a machine of few processors.
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// Counts what arrives.
    fn count(&self, socket: &UdpSocket) -> Result<()> {
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let abusers: IpNet = ABUSERS.parse()?;
        let mut buffer = [0; 16];
        while !self.is_over() {
            let Ok((_, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            let counter = if abusers.contains(&from.ip()) {
                &self.passed
            } else {
                &self.honest
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Bans one source after the other, and lets each flood as soon as its ban was acknowledged.
    fn ban_on(&self, client: &Client, notes: &Notes) {
        loop {
            let Ok(next) = self
                .banned
                .lock()
                .map(|banned| u16::try_from(banned.len()).unwrap_or(u16::MAX))
            else {
                return;
            };
            if next >= MOST_ABUSERS {
                return;
            }
            let address = IpAddr::from([10, 78, (next >> 8) as u8, next as u8]);
            let order = BanRequest {
                network: address.to_string(),
                for_seconds: 36_000,
                reason: "floods".to_owned(),
                force: false,
                caller: None,
            };
            if client.ban(&order).is_err() {
                return;
            }
            let Ok(socket) = self.clients.run(|| UdpSocket::bind((address, 0))) else {
                return;
            };
            if let (Ok(mut notes), Ok(mut banned)) = (notes.lock(), self.banned.lock()) {
                notes.insert(address.into(), Known::Banned);
                banned.push(socket);
            }
        }
    }

    /// Kills the daemon at random moments, its start among them, while all of this goes on.
    fn kill_on(&self, cases: u64, seed: u64, wanted: &Wanted<'_>) -> Result<usize> {
        let notes = Notes::default();
        let (mut home, mut dice, mut told) = (Home::new()?, Dice::new(seed), 0);
        for case in 0..cases {
            let case = format!("case {case}, seed {seed}");
            if dice.below(4) == 0 {
                let early = Duration::from_micros(dice.below(1_500_000));
                Daemon::start_and_kill(&home, wanted, early).with_context(|| case.clone())?;
            }
            let daemon = Daemon::start_in(home, wanted).with_context(|| case.clone())?;
            let client = Client::new(daemon.control());
            told += compare(&client, &notes, &case)?;
            home = std::thread::scope(|scope| {
                for operator in 0..OPERATORS {
                    let (client, notes) = (client.clone(), &notes);
                    scope.spawn(move || operate(&client, operator, notes));
                }
                scope.spawn(|| self.ban_on(&client, &notes));
                std::thread::sleep(Duration::from_micros(dice.below(100_000)));
                daemon.kill()
            })?;
            let passed = self.passed.load(Ordering::Relaxed);
            ensure!(passed == 0, "{case}: {passed} packets of banned sources passed");
        }
        Ok(told)
    }
}

#[test]
fn no_kill_lets_a_packet_of_a_banned_source_pass() -> Result<()> {
    let (cases, seed) = (number("PORTCULLIS_CASES", PACKET_CASES), number("PORTCULLIS_SEED", 1));
    let world = Flooded::new();
    let socket = world.server.run(|| UdpSocket::bind((SERVER, 0)))?;
    let to = socket.local_addr()?;
    let enter = format!("--net=/run/netns/{}", world.server.name());
    let wrapper = ["nsenter", &enter];
    let extra = format!("[packet]\ninterfaces = [\"pcs\"]\npins = \"{}\"\n", world.pins.path());
    let wanted = Wanted {
        wrapper: &wrapper,
        ..Wanted::enforcing(SocketAddr::from(([127, 0, 0, 1], 1)), &extra)
    };
    let told = std::thread::scope(|scope| {
        let flood = scope.spawn(|| world.flood(to));
        let count = scope.spawn(|| world.count(&socket));
        let told = world.kill_on(cases, seed, &wanted);
        world.over.store(true, Ordering::Relaxed);
        for thread in [flood, count] {
            thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        told
    })?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (sent, passed, honest) = (count(&world.sent), count(&world.passed), count(&world.honest));
    println!("{cases} kills: {told} bans compared; {passed} of {sent} banned packets passed, {honest} honest ones");
    ensure!(passed == 0, "{passed} of {sent} packets of banned sources passed");
    ensure!(told > 0 && sent > 1_000 && honest > 100, "{told} {sent} {honest}");
    Ok(())
}
