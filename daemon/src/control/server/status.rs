//! `/v1/status`

use std::time::Duration;

use portcullis_guard::policy;

use super::dispatch::Reply;
use super::error::ControlError;
use crate::confine;
use crate::control::api::{
    BanCount, CallCount, ConnectionCount, Enforcement, Interface, Mode, PacketCount, PacketLayer, Process, SharedFacts,
    Status, Tables,
};
use crate::enforcer::{Enforcer, EnforcerError, Reconciled};
use crate::gate::{self, Gate};

/// Compares the kernel with the intention now, repairs it, and tells the state.
pub(super) fn verify(gate: &Gate) -> Result<Reply, ControlError> {
    let found = gate.reconcile().transpose()?.map(|enforcement| enforcement.found);
    // What it found was repaired, but for what the kernel would not take.
    state(gate, found.map(|found| repaired(&found)))
}

pub(super) fn status(gate: &Gate) -> Result<Reply, ControlError> {
    let found = gate.compare().transpose()?;
    state(gate, found.map(|found| ban_count(&found)))
}

fn state(gate: &Gate, bans: Option<BanCount>) -> Result<Reply, ControlError> {
    let now = gate.now();
    let guard = gate.guard();
    let uptime = Duration::from_millis(now.wall.0.saturating_sub(gate.started().0));
    Reply::ok(&Status {
        mode: mode(gate),
        enforcement: Some(super::mode::state(gate)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: gate.started().into(),
        uptime_seconds: uptime.as_secs(),
        process: Some(process()),
        listening: gate.places().to_vec(),
        packet_layer: gate.kernel().map(|kernel| packet_layer(gate, kernel)).transpose()?,
        bans: bans.unwrap_or_else(|| unenforced(guard.ban_count().0)),
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

/// Without a packet layer.
fn unenforced(intended: usize) -> BanCount {
    BanCount {
        intended,
        in_kernel: None,
        strays: None,
    }
}

fn repaired(found: &Reconciled) -> BanCount {
    BanCount {
        intended: found.intended,
        in_kernel: Some(found.intended.saturating_sub(found.refused)),
        strays: Some(0),
    }
}

fn ban_count(found: &Reconciled) -> BanCount {
    BanCount {
        intended: found.intended,
        in_kernel: Some(found.enforced + found.wrong),
        strays: Some(found.strays),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_counted_both_ways() {
        let found = Reconciled {
            intended: 4,
            enforced: 1,
            missing: 2,
            wrong: 1,
            strays: 1,
            refused: 0,
        };
        let count = ban_count(&found);
        assert_eq!((count.intended, count.in_kernel, count.strays), (4, Some(2), Some(1)));
        assert_eq!(unenforced(3).in_kernel, None);
    }
}
