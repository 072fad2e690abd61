//! What a client is told: one public problem for each cause, several causes for some.

use super::Refusal;

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

impl Refusal {
    /// What the client is told.
    #[must_use]
    pub fn problem(self) -> Problem {
        let (name, status, title, detail) = match self {
            Self::HostInvalid | Self::FramingInvalid | Self::QuestionIncomplete => (
                "request-invalid",
                400,
                "The request is not acceptable HTTP",
                "Host must be single and agree with the target, and the body must be framed in exactly one way.",
            ),
            Self::AuthorityUnknown => (
                "authority-unknown",
                421,
                "Nobody of this name is served here",
                "Use the name that the operator gave.",
            ),
            Self::MethodRefused => (
                "method-refused",
                405,
                "This method is not served here",
                "Use another method.",
            ),
            Self::PathAmbiguous | Self::PathNotNormal => (
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
            Self::Embedded => (
                "element-refused",
                403,
                "This address is for calls, not for elements of a page",
                "Use a ticket.",
            ),
            Self::OriginRefused => (
                "origin-refused",
                403,
                "Pages of this origin may not call",
                "The operator lists the origins that may.",
            ),
            Self::AddressBanned(_) | Self::ClientBanned(_) | Self::SessionBanned(_) => (
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
            | Self::SessionIdle
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
            Self::HeadTooLarge => (
                "head-too-large",
                431,
                "The head of the request is too large",
                "Send fewer or shorter fields; cookies are often the reason.",
            ),
            Self::BodyTooLarge => ("body-too-large", 413, "The body is too large", "Send less."),
            Self::BodyIncomplete => (
                "request-invalid",
                400,
                "The body did not arrive whole",
                "Send it again.",
            ),
            Self::BodyLate => (
                "request-timeout",
                408,
                "The request took too long",
                "Send it faster, or in smaller parts.",
            ),
            Self::Maintenance => (
                "maintenance",
                503,
                "Closed for a while",
                "The application is being worked on. Try again later.",
            ),
            Self::UpstreamFull | Self::Overloaded => ("overloaded", 503, "Too busy", "Try again in a moment."),
            Self::Sequence | Self::FactsOverflow | Self::ScoreReached => (
                "sequence-violation",
                403,
                "Not now",
                "This call is not possible at this point of the session.",
            ),
            Self::Quota(_) | Self::PreflightLimit(_) => {
                ("quota-exceeded", 429, "Too often", "Wait for the time in Retry-After.")
            }
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
}
