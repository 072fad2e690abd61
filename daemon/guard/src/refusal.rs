//! Why a request is refused: one variant for each cause, and the one place that turns causes into what clients see.
//!
//! Several causes may share a public [`Problem`]: the operator learns that a session id was forged, the client only
//! that it is not valid.

mod explanation;

use std::time::Duration;

use crate::session::token::TokenRefused;

/// The cause of a refusal, for the log, the counters and `portcullis why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Host missing, doubled, malformed or contradicting the target.
    HostInvalid,
    /// The request line or framing cannot be trusted.
    FramingInvalid,
    /// CONNECT, TRACE, or a method that one of the gate's own paths does not know.
    MethodRefused,
    /// The path has more than one reading.
    PathAmbiguous,
    /// Below the gate's own prefix, but nothing is there.
    OwnPathUnknown,
    /// A link that was typed or clicked (`Sec-Fetch-Mode: navigate`).
    Navigation,
    /// The source is banned.
    AddressBanned(Duration),
    /// No signature with our tag.
    SignatureMissing,
    /// Signature fields that do not parse.
    SignatureMalformed,
    /// More than one signature with our tag, or one label twice.
    SignatureAmbiguous,
    /// A required component is not covered.
    SignatureIncomplete,
    /// A component that the profile does not know.
    ComponentUnsupported,
    /// `alg` is not the algorithm of the session.
    AlgorithmMismatch,
    /// A ticket that is not the last parameter of the query, or is there twice.
    TicketMisplaced,
    /// A ticket where none are taken.
    TicketRefused,
    /// The nonce is not `<stream>.<counter>`.
    NonceMalformed,
    /// What should be a session id is none.
    SessionUnknown,
    /// The session id is sealed under a key that this gate does not have: another gate's, or one that is gone.
    SessionForeign,
    /// The session id names a key of this gate, which did not seal it: damaged or made up.
    SessionForged,
    /// The session is past its end.
    SessionExpired,
    /// The session was revoked by the operator.
    SessionRevoked,
    /// The session's state was evicted; its facts are gone, so it may not go on.
    SessionEvicted,
    /// The session is banned for a while.
    SessionBanned(Duration),
    /// `created` is too old, or `expires` has passed.
    SignatureExpired,
    /// `created` lies ahead of the gate's clock.
    SignatureFromFuture,
    /// The MAC does not match.
    SignatureInvalid,
    /// The MAC is that of another call which the same client made just now: a redirect that was followed.
    SignatureEchoed,
    /// The nonce was seen before.
    Replay,
    /// The nonce was seen just now, from the same client: a call that was sent twice.
    ReplayEchoed,
    /// The gate cannot know whether it has seen this stream: it must be one that the gate issued.
    StreamUnknown,
    /// The session is used from another network than before.
    AddressChanged,
    /// The session is used by another browser than before.
    UserAgentChanged,
    /// The session's language or client hints changed, or several small things at once.
    HabitsChanged,
    /// The session changed networks too often, or at all where it must not.
    AddressUnsteady,
    /// The session is used from several networks at the same time.
    Concentrated,
    /// The session is suspended until its user has authenticated again.
    Suspended,
    /// A login that must be signed with a fresh nonce.
    LoginStale,
    /// Another user logged in with the session.
    UserSwitched,
    /// A body without `Content-Digest`, or one in no algorithm that we know.
    DigestMissing,
    /// The body is not what was signed.
    DigestMismatch,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body did not arrive whole or in time.
    BodyIncomplete,
    /// Too many bodies are being read at once.
    Overloaded,
    /// A call that a rule requires is missing.
    Sequence,
    /// A call that a rule limits was made too often; more is possible after this time.
    Quota(Duration),
    /// A rule or the score wants the session's user to authenticate again.
    Distrusted,
    /// A rule or the score wants work to be done: for a new session.
    Challenged,
    /// The score of the session reached a threshold by how it calls.
    ScoreReached,
    /// Too many facts to remember for one session; those that forbid are never forgotten.
    FactsOverflow,
    /// The body of a session request does not parse.
    SessionRequestMalformed,
    /// A session costs this source work, and none was done.
    WorkRequired,
    /// Numbers that solve nothing.
    WorkWrong,
    /// Work for a challenge that is too old, too easy by now, or was not given to this source.
    WorkStale,
    /// Work that opened a session already.
    WorkSpent,
    /// The application does not answer.
    UpstreamUnavailable,
    /// The application takes too long.
    UpstreamTimeout,
}

/// What a client sees: a stable name (the last segment of `type`), a status and a title.
/// docs/protocol.md section 4 tells what a client does with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The last segment of the problem's `type`.
    pub name: &'static str,
    /// The HTTP status code.
    pub status: u16,
    /// A short summary, the same for every occurrence.
    pub title: &'static str,
    /// What this client can do about it.
    pub detail: &'static str,
}

/// How a refusal is answered beside its problem document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing the client could do at once.
    None,
    /// Sign (again): `WWW-Authenticate` and `Accept-Signature`.
    Sign,
    /// Sign again with a nonce of the gate's choice.
    SignWithFreshNonce,
    /// Come back later: `Retry-After`.
    Wait(Duration),
}

impl From<TokenRefused> for Refusal {
    fn from(refused: TokenRefused) -> Self {
        match refused {
            TokenRefused::Unknown => Self::SessionUnknown,
            TokenRefused::Foreign => Self::SessionForeign,
            TokenRefused::Forged => Self::SessionForged,
        }
    }
}

impl Refusal {
    /// The name of the cause: metrics label and log field.
    #[must_use]
    pub fn cause(self) -> &'static str {
        match self {
            Self::HostInvalid => "host-invalid",
            Self::FramingInvalid => "framing-invalid",
            Self::MethodRefused => "method-refused",
            Self::PathAmbiguous => "path-ambiguous",
            Self::OwnPathUnknown => "own-path-unknown",
            Self::Navigation => "navigation",
            Self::AddressBanned(_) => "address-banned",
            Self::SignatureMissing => "signature-missing",
            Self::SignatureMalformed => "signature-malformed",
            Self::SignatureAmbiguous => "signature-ambiguous",
            Self::SignatureIncomplete => "signature-incomplete",
            Self::ComponentUnsupported => "component-unsupported",
            Self::AlgorithmMismatch => "algorithm-mismatch",
            Self::TicketMisplaced => "ticket-misplaced",
            Self::TicketRefused => "ticket-refused",
            Self::NonceMalformed => "nonce-malformed",
            Self::SessionUnknown => "session-unknown",
            Self::SessionForeign => "session-foreign",
            Self::SessionForged => "session-forged",
            Self::SessionExpired => "session-expired",
            Self::SessionRevoked => "session-revoked",
            Self::SessionEvicted => "session-evicted",
            Self::SessionBanned(_) => "session-banned",
            Self::SignatureExpired => "signature-expired",
            Self::SignatureFromFuture => "signature-from-future",
            Self::SignatureInvalid => "signature-invalid",
            Self::SignatureEchoed => "signature-echoed",
            Self::Replay => "replay",
            Self::ReplayEchoed => "replay-echoed",
            Self::StreamUnknown => "stream-unknown",
            Self::AddressChanged => "address-changed",
            Self::UserAgentChanged => "user-agent-changed",
            Self::HabitsChanged => "habits-changed",
            Self::AddressUnsteady => "address-unsteady",
            Self::Concentrated => "concentrated",
            Self::Suspended => "suspended",
            Self::LoginStale => "login-stale",
            Self::UserSwitched => "user-switched",
            Self::DigestMissing => "digest-missing",
            Self::DigestMismatch => "digest-mismatch",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyIncomplete => "body-incomplete",
            Self::Overloaded => "overloaded",
            Self::Sequence => "sequence",
            Self::Quota(_) => "quota",
            Self::Distrusted => "distrusted",
            Self::Challenged => "challenged",
            Self::ScoreReached => "score-reached",
            Self::FactsOverflow => "facts-overflow",
            Self::SessionRequestMalformed => "session-request-malformed",
            Self::WorkRequired => "work-required",
            Self::WorkWrong => "work-wrong",
            Self::WorkStale => "work-stale",
            Self::WorkSpent => "work-spent",
            Self::UpstreamUnavailable => "upstream-unavailable",
            Self::UpstreamTimeout => "upstream-timeout",
        }
    }

    /// What the client is told.
    #[must_use]
    pub fn problem(self) -> Problem {
        let (name, status, title, detail) = match self {
            Self::HostInvalid | Self::FramingInvalid => (
                "request-invalid",
                400,
                "The request is not acceptable HTTP",
                "Host must be single and agree with the target, and the body must be framed in exactly one way.",
            ),
            Self::MethodRefused => (
                "method-refused",
                405,
                "This method is not served here",
                "Use another method.",
            ),
            Self::PathAmbiguous => (
                "path-ambiguous",
                400,
                "The path has more than one reading",
                "Encoded slashes, backslashes, null bytes and dot segments above the root are refused.",
            ),
            Self::OwnPathUnknown => (
                "not-found",
                404,
                "There is nothing here",
                "See the protocol's list of paths.",
            ),
            Self::Navigation => (
                "navigation-refused",
                403,
                "This address is for the application, not for the address bar",
                "Open the application's own page; it makes this call for you.",
            ),
            Self::AddressBanned(_) | Self::SessionBanned(_) => (
                "banned",
                403,
                "Refused for a while",
                "Come back after the time in Retry-After.",
            ),
            Self::SignatureMissing => (
                "signature-required",
                401,
                "This call must be signed",
                "Open a session at /.well-known/portcullis/session and sign the call with it.",
            ),
            Self::SignatureMalformed | Self::NonceMalformed | Self::ComponentUnsupported => (
                "signature-malformed",
                400,
                "The signature fields cannot be read",
                "Signature-Input and Signature must follow RFC 9421 and the portcullis-1 profile.",
            ),
            Self::SignatureAmbiguous | Self::TicketMisplaced => (
                "signature-ambiguous",
                400,
                "More than one signature could be meant",
                "Send one signature with the tag portcullis-1 and each label once, or one ticket at the end of the query.",
            ),
            Self::TicketRefused => (
                "ticket-refused",
                403,
                "No tickets are taken here",
                "Sign this call with header fields.",
            ),
            Self::SignatureIncomplete => (
                "signature-incomplete",
                401,
                "The signature does not cover enough",
                "Cover at least the components that Accept-Signature names.",
            ),
            Self::AlgorithmMismatch | Self::SignatureInvalid | Self::SignatureEchoed => (
                "signature-invalid",
                401,
                "The signature does not match",
                "Open a new session and sign again.",
            ),
            Self::SessionUnknown
            | Self::SessionForeign
            | Self::SessionForged
            | Self::SessionExpired
            | Self::SessionRevoked
            | Self::SessionEvicted
            | Self::Challenged
            | Self::UserSwitched => (
                "session-invalid",
                401,
                "The session is not valid",
                "Open a new session.",
            ),
            Self::SignatureExpired => (
                "signature-expired",
                401,
                "The signature is too old",
                "Correct your clock by server_time and sign again.",
            ),
            Self::SignatureFromFuture => (
                "signature-from-future",
                401,
                "The signature is from the future",
                "Correct your clock by server_time and sign again.",
            ),
            Self::Replay | Self::ReplayEchoed => (
                "nonce-reused",
                401,
                "This nonce was used before",
                "Sign each request anew.",
            ),
            Self::StreamUnknown | Self::AddressChanged | Self::HabitsChanged | Self::LoginStale => (
                "fresh-nonce-required",
                401,
                "Sign again with the nonce in Accept-Signature",
                "The gate needs to see that this signature was made just now.",
            ),
            Self::UserAgentChanged
            | Self::AddressUnsteady
            | Self::Concentrated
            | Self::Distrusted
            | Self::Suspended => (
                "reauthentication-required",
                401,
                "The session cannot go on as it is",
                "The member `reauthenticate` says how: log in again with this session, or open a new one.",
            ),
            Self::DigestMissing => (
                "digest-required",
                400,
                "A body needs a Content-Digest",
                "Send Content-Digest with sha-256 (RFC 9530) and cover it.",
            ),
            Self::DigestMismatch => (
                "digest-mismatch",
                400,
                "The body is not what was signed",
                "Digest the bytes that are sent.",
            ),
            Self::BodyTooLarge => ("body-too-large", 413, "The body is too large", "Send less."),
            Self::BodyIncomplete => (
                "request-invalid",
                400,
                "The body did not arrive whole",
                "Send it again.",
            ),
            Self::Overloaded => ("overloaded", 503, "Too busy", "Try again in a moment."),
            Self::Sequence | Self::FactsOverflow | Self::ScoreReached => (
                "sequence-violation",
                403,
                "Not now",
                "This call is not possible at this point of the session.",
            ),
            Self::Quota(_) => ("quota-exceeded", 429, "Too often", "Wait for the time in Retry-After."),
            Self::SessionRequestMalformed => (
                "session-request-malformed",
                400,
                "The session request cannot be read",
                "Send JSON with key_agreement \"ecdh-p256\" (and public_key) or \"server-key\".",
            ),
            Self::WorkRequired | Self::WorkWrong | Self::WorkStale | Self::WorkSpent => (
                "work-required",
                403,
                "A session costs work",
                "Solve the puzzles of the member `work` and ask again.",
            ),
            Self::UpstreamUnavailable => (
                "upstream-unavailable",
                502,
                "The application does not answer",
                "Try again later.",
            ),
            Self::UpstreamTimeout => (
                "upstream-timeout",
                504,
                "The application is too slow",
                "Try again later.",
            ),
        };
        Problem {
            name,
            status,
            title,
            detail,
        }
    }

    /// What the answer carries beside the problem document.
    #[must_use]
    pub fn remedy(self) -> Remedy {
        if let Self::StreamUnknown | Self::AddressChanged | Self::HabitsChanged | Self::LoginStale = self {
            Remedy::SignWithFreshNonce
        } else if let Self::Quota(wait) | Self::AddressBanned(wait) | Self::SessionBanned(wait) = self {
            Remedy::Wait(wait)
        } else if self == Self::Overloaded {
            Remedy::Wait(Duration::from_secs(1))
        } else if self.problem().status == 401 {
            Remedy::Sign
        } else {
            Remedy::None
        }
    }

    /// Whether the client is given work.
    #[must_use]
    pub fn asks_for_work(self) -> bool {
        matches!(
            self,
            Self::WorkRequired | Self::WorkWrong | Self::WorkStale | Self::WorkSpent
        )
    }

    /// Whether the session is suspended by it, or was before.
    #[must_use]
    pub fn suspends(self) -> bool {
        matches!(
            self,
            Self::UserAgentChanged | Self::AddressUnsteady | Self::Concentrated | Self::Distrusted | Self::Suspended
        )
    }

    /// Whether monitor mode lets the request through all the same. What could mean different things to the gate and
    /// to the application never passes, and neither does what cannot be forwarded.
    #[must_use]
    pub fn can_be_waived(self) -> bool {
        match self {
            Self::HostInvalid
            | Self::FramingInvalid
            | Self::MethodRefused
            | Self::PathAmbiguous
            | Self::OwnPathUnknown
            | Self::TicketMisplaced
            | Self::BodyTooLarge
            | Self::BodyIncomplete
            | Self::Overloaded
            | Self::SessionRequestMalformed
            | Self::UpstreamUnavailable
            | Self::UpstreamTimeout => false,
            Self::Navigation
            | Self::AddressBanned(_)
            | Self::SignatureMissing
            | Self::SignatureMalformed
            | Self::SignatureAmbiguous
            | Self::SignatureIncomplete
            | Self::ComponentUnsupported
            | Self::AlgorithmMismatch
            | Self::NonceMalformed
            | Self::TicketRefused
            | Self::SessionUnknown
            | Self::SessionForeign
            | Self::SessionForged
            | Self::SessionExpired
            | Self::SessionRevoked
            | Self::SessionEvicted
            | Self::SessionBanned(_)
            | Self::SignatureExpired
            | Self::SignatureFromFuture
            | Self::SignatureInvalid
            | Self::SignatureEchoed
            | Self::Replay
            | Self::ReplayEchoed
            | Self::StreamUnknown
            | Self::AddressChanged
            | Self::UserAgentChanged
            | Self::HabitsChanged
            | Self::AddressUnsteady
            | Self::Concentrated
            | Self::Suspended
            | Self::LoginStale
            | Self::UserSwitched
            | Self::DigestMissing
            | Self::DigestMismatch
            | Self::Sequence
            | Self::Quota(_)
            | Self::FactsOverflow
            | Self::Distrusted
            | Self::Challenged
            | Self::ScoreReached
            | Self::WorkRequired
            | Self::WorkWrong
            | Self::WorkStale
            | Self::WorkSpent => true,
        }
    }
}
