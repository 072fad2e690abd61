//! What a legitimate client gets while a banned source floods, beside what an nft set leaves it.
//!
//! Everything is on one processor. Frames are pushed into a veth pair as a driver would, by a thread that comes before all
//! others, as an interrupt does; the kernel drops them there and then. Daemon, application and client, whose packets come
//! by the same way, get what is left. Each way to drop has the same daemon, and network namespaces of its own.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use anyhow::{Context as _, Result, anyhow};
use aya::Ebpf;
use portcullis_tests::backend::Backend;
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::netns::Namespace;

use super::load::Effort;
use super::slow::goodput;
use crate::bench::packet::peers;
use crate::bench::report::{Rounds, Row};
use crate::bench::sender::{self, OUR_ADDRESS};
use crate::process;

/// Packets a second of a flood that has an end.
const RATE: u32 = 300_000;
/// At least so much of what it gets without a flood.
const SHARE: f64 = 0.8;
/// At least as many times what an nft set leaves when the flood is more than it can drop.
const TIMES: f64 = 5.0;

/// Connections of the client.
const CONNECTIONS: usize = 8;

const PROTECT: &str = "[protect]\npaths = [\"/api/**\"]\n";
const PACKET: &str = "[packet]\ninterfaces = [\"in\"]\n";

/// What drops the flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// The daemon's XDP program.
    Ours,
    /// An XDP program that compares one address: more than it leaves nobody can.
    Floor,
    /// An nft set at input, as the bouncers of others make it.
    Nft,
    Nobody,
}

/// One of them, with its daemon and its client.
struct Place {
    name: &'static str,
    clients: Namespace,
    daemon: Daemon,
    _floor: Option<Ebpf>,
    /// Dropped after the daemon.
    _backend: Backend,
    _server: Namespace,
    measured: [Measured; FLOODS.len()],
}

/// Requests a second, and the flood in millions of packets a second.
#[derive(Default)]
struct Measured {
    goodput: Rounds,
    sent: Rounds,
}

/// None; one that is easily dropped; twice as much as an nft set can drop with nothing else to do.
const FLOODS: [&str; 3] = ["alone", "300k", "overload"];

pub(super) fn measure(effort: &Effort) -> Result<Vec<Row>> {
    if !process::is_root() {
        return Ok(vec![Row::missing(
            "flood/portcullis/alone",
            UNIT,
            "the privilege of root",
        )]);
    }
    if let Some(program) = peers::missing(&["nft", "ethtool"]) {
        return Ok(vec![Row::missing("flood/nft/alone", UNIT, program)]);
    }
    let mut places = [
        Place::new("portcullis", Guard::Ours)?,
        Place::new("floor", Guard::Floor)?,
        Place::new("nft", Guard::Nft)?,
        Place::new("nobody", Guard::Nobody)?,
    ];
    for _ in 0..effort.rounds.min(5) {
        let overload = 2 * sender::most_taken(&places[NFT].clients)?;
        for place in &mut places {
            place.round(effort, [0, RATE, overload])?;
        }
    }
    let mut rows: Vec<Row> = places.iter().flat_map(Place::rows).collect();
    let [ours, floor, nft, _] = &places;
    let overload = |place: &Place| place.measured[2].goodput.clone();
    let row = Row::new("flood/overload-to-nft", UNIT, &overload(ours));
    rows.push(row.at_least("flood/nft/overload", &overload(nft), Some(TIMES)));
    let row = Row::new("flood/overload-to-floor", UNIT, &overload(ours));
    rows.push(row.at_least("flood/floor/overload", &overload(floor), None));
    Ok(rows)
}

const UNIT: &str = "rq/s";
/// The place of the nft set among the others.
const NFT: usize = 2;

impl Place {
    fn new(name: &'static str, guard: Guard) -> Result<Self> {
        let (clients, server) = sender::pair();
        clients.address("out", "192.0.2.2/24");
        let backend = server.run(|| {
            sender::stay_on_last_processor()?;
            Backend::start_on(SocketAddr::from(([127, 0, 0, 1], 0)))
        })?;
        let processor = sender::last_processor().to_string();
        let enter = format!("--net=/run/netns/{}", server.name());
        let packet = if guard == Guard::Ours { PACKET } else { "" };
        let config = format!("{PROTECT}{packet}");
        let daemon = Daemon::start(&Wanted {
            listen: SocketAddr::from((OUR_ADDRESS, 0)),
            http: "workers = 2\n",
            wrapper: &["taskset", "--cpu-list", &processor, "nsenter", &enter],
            ..Wanted::enforcing(backend.address(), &config)
        })?;
        match guard {
            Guard::Ours => {
                daemon.cli(&["ban", "add", &sender::source().to_string(), "--for", "1h"])?;
            }
            Guard::Nft => {
                let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
                let file = peers::nft_file(&folder, "ip", "hook input priority 0", 1)?;
                server.run(|| process::output(Command::new("nft").arg("-f").arg(&file)))?;
            }
            Guard::Floor | Guard::Nobody => {}
        }
        let floor = (guard == Guard::Floor)
            .then(|| peers::floor(&server, "floor_ban"))
            .transpose()?;
        if matches!(guard, Guard::Nft | Guard::Nobody) {
            // Without XDP, this end takes frames only while it collects them.
            server.run(|| process::output(Command::new("ethtool").args(["-K", "in", "gro", "on"])))?;
        }
        Ok(Self {
            name,
            clients,
            daemon,
            _floor: floor,
            _backend: backend,
            _server: server,
            measured: Default::default(),
        })
    }

    /// `rates` are of the floods, in packets a second.
    fn round(&mut self, effort: &Effort, rates: [u32; FLOODS.len()]) -> Result<()> {
        for (rate, measured) in rates.into_iter().zip(&mut self.measured) {
            let (address, clients) = (self.daemon.address(), &self.clients);
            if rate == 0 {
                measured.goodput.push(client(clients, effort, address)?);
                continue;
            }
            let (ready, stop) = (Barrier::new(2), AtomicBool::new(false));
            let (got, sent) = std::thread::scope(|scope| {
                let flood = scope.spawn(|| sender::keep_on(clients, rate, &ready, &stop));
                ready.wait();
                let got = client(clients, effort, address);
                stop.store(true, Ordering::Relaxed);
                let sent = flood.join().map_err(|_| anyhow!("the flood panicked"))?;
                Ok::<_, anyhow::Error>((got?, sent?))
            })?;
            measured.goodput.push(got);
            measured.sent.push(sent / 1e6);
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let name = |flood: &str| format!("flood/{}/{flood}", self.name);
        let [alone, others @ ..] = &self.measured;
        let mut rows = vec![Row::new(name("alone"), UNIT, &alone.goodput)];
        for (flood, measured) in FLOODS[1..].iter().zip(others) {
            let target = (self.name == "portcullis" && *flood == "300k").then_some(SHARE);
            let row = Row::new(name(flood), UNIT, &measured.goodput);
            rows.push(row.at_least(&name("alone"), &alone.goodput, target));
            rows.push(Row::new(format!("{}/sent", name(flood)), "Mpps", &measured.sent));
        }
        rows
    }
}

/// Requests a second over all connections of the client.
fn client(clients: &Namespace, effort: &Effort, address: SocketAddr) -> Result<f64> {
    clients.run(|| {
        sender::stay_on_last_processor()?;
        std::thread::scope(|scope| {
            let lines: Vec<_> = (0..CONNECTIONS)
                // A connection that the flood keeps from being opened gets nothing.
                .map(|_| scope.spawn(|| goodput(effort, address).unwrap_or_default()))
                .collect();
            let got = lines.into_iter().map(ScopedJoinHandle::join);
            got.sum::<Result<f64, _>>().map_err(|_| anyhow!("a client panicked"))
        })
    })
}
