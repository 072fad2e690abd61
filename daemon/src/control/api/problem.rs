//! Refusals of the control socket: RFC 9457 problem documents with a stable code.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `application/problem+json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// A name for this kind of problem: `/problems/` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// A short summary, the same for every occurrence.
    pub title: String,
    /// What happened here.
    pub detail: String,
    /// What programs go by.
    pub code: Code,
}

/// What went wrong. These names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// No such path.
    NotFound,
    /// The path is there, the method is not.
    MethodNotAllowed,
    /// The body is not the JSON that is expected.
    BodyInvalid,
    /// The body is too large.
    BodyTooLarge,
    /// The request did not arrive in time.
    TimedOut,
    /// A query parameter is missing or not readable.
    ParameterInvalid,
    /// No address or network, or one with host bits.
    AddressInvalid,
    /// The text is no session id.
    SessionIdInvalid,
    /// The text is no reference.
    ReferenceInvalid,
    /// The network overlaps the never-ban set.
    NeverBan,
    /// The prefix needs force.
    PrefixTooWide,
    /// A ban cannot last this long, or this short.
    DurationInvalid,
    /// The ban list is full.
    BansFull,
    /// The ban covers the operator's own address.
    WouldLockOut,
    /// Another change waits to be confirmed.
    OnTrial,
    /// No change waits to be confirmed.
    NothingOnTrial,
    /// The configuration cannot be put in force; the running one stays.
    ConfigInvalid,
    /// No calls are recorded, or somebody forgot them.
    NothingRecorded,
    /// The rules are wrong; those in force stay.
    RulesInvalid,
    /// The list has no entry to ban.
    ListEmpty,
    /// The list would lose more than half of its entries.
    ListShrunk,
    /// No change was made, or it was undone.
    NothingToUndo,
    /// How things were before the last change was not kept.
    TooLargeToUndo,
    /// The store does not answer.
    StoreUnusable,
    /// There is no such ban.
    NotBanned,
    /// The never-ban entry is fixed by the configuration.
    AllowFixed,
    /// The never-ban set is full.
    AllowFull,
    /// The network is not in the never-ban set.
    NotAllowed,
    /// No session of that name is remembered.
    SessionUnknown,
    /// The session was not ended, or is not remembered.
    SessionNotEnded,
    /// No refusal of that reference is remembered.
    ReferenceUnknown,
    /// The change is made, but the packet layer did not take it.
    KernelRefused,
    /// The change is made, but a restart would forget it.
    NotStored,
    /// The keys of session ids come from a credential.
    KeysFixed,
    /// The new key of session ids could not be stored; the old one stays in use.
    KeysNotStored,
    /// As many follow the events as may.
    TooManyFollowers,
    /// The daemon's own fault.
    Internal,
    /// A code that this client does not know.
    #[serde(other)]
    Unknown,
}
