//! `[packet]`: the XDP program and the ban list that it enforces.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_common::MAX_EXEMPT_PORTS;
use portcullis_common::maps::HOSTS_CAPACITY;
use toml::de::DeValue;

use super::error::Mistake;
use super::section::{Parsed, Section};
use super::value::{absolute_path, boolean, describe, duration, integer, word};
use crate::enforcer::{AttachMode, Origin};

/// The packet layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where the program is attached; nowhere means that verdicts are enforced in HTTP only.
    pub interfaces: Vec<String>,
    /// How it is attached.
    pub attach: AttachMode,
    /// Destination ports whose packets are never dropped.
    pub exempt_ports: Vec<u16>,
    /// Bans that the kernel's tables have room for at the start.
    pub max_bans: u32,
    /// Bans that fit, in memory and in the kernel, whose tables grow up to this.
    pub max_bans_limit: u32,
    /// Where the program and its bans stay while no daemon runs.
    pub pins: Option<PathBuf>,
    /// Packets a second that a source may send.
    pub packets_per_second: Option<u64>,
    /// Bytes a second that a source may send.
    pub bytes_per_second: Option<u64>,
    /// TCP connections a second that a source may try to open.
    pub syns_per_second: Option<u64>,
    /// Over a limit so often, a source is reported.
    pub rate_strikes: Option<u16>,
    /// How long such a source is banned, if somebody there has a connection; `None`: it is limited only.
    pub rate_ban: Option<Duration>,
    /// TCP connections a second that all sources together may try to open, for each processor, before it is a flood.
    pub syn_flood_per_second: Option<u64>,
    /// Whether frames without a whole IP header are dropped.
    pub drop_malformed: bool,
    /// Whose bans are only counted, whatever the mode.
    pub monitor: Vec<Origin>,
    /// Whether the program logs each packet that meets a ban.
    pub debug: bool,
}

/// What the tables are made for.
const MOST_BANS: u32 = 10_000_000;
/// More than any network card takes.
const MOST_PER_SECOND: u64 = 1_000_000_000_000;

const ATTACH_MODES: &[(&str, AttachMode)] = &[
    (AttachMode::Auto.name(), AttachMode::Auto),
    (AttachMode::Native.name(), AttachMode::Native),
    (AttachMode::Generic.name(), AttachMode::Generic),
];

/// Whose bans there are.
const ORIGINS: &[(&str, Origin)] = &[
    (Origin::Operator.name(), Origin::Operator),
    (Origin::Score.name(), Origin::Score),
    (Origin::Rate.name(), Origin::Rate),
    (Origin::List.name(), Origin::List),
];

pub(super) fn read(section: &Section<'_>) -> Packet {
    let interfaces = section.elements("interfaces", interface).unwrap_or_default();
    section.reject_twice("interfaces", &interfaces);
    let packet = Packet {
        interfaces: interfaces.into_iter().flatten().collect(),
        attach: section.read("attach", AttachMode::Auto, word(ATTACH_MODES)),
        exempt_ports: section.list("exempt_ports", || vec![22], integer(1..=u16::MAX)),
        max_bans: section.read("max_bans", HOSTS_CAPACITY, integer(1..=MOST_BANS)),
        max_bans_limit: section.read("max_bans_limit", MOST_BANS, integer(1..=MOST_BANS)),
        pins: section.read("pins", None, absolute_path_or_none),
        packets_per_second: limit(section, "packets_per_second"),
        bytes_per_second: limit(section, "bytes_per_second"),
        syns_per_second: limit(section, "syns_per_second"),
        rate_strikes: Some(section.read("rate_strikes", 0, integer(0..=u16::MAX))).filter(|strikes| *strikes != 0),
        rate_ban: Some(section.read("rate_ban", Duration::from_secs(60), duration("0s"..="1d")))
            .filter(|ban| !ban.is_zero()),
        syn_flood_per_second: limit(section, "syn_flood_per_second"),
        drop_malformed: section.read("drop_malformed", false, boolean),
        monitor: section.list("monitor", Vec::new, word(ORIGINS)),
        debug: section.read("debug", false, boolean),
    };
    if packet.exempt_ports.len() > MAX_EXEMPT_PORTS {
        section.error(
            "exempt_ports",
            Mistake::new(format!("at most {MAX_EXEMPT_PORTS} ports can be exempt")),
        );
    }
    packet
}

/// A limit; 0 is none.
fn limit(section: &Section<'_>, key: &'static str) -> Option<u64> {
    Some(section.read(key, 0, integer(0..=MOST_PER_SECOND))).filter(|limit| *limit != 0)
}

/// A path; an empty one is none.
fn absolute_path_or_none(value: &DeValue<'_>) -> Parsed<Option<PathBuf>> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(_) | None => absolute_path(value).map(Some),
    }
}

/// The kernel's rules for names of interfaces: 1 to 15 bytes, no slash, no space, not `.` or `..`.
fn interface(value: &DeValue<'_>) -> Parsed<String> {
    let fits = |name: &&str| {
        (1..=15).contains(&name.len())
            && !matches!(*name, "." | "..")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
    };
    let name = value.as_str().filter(fits);
    let mistake = || {
        Mistake::new(format!(
            "expected the name of an interface like \"eth0\", got {}",
            describe(value)
        ))
    };
    name.map(str::to_owned)
        .ok_or_else(|| mistake().hint("`ip link` lists them"))
}
