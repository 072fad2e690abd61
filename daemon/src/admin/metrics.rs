//! What Prometheus reads (text format 0.0.4). Counters end in `_total`, units are seconds and bytes, and no label has
//! an address, a session or anything else that clients choose.

use std::fmt::{Display, Write};
use std::fs;

use portcullis_guard::blacklist::{Kind, Origin};
use portcullis_guard::policy::Mode;
use portcullis_guard::time::WallMillis;

use crate::enforcer::{Enforcer, Reason};
use crate::gate::Gate;
use crate::store::sessions::SessionStore;

/// Text that grows by families.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String does not fail.
        let _ = writeln!(
            self.0,
            "# HELP portcullis_{name} {help}\n# TYPE portcullis_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "portcullis_{name}");
        for (place, (label, value)) in labels.iter().enumerate() {
            let open = if place == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{}\"", escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Everything.
pub(super) fn text(gate: &Gate) -> String {
    let mut out = Exposition::default();
    process(gate, &mut out);
    calls(gate, &mut out);
    bans(gate, &mut out);
    if let Some(kernel) = gate.kernel() {
        packets(gate, kernel, &mut out);
    }
    store(gate, &mut out);
    sessions(gate, &mut out);
    out.0
}

fn process(gate: &Gate, out: &mut Exposition) {
    out.family("build_info", "gauge", "The version; always 1.");
    out.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.one(
        "start_time_seconds",
        "gauge",
        "When the daemon started, since 1970.",
        gate.started().seconds(),
    );
    let enforcing = u8::from(gate.guard().mode() == Mode::Enforce);
    out.one(
        "enforcing",
        "gauge",
        "1: verdicts have consequences; 0: the gate only watches.",
        enforcing,
    );
    if let Some(bytes) = resident_bytes() {
        out.one("resident_memory_bytes", "gauge", "Memory of the daemon.", bytes);
    }
}

/// `VmRSS` of proc(5).
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn calls(gate: &Gate, out: &mut Exposition) {
    let guard = gate.guard();
    out.one(
        "calls_admitted_total",
        "counter",
        "Signed calls that were admitted.",
        guard.admitted(),
    );
    out.family(
        "refusals_total",
        "counter",
        "Refusals by cause; in monitor mode, what would have been refused.",
    );
    for (cause, count) in guard.refusal_counts() {
        out.sample("refusals_total", &[("cause", cause)], count);
    }
    out.one("sessions_active", "gauge", "Sessions in memory.", guard.session_count());
    let facts = guard.shared_facts();
    let gauges = [
        (
            "rule_holders",
            "Addresses, networks, browsers and users that rules keep facts of.",
            facts.holders,
        ),
        ("rule_holders_capacity", "How many of these fit.", facts.capacity),
        (
            "rule_facts_given",
            "Facts beyond the room that each of them has, out of the pool.",
            facts.given,
        ),
        ("rule_facts_pool", "How many there are in the pool.", facts.pool),
    ];
    for (name, help, value) in gauges {
        out.one(name, "gauge", help, value);
    }
    let counters = [
        (
            "rule_holders_forgotten_total",
            "Holders forgotten before their time for lack of room.",
            facts.forgotten,
        ),
        (
            "rule_uncounted_total",
            "Calls refused as there was no room to count them.",
            facts.refused,
        ),
    ];
    for (name, help, value) in counters {
        out.one(name, "counter", help, value);
    }
    out.one(
        "connections_open",
        "gauge",
        "Connections of clients.",
        gate.connections().len(),
    );
    out.family(
        "limits_reached_total",
        "counter",
        "What met a limit beside refused requests.",
    );
    for (limit, count) in gate.connections().limits().iter() {
        out.sample("limits_reached_total", &[("limit", limit)], count);
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::HostV4 => "host_v4",
        Kind::HostV6 => "host_v6",
        Kind::PrefixV4 => "prefix_v4",
        Kind::PrefixV6 => "prefix_v6",
    }
}

fn bans(gate: &Gate, out: &mut Exposition) {
    let guard = gate.guard();
    let tally = guard.ban_tally();
    out.family("bans_active", "gauge", "Networks that are banned.");
    for kind in Kind::ALL {
        for origin in Origin::ALL {
            let labels = [("kind", kind_name(kind)), ("origin", origin.as_str())];
            out.sample("bans_active", &labels, tally.get(kind, origin));
        }
    }
    out.one("bans_capacity", "gauge", "Bans that fit.", guard.ban_count().1);
    out.one(
        "never_ban_entries",
        "gauge",
        "Networks that are never banned.",
        guard.allowed().len(),
    );
    out.family("list_entries", "gauge", "Networks that an imported list bans.");
    for (name, count) in guard.lists() {
        out.sample("list_entries", &[("list", &name)], count);
    }
}

fn packets(gate: &Gate, kernel: &Enforcer, out: &mut Exposition) {
    if let Ok(counters) = kernel.counters() {
        let action = |reason: Reason| if reason.is_drop() { "drop" } else { "pass" };
        let counted: Vec<_> = counters.iter().collect();
        out.family(
            "xdp_packets_total",
            "counter",
            "Packets by what the XDP program did with them.",
        );
        for (reason, count, _) in &counted {
            let labels = [("action", action(*reason)), ("reason", reason.name())];
            out.sample("xdp_packets_total", &labels, count.packets);
        }
        out.family("xdp_bytes_total", "counter", "The same in bytes.");
        for (reason, count, _) in &counted {
            let labels = [("action", action(*reason)), ("reason", reason.name())];
            out.sample("xdp_bytes_total", &labels, count.bytes);
        }
        out.family(
            "xdp_monitored_packets_total",
            "counter",
            "Packets that monitor mode let pass.",
        );
        for (reason, _, monitored) in counted.iter().filter(|(reason, ..)| reason.is_drop()) {
            out.sample(
                "xdp_monitored_packets_total",
                &[("reason", reason.name())],
                monitored.packets,
            );
        }
    }
    out.family(
        "interface_guarded",
        "gauge",
        "1: the program is attached to the interface.",
    );
    for interface in kernel.interfaces() {
        let mode = interface.attach_mode.to_string();
        out.sample(
            "interface_guarded",
            &[("interface", &interface.name), ("mode", &mode)],
            1,
        );
    }
    for name in kernel.unguarded() {
        out.sample("interface_guarded", &[("interface", &name), ("mode", "none")], 0);
    }
    let usage = kernel.usage();
    out.family("map_entries", "gauge", "Entries of a kernel map.");
    out.sample("map_entries", &[("map", "hosts")], usage.hosts);
    out.family("map_capacity", "gauge", "Entries that fit into it.");
    out.sample("map_capacity", &[("map", "hosts")], usage.capacity);
    if let Some(last) = gate.enforcement() {
        let found = last.found;
        out.one(
            "enforced_ratio",
            "gauge",
            "Of the bans, the part that the kernel enforced when it was last compared.",
            found.ratio(),
        );
        out.one(
            "enforcement_drift",
            "gauge",
            "Bans that were missing, wrong or stray in the kernel then.",
            found.missing + found.wrong + found.strays,
        );
        out.one(
            "enforcement_compared_seconds",
            "gauge",
            "When that was, since 1970.",
            last.at.seconds(),
        );
    }
}

fn store(gate: &Gate, out: &mut Exposition) {
    let Some(store) = gate.store() else { return };
    let health = store.health();
    out.one(
        "store_healthy",
        "gauge",
        "1: the last write to the store succeeded.",
        u8::from(health.failure.is_none()),
    );
    out.one(
        "store_commits_total",
        "counter",
        "Transactions of the store.",
        health.commits,
    );
    out.one(
        "store_failures_total",
        "counter",
        "Writes to the store that failed.",
        health.failures,
    );
    out.one(
        "store_waiting",
        "gauge",
        "Things that wait to be written.",
        health.waiting,
    );
}

/// The memory of sessions.
fn sessions(gate: &Gate, out: &mut Exposition) {
    let Some(kept) = gate.sessions().map(SessionStore::health) else {
        return;
    };
    let gauges = [
        (
            "session_store_healthy",
            "1: the last write of what sessions did succeeded.",
            u64::from(kept.failure.is_none()),
        ),
        ("session_store_bytes", "Bytes of what is written down.", kept.bytes),
        (
            "session_store_restored",
            "Sessions, sources and others that came back at the start.",
            kept.restored,
        ),
        (
            "session_store_saved_seconds",
            "When it was written last, since 1970.",
            kept.at.map_or(0, WallMillis::seconds),
        ),
    ];
    for (name, help, value) in gauges {
        out.one(name, "gauge", help, value);
    }
    let counters = [
        (
            "session_store_saves_total",
            "Transactions of the memory of sessions.",
            kept.saves,
        ),
        (
            "session_store_failures_total",
            "Writes of it that failed.",
            kept.failures,
        ),
    ];
    for (name, help, value) in counters {
        out.one(name, "counter", help, value);
    }
    out.family(
        "session_store_left_out_total",
        "counter",
        "What a restart forgets or forgot, by why.",
    );
    for (cause, count) in kept.left_out.each() {
        out.sample("session_store_left_out_total", &[("cause", cause)], count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = Exposition::default();
        out.sample("x", &[("list", "a\"b\\c\nd"), ("kind", "k")], 1);
        assert_eq!(out.0, "portcullis_x{list=\"a\\\"b\\\\c\\nd\",kind=\"k\"} 1\n");
    }
}
