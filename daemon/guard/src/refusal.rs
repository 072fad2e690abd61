//! Why a request is refused: one variant for each cause, and the one place that turns causes into what clients see.
//!
//! Several causes may share a public [`Problem`]: the operator learns that a session id was forged, the client only
//! that it is not valid.

mod cause;
mod explanation;
mod problem;

use std::time::Duration;

pub use problem::Problem;

use crate::session::token::TokenRefused;

/// The cause of a refusal, for the log, the counters and `portcullis why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Host missing, doubled, malformed or contradicting the target.
    HostInvalid,
    /// A name that the gate does not answer for.
    AuthorityUnknown,
    /// The request line or framing cannot be trusted.
    FramingInvalid,
    /// CONNECT, TRACE, or a method that one of the gate's own paths does not know.
    MethodRefused,
    /// The path has more than one reading.
    PathAmbiguous,
    /// A proxy asks for a verdict and does not say about what.
    QuestionIncomplete,
    /// The path is not in normal form, and who asks for the verdict forwards it as it is.
    PathNotNormal,
    /// Below the gate's own prefix, but nothing is there.
    OwnPathUnknown,
    /// A link that was typed or clicked (`Sec-Fetch-Mode: navigate`).
    Navigation,
    /// An element of a page, like a picture, without a ticket.
    Embedded,
    /// A page of an origin that may not call.
    OriginRefused,
    /// A source that sends too many preflights; more are answered after this time.
    PreflightLimit(Duration),
    /// The source is banned.
    AddressBanned(Duration),
    /// The client is banned: this software at this address.
    ClientBanned(Duration),
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
    /// The session was not used for too long.
    SessionIdle,
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
    /// The head is over the limit.
    HeadTooLarge,
    /// The body is over the limit.
    BodyTooLarge,
    /// The body did not arrive whole.
    BodyIncomplete,
    /// The body did not arrive in time.
    BodyLate,
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
    /// The application has as many calls as it may have.
    UpstreamFull,
    /// The operator has closed the application for a while.
    Maintenance,
}

/// When clients look again whether the maintenance is over.
const MAINTENANCE: Duration = Duration::from_secs(60);

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
    /// What the answer carries beside the problem document.
    #[must_use]
    pub fn remedy(self) -> Remedy {
        if let Self::StreamUnknown | Self::AddressChanged | Self::HabitsChanged | Self::LoginStale = self {
            Remedy::SignWithFreshNonce
        } else if let Self::Quota(wait)
        | Self::AddressBanned(wait)
        | Self::ClientBanned(wait)
        | Self::PreflightLimit(wait)
        | Self::SessionBanned(wait) = self
        {
            Remedy::Wait(wait)
        } else if let Self::Overloaded | Self::UpstreamFull = self {
            Remedy::Wait(Duration::from_secs(1))
        } else if self == Self::Maintenance {
            Remedy::Wait(MAINTENANCE)
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
            | Self::QuestionIncomplete
            | Self::PathNotNormal
            | Self::OwnPathUnknown
            | Self::TicketMisplaced
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyIncomplete
            | Self::BodyLate
            | Self::Overloaded
            | Self::SessionRequestMalformed
            | Self::UpstreamUnavailable
            | Self::UpstreamTimeout
            | Self::UpstreamFull
            | Self::Maintenance => false,
            Self::AuthorityUnknown
            | Self::Navigation
            | Self::Embedded
            | Self::OriginRefused
            | Self::PreflightLimit(_)
            | Self::AddressBanned(_)
            | Self::ClientBanned(_)
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
            | Self::SessionIdle
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
