//! What the operator asks for: bans, exemptions, sessions, explanations.

use std::net::IpAddr;
use std::ops::{Bound, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ipnet::IpNet;

use super::Guard;
use crate::blacklist::list::{AT_ONCE, List, ListRefused, Plan};
use crate::blacklist::{AllowRefused, Allowed, Ban, BanOrder, BanRefused, Blacklist, Holder, Standing, Tally};
use crate::effect::{Effect, KernelBan};
use crate::incident::Incident;
use crate::learn::Recorder;
use crate::ledger::Ledger;
use crate::policy::{Mode, Share};
use crate::request::{ClientAddress, ConnectionId, Reference};
use crate::session::calls::RecentCall;
use crate::session::{SessionId, SessionStatus, SessionSummary};
use crate::source::SourceSummary;
use crate::time::Now;

impl Guard {
    /// Bans a network.
    ///
    /// # Errors
    /// [`BanRefused`] says why nothing was changed.
    pub fn ban(&self, order: BanOrder, now: Now) -> Result<(Ban, Vec<Effect>), BanRefused> {
        let ban = self.blacklist_mut().ban(order, now)?;
        let effects = vec![Effect::Ban(KernelBan::of(&ban, now))];
        Ok((ban, effects))
    }

    /// Ends a ban. `None` if there was none.
    pub fn unban(&self, network: IpNet) -> Option<(Ban, Vec<Effect>)> {
        let ban = self.blacklist_mut().unban(network)?;
        // It was wrong, or is forgiven.
        self.escalations.forgive(ban.network);
        let effects = vec![Effect::Unban(ban.network)];
        Some((ban, effects))
    }

    /// Ends every ban of a network and its holder from `from` on. Returns what to do, and where to go on.
    pub fn release(
        &self,
        from: Bound<IpNet>,
        holder: &Holder,
        keep: impl Fn(IpNet) -> bool,
        now: Now,
    ) -> (Vec<Effect>, Option<Bound<IpNet>>) {
        let (networks, next) = self.some_bans(from, |blacklist, ban| {
            (blacklist.is_held(ban.network, holder) && !keep(ban.network)).then_some(ban.network)
        });
        let mut blacklist = self.blacklist_mut();
        let mut effects = Vec::with_capacity(networks.len());
        for network in networks {
            effects.extend(match blacklist.release(network, holder) {
                (false, _) => None,
                (true, None) => Some(Effect::Unban(network)),
                (true, Some(left)) => Some(Effect::Ban(KernelBan::of(&left, now))),
            });
        }
        (effects, next)
    }

    /// The bans in force, by network.
    #[must_use]
    pub fn bans(&self, now: Now) -> Vec<Ban> {
        let (mut bans, mut from) = (Vec::new(), Some(Bound::Unbounded));
        while let Some(start) = from {
            let (some, next) = self.bans_from(start, now);
            bans.extend(some);
            from = next;
        }
        bans
    }

    /// A few thousand bans in force from a network on, by network, and where to go on. Nobody waits for long.
    #[must_use]
    pub fn bans_from(&self, from: Bound<IpNet>, now: Now) -> (Vec<Ban>, Option<Bound<IpNet>>) {
        self.some_bans(from, |_, ban| (!ban.remaining(now).is_zero()).then_some(ban))
    }

    /// The same, as the kernel needs to know them.
    #[must_use]
    pub fn kernel_bans_from(&self, from: Bound<IpNet>, now: Now) -> (Vec<KernelBan>, Option<Bound<IpNet>>) {
        self.blacklist().kernel_bans_from(from, AT_ONCE, now)
    }

    /// The ban of exactly this network, if it is in force, as the kernel needs to know it.
    #[must_use]
    pub fn kernel_ban_of(&self, network: IpNet, now: Now) -> Option<KernelBan> {
        self.blacklist().kernel_ban_of(network, now)
    }

    fn some_bans<T>(
        &self,
        from: Bound<IpNet>,
        mut pick: impl FnMut(&Blacklist, Ban) -> Option<T>,
    ) -> (Vec<T>, Option<Bound<IpNet>>) {
        let blacklist = self.blacklist();
        let (mut picked, mut seen, mut last) = (Vec::new(), 0, None);
        for ban in blacklist.all_from(from).take(AT_ONCE) {
            (seen, last) = (seen + 1, Some(ban.network));
            picked.extend(pick(&blacklist, ban));
        }
        (picked, last.filter(|_| seen == AT_ONCE).map(Bound::Excluded))
    }

    /// Whether a list may be imported, and what that does. Takes out of it what overlaps the never-ban set.
    ///
    /// # Errors
    /// [`ListRefused`]: nothing was changed, and nothing should be.
    pub fn plan_import(&self, list: &mut List, force: bool) -> Result<Plan, ListRefused> {
        let mut plan = Plan::default();
        let mut from = Some(0);
        while let Some(start) = from {
            from = self.blacklist().sift(list, start, &mut plan);
        }
        self.blacklist().consider(list, &mut plan, force)?;
        Ok(plan)
    }

    /// Bans a part of a list: one of [`List::steps`].
    pub fn import(&self, list: &List, part: Range<usize>, now: Now) -> Vec<KernelBan> {
        self.blacklist_mut().import(list, part, now)
    }

    /// How many networks are banned, and how many may be.
    #[must_use]
    pub fn ban_count(&self) -> (usize, usize) {
        let blacklist = self.blacklist();
        (blacklist.len(), blacklist.capacity())
    }

    /// How many bans there are of each kind and origin.
    #[must_use]
    pub fn ban_tally(&self) -> Tally {
        self.blacklist().tally()
    }

    /// The lists that were imported, and how many networks each of them bans.
    #[must_use]
    pub fn lists(&self) -> Vec<(Arc<str>, usize)> {
        let blacklist = self.blacklist();
        blacklist
            .lists()
            .map(|(name, count)| (Arc::clone(name), count))
            .collect()
    }

    /// The ban of exactly this network, if it is in force.
    #[must_use]
    pub fn ban_of(&self, network: IpNet, now: Now) -> Option<Ban> {
        self.blacklist().ban_of(network, now)
    }

    /// Forgets the bans that are over and returns how many. The kernel ends them by itself: telling it again could lift
    /// a ban that was made a moment ago.
    pub fn expire_bans(&self, now: Now) -> usize {
        let (mut over, mut from) = (0, Some(Bound::Unbounded));
        while let Some(start) = from {
            let (some, next) = self.blacklist_mut().expire_some(start, AT_ONCE, now);
            over += some;
            from = next;
        }
        self.shadow_mut().expire(now);
        over
    }

    /// Everything known of an address.
    #[must_use]
    pub fn standing(&self, address: IpAddr, now: Now) -> Standing {
        self.blacklist().standing(address, now)
    }

    /// Puts a network into the never-ban set; bans inside it are lifted.
    ///
    /// # Errors
    /// [`AllowRefused::Full`].
    pub fn allow(&self, entry: Allowed, _now: Now) -> Result<Vec<Effect>, AllowRefused> {
        let network = entry.network.trunc();
        let lifted = self.blacklist_mut().allow(entry)?;
        let lifted = lifted.into_iter().map(Effect::Unban);
        Ok(std::iter::once(Effect::Allow(network)).chain(lifted).collect())
    }

    /// Takes a network out of the never-ban set.
    ///
    /// # Errors
    /// [`AllowRefused`].
    pub fn disallow(&self, network: IpNet, _now: Now) -> Result<(Allowed, Vec<Effect>), AllowRefused> {
        let entry = self.blacklist_mut().disallow(network)?;
        let effects = vec![Effect::Disallow(entry.network)];
        Ok((entry, effects))
    }

    /// The never-ban set, by network.
    #[must_use]
    pub fn allowed(&self) -> Vec<Allowed> {
        self.blacklist().allowed().cloned().collect()
    }

    /// Sessions in use or ended, the most recently used first.
    #[must_use]
    pub fn sessions(&self, now: Now) -> Vec<SessionSummary> {
        let mut sessions = self.sessions.summaries(self.policy.thresholds.half_life, now);
        sessions.iter_mut().for_each(|session| self.mark_over(session, now));
        sessions.sort_by(|a, b| a.idle.cmp(&b.idle).then(b.score.total_cmp(&a.score)));
        sessions
    }

    /// A session, in use or ended, and where its points came from.
    #[must_use]
    pub fn session_account(&self, id: SessionId, now: Now) -> Option<(SessionSummary, Ledger)> {
        let half_life = self.policy.thresholds.half_life;
        let (mut summary, ledger) = self.sessions.shard(id).account(id, half_life, now)?;
        self.mark_over(&mut summary, now);
        Some((summary, ledger))
    }

    /// A session that is over stays in memory until somebody needs its place.
    fn mark_over(&self, session: &mut SessionSummary, now: Now) {
        let is_over = session.idle > self.policy.sessions.idle || session.expires <= now.wall;
        if is_over && matches!(session.status, SessionStatus::Active | SessionStatus::Suspended) {
            session.status = SessionStatus::Over;
        }
    }

    /// The connections that a session in use was last seen on; some may have ended.
    #[must_use]
    pub fn connections_of(&self, id: SessionId) -> Vec<ConnectionId> {
        let mut shard = self.sessions.shard(id);
        shard.get(id).map(|record| record.connections()).unwrap_or_default()
    }

    /// The last calls of a session that were admitted, the oldest first.
    #[must_use]
    pub fn calls_of(&self, id: SessionId) -> Vec<RecentCall> {
        self.timelines.of(id)
    }

    /// What a session was refused, or would have been, as far as it is remembered; the oldest first.
    #[must_use]
    pub fn incidents_of(&self, id: SessionId) -> Vec<Incident> {
        let ledger = self.ledger();
        let of_session = ledger
            .incidents
            .recent()
            .filter(|incident| incident.session == Some(id));
        let mut found: Vec<Incident> = of_session.cloned().collect();
        found.reverse();
        found
    }

    /// What is known of the source of an address.
    #[must_use]
    pub fn source_account(&self, client: ClientAddress, now: Now) -> SourceSummary {
        self.sources.summary(client.source(), self.fading(), now.mono)
    }

    /// How many sessions are in use.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Ends a session for good, with its connections. `None` if it is not in use.
    pub fn revoke(&self, id: SessionId, now: Now) -> Option<Vec<Effect>> {
        let thresholds = &self.policy.thresholds;
        let connections = self.sessions.shard(id).end(id, None, thresholds.half_life, now)?;
        let ended = Effect::SessionEnded {
            session: id,
            ttl: self.policy.sessions.lifetime,
        };
        // The operator's word has no reference.
        let drop = Effect::DropFlows {
            connections,
            ttl: thresholds.flow_ban,
            reference: Reference(0),
        };
        Some(vec![ended, drop])
    }

    /// Takes the end of a session back, be it revoked or banned: it goes on as it was, without points. `None` if it was
    /// not ended.
    pub fn reinstate(&self, id: SessionId, now: Now) -> Option<Vec<Effect>> {
        let is_back = self.sessions.shard(id).reinstate(id, now);
        is_back.then(|| vec![Effect::SessionRestored(id)])
    }

    /// The incident of a reference, if it is still remembered.
    #[must_use]
    pub fn incident(&self, reference: Reference) -> Option<Incident> {
        self.ledger().incidents.find(reference).cloned()
    }

    /// Records what sessions do, for rules to be learned from it.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The last incidents, newest first.
    #[must_use]
    pub fn recent_incidents(&self, limit: usize) -> Vec<Incident> {
        self.ledger().incidents.recent().take(limit).cloned().collect()
    }

    /// How often each cause led to a refusal, by name.
    #[must_use]
    pub fn refusal_counts(&self) -> Vec<(&'static str, u64)> {
        self.ledger()
            .counts
            .iter()
            .map(|(&cause, &count)| (cause, count))
            .collect()
    }

    /// Signed calls that were admitted.
    #[must_use]
    pub fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Monitor or enforce.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.enforcement.mode()
    }

    /// Changes for which share of the sessions verdicts have consequences. What a session or an address would have been
    /// banned for while it was watched does not become a ban.
    pub fn set_enforcement(&self, mode: Mode, share: Share) {
        self.enforcement.set(mode, share);
    }

    /// For which share of the sessions verdicts have consequences.
    #[must_use]
    pub fn enforced_share(&self) -> Share {
        self.enforcement.share()
    }
}
