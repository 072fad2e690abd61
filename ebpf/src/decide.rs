//! The verdict on one packet.
//!
//! Never-ban and the exempt ports come before every ban. They are asked only once a ban has
//! matched, which gives the same verdict and costs the packets of honest clients nothing.

use aya_ebpf::{btf_maps::lpm_trie::Key, helpers::generated::bpf_get_prandom_u32};
use portcullis_common::{
    Address, BanEntry, FlowKey, HitCell, Origin, PrefixKey, Reason, Slot,
    filter::{self, Place},
    hash::Source,
    maps::SHUFFLE_ALONE,
};

use crate::{
    clock::{self, Scratch},
    hosts,
    maps::{self, FLOWS, NEVER_BAN, PREFIXES, SharedSettings},
    parse::{Frame, IPPROTO_TCP, Network, Transport},
    rate,
};

/// As many prefixes as there are lengths may lie around an address, one inside the other.
const MOST_NESTED: u32 = PrefixKey::ADDRESS_BITS + 1;

/// What a first look at a packet tells.
pub(crate) enum Glance {
    /// It passes.
    Pass(Reason),
    /// It has no whole header: the settings tell what to do.
    Malformed,
    /// Only [`judge`] can tell.
    Suspicious(Suspect),
}

/// What the first look found out about a packet that needs another.
pub(crate) struct Suspect {
    hashes: Source,
    /// Of the filter.
    word: u64,
}

/// What becomes of a packet.
pub(crate) enum Verdict {
    Pass(Reason),
    /// It passes, and is reported like what is dropped.
    Note(Hit),
    Drop(Hit),
}

/// The ban that a packet met.
pub(crate) struct Hit {
    pub(crate) source: Address,
    pub(crate) reason: Reason,
    pub(crate) origin: u32,
    /// What its hits are counted under.
    pub(crate) id: u64,
    /// Reported even if another was reported a moment ago.
    pub(crate) report: bool,
}

/// The way of nearly all packets. It ends here unless the filter has marks of the source.
#[inline(always)]
pub(crate) fn glance(frame: &Frame) -> Glance {
    let Some(network) = frame.network() else {
        return Glance::Malformed;
    };
    // A way for each family: what both shared would have to go through memory.
    match &network {
        Network::V4(_) if maps::shuffle() != 0 => glance_at(&shuffled(), true),
        Network::V4(packet) => glance_at(&packet.source(), true),
        Network::V6(packet) if packet.source.is_v4() => glance_at(&packet.source, true),
        Network::V6(packet) => glance_at(&packet.source, false),
        Network::Other => Glance::Pass(Reason::NotIp),
    }
}

#[inline(always)]
fn glance_at(address: &Address, is_v4: bool) -> Glance {
    let v4 = is_v4.then(|| u32::from_be(address.0[3]));
    let hashes = match v4 {
        Some(word) => Source::of_v4(word, maps::seed()),
        None => Source::of_v6(address, maps::seed()),
    };
    let word = maps::filter_word(filter::fine_word(&hashes, maps::filter_mask()));
    if maps::rate_limits() || is_marked(address, v4, &hashes, word) {
        return Glance::Suspicious(Suspect { hashes, word });
    }
    Glance::Pass(Reason::Passed)
}

/// The verdict on a packet that [`glance`] found suspicious.
#[inline(always)]
pub(crate) fn judge(frame: &Frame, suspect: &Suspect, settings: &SharedSettings, scratch: &mut Scratch) -> Verdict {
    let Some(network) = frame.network() else {
        return Verdict::Pass(Reason::Malformed);
    };
    let address = match &network {
        Network::V4(packet) => packet.source(),
        Network::V6(packet) => packet.source,
        Network::Other => return Verdict::Pass(Reason::NotIp),
    };
    let v4 = v4_of(&network, &address);
    if let Some(hit) = banned(&network, &address, v4, suspect, scratch) {
        return spare(&network, v4, hit, settings);
    }
    if !maps::rate_limits() {
        return Verdict::Pass(Reason::Passed);
    }
    match rate::judge(frame, &network, &suspect.hashes, settings, scratch) {
        rate::Rate::Within => Verdict::Pass(Reason::Passed),
        rate::Rate::Unknown => Verdict::Pass(Reason::RateUnknown),
        rate::Rate::Flood => Verdict::Note(by_rate(address, Reason::SynFlood, false)),
        rate::Rate::Over { report } => {
            let hit = by_rate(address, Reason::RateLimited, report);
            spare(&network, v4, hit, settings)
        }
    }
}

/// What a packet without a whole header met.
#[inline(always)]
pub(crate) fn malformed() -> Hit {
    Hit {
        source: Address([0; 4]),
        reason: Reason::MalformedDropped,
        origin: 0,
        id: 0,
        report: false,
    }
}

#[inline(always)]
fn by_rate(source: Address, reason: Reason, report: bool) -> Hit {
    Hit {
        source,
        reason,
        origin: Origin::Rate as u32,
        id: 0,
        report,
    }
}

/// An address that nobody has.
#[inline(always)]
fn shuffled() -> Address {
    if maps::shuffle() == SHUFFLE_ALONE {
        clock::wait();
    }
    // SAFETY: the helper takes no argument.
    let random = unsafe { bpf_get_prandom_u32() };
    Address::from_v4_word((random | 0xf000_0000).to_be())
}

/// The IPv4 address, in the byte order of the machine; also that of a v4-mapped one.
#[inline(always)]
fn v4_of(network: &Network, address: &Address) -> Option<u32> {
    match network {
        Network::V6(_) if !address.is_v4() => None,
        Network::V4(_) | Network::V6(_) | Network::Other => Some(u32::from_be(address.0[3])),
    }
}

/// Whether the filter cannot tell that nothing is held against a source. Each of the questions is
/// hardly ever answered with yes, so that a processor guesses them right.
#[inline(always)]
fn is_marked(address: &Address, v4: Option<u32>, hashes: &Source, word: u64) -> bool {
    filter::has(word, filter::host_bits(hashes.host))
        || match v4 {
            Some(_) => false,
            None => filter::has(word, filter::host_bits(hashes.wide)),
        }
        || in_prefixes(address, v4, hashes, word)
}

/// Whether the address may be in a banned prefix.
#[inline(always)]
fn in_prefixes(address: &Address, v4: Option<u32>, hashes: &Source, word: u64) -> bool {
    let coarse = match v4 {
        Some(_) => filter::COARSE_V4_IN_USE,
        None => filter::COARSE_V6_IN_USE,
    };
    word & (filter::PREFIXES_HERE | coarse) != 0
        && (filter::has(word, filter::network_bits(hashes)) || (word & coarse != 0 && in_coarse(0, address, v4)))
}

#[inline(always)]
fn in_coarse(at: u32, address: &Address, v4: Option<u32>) -> bool {
    match v4 {
        Some(word) => coarse(at, filter::coarse_v4(word)),
        None => coarse(at, filter::coarse_v6(address)) || coarse(at, filter::coarse_v6_32(address)),
    }
}

#[inline(always)]
fn coarse(at: u32, place: Place) -> bool {
    maps::filter_word(at + place.word) & place.bits != 0
}

/// Host, prefix, flow: the first ban that holds.
#[inline(always)]
fn banned(network: &Network, address: &Address, v4: Option<u32>, suspect: &Suspect, scratch: &Scratch) -> Option<Hit> {
    let Suspect { hashes, word } = suspect;
    let word = *word;
    if filter::has(word, filter::host_bits(hashes.host)) {
        let slot = match v4 {
            Some(_) => hosts::v4(address, hashes.host),
            None => hosts::v6(address, hashes.host),
        };
        if let Some(slot) = slot.filter(|slot| scratch.is_before(slot.expires_boot_ns())) {
            return Some(host(address, Reason::BannedHost, slot, hashes.host));
        }
    }
    if v4.is_none()
        && filter::has(word, filter::host_bits(hashes.wide))
        && let Some(slot) =
            hosts::v6_wide(address, hashes.wide).filter(|slot| scratch.is_before(slot.expires_boot_ns()))
    {
        return Some(host(address, Reason::BannedPrefix, slot, hashes.wide));
    }
    if in_prefixes(address, v4, hashes, word)
        && let Some(entry) = prefix(address, scratch)
    {
        return Some(hit(address, Reason::BannedPrefix, entry));
    }
    if filter::has(word, filter::host_bits(hashes.host) | filter::flow_bits(hashes.host))
        && let Some(entry) = flow(network, address).filter(|entry| scratch.is_before(entry.expires_boot_ns))
    {
        return Some(hit(address, Reason::BannedFlow, entry));
    }
    None
}

/// The exceptions to a ban.
#[inline(always)]
fn spare(network: &Network, v4: Option<u32>, hit: Hit, settings: &SharedSettings) -> Verdict {
    // Spares most banned packets the walk through a trie.
    if in_coarse(filter::NEVER_BAN_AT, &hit.source, v4) && NEVER_BAN.get(&trie_key(&hit.source)).is_some() {
        return Verdict::Pass(Reason::NeverBan);
    }
    match transport(network) {
        Some(transport) if settings.is_exempt(transport.destination_port) => Verdict::Pass(Reason::ExemptPort),
        Some(_) | None => Verdict::Drop(hit),
    }
}

/// The longest banned prefix around the address that holds. A trie answers with the longest that it has: one that is
/// over, and not yet swept, must not hide a shorter one.
#[inline(always)]
fn prefix<'a>(source: &Address, scratch: &Scratch) -> Option<&'a BanEntry> {
    let mut key = trie_key(source);
    for _ in 0..MOST_NESTED {
        let entry = PREFIXES.get(&key)?;
        if scratch.is_before(entry.expires_boot_ns) {
            return Some(entry);
        }
        key = Key::new(entry.prefix_bits.checked_sub(1)?, *source);
    }
    None
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
    // SAFETY: only the daemon writes the table. An element that it deletes may be reused under our
    // eyes, and then we read another ban's entry: a verdict that is a packet late, never a fault.
    unsafe { FLOWS.get(key) }
}

#[inline(always)]
fn host(source: &Address, reason: Reason, slot: Slot, id: u64) -> Hit {
    Hit {
        source: *source,
        reason,
        origin: slot.origin(),
        id: HitCell::id_of(id),
        report: false,
    }
}

#[inline(always)]
fn hit(source: &Address, reason: Reason, entry: &BanEntry) -> Hit {
    Hit {
        source: *source,
        reason,
        origin: entry.origin,
        id: entry.id,
        report: false,
    }
}

#[inline(always)]
fn trie_key(source: &Address) -> Key<Address> {
    Key::new(PrefixKey::ADDRESS_BITS, *source)
}

#[inline(always)]
pub(crate) fn transport(network: &Network) -> Option<Transport> {
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
