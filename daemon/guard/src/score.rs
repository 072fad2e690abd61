//! Points for bad behaviour: how many, for whom, and how they fade.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::signal::Signal;
use crate::time::MonoMillis;

/// A score that halves every half-life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    points: f32,
    /// Tenths of a second of the monotonic clock: 13 years of them.
    at: u32,
}

impl Score {
    /// The points that are left at `now`.
    #[must_use]
    pub fn value(&self, half_life: Duration, now: MonoMillis) -> f32 {
        if self.points == 0.0 {
            return 0.0;
        }
        let age = Duration::from_millis(100) * tenths(now).saturating_sub(self.at);
        let halvings = age.as_secs_f32() / half_life.as_secs_f32().max(f32::MIN_POSITIVE);
        self.points * (-halvings).exp2()
    }

    /// Adds points and returns the sum.
    pub fn add(&mut self, points: f32, half_life: Duration, now: MonoMillis) -> f32 {
        self.points = self.value(half_life, now) + points;
        self.at = tenths(now);
        self.points
    }

    /// Takes points up again that were counted before a restart.
    #[must_use]
    pub fn of(points: f32, now: MonoMillis) -> Self {
        Self {
            points,
            at: tenths(now),
        }
    }

    /// Starts again from nothing, after a consequence was drawn.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn tenths(now: MonoMillis) -> u32 {
    u32::try_from(now.0 / 100).unwrap_or(u32::MAX)
}

/// Who pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payer {
    /// The session; only where its signature was proved, or somebody else could collect points for it.
    Session,
    /// The source address.
    Address,
}

/// What a refusal is a sign of, and who pays. `None`: of nothing. Rules bring their own points.
#[must_use]
pub fn signal_of(refusal: Refusal) -> Option<(Signal, Payer)> {
    let (session, address) = (Payer::Session, Payer::Address);
    match refusal {
        Refusal::SignatureInvalid | Refusal::AlgorithmMismatch => Some((Signal::BadSignature, address)),
        Refusal::Replay => Some((Signal::Replay, address)),
        // A connection that breaks makes a client send its work again.
        Refusal::SignatureEchoed | Refusal::ReplayEchoed | Refusal::WorkSpent => Some((Signal::Echo, address)),
        // A session from before a lost master key is as good as none.
        Refusal::SignatureMissing | Refusal::SessionForeign => Some((Signal::Unsigned, address)),
        Refusal::SessionForged
        | Refusal::SessionUnknown
        | Refusal::HostInvalid
        | Refusal::FramingInvalid
        | Refusal::PathAmbiguous
        | Refusal::SignatureMalformed
        | Refusal::SignatureAmbiguous
        | Refusal::SignatureIncomplete
        | Refusal::ComponentUnsupported
        | Refusal::NonceMalformed
        | Refusal::TicketMisplaced
        | Refusal::DigestMissing
        | Refusal::WorkWrong
        | Refusal::SessionRequestMalformed => Some((Signal::Malformed, address)),
        Refusal::UserAgentChanged => Some((Signal::UserAgentChanged, address)),
        Refusal::SessionBanned(_) | Refusal::ClientBanned(_) => Some((Signal::BannedSessionUsed, address)),
        Refusal::Concentrated => Some((Signal::Concentration, session)),
        Refusal::DigestMismatch => Some((Signal::DigestMismatch, session)),
        // Curiosity, clocks, roaming, full tables and broken applications are no abuse.
        Refusal::MethodRefused
        | Refusal::QuestionIncomplete
        | Refusal::PathNotNormal
        | Refusal::OwnPathUnknown
        | Refusal::TicketRefused
        | Refusal::Navigation
        | Refusal::Embedded
        | Refusal::OriginRefused
        | Refusal::PreflightLimit(_)
        | Refusal::AddressBanned(_)
        | Refusal::AuthorityUnknown
        | Refusal::SessionExpired
        | Refusal::SessionIdle
        | Refusal::SessionRevoked
        | Refusal::SessionEvicted
        | Refusal::SignatureExpired
        | Refusal::SignatureFromFuture
        | Refusal::StreamUnknown
        | Refusal::AddressChanged
        | Refusal::HabitsChanged
        | Refusal::AddressUnsteady
        | Refusal::Suspended
        | Refusal::LoginStale
        | Refusal::UserSwitched
        | Refusal::HeadTooLarge
        | Refusal::BodyTooLarge
        | Refusal::BodyIncomplete
        | Refusal::BodyLate
        | Refusal::Overloaded
        | Refusal::Sequence
        | Refusal::Quota(_)
        | Refusal::FactsOverflow
        | Refusal::Distrusted
        | Refusal::Challenged
        | Refusal::ScoreReached
        | Refusal::WorkRequired
        | Refusal::WorkStale
        | Refusal::UpstreamUnavailable
        | Refusal::UpstreamTimeout
        | Refusal::UpstreamFull
        | Refusal::Maintenance => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_halves() {
        let half_life = Duration::from_secs(60);
        let mut score = Score::default();
        assert_eq!(score.add(40.0, half_life, MonoMillis(0)), 40.0);
        assert_eq!(score.value(half_life, MonoMillis(60_000)), 20.0);
        assert_eq!(score.add(10.0, half_life, MonoMillis(120_000)), 20.0);
        assert!(score.value(half_life, MonoMillis(u64::MAX)) < 1e-6);
        score.clear();
        assert_eq!(score.value(half_life, MonoMillis(120_000)), 0.0);
    }

    #[test]
    fn nobody_collects_points_for_a_session_without_its_key() {
        for refusal in [
            Refusal::SignatureInvalid,
            Refusal::Replay,
            Refusal::SessionForged,
            Refusal::NonceMalformed,
        ] {
            let payer = signal_of(refusal).map(|(_, payer)| payer);
            assert_eq!(payer, Some(Payer::Address), "{refusal:?}");
        }
    }

    #[test]
    fn a_typed_link_is_free() {
        assert_eq!(signal_of(Refusal::Navigation), None);
    }
}
