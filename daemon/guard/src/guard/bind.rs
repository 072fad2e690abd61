//! The last step of identifying a caller: whether its surroundings fit its session.

use super::Guard;
use super::consequence::Fault;
use super::identify::{Claim, Signed};
use super::permit::Identity;
use crate::binding::{Ladder, Moved, Objection, Surroundings};
use crate::policy::{BindingPolicy, Mode, RoutePolicy};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::session::nonce::Accepted;
use crate::session::record::Record;
use crate::signal::Signal;
use crate::time::Now;

impl Guard {
    pub(super) fn bind(
        &self,
        signed: &Signed,
        claim: &Claim<'_>,
        request: &Request<'_>,
        record: &mut Record,
        now: Now,
    ) -> Result<Identity, Box<Fault>> {
        let is_login = self.policy.logins.contain(request.operation, request.path);
        self.climb(signed, claim, request, record, now).or_else(|fault| {
            // Nothing holds a user up who logs in, as long as he does it now and here.
            match signed.accepted {
                Accepted::Issued if is_login => Ok(()),
                Accepted::Continued if is_login && fault.refusal().suspends() => {
                    Err(self.ask_for_fresh(Refusal::LoginStale, claim, now))
                }
                Accepted::Issued | Accepted::Continued => Err(fault),
            }
        })?;
        Ok(Identity {
            user: record.binding.user().cloned(),
            score: record.score.value(self.policy.thresholds.half_life, now.mono),
            login: is_login.then(|| Box::new(Surroundings::new(&claim.binding, request.headers, now.mono))),
        })
    }

    /// Goes up the ladder as far as the surroundings demand.
    fn climb(
        &self,
        signed: &Signed,
        claim: &Claim<'_>,
        request: &Request<'_>,
        record: &mut Record,
        now: Now,
    ) -> Result<(), Box<Fault>> {
        if record.binding.is_suspended() {
            return Err(Fault::by(Refusal::Suspended, claim.session));
        }
        let ladder = self.ladder(&claim.route);
        let is_fresh = match signed.accepted {
            Accepted::Issued => true,
            Accepted::Continued => false,
        };
        let is_other_program =
            ladder.user_agent != BindingPolicy::Off && record.binding.is_other_program(&claim.binding);
        let step = record
            .binding
            .follow(&claim.binding, request.headers, &ladder, is_fresh, now.mono);
        match step {
            Ok(moved) => {
                self.charge_move(moved, record, now);
                if is_other_program {
                    self.charge_quietly(record, Signal::FingerprintChanged, now);
                }
                Ok(())
            }
            Err(objection) => {
                match self.mode_for(Some(claim.session), request.client) {
                    // The client is not asked and cannot answer: this is told once, and not for each call.
                    Mode::Monitor => record.binding.adopt(&claim.binding, request.headers, now.mono),
                    Mode::Enforce if objection.needs_reauthentication() => record.binding.suspend(),
                    Mode::Enforce => {}
                }
                Err(self.object(objection, claim, now))
            }
        }
    }

    fn ladder(&self, route: &RoutePolicy) -> Ladder {
        Ladder {
            address: route.binding.unwrap_or(self.policy.bind_address),
            user_agent: route.binding.unwrap_or(self.policy.bind_user_agent),
            per_hour: self.policy.networks_per_hour,
        }
    }

    fn object(&self, objection: Objection, claim: &Claim<'_>, now: Now) -> Box<Fault> {
        let refusal = objection.refusal();
        if objection.needs_reauthentication() {
            Fault::by(refusal, claim.session)
        } else {
            self.ask_for_fresh(refusal, claim, now)
        }
    }

    fn charge_move(&self, moved: Moved, record: &mut Record, now: Now) {
        let signal = match moved {
            Moved::No => return,
            Moved::Nearby => Signal::AddressChanged,
            Moved::Away => Signal::NetworkChanged,
        };
        self.charge_quietly(record, signal, now);
    }
}
