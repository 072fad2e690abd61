//! The verdict on one packet.
//!
//! Never-ban and the exempt ports come before every ban. They are asked only once a ban has
//! matched, which gives the same verdict and costs the packets of honest clients nothing.

use aya_ebpf::btf_maps::lpm_trie::Key;
use portcullis_common::{Address, BanEntry, FlowKey, PrefixKey, Reason, Tables};

use crate::{
    clock,
    maps::{self, FLOWS, HOSTS, NEVER_BAN, PREFIXES},
    parse::{Frame, IPPROTO_TCP, Network, Transport},
};

/// What becomes of a packet.
pub(crate) enum Verdict {
    Pass(Reason),
    Drop(Hit),
}

/// The ban that a packet met.
pub(crate) struct Hit {
    pub(crate) source: Address,
    pub(crate) reason: Reason,
    pub(crate) origin: u32,
}

#[inline(always)]
pub(crate) fn judge(frame: &Frame) -> Verdict {
    let Some(network) = frame.network() else {
        return Verdict::Pass(Reason::Malformed);
    };
    let source = match &network {
        Network::V4(packet) => packet.source,
        Network::V6(packet) => packet.source,
        Network::Other => return Verdict::Pass(Reason::NotIp),
    };
    match banned(&network, &source) {
        None => Verdict::Pass(Reason::Passed),
        Some(hit) => spare(&network, hit),
    }
}

/// Host, prefix, flow: the first ban that holds.
#[inline(always)]
fn banned(network: &Network, source: &Address) -> Option<Hit> {
    let tables = maps::tables();
    if tables & Tables::HOSTS != 0
        && let Some(entry) = host(source)
    {
        return Some(hit(source, Reason::BannedHost, entry));
    }
    if tables & Tables::PREFIXES != 0
        && let Some(entry) = prefix(source)
    {
        return Some(hit(source, Reason::BannedPrefix, entry));
    }
    if tables & Tables::FLOWS != 0
        && let Some(entry) = flow(network, source)
    {
        return Some(hit(source, Reason::BannedFlow, entry));
    }
    None
}

/// The exceptions to a ban.
#[inline(always)]
fn spare(network: &Network, hit: Hit) -> Verdict {
    if NEVER_BAN.get(&trie_key(&hit.source)).is_some() {
        return Verdict::Pass(Reason::NeverBan);
    }
    match transport(network) {
        Some(transport) if maps::is_exempt(transport.destination_port) => Verdict::Pass(Reason::ExemptPort),
        _ => Verdict::Drop(hit),
    }
}

#[inline(always)]
fn host(source: &Address) -> Option<&'static BanEntry> {
    // SAFETY: only the daemon writes the table. An element that it deletes may be reused under our
    // eyes, and then we read another ban's entry: a verdict that is a packet late, never a fault.
    unsafe { HOSTS.get(source) }.filter(|entry| holds(entry))
}

#[inline(always)]
fn prefix(source: &Address) -> Option<&BanEntry> {
    PREFIXES.get(&trie_key(source)).filter(|entry| holds(entry))
}

#[inline(always)]
fn flow(network: &Network, source: &Address) -> Option<&'static BanEntry> {
    let transport = transport(network)?;
    if transport.protocol != IPPROTO_TCP {
        return None;
    }
    let key = FlowKey {
        remote: *source,
        local: destination(network)?,
        remote_port: transport.source_port,
        local_port: transport.destination_port,
    };
    // SAFETY: as for hosts.
    unsafe { FLOWS.get(key) }.filter(|entry| holds(entry))
}

#[inline(always)]
fn holds(entry: &BanEntry) -> bool {
    clock::is_before(entry.expires_boot_ns)
}

#[inline(always)]
fn hit(source: &Address, reason: Reason, entry: &BanEntry) -> Hit {
    Hit {
        source: *source,
        reason,
        origin: entry.origin,
    }
}

#[inline(always)]
fn trie_key(source: &Address) -> Key<Address> {
    Key::new(PrefixKey::ADDRESS_BITS, *source)
}

#[inline(always)]
fn transport(network: &Network) -> Option<Transport> {
    match network {
        Network::V4(packet) => packet.transport(),
        Network::V6(packet) => packet.transport(),
        Network::Other => None,
    }
}

#[inline(always)]
fn destination(network: &Network) -> Option<Address> {
    match network {
        Network::V4(packet) => Some(packet.destination()),
        Network::V6(packet) => Some(packet.destination()),
        Network::Other => None,
    }
}
