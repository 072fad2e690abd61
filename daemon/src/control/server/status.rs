//! `/v1/status`

use std::collections::HashSet;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::policy;

use super::dispatch::Reply;
use super::error::ControlError;
use crate::confine;
use crate::control::api::{
    BanCount, CallCount, ConnectionCount, Enforcement, Interface, Mode, PacketCount, PacketLayer, Process, SharedFacts,
    Status, Tables,
};
use crate::enforcer::{Enforcer, EnforcerError, Target};
use crate::gate::{self, Gate};

/// Compares the kernel with the intention now, repairs it, and tells the state.
pub(super) fn verify(gate: &Gate) -> Result<Reply, ControlError> {
    gate.reconcile().transpose()?;
    status(gate)
}

pub(super) fn status(gate: &Gate) -> Result<Reply, ControlError> {
    let now = gate.now();
    let guard = gate.guard();
    let intended: HashSet<IpNet> = guard.bans(now).iter().map(|ban| ban.network).collect();
    let uptime = Duration::from_millis(now.wall.0.saturating_sub(gate.started().0));
    Reply::ok(&Status {
        mode: mode(gate),
        enforcement: Some(super::mode::state(gate)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: gate.started().into(),
        uptime_seconds: uptime.as_secs(),
        process: Some(process()),
        packet_layer: gate.kernel().map(|kernel| packet_layer(gate, kernel)).transpose()?,
        bans: ban_count(&intended, gate.kernel())?,
        never_ban: guard.allowed().len(),
        sessions: guard.session_count(),
        calls: CallCount {
            admitted: guard.admitted(),
            refused: guard
                .refusal_counts()
                .into_iter()
                .map(|(cause, count)| (cause.to_owned(), count))
                .collect(),
        },
        connections: ConnectionCount {
            open: gate.connections().len(),
            limits: {
                let limits = gate.connections().limits().iter();
                limits.map(|(limit, count)| (limit.to_owned(), count)).collect()
            },
        },
        shared_facts: shared_facts(gate),
    })
}

fn shared_facts(gate: &Gate) -> SharedFacts {
    let usage = gate.guard().shared_facts();
    SharedFacts {
        holders: usage.holders,
        capacity: usage.capacity,
        given: usage.given,
        pool: usage.pool,
        forgotten: usage.forgotten,
        refused: usage.refused,
    }
}

fn process() -> Process {
    let standing = confine::standing();
    Process {
        user: standing.user,
        root: standing.root,
        capabilities: standing.capabilities,
        system_calls_filtered: standing.filtered,
    }
}

/// Monitor or enforce, as it travels.
pub(super) fn mode(gate: &Gate) -> Mode {
    match gate.guard().mode() {
        policy::Mode::Monitor => Mode::Monitor,
        policy::Mode::Enforce => Mode::Enforce,
    }
}

fn packet_layer(gate: &Gate, kernel: &Enforcer) -> Result<PacketLayer, EnforcerError> {
    let interfaces = kernel.interfaces().into_iter().map(|interface| Interface {
        name: interface.name,
        attached: interface.attach_mode.to_string(),
    });
    let counters = kernel.counters()?;
    let packets = counters.iter().map(|(reason, count, monitored)| PacketCount {
        reason: reason.name().to_owned(),
        dropped: reason.is_drop(),
        packets: count.packets,
        bytes: count.bytes,
        monitored_packets: monitored.packets,
    });
    Ok(PacketLayer {
        interfaces: interfaces.collect(),
        packets: packets.collect(),
        enforcement: gate.enforcement().map(|last| enforcement(&last)),
        tables: Some(tables(kernel)),
        monitored_origins: kernel
            .monitored_origins()
            .iter()
            .map(|origin| origin.name().to_owned())
            .collect(),
        warnings: warnings(kernel),
    })
}

fn enforcement(last: &gate::Enforcement) -> Enforcement {
    let found = &last.found;
    Enforcement {
        at: last.at.into(),
        ratio: found.ratio(),
        intended: found.intended,
        enforced: found.enforced,
        missing: found.missing,
        wrong: found.wrong,
        strays: found.strays,
        refused: found.refused,
    }
}

fn tables(kernel: &Enforcer) -> Tables {
    let usage = kernel.usage();
    Tables {
        hosts: usage.hosts,
        overflowed: usage.overflowed,
        capacity: usage.capacity,
        grown: kernel.growth().times,
        // Without the right to open the maps by their numbers there is nothing to sum up.
        memory_bytes: kernel.kernel_memory().ok().filter(|bytes| *bytes > 0),
    }
}

fn warnings(kernel: &Enforcer) -> Vec<String> {
    let unguarded = kernel.unguarded().into_iter().map(|name| {
        format!("{name} is not guarded: it is not there, or the log says why; it will be as soon as that is possible")
    });
    let generic = kernel
        .interfaces()
        .into_iter()
        .filter(|interface| interface.fallback)
        .map(|interface| {
            let name = interface.name;
            format!("{name} fell back to generic XDP, at about half the speed: its driver has no native mode")
        });
    let no_cookies = (!kernel.has_syn_cookies()).then(|| {
        "the kernel sends no SYN cookies, so that a SYN flood fills its tables: `sysctl -w net.ipv4.tcp_syncookies=1`"
            .to_owned()
    });
    let failure = kernel.growth().failure;
    unguarded.chain(generic).chain(failure).chain(no_cookies).collect()
}

fn ban_count(intended: &HashSet<IpNet>, kernel: Option<&Enforcer>) -> Result<BanCount, EnforcerError> {
    let held = kernel.map(Enforcer::list).transpose()?;
    let held: Option<HashSet<IpNet>> =
        held.map(|held| held.bans.iter().filter_map(|(target, _)| network(*target)).collect());
    Ok(compared(intended, held.as_ref()))
}

fn compared(intended: &HashSet<IpNet>, held: Option<&HashSet<IpNet>>) -> BanCount {
    BanCount {
        intended: intended.len(),
        in_kernel: held.map(|held| intended.intersection(held).count()),
        strays: held.map(|held| held.difference(intended).count()),
    }
}

/// The network of a target; `None` for a connection, which belongs to a session and not to the ban list.
fn network(target: Target) -> Option<IpNet> {
    match target {
        Target::Host(address) => Some(address.into()),
        Target::Prefix(network) => Some(network),
        Target::Flow(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_counted_both_ways() {
        let set = |networks: &[&str]| networks.iter().map(|network| network.parse().unwrap()).collect();
        let intended: HashSet<IpNet> = set(&["192.0.2.1/32", "192.0.2.2/32", "198.51.100.0/24"]);
        let held = set(&["192.0.2.1/32", "203.0.113.0/24"]);
        let count = compared(&intended, Some(&held));
        assert_eq!((count.intended, count.in_kernel, count.strays), (3, Some(1), Some(1)));
        assert_eq!(
            compared(&intended, None),
            BanCount {
                intended: 3,
                in_kernel: None,
                strays: None
            }
        );
    }
}
