//! The right to be forwarded.

use crate::sequence::Reservation;
use crate::session::SessionId;

/// Proof that a request passed every check that applies to it. Only the guard makes one; the proxy forwards nothing
/// without.
#[derive(Debug)]
pub struct Permit {
    session: Option<SessionId>,
    receipt: Option<Receipt>,
}

/// What the rules want back when the upstream has answered. Dropped unanswered, reservations stay counted: a call whose
/// outcome nobody saw may have succeeded.
#[derive(Debug)]
pub struct Receipt {
    pub(super) session: SessionId,
    pub(super) reservation: Reservation,
}

impl Permit {
    /// For public paths, and for what monitor mode lets through.
    pub(super) fn unsigned() -> Self {
        Self {
            session: None,
            receipt: None,
        }
    }

    pub(super) fn signed(session: SessionId, receipt: Option<Receipt>) -> Self {
        Self {
            session: Some(session),
            receipt,
        }
    }

    /// The session that signed; `None` on public paths and in monitor mode.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// Takes the receipt, for [`Guard::complete`](super::Guard::complete).
    pub fn take_receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }
}
