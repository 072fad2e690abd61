//! Real packets over a veth pair, from random ones of the banned: how many a processor can drop.
//!
//! Whatever drops them works on the processor that sends them, so that the time of one frame contains the sending.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use aya::Ebpf;
use portcullis::enforcer::{AttachMode, AttachOptions, Capacities, Enforcer, Mode, Origin, Target};
use portcullis_tests::netns::Namespace;

use super::{
    super::{
        report::{Rounds, Row},
        sender,
    },
    HOUR, frames, peers,
};
use crate::process;

const BANS: u32 = 100_000;
/// What the others are compared with.
const NFT: &str = "traffic/nft-ingress/100000";
/// As many times what nft drops.
const TARGET: f64 = 3.5;

/// A way to drop what comes.
struct Way {
    name: String,
    sender: Namespace,
    receiver: Namespace,
    sources: u32,
    guard: Guard,
    rounds: Rounds,
}

/// What drops it, as long as this lives.
enum Guard {
    Floor {
        _attached: Ebpf,
    },
    Ours(Box<Enforcer>),
    /// Its kernel keeps it on the interface.
    XdpFilter,
    Nft(&'static str),
    Ipset,
}

/// Rows of so many frames each.
pub(super) fn rows(frames: u32, rounds: usize) -> Result<Vec<Row>> {
    let (mut ways, missing) = ways()?;
    for round in 0..rounds {
        eprintln!("traffic, round {} of {rounds}", round + 1);
        for way in &mut ways {
            way.round(frames).with_context(|| way.name.clone())?;
        }
    }
    let nft = ways.iter().find(|way| way.name == NFT).map(|way| way.rounds.clone());
    let rows = ways.iter().map(|way| {
        let row = Row::new(&way.name, "Mpps", &way.rounds);
        match &nft {
            Some(nft) if way.name != NFT => {
                let target = (way.name == "traffic/portcullis/100000").then_some(TARGET);
                row.at_least(NFT, nft, target)
            }
            Some(_) | None => row,
        }
    });
    Ok(rows.chain(missing).collect())
}

/// Every way to drop, and rows for those that are not there.
fn ways() -> Result<(Vec<Way>, Vec<Row>)> {
    let mut ways = vec![floor()?, ours("portcullis", AttachMode::Native)?];
    ways.push(ours("portcullis-generic", AttachMode::Generic)?);
    let mut missing = Vec::new();
    let mut peer = |name: &str, bans: u32, programs: &[&'static str], make: &dyn Fn() -> Result<Way>| {
        match peers::missing(programs) {
            Some(program) => missing.push(Row::missing(format!("traffic/{name}/{bans}"), "Mpps", program)),
            None => ways.push(make()?),
        }
        Ok::<_, anyhow::Error>(())
    };
    peer("xdp-filter", peers::XDP_FILTER_MOST, &["xdp-filter"], &xdp_filter)?;
    for (name, family, hook) in [
        ("nft-ingress", "netdev", "hook ingress device in priority 0"),
        ("nft-prerouting", "ip", "hook prerouting priority -300"),
        ("nft-input", "ip", "hook input priority 0"),
    ] {
        peer(name, BANS, &["nft", "ethtool"], &|| nft(name, family, hook))?;
    }
    peer("ipset-raw", BANS, &["ipset", "iptables-legacy", "ethtool"], &ipset)?;
    Ok((ways, missing))
}

fn way(name: &str, sources: u32, guard: impl FnOnce(&Namespace) -> Result<Guard>) -> Result<Way> {
    let (sender, receiver) = sender::pair();
    let guard = guard(&receiver).with_context(|| format!("failed to set {name} up"))?;
    Ok(Way {
        name: format!("traffic/{name}/{sources}"),
        sender,
        receiver,
        sources,
        guard,
        rounds: Rounds::default(),
    })
}

/// Native XDP that drops everything.
fn floor() -> Result<Way> {
    way("floor", BANS, |receiver| {
        let attached = peers::floor(receiver, "floor_drop")?;
        Ok(Guard::Floor { _attached: attached })
    })
}

fn ours(name: &str, attach_mode: AttachMode) -> Result<Way> {
    way(name, BANS, |receiver| {
        let options = AttachOptions {
            interfaces: vec!["in".to_owned()],
            attach_mode,
            mode: Mode::Enforce,
            capacities: Capacities {
                hosts: BANS,
                ..Capacities::default()
            },
            ..AttachOptions::default()
        };
        let enforcer = receiver.run(|| Enforcer::attach(&options))?;
        let hosts = (0..BANS).map(|number| (Target::Host(frames::v4_host(number)), HOUR, Origin::List));
        let refused = enforcer.ban_all(hosts);
        ensure!(refused.is_empty(), "bans were refused");
        if attach_mode == AttachMode::Generic {
            take_frames(receiver)?;
        }
        Ok(Guard::Ours(Box::new(enforcer)))
    })
}

fn xdp_filter() -> Result<Way> {
    way("xdp-filter", peers::XDP_FILTER_MOST, |receiver| {
        peers::xdp_filter(receiver, "in", peers::XDP_FILTER_MOST)?;
        Ok(Guard::XdpFilter)
    })
}

fn nft(name: &str, family: &'static str, hook: &str) -> Result<Way> {
    way(name, BANS, |receiver| {
        take_frames(receiver)?;
        let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
        let file = peers::nft_file(&folder, family, hook, BANS)?;
        receiver.run(|| process::output(Command::new("nft").arg("-f").arg(&file)))?;
        Ok(Guard::Nft(family))
    })
}

fn ipset() -> Result<Way> {
    way("ipset-raw", BANS, |receiver| {
        take_frames(receiver)?;
        let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
        let file = peers::ipset_file(&folder, BANS)?;
        let rule = "-t raw -A PREROUTING -m set --match-set banned src -j DROP";
        receiver.run(|| {
            process::output(Command::new("ipset").args(["restore", "-file"]).arg(&file))?;
            process::output(Command::new("iptables-legacy").args(rule.split(' ')))
        })?;
        Ok(Guard::Ipset)
    })
}

/// An end of a veth pair without XDP takes frames only while it collects them.
fn take_frames(receiver: &Namespace) -> Result<()> {
    receiver
        .run(|| process::output(Command::new("ethtool").args(["-K", "in", "gro", "on"])))
        .map(drop)
}

impl Way {
    fn round(&mut self, frames: u32) -> Result<()> {
        sender::send(&self.sender, self.sources, frames / 20)?;
        let before = self.dropped()?;
        let seconds = sender::send(&self.sender, self.sources, frames)?;
        self.rounds.push(f64::from(frames) / seconds / 1e6);
        if let (Some(before), Some(after)) = (before, self.dropped()?) {
            let part = (after - before) as f64 / f64::from(frames);
            ensure!(part > 0.99, "only {:.1} % of the frames were dropped", part * 100.0);
        }
        Ok(())
    }

    /// How many frames were dropped since the beginning, where that is told.
    fn dropped(&self) -> Result<Option<u64>> {
        let told = |program: &str, arguments: &str| {
            self.receiver
                .run(|| process::output(Command::new(program).args(arguments.split(' '))))
        };
        match &self.guard {
            Guard::Floor { .. } | Guard::XdpFilter => Ok(None),
            Guard::Ours(enforcer) => Ok(Some(enforcer.counters()?.dropped().packets)),
            Guard::Nft(family) => {
                let said = told("nft", &format!("list chain {family} bench drops"))?;
                peers::number_after(&said, "packets").map(Some)
            }
            Guard::Ipset => {
                let said = told("iptables-legacy", "-t raw -nvxL PREROUTING")?;
                peers::number_after(&said, "destination").map(Some)
            }
        }
    }
}
