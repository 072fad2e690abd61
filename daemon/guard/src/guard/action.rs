//! What rules and scores lead to beside a refusal, carried out: from a suspension to the ban of a prefix.

use std::fmt::Arguments;

use super::Guard;
use super::consequence::Account;
use crate::escalation::Growth;
use crate::sequence::{Action, BanAction, BanTarget};
use crate::session::SessionId;
use crate::session::record::Record;
use crate::tier::narrowest_around;
use crate::verdict::{Consequence, Spared};

impl Guard {
    /// Carries an action out, or notes that it would have been. The refusal itself is somebody else's business.
    pub(super) fn carry_out(&self, account: &mut Account<'_, '_>, action: Action, why: Arguments<'_>) {
        let Some(session) = account.session else {
            return self.carry_out_on_address(account, action, why);
        };
        match action {
            Action::Log | Action::Score | Action::Delay | Action::Deny => {}
            Action::Reauth => self.suspend(account, session, why),
            Action::Challenge => self.challenge(account, session, why),
            Action::Ban(ban) => self.ban_by_action(account, session, ban, why),
        }
    }

    fn suspend(&self, account: &mut Account<'_, '_>, session: SessionId, why: Arguments<'_>) {
        if account.is_enforced()
            && let Some(record) = self.sessions.shard(session).get(session)
        {
            record.binding.suspend();
        }
        account.take(why, Consequence::Suspended);
    }

    /// A session cannot work; whoever opens one can.
    fn challenge(&self, account: &mut Account<'_, '_>, session: SessionId, why: Arguments<'_>) {
        let now = account.now;
        if account.is_enforced() {
            let half_life = self.policy.thresholds.half_life;
            let _ = self.sessions.shard(session).end(session, None, half_life, now);
            let source = account.request.client.source();
            self.mints.count_as(source, self.policy.work.sessions, now.mono);
        }
        account.take(why, Consequence::Challenged);
    }

    pub(super) fn ban_by_action(
        &self,
        account: &mut Account<'_, '_>,
        session: SessionId,
        ban: BanAction,
        why: Arguments<'_>,
    ) {
        match ban.target {
            BanTarget::Flow => {
                let record = self.sessions.shard(session);
                let connections = record.peek(session).map(Record::connections);
                drop(record);
                account.drop_flows(connections.unwrap_or_default(), ban.ttl);
            }
            BanTarget::Session => {
                let already = |done: &Consequence| matches!(done, Consequence::SessionBanned(_));
                if !account.consequences.iter().any(already) {
                    let ttl = self.growth_of(ban).ban(ban.ttl, 0.0, account.request.reference.0);
                    self.ban_session(account, session, why, ttl);
                }
            }
            BanTarget::Ip => self.ban_address(account, Some(session), ban, why),
            BanTarget::Prefix => self.ban_prefix(account, Some(session), ban, why),
        }
    }

    /// How this ban grows for those who come back.
    fn growth_of(&self, ban: BanAction) -> Growth {
        Growth {
            factor: ban.grow,
            longest: ban.max_ttl,
            jitter: ban.jitter,
            memory: self.policy.thresholds.growth.memory,
        }
    }

    /// Spared, an address loses the session instead: the step before.
    pub(super) fn ban_address(
        &self,
        account: &mut Account<'_, '_>,
        session: Option<SessionId>,
        ban: BanAction,
        why: Arguments<'_>,
    ) {
        let source = account.request.client.source();
        let guard = self.policy.thresholds.nat_guard;
        let now = account.now.mono;
        if self.sources.has_clean_neighbour(source, session, guard, now) {
            account.spare(why, source.network(), Spared::Neighbours);
            return self.step_back(account, ban, why);
        }
        self.ban_source(account, why, ban.ttl, &self.growth_of(ban));
    }

    /// A prefix is banned when enough addresses in it misbehaved; until then, the address.
    pub(super) fn ban_prefix(
        &self,
        account: &mut Account<'_, '_>,
        session: Option<SessionId>,
        ban: BanAction,
        why: Arguments<'_>,
    ) {
        let source = account.request.client.source();
        let now = account.now.mono;
        let limits = &self.policy.thresholds.tiers;
        let half_life = self.policy.thresholds.half_life;
        let network = narrowest_around(source);
        let offenders = self.tiers.offenders(source, half_life, now);
        let is_crowd = limits.sources > 0 && offenders >= usize::from(limits.sources);
        if is_crowd && !self.has_clean_caller(network, session, now) {
            self.ban_network(account, network, why, ban.ttl, &self.growth_of(ban));
            return;
        }
        let spared = match is_crowd {
            true => Spared::Neighbours,
            false => Spared::Refused(format!("only {offenders} addresses in it misbehaved")),
        };
        account.spare(why, network, spared);
        self.ban_address(account, session, ban, why);
    }
}
