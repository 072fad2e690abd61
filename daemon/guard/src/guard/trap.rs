//! Traps without a session: the address answers for them.

use super::Guard;
use super::consequence::{Account, Fault, is_from_a_foreign_page};
use crate::effect::Effect;
use crate::request::Request;
use crate::sequence::{Action, BanAction, BanTarget, Who};
use crate::session::SessionId;
use crate::time::Now;
use crate::verdict::Consequence;

impl Guard {
    /// The trap that somebody without a session steps into: a fault, or else what is to be told of it.
    pub(super) fn trap(&self, request: &Request<'_>, now: Now) -> (Option<Box<Fault>>, Vec<Effect>) {
        let rules = self.rules();
        let who = Who {
            // Nobody's.
            session: SessionId([0; 12]),
            user: None,
            client: request.client,
            fingerprint: request.fingerprint,
            headers: request.headers,
            trusted: request.trusted,
        };
        let Some(trapped) = rules.trapped(request.operation, request.path, &who) else {
            return (None, Vec::new());
        };
        let mode = self.mode_for(None, request.client);
        let violation = if is_from_a_foreign_page(request.headers) {
            // A page of somebody else has a visitor's browser call it: he is not counted for that.
            trapped.violation(mode)
        } else {
            trapped.counted(request.client, &self.shared_facts, mode, now.mono)
        };
        if violation.armed && !violation.action.lets_pass() {
            return (Some(Fault::of_trap(violation)), Vec::new());
        }
        (None, self.observe(request, None, &violation, now))
    }

    /// Carries out what a trap leads to for somebody without a session: the steps that need none.
    pub(super) fn carry_out_on_address(
        &self,
        account: &mut Account<'_, '_>,
        action: Action,
        why: std::fmt::Arguments<'_>,
    ) {
        if is_from_a_foreign_page(account.request.headers) {
            return;
        }
        match action {
            Action::Log | Action::Score | Action::Delay | Action::Deny | Action::Reauth => {}
            Action::Challenge => {
                if account.is_enforced() {
                    let source = account.request.client.source();
                    self.mints.count_as(source, self.policy.work.sessions, account.now.mono);
                }
                account.take(why, Consequence::Challenged);
            }
            Action::Ban(ban) => match ban.target {
                BanTarget::Flow | BanTarget::Session => self.drop_this_flow(account),
                BanTarget::Ip => self.ban_address(account, None, ban, why),
                BanTarget::Prefix => self.ban_prefix(account, None, ban, why),
            },
        }
    }

    /// The least that follows where there is no session to end.
    pub(super) fn drop_this_flow(&self, account: &mut Account<'_, '_>) {
        account.drop_flows(vec![account.request.connection], self.policy.thresholds.flow_ban);
    }

    /// The step before the ban of an address: the session, or where there is none, the connection.
    pub(super) fn step_back(&self, account: &mut Account<'_, '_>, ban: BanAction, why: std::fmt::Arguments<'_>) {
        match account.session {
            Some(session) => {
                let target = BanTarget::Session;
                self.ban_by_action(account, session, BanAction { target, ..ban }, why);
            }
            None => self.drop_this_flow(account),
        }
    }
}
