//! What the daemon may choose when it attaches.

use std::{fmt, path::PathBuf, str::FromStr};

use portcullis_common::{Origin, maps};
use serde::{Deserialize, Serialize};

/// How to attach, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachOptions {
    /// Names of interfaces.
    pub interfaces: Vec<String>,
    /// Which hook to use.
    pub attach_mode: AttachMode,
    /// Whether to drop.
    pub mode: Mode,
    /// Destination ports of TCP and UDP that are never dropped; at most eight.
    pub exempt_ports: Vec<u16>,
    /// Logs every packet that meets a ban. Costs nothing when off: the kernel removes the code.
    pub debug: bool,
    /// The shortest time between two drop events of one processor.
    pub event_interval: std::time::Duration,
    /// Sizes of the tables.
    pub capacities: Capacities,
    /// What a source may send; `None` costs nothing.
    pub rate_limits: Option<RateLimits>,
    /// When opening connections is a flood; `None` costs nothing.
    pub syn_flood: Option<SynFlood>,
    /// Whether frames without a whole IP header are dropped; else they are counted, and the stack drops them.
    pub drop_malformed: bool,
    /// Origins whose bans are only counted, whatever the mode.
    #[serde(with = "origins")]
    pub monitored: Vec<Origin>,
    /// A directory for what shall outlive the process, on a bpffs or where one may be mounted.
    /// Without it the program leaves the interfaces with the process.
    pub pins: Option<PathBuf>,
    /// For benches: judges each IPv4 packet as if it came from another, random address of 240.0.0.0/4.
    pub shuffle: Shuffle,
}

/// Origins travel by their numbers.
mod origins {
    use portcullis_common::Origin;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(origins: &[Origin], to: S) -> Result<S::Ok, S::Error> {
        let numbers: Vec<u32> = origins.iter().map(|origin| *origin as u32).collect();
        numbers.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Origin>, D::Error> {
        let numbers = Vec::<u32>::deserialize(from)?;
        let origin = |number| Origin::from_number(number).ok_or_else(|| D::Error::custom("an unknown origin"));
        numbers.into_iter().map(origin).collect()
    }
}

/// What a source (an IPv4 address, a /64 of IPv6) may send. More is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimits {
    /// Packets a second.
    pub packets: Option<Rate>,
    /// Bytes a second.
    pub bytes: Option<Rate>,
    /// TCP connections that it tries to open a second.
    pub syns: Option<Rate>,
    /// Over a limit so often (at most 65 535 times), it is reported, and again after as often: see `DropReport::strikes`.
    pub strikes: Option<u16>,
}

/// Whether sources are replaced by random ones, which benches of the caches want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shuffle {
    /// No.
    #[default]
    Off,
    /// The processor may look several of them up at the same time.
    Together,
    /// Each packet waits for the one before, as if it had come alone.
    Alone,
}

/// When opening connections is a flood: from then on, nothing is remembered of sources that are not known yet, and
/// their attempts are counted and sampled. They pass: the kernel answers them with SYN cookies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SynFlood {
    /// TCP connections that all sources together may try to open, for each processor that receives packets.
    pub limit: Rate,
    /// To these ports; at most eight.
    pub ports: Vec<u16>,
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// On average.
    pub per_second: u64,
    /// At once.
    pub burst: u64,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            attach_mode: AttachMode::Auto,
            mode: Mode::Monitor,
            exempt_ports: vec![22],
            debug: false,
            event_interval: std::time::Duration::from_millis(10),
            capacities: Capacities::default(),
            rate_limits: None,
            syn_flood: None,
            drop_malformed: false,
            monitored: Vec::new(),
            pins: None,
            shuffle: Shuffle::Off,
        }
    }
}

/// How many entries each table takes. A full table refuses, but for flows, which forget the
/// connection that was quiet for longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacities {
    /// Banned hosts and /64s of IPv6; about 35 bytes each, taken at once.
    pub hosts: u32,
    /// How many hosts the tables may grow to while the program runs; not at all if that is less than `hosts`.
    pub hosts_limit: u32,
    /// How many of these may be IPv6 before finding them gets slow and then fails; 0 for a quarter.
    /// About 75 bytes each, taken at once.
    pub hosts_v6: u32,
    /// Banned prefixes; memory is taken as they come.
    pub prefixes: u32,
    /// Banned connections; about 120 bytes each, taken at once.
    pub flows: u32,
}

impl Default for Capacities {
    fn default() -> Self {
        Self {
            hosts: maps::HOSTS_CAPACITY,
            hosts_limit: 0,
            hosts_v6: 0,
            prefixes: maps::PREFIXES_CAPACITY,
            flows: maps::FLOWS_CAPACITY,
        }
    }
}

/// Which hook of the kernel to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachMode {
    /// Native, or generic where the driver cannot do it.
    Auto,
    /// In the driver, before the kernel allocates anything for the packet.
    Native,
    /// In the network stack: any interface, at about half the speed.
    Generic,
}

/// Whether the program drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Count what would be dropped, and pass it.
    Monitor,
    /// Drop.
    Enforce,
}

/// A word that names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is none of {allowed}")]
pub struct UnknownMode {
    given: String,
    allowed: &'static str,
}

impl AttachMode {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

impl Mode {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for AttachMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AttachMode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        [Self::Auto, Self::Native, Self::Generic]
            .into_iter()
            .find(|mode| mode.name() == word)
            .ok_or_else(|| UnknownMode {
                given: word.to_owned(),
                allowed: "auto, native, generic",
            })
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        [Self::Monitor, Self::Enforce]
            .into_iter()
            .find(|mode| mode.name() == word)
            .ok_or_else(|| UnknownMode {
                given: word.to_owned(),
                allowed: "monitor, enforce",
            })
    }
}
