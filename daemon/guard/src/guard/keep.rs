//! What outlives the process: read out to be written down, and given back at the next start.

use std::time::Duration;

use ipnet::IpNet;

use super::Guard;
use crate::blacklist::{AllowRefused, Allowed, KeptClaim, Restorer};
use crate::effect::{Effect, KernelBan};
use crate::session::{KeptSession, SessionId};
use crate::time::{Now, WallMillis};

impl Guard {
    /// Every claim to each of these networks, the one that holds first. One lock for all: ask for a few thousand.
    #[must_use]
    pub fn claims_of(&self, networks: &[IpNet]) -> Vec<Vec<KeptClaim>> {
        let blacklist = self.blacklist();
        networks.iter().map(|network| blacklist.claims_of(*network)).collect()
    }

    /// Gives claims back, in the order of their networks. Returns the bans that hold by them, for the kernel.
    pub fn restore_bans(&self, kept: &[(IpNet, KeptClaim)], restorer: &mut Restorer, now: Now) -> Vec<KernelBan> {
        let mut blacklist = self.blacklist_mut();
        let holding = kept
            .iter()
            .filter_map(|(network, claim)| blacklist.restore(*network, claim, restorer, now));
        holding.collect()
    }

    /// Gives a network the claims that it had before a change at `since`, instead of those it has.
    pub fn put_back(&self, network: IpNet, before: &[KeptClaim], since: WallMillis, now: Now) -> Effect {
        match self.blacklist_mut().put_back(network, before, since, now) {
            Some(ban) => Effect::Ban(KernelBan::of(&ban, now)),
            None => Effect::Unban(network),
        }
    }

    /// The entry of the never-ban set for exactly this network.
    #[must_use]
    pub fn allowed_entry(&self, network: IpNet) -> Option<Allowed> {
        self.blacklist().allowed_entry(network).cloned()
    }

    /// Makes these entries, and no others, the part of the never-ban set that the machine and its configuration fix.
    ///
    /// # Errors
    /// [`AllowRefused::Full`]; nothing was changed then.
    pub fn fix(&self, entries: Vec<Allowed>) -> Result<Vec<Effect>, AllowRefused> {
        let fixed = self.blacklist_mut().fix(entries)?;
        let added = fixed.added.into_iter().map(Effect::Allow);
        let removed = fixed.removed.into_iter().map(Effect::Disallow);
        Ok(added
            .chain(fixed.lifted.into_iter().map(Effect::Unban))
            .chain(removed)
            .collect())
    }

    /// Ends the entries of the never-ban set that are over.
    pub fn expire_allowed(&self, now: Now) -> Vec<Effect> {
        let over = self.blacklist_mut().expire_allowed(now);
        over.into_iter().map(Effect::Disallow).collect()
    }

    /// What is left of the bans of a network, by which the next one is longer. `None` if that is as good as nothing.
    #[must_use]
    pub fn strikes_of(&self, network: IpNet, now: Now) -> Option<f32> {
        self.escalations.kept(network, &self.policy.thresholds.growth, now.mono)
    }

    /// Gives back what was left of the bans of a network at a moment before a restart.
    pub fn restore_strikes(&self, network: IpNet, points: f32, at: WallMillis, now: Now) {
        let ago = Duration::from_millis(now.wall.0.saturating_sub(at.0));
        let growth = &self.policy.thresholds.growth;
        self.escalations.restore(network, points, ago, growth, now.mono);
    }

    /// A session that was ended before its time. `None` if it was not, or its time is over.
    #[must_use]
    pub fn ended_session(&self, id: SessionId, now: Now) -> Option<KeptSession> {
        self.sessions.shard(id).keep(id, now)
    }

    /// Ends a session that was ended before a restart.
    pub fn restore_session(&self, kept: &KeptSession, now: Now) {
        self.sessions.shard(kept.id).restore(kept, now);
    }
}
