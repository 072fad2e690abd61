//! What the operator asks for: bans, exemptions, sessions, explanations.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use ipnet::IpNet;

use super::Guard;
use crate::blacklist::{AllowRefused, Allowed, Ban, BanOrder, BanRefused, Standing};
use crate::effect::{Effect, KernelBan};
use crate::incident::Incident;
use crate::policy::Mode;
use crate::request::Reference;
use crate::session::{SessionId, SessionSummary};
use crate::time::Now;

impl Guard {
    /// Bans a network.
    ///
    /// # Errors
    /// [`BanRefused`] says why nothing was changed.
    pub fn ban(&self, order: BanOrder, now: Now) -> Result<(Ban, Vec<Effect>), BanRefused> {
        let (ttl, origin) = (order.ttl, order.origin);
        let ban = self.blacklist_mut().ban(order, now)?.clone();
        let effects = vec![Effect::Ban(KernelBan {
            network: ban.network,
            ttl,
            origin,
        })];
        Ok((ban, effects))
    }

    /// Ends a ban. `None` if there was none.
    pub fn unban(&self, network: IpNet) -> Option<(Ban, Vec<Effect>)> {
        let ban = self.blacklist_mut().unban(network)?;
        let effects = vec![Effect::Unban(ban.network)];
        Some((ban, effects))
    }

    /// The bans in force, by network.
    #[must_use]
    pub fn bans(&self, now: Now) -> Vec<Ban> {
        self.blacklist().bans(now).cloned().collect()
    }

    /// The ban of exactly this network, if it is in force.
    #[must_use]
    pub fn ban_of(&self, network: IpNet, now: Now) -> Option<Ban> {
        self.blacklist().ban_of(network, now).cloned()
    }

    /// Forgets the bans that are over and returns how many. The kernel ends them by itself: telling it again could lift
    /// a ban that was made a moment ago.
    pub fn expire_bans(&self, now: Now) -> usize {
        self.blacklist_mut().expire(now).len()
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
        let lifted = lifted.into_iter().map(|ban| Effect::Unban(ban.network));
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
        sessions.sort_by(|a, b| a.idle.cmp(&b.idle).then(b.score.total_cmp(&a.score)));
        sessions
    }

    /// How many sessions are in use.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Ends a session for good, with its connections. `None` if it is not in use.
    pub fn revoke(&self, id: SessionId, now: Now) -> Option<Vec<Effect>> {
        let thresholds = &self.policy.thresholds;
        let record = self.sessions.shard(id).end(id, None, thresholds.half_life, now)?;
        let ended = Effect::SessionEnded {
            session: id,
            ttl: self.policy.sessions.lifetime,
        };
        let connections = record.connections().to_vec();
        // The operator's word has no reference.
        let drop = Effect::DropFlows {
            connections,
            ttl: thresholds.flow_ban,
            reference: Reference(0),
        };
        Some(vec![ended, drop])
    }

    /// The incident of a reference, if it is still remembered.
    #[must_use]
    pub fn incident(&self, reference: Reference) -> Option<Incident> {
        self.ledger().incidents.find(reference).cloned()
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
        self.policy.mode
    }
}
