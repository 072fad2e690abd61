//! What was wrong, as `portcullis why` tells it.

use super::Refusal;

impl Refusal {
    /// What was wrong, in words for the operator.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::HostInvalid => "Host was missing, doubled, malformed or contradicted the target",
            Self::AuthorityUnknown => "the request was for a name that `http.authorities` does not list",
            Self::FramingInvalid => "the end of the body, or the method, could be understood in two ways",
            Self::MethodRefused => "the method is not served",
            Self::PathAmbiguous => "the path could be understood in two ways",
            Self::QuestionIncomplete => {
                "a proxy asked for a verdict and left out the method, the target, the host or the client of the request"
            }
            Self::PathNotNormal => {
                "the path was not in its normal form, and the proxy that asked would have forwarded it as it was"
            }
            Self::OwnPathUnknown => "there is nothing at this path of the gate",
            Self::Navigation => "the address was typed or a link was clicked; the client did not call",
            Self::Embedded => "an element of a page asked for it, like a picture, and had no ticket",
            Self::OriginRefused => "a page of another origin called, which `cors.origins` does not name",
            Self::PreflightLimit(_) => "the source sent too many preflights",
            Self::AddressBanned(_) => "the address is banned",
            Self::ClientBanned(_) => {
                "the session misbehaved, as others of its client did that were banned: this User-Agent at this address"
            }
            Self::SignatureMissing => "the call was not signed",
            Self::SignatureMalformed => "the signature fields could not be read",
            Self::SignatureAmbiguous => {
                "several signatures claimed to be ours, or a label or component was there twice"
            }
            Self::SignatureIncomplete => "the signature left out what it must cover",
            Self::ComponentUnsupported => "the signature covered something that is not there or not in the profile",
            Self::AlgorithmMismatch => "the signature named another algorithm than its session has",
            Self::TicketMisplaced => {
                "a ticket was not the last parameter of the query, was there twice, or was spelled oddly"
            }
            Self::TicketRefused => "a ticket came for a route or with a method that takes none",
            Self::NonceMalformed => "the nonce had not the form of one",
            Self::SessionUnknown => "the session id had not the form of one",
            Self::SessionForeign => {
                "the session id was sealed under a key that this gate does not have: by another gate, or before a key was lost"
            }
            Self::SessionForged => "the session id was damaged or made up",
            Self::SessionExpired => "the session was past its end",
            Self::SessionIdle => "the session was not used for longer than `session.idle`",
            Self::SessionRevoked => {
                "the session was ended: by the operator, by a logout, or by another user who logged in"
            }
            Self::SessionEvicted => "the session was pushed out of memory, or comes back from a ban",
            Self::SessionBanned(_) => "the session is banned",
            Self::SignatureExpired => "the signature was too old",
            Self::SignatureFromFuture => "the signature was from the future: the client's clock is ahead",
            Self::SignatureInvalid => {
                "the signature did not match: something was changed, or the key is not the session's"
            }
            Self::SignatureEchoed => {
                "the signature was that of another call a moment before: a redirect that was followed"
            }
            Self::Replay => "the call is a copy of an earlier one",
            Self::ReplayEchoed => "the call is a copy of one that the same client made a moment before",
            Self::StreamUnknown => {
                "the gate cannot know this stream, after a restart or too many streams: the client was asked to sign again"
            }
            Self::AddressChanged => "the session came from another network: the client was asked to sign again",
            Self::UserAgentChanged => "the session came from another browser",
            Self::HabitsChanged => {
                "the session's language or client hints changed, or several small things at once: the client was asked to sign again"
            }
            Self::AddressUnsteady => "the session changed networks too often, or at all where the binding is strict",
            Self::Concentrated => "the session was used from several networks at the same time",
            Self::Suspended => "the session waits for its user to authenticate again",
            Self::LoginStale => "a login of a session that waits for one: the client was asked to sign again",
            Self::UserSwitched => "another user logged in with the session",
            Self::DigestMissing => "the body had no usable Content-Digest",
            Self::DigestMismatch => "the body was not what was signed",
            Self::HeadTooLarge => "the head was over the limit (max_header_bytes)",
            Self::BodyTooLarge => "the body was over the limit",
            Self::BodyIncomplete => "the body broke off",
            Self::BodyLate => "the body took too long (body_timeout)",
            Self::Overloaded => "too many bodies were being read at once",
            Self::Sequence => "a call that a rule requires was missing",
            Self::Quota(_) => "a call that a rule limits was made too often",
            Self::Distrusted => "the session's user has to authenticate again",
            Self::Challenged => "the session was ended; a new one costs work",
            Self::ScoreReached => "the session's points reached a threshold",
            Self::FactsOverflow => "the session did more than rules can remember",
            Self::SessionRequestMalformed => "the request for a session could not be read",
            Self::WorkRequired => "opening a session costs this source work: it has points, or opened many lately",
            Self::WorkWrong => "the work for a session was not done: the numbers solve nothing",
            Self::WorkStale => {
                "the work for a session was for another challenge: too old, too easy by now, of an earlier run, or of another network"
            }
            Self::WorkSpent => "the work for a session had opened one already",
            Self::UpstreamUnavailable => "the application did not answer",
            Self::UpstreamTimeout => "the application took too long",
            Self::UpstreamFull => "the application had as many calls as it may have (max_calls)",
            Self::Maintenance => "the operator has closed the application for a while (maintenance)",
        }
    }
}
