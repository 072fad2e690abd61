//! Signals: the kinds of bad behaviour that add points, each with a name, a weight and a sentence.

use std::fmt;

use crate::policy::Weights;

/// A kind of bad behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// A signature that does not match.
    BadSignature,
    /// A nonce used twice.
    Replay,
    /// The fields of a call sent once more by the same client at once.
    Echo,
    /// Fields that no client of ours sends.
    Malformed,
    /// No signature at all.
    Unsigned,
    /// A session in another browser.
    UserAgentChanged,
    /// A session under the same User-Agent, by another program.
    FingerprintChanged,
    /// A session at another address of a network that is known for it.
    AddressChanged,
    /// A session that moved to another network.
    NetworkChanged,
    /// A session that is used from several networks at the same time.
    Concentration,
    /// A body that is not what was signed.
    DigestMismatch,
    /// A session of this source was banned.
    SessionBanned,
    /// A call by a session that is banned.
    BannedSessionUsed,
    /// A rule was broken; the rule says how many points that is.
    Rule,
    /// More sessions from one client in a minute than people open.
    SessionFarm,
    /// Several sessions of one client do the same in the same rhythm.
    IdenticalCalls,
    /// A User-Agent that claims a browser which does not open TLS like this.
    TlsContradiction,
    /// Most calls were answered with an error of the client.
    ErrorRatio,
    /// Calls as regular as no person makes them.
    RoboticTiming,
    /// A User-Agent that is one of the usual suspects'.
    SuspectAgent,
}

impl Signal {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 20] = [
        Self::BadSignature,
        Self::Replay,
        Self::Echo,
        Self::Malformed,
        Self::Unsigned,
        Self::UserAgentChanged,
        Self::FingerprintChanged,
        Self::AddressChanged,
        Self::NetworkChanged,
        Self::Concentration,
        Self::DigestMismatch,
        Self::SessionBanned,
        Self::BannedSessionUsed,
        Self::Rule,
        Self::SessionFarm,
        Self::IdenticalCalls,
        Self::TlsContradiction,
        Self::ErrorRatio,
        Self::RoboticTiming,
        Self::SuspectAgent,
    ];

    /// Its name: the key of its weight, and how it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadSignature => "bad_signature",
            Self::Replay => "replay",
            Self::Echo => "echo",
            Self::Malformed => "malformed",
            Self::Unsigned => "unsigned",
            Self::UserAgentChanged => "user_agent_changed",
            Self::FingerprintChanged => "fingerprint_changed",
            Self::AddressChanged => "address_changed",
            Self::NetworkChanged => "network_changed",
            Self::Concentration => "concentration",
            Self::DigestMismatch => "digest_mismatch",
            Self::SessionBanned => "session_banned",
            Self::BannedSessionUsed => "banned_session_used",
            Self::Rule => "rule",
            Self::SessionFarm => "session_farm",
            Self::IdenticalCalls => "identical_calls",
            Self::TlsContradiction => "tls_contradiction",
            Self::ErrorRatio => "error_ratio",
            Self::RoboticTiming => "robotic_timing",
            Self::SuspectAgent => "suspect_agent",
        }
    }

    /// What was seen, in words for the operator.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::BadSignature => "a signature did not match",
            Self::Replay => "a call was a copy of an earlier one",
            Self::Echo => "the fields of a call were sent once more at once",
            Self::Malformed => "the fields were such as no client of ours sends",
            Self::Unsigned => "a call was not signed",
            Self::UserAgentChanged => "the session appeared in another browser",
            Self::FingerprintChanged => "the session was used by another program under the same User-Agent",
            Self::AddressChanged => "the session came from another address of a known network",
            Self::NetworkChanged => "the session moved to another network",
            Self::Concentration => "the session was used from several networks at the same time",
            Self::DigestMismatch => "a body was not what was signed",
            Self::SessionBanned => "a session from here was banned",
            Self::BannedSessionUsed => "a banned session went on calling",
            Self::Rule => "a rule was broken",
            Self::SessionFarm => "one client opened more sessions in a minute than people do",
            Self::IdenticalCalls => "several sessions of one client did the same in the same rhythm",
            Self::TlsContradiction => "the browser that the User-Agent names does not open TLS like this",
            Self::ErrorRatio => "most calls were answered with an error of the client",
            Self::RoboticTiming => "the calls were as regular as no person makes them",
            Self::SuspectAgent => "the User-Agent is that of a tool, a library or a driven browser",
        }
    }

    /// Its points. What a rule costs, the rule says.
    #[must_use]
    pub fn weight(self, weights: &Weights) -> f32 {
        match self {
            Self::BadSignature => weights.bad_signature,
            Self::Replay => weights.replay,
            Self::Echo => weights.echo,
            Self::Malformed => weights.malformed,
            Self::Unsigned => weights.unsigned,
            Self::UserAgentChanged => weights.user_agent_changed,
            Self::FingerprintChanged => weights.fingerprint_changed,
            Self::AddressChanged => weights.address_changed,
            Self::NetworkChanged => weights.network_changed,
            Self::Concentration => weights.concentration,
            Self::DigestMismatch => weights.digest_mismatch,
            Self::SessionBanned => weights.session_banned,
            Self::BannedSessionUsed => weights.banned_session_used,
            Self::Rule => 0.0,
            Self::SessionFarm => weights.session_farm,
            Self::IdenticalCalls => weights.identical_calls,
            Self::TlsContradiction => weights.tls_contradiction,
            Self::ErrorRatio => weights.error_ratio,
            Self::RoboticTiming => weights.robotic_timing,
            Self::SuspectAgent => weights.suspect_agent,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
