//! The right to be forwarded.

use std::sync::Arc;

use crate::binding::Surroundings;
use crate::learn::RecordedNumber;
use crate::sequence::Reservation;
use crate::session::SessionId;
use crate::session::calls::CallNumber;
use crate::signature::digest::Claimed;

/// Proof that a request passed every check that applies to it. Only the guard makes one; the proxy forwards nothing
/// without.
#[derive(Debug)]
pub struct Permit {
    session: Option<SessionId>,
    /// In a box, as each permit goes from hand to hand.
    receipt: Option<Box<Receipt>>,
    identity: Identity,
    expected: Option<Box<Expected>>,
}

/// What a body must be that is compared while it passes.
#[derive(Debug)]
pub struct Expected {
    /// Its digests.
    pub claimed: Claimed,
    /// Whether it is cut off if it differs; otherwise that is only told.
    pub enforced: bool,
}

/// Whose call it is beside the session.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The user that the session is bound to.
    pub(super) user: Option<Arc<str>>,
    /// The points of the session before this call.
    pub(super) score: f32,
    /// From where the call came, if it is a login.
    pub(super) login: Option<Box<Surroundings>>,
}

/// A signed call that was forwarded, so that the application's word on its session can be heeded.
#[derive(Debug)]
pub struct Caller {
    pub(super) session: SessionId,
    pub(super) login: Option<Box<Surroundings>>,
}

/// What the guard wants back when the upstream has answered. Dropped unanswered, reservations stay counted: a call whose
/// outcome nobody saw may have succeeded.
#[derive(Debug)]
pub struct Receipt {
    pub(super) session: SessionId,
    pub(super) call: CallNumber,
    /// Where calls are recorded to learn from.
    pub(super) recorded: Option<RecordedNumber>,
    /// `None` if no rule speaks of the call.
    pub(super) reservation: Option<Reservation>,
}

impl Receipt {
    /// The session that called.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Permit {
    /// For public paths, and for what monitor mode lets through.
    pub(super) fn unsigned() -> Self {
        Self {
            session: None,
            receipt: None,
            identity: Identity::default(),
            expected: None,
        }
    }

    pub(super) fn signed(session: SessionId, receipt: Option<Receipt>) -> Self {
        Self {
            session: Some(session),
            receipt: receipt.map(Box::new),
            identity: Identity::default(),
            expected: None,
        }
    }

    pub(super) fn expecting(self, expected: Option<Expected>) -> Self {
        Self {
            expected: expected.map(Box::new),
            ..self
        }
    }

    pub(super) fn of(self, identity: Identity) -> Self {
        Self { identity, ..self }
    }

    /// The session that signed; `None` on public paths and in monitor mode.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// The user that the session is bound to.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.identity.user.as_deref()
    }

    /// The points of the session before this call; 0 on public paths and in monitor mode.
    #[must_use]
    pub fn score(&self) -> f32 {
        self.identity.score
    }

    /// Takes the caller, for [`Guard::heed`](super::Guard::heed). `None` on public paths and in monitor mode.
    pub fn take_caller(&mut self) -> Option<Caller> {
        let session = self.session?;
        let login = self.identity.login.take();
        Some(Caller { session, login })
    }

    /// Takes what the body must be, if it was not compared yet.
    pub fn take_expected(&mut self) -> Option<Expected> {
        self.expected.take().map(|expected| *expected)
    }

    /// Whether rules read the answer: it must come whole and not encoded.
    #[must_use]
    pub fn wants_plain_answer(&self) -> bool {
        let reservation = self.receipt.as_ref().and_then(|receipt| receipt.reservation.as_ref());
        reservation.is_some_and(Reservation::reads_answer)
    }

    /// Takes the receipt, for [`Guard::complete`](super::Guard::complete).
    pub fn take_receipt(&mut self) -> Option<Receipt> {
        self.receipt.take().map(|receipt| *receipt)
    }
}
