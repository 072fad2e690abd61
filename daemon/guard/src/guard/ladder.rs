//! The steps of the ladder: session → its flows → address → prefix.
//!
//! Whoever reaches a step while the gate only watches is remembered as if it had been taken, so that what follows is
//! told as it would have been.

use std::time::Duration;

use ipnet::IpNet;

use super::Guard;
use super::consequence::Account;
use super::notice::client_mark;
use crate::blacklist::{Ban, BanOrder, BanRefused, Origin};
use crate::effect::{Effect, KernelBan};
use crate::escalation::Growth;
use crate::policy::Mode;
use crate::request::{ClientAddress, Source};
use crate::sequence::{Action, BanAction, BanTarget, Threshold};
use crate::session::SessionId;
use crate::signal::Signal;
use crate::source::Fading;
use crate::tier::Crowd;
use crate::time::{MonoMillis, Now};
use crate::verdict::{Consequence, Spared};

/// Whether a score is as good as at its threshold. Points fade from the first millisecond on, so that four times 50 are
/// never quite 200.
fn reaches(score: f32, threshold: f32) -> bool {
    score >= 0.99 * threshold
}

impl Guard {
    /// Whether verdicts on this session, or else on this client, have consequences.
    pub(super) fn mode_for(&self, session: Option<SessionId>, client: ClientAddress) -> Mode {
        match session {
            Some(session) => self.enforcement.of_session(session),
            None => self.enforcement.of_source(client.source()),
        }
    }

    pub(super) fn fading(&self) -> Fading {
        Fading {
            half_life: self.policy.thresholds.half_life,
            guard: self.policy.thresholds.nat_guard,
        }
    }

    /// Session: collects points; at the threshold it is banned and its connections are dropped at the card.
    pub(super) fn charge_session(&self, account: &mut Account<'_, '_>) {
        let Some(session) = account.session.filter(|_| account.charge.session > 0.0) else {
            return;
        };
        let thresholds = &self.policy.thresholds;
        let mut shard = self.sessions.shard(session);
        let Some(record) = shard.get(session) else { return };
        let points = account.charge.session;
        let line = account.line(account.charge.signal, points);
        let score = record.charge(line, thresholds.half_life, account.now.mono);
        drop(shard);
        let why = format!("session score {score:.0}");
        match self.reached(score - points, score) {
            Some(action) => self.carry_out(account, action, format_args!("{why}")),
            None => account.note(format_args!("{why} of {:.0}", thresholds.session)),
        }
    }

    /// What the score of a session leads to by its last points.
    pub(super) fn reached(&self, before: f32, score: f32) -> Option<Action> {
        let thresholds = &self.policy.thresholds;
        if reaches(score, thresholds.session) {
            return Some(Action::Ban(BanAction {
                target: BanTarget::Session,
                ttl: thresholds.session_ban,
                grow: 1.0,
                max_ttl: thresholds.session_ban,
                jitter: 0.0,
            }));
        }
        let crossed = |threshold: &&Threshold| reaches(score, threshold.score) && !reaches(before, threshold.score);
        let rules = self.rules();
        let crossed = rules.thresholds().iter().rev().find(crossed);
        crossed.map(|threshold| threshold.action)
    }

    /// Ends a session for a while, with its connections.
    pub(super) fn ban_session(
        &self,
        account: &mut Account<'_, '_>,
        session: SessionId,
        why: std::fmt::Arguments<'_>,
        ttl: Duration,
    ) {
        let thresholds = &self.policy.thresholds;
        let now = account.now;
        let mut shard = self.sessions.shard(session);
        let connections = match account.mode {
            Mode::Enforce => shard.end(session, Some(ttl), thresholds.half_life, now),
            Mode::Monitor => shard.get(session).map(|record| {
                record.note_would_be_banned(now.mono.after(ttl));
                record.score.clear();
                record.connections()
            }),
        };
        drop(shard);
        self.sources.disown(account.request.client.source(), session);
        account.take(why, Consequence::SessionBanned(ttl));
        account.charge.address += self.charge_for_session(account);
        if account.is_enforced() {
            account.effects.push(Effect::SessionEnded { session, ttl });
        }
        account.drop_flows(connections.unwrap_or_default(), thresholds.flow_ban);
        self.blame_client(account, session);
    }

    /// A client whose sessions are banned one after the other is distrusted, and others who share its address are not.
    fn blame_client(&self, account: &mut Account<'_, '_>, session: SessionId) {
        let thresholds = &self.policy.thresholds;
        let client = client_mark(account.request);
        let (limits, guard, memory) = (thresholds.campaigns, thresholds.nat_guard, thresholds.growth.memory);
        let now = account.now.mono;
        let source = account.request.client.source().network();
        if self.blacklist().exempt(source).is_some() {
            return;
        }
        if let Some(strikes) = self.campaigns.blame(client, session, limits, guard, memory, now) {
            let entropy = account.request.reference.0;
            let ttl = thresholds.growth.ban(thresholds.address_ban, strikes, entropy);
            self.campaigns.condemn(client, ttl, account.mode, memory, now);
            account.take(
                format_args!("one session after the other"),
                Consequence::ClientBanned(ttl),
            );
        }
    }

    /// A source answers for its sessions. The line is written here, the verdict is drawn with the rest.
    fn charge_for_session(&self, account: &Account<'_, '_>) -> f32 {
        let points = self.policy.weights.session_banned;
        let line = account.line(Signal::SessionBanned, points);
        let source = account.request.client.source();
        self.sources.charge(source, line, self.fading(), account.now.mono);
        points
    }

    /// Address: collects points; at the threshold it is banned, unless neighbours would suffer. So is the prefix around
    /// it when many addresses in it did the same.
    pub(super) fn charge_address(&self, account: &mut Account<'_, '_>) {
        let points = account.charge.address;
        if points <= 0.0 {
            return;
        }
        let thresholds = &self.policy.thresholds;
        let source = account.request.client.source();
        let mono = account.now.mono;
        // The points for a banned session have their line already.
        let banned = account
            .consequences
            .iter()
            .any(|done| matches!(done, Consequence::SessionBanned(_)));
        let rest = if banned {
            points - self.policy.weights.session_banned
        } else {
            points
        };
        let line = account.line(account.charge.signal, rest.max(0.0));
        let tally = self.sources.charge(source, line, self.fading(), mono);
        let score = tally.score;
        let crowd = self
            .tiers
            .charge(source, points, &thresholds.tiers, thresholds.half_life, mono);
        if !reaches(score, thresholds.address) {
            account.note(format_args!("address score {score:.0} of {:.0}", thresholds.address));
        } else if tally.has_clean_neighbour {
            let why = format_args!("address score {score:.0}");
            account.spare(why, source.network(), Spared::Neighbours);
            account.drop_flows(vec![account.request.connection], thresholds.flow_ban);
        } else {
            self.ban_source(
                account,
                format_args!("address score {score:.0}"),
                thresholds.address_ban,
                &thresholds.growth,
            );
        }
        if let Some(crowd) = crowd {
            self.judge_crowd(account, &crowd);
        }
    }

    /// Bans the source of a request, for longer each time.
    pub(super) fn ban_source(
        &self,
        account: &mut Account<'_, '_>,
        why: std::fmt::Arguments<'_>,
        base: Duration,
        growth: &Growth,
    ) {
        let source = account.request.client.source();
        if self.ban_network(account, source.network(), why, base, growth) {
            self.sources.clear_score(source);
        }
        account.drop_flows(vec![account.request.connection], self.policy.thresholds.flow_ban);
    }

    /// Many sources of a prefix misbehaved: it is banned unless somebody calls cleanly from it.
    fn judge_crowd(&self, account: &mut Account<'_, '_>, crowd: &Crowd) {
        let (network, now) = (crowd.network, account.now.mono);
        let why = format!("{} addresses around, score {:.0}", crowd.sources, crowd.score);
        if self.has_clean_caller(network, account.session, now) {
            self.tiers.spare(network, now);
            return account.spare(format_args!("{why}"), network, Spared::Neighbours);
        }
        let thresholds = &self.policy.thresholds;
        let (base, growth) = (thresholds.tiers.ban, &thresholds.growth);
        if self.ban_network(account, network, format_args!("{why}"), base, growth) {
            self.tiers.clear(network);
        } else {
            self.tiers.spare(network, now);
        }
    }

    /// Whether anybody calls cleanly from a prefix. It has at most 65,536 sources, and is asked about once a minute.
    pub(super) fn has_clean_caller(&self, network: IpNet, offender: Option<SessionId>, now: MonoMillis) -> bool {
        let guard = self.policy.thresholds.nat_guard;
        Source::within(network).any(|source| self.sources.has_clean_neighbour(source, offender, guard, now))
    }

    /// Bans a network for longer each time. Whether it is banned now, or would be.
    pub(super) fn ban_network(
        &self,
        account: &mut Account<'_, '_>,
        network: IpNet,
        why: std::fmt::Arguments<'_>,
        base: Duration,
        growth: &Growth,
    ) -> bool {
        let strikes = self.escalations.strikes(network, growth, account.now.mono);
        let ttl = growth.ban(base, strikes, account.request.reference.0);
        let order = BanOrder {
            network,
            ttl,
            reason: format!("{}, {why}", account.refusal.cause()),
            origin: Origin::Score,
            source: None,
            by: None,
            reference: Some(account.request.reference),
            force: false,
        };
        match self.put_ban(order, account.mode, account.now) {
            Ok(ban) => {
                self.escalations.strike(network, growth, account.now.mono);
                account.take(why, Consequence::Banned(network, ttl));
                if account.is_enforced() {
                    account.effects.push(Effect::Ban(KernelBan::of(&ban, account.now)));
                }
                true
            }
            Err(refused) => {
                account.spare(why, network, Spared::Refused(refused.to_string()));
                false
            }
        }
    }

    /// Where the gate only watches, a ban goes to the list of those that would be.
    pub(super) fn put_ban(&self, order: BanOrder, mode: Mode, now: Now) -> Result<Ban, BanRefused> {
        match mode {
            Mode::Enforce => self.blacklist_mut().ban(order, now),
            Mode::Monitor => {
                self.blacklist().may_ban(&order)?;
                self.shadow_mut().ban(order, now)
            }
        }
    }
}
