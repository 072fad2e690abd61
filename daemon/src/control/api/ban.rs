//! Bans on the wire.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Allowed, Mode, Moment};

/// A ban as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ban {
    /// A host (/32, /128) or a prefix.
    #[schemars(with = "String")]
    pub network: IpNet,
    /// Why.
    pub reason: String,
    /// Who wanted it: `operator`, `score`, `rate` or `list`.
    pub origin: String,
    /// The list that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The operator who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it began.
    pub since: Moment,
    /// When it ends.
    pub until: Moment,
    /// Time that is left.
    pub remaining_seconds: u64,
    /// The refusal that led to it, for `portcullis why`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What it kept away, in lists and checks; missing if nothing was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<Hits>,
}

/// What a ban kept away at the network card; in monitor mode, what it would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hits {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// The last one.
    pub last_seen: Moment,
}

/// `GET /v1/bans`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BanList {
    /// In the order that was asked for.
    pub bans: Vec<Ban>,
    /// Where the next page begins, for `after`; missing on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub next: Option<IpNet>,
    /// How many bans there are in all, whatever was asked for.
    #[serde(default)]
    pub total: usize,
}

/// What bans to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanQuery {
    /// Those of an origin.
    pub origin: Option<String>,
    /// Those of a list.
    pub list: Option<String>,
    /// Those inside a network.
    pub within: Option<IpNet>,
    /// Those with this text in their reason or operator.
    pub text: Option<String>,
    /// `network`, `until` (the first to end first) or `since` (the newest first).
    pub sort: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
    /// By network, those behind this one.
    pub after: Option<IpNet>,
}

/// `PATCH /v1/bans?network=`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BanEdit {
    /// For how long from now; missing: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// Why; missing: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /v1/bans`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// An address or a network, as text: the server tells what is wrong with it.
    pub network: String,
    /// For how long.
    pub for_seconds: u64,
    /// Why.
    pub reason: String,
    /// Ban a very wide prefix all the same.
    #[serde(default)]
    pub force: bool,
    /// From where the operator is logged in; it is not banned without force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<IpAddr>,
}

/// The answer to [`BanRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BanAdded {
    /// The ban as it stands.
    #[serde(flatten)]
    pub ban: Ban,
    /// Whether it has consequences yet.
    pub mode: Mode,
    /// Whether packets are dropped by it, or calls only refused.
    pub packet_layer: bool,
}

/// `GET /v1/bans/check?address=`: what happens to the packets and calls of one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BanCheck {
    /// The address in its canonical form.
    pub address: IpAddr,
    /// The short answer.
    pub verdict: Verdict,
    /// Whether verdicts have consequences.
    pub mode: Mode,
    /// The never-ban entry that covers it and wins over every ban.
    pub allowed: Option<Allowed>,
    /// The bans that cover it, the most specific first; each with what the kernel knows of it.
    pub bans: Vec<CheckedBan>,
    /// Entries that the kernel has and the daemon did not ask for.
    pub strays: Vec<KernelEntry>,
    /// Whether there is a packet layer to ask.
    pub packet_layer: bool,
}

/// A ban beside the kernel's entry for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedBan {
    /// What the daemon intends.
    #[serde(flatten)]
    pub ban: Ban,
    /// What the kernel has; `null` if it does not have it.
    pub kernel: Option<KernelEntry>,
}

/// A ban as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelEntry {
    /// A host or a prefix.
    #[schemars(with = "String")]
    pub network: IpNet,
    /// Time until the kernel itself ends it.
    pub remaining_seconds: u64,
}

/// What happens to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is held against it.
    Passes,
    /// It is in the never-ban set.
    NeverBanned,
    /// Its packets are dropped at the card.
    Dropped,
    /// Its calls are refused, but its packets reach the daemon.
    Refused,
    /// It is banned, but the gate only watches.
    Watched,
}

impl Verdict {
    /// Whether the address is kept out.
    #[must_use]
    pub fn keeps_out(self) -> bool {
        match self {
            Self::Dropped | Self::Refused => true,
            Self::Passes | Self::NeverBanned | Self::Watched => false,
        }
    }
}
