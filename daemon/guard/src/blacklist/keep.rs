//! What of the set outlives the process: claims as values, to be written down and to be given back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::claims::{Claim, Note};
use super::{Ban, Blacklist, LONGEST_BAN, Origin, canonical};
use crate::effect::KernelBan;
use crate::request::Reference;
use crate::time::{Now, WallMillis};

/// That somebody wants a network banned, with its end by the wall clock: the monotonic one ends with the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptClaim {
    /// Who wanted it.
    pub origin: Origin,
    /// Why, in words for the operator.
    pub reason: Arc<str>,
    /// The list that it is on.
    pub source: Option<Arc<str>>,
    /// The operator.
    pub by: Option<Arc<str>>,
    /// The refusal that led to it.
    pub reference: Option<Reference>,
    /// When it began, in seconds since 1970.
    pub since: u32,
    /// When it ends, in seconds since 1970.
    pub until: u32,
}

impl KeptClaim {
    fn of(claim: &Claim) -> Self {
        let note = &claim.note;
        Self {
            origin: note.origin,
            reason: Arc::clone(&note.reason),
            source: note.source.clone(),
            by: note.by.clone(),
            reference: note.reference,
            since: seconds(claim.since()),
            until: seconds(claim.until()),
        }
    }

    /// What is left of it. A clock that was set back does not make it longer than it was told.
    #[must_use]
    pub fn remaining(&self, now: Now) -> Duration {
        let until = Duration::from_secs(self.until.into());
        let left = until.saturating_sub(Duration::from_millis(now.wall.0));
        let whole = Duration::from_secs(self.until.saturating_sub(self.since).into());
        left.min(whole).min(LONGEST_BAN)
    }

    fn is_the_note_of(&self, note: &Note) -> bool {
        note.origin == self.origin
            && note.reason == self.reason
            && note.source == self.source
            && note.by == self.by
            && note.reference == self.reference
    }
}

/// Gives claims back, in the order of their networks. Claims with the same words share them.
#[derive(Debug, Default)]
pub struct Restorer {
    last: Option<Arc<Note>>,
}

impl Restorer {
    fn note(&mut self, kept: &KeptClaim) -> Arc<Note> {
        if let Some(last) = self.last.as_ref().filter(|last| kept.is_the_note_of(last)) {
            return Arc::clone(last);
        }
        let note = Arc::new(Note {
            origin: kept.origin,
            source: kept.source.clone(),
            reason: Arc::clone(&kept.reason),
            by: kept.by.clone(),
            reference: kept.reference,
        });
        self.last = Some(Arc::clone(&note));
        note
    }
}

impl Blacklist {
    /// Every claim to a network, the one that holds first.
    #[must_use]
    pub fn claims_of(&self, network: IpNet) -> Vec<KeptClaim> {
        self.bans.all(canonical(network)).map(KeptClaim::of).collect()
    }

    /// Puts a claim back that was kept. `None` if it is over, overlaps the never-ban set, or finds no room.
    pub fn restore(
        &mut self,
        network: IpNet,
        kept: &KeptClaim,
        restorer: &mut Restorer,
        now: Now,
    ) -> Option<KernelBan> {
        let (network, left) = (canonical(network), kept.remaining(now));
        let is_known = self.bans.contains(network);
        if left.is_zero() || (!is_known && self.len() >= self.capacity) || self.is_inside_the_exempt(network) {
            return None;
        }
        self.lengths.add(network);
        let claim = Claim::new(restorer.note(kept), now, left).lasting(kept.since, kept.until);
        self.bans.put(network, claim, now);
        self.kernel_ban_of(network, now)
    }

    /// Gives a network the claims that it had before, instead of those it has. What the gate itself claimed since
    /// `since` stays. Returns the ban that holds now.
    pub fn put_back(&mut self, network: IpNet, before: &[KeptClaim], since: WallMillis, now: Now) -> Option<Ban> {
        let own = |claim: &KeptClaim| match claim.origin {
            Origin::Score | Origin::Rate => claim.since >= seconds(since),
            Origin::Operator | Origin::List => false,
        };
        let newer: Vec<_> = self.claims_of(network).into_iter().filter(own).collect();
        self.bans.remove(canonical(network));
        let mut restorer = Restorer::default();
        for claim in before.iter().chain(&newer) {
            self.restore(network, claim, &mut restorer, now);
        }
        self.in_force(canonical(network), now)
    }

    /// A ban around an exempt network was forced, and stays; one inside it has no effect.
    fn is_inside_the_exempt(&self, network: IpNet) -> bool {
        if self.allowed.is_empty() {
            return false;
        }
        let address: IpAddr = network.addr();
        self.lengths
            .networks_of(address)
            .filter(|around| around.prefix_len() <= network.prefix_len())
            .any(|around| self.allowed.contains_key(&around))
    }
}

fn seconds(at: WallMillis) -> u32 {
    u32::try_from(at.seconds()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blacklist::{Allowed, BanOrder};
    use crate::time::MonoMillis;

    fn at(seconds: u64, booted: u64) -> Now {
        Now {
            wall: WallMillis(1_800_000_000_000 + seconds * 1000),
            mono: MonoMillis((seconds - booted) * 1000),
        }
    }

    fn order(network: &str, origin: Origin, ttl: u64) -> BanOrder {
        BanOrder {
            network: network.parse().unwrap(),
            ttl: Duration::from_secs(ttl),
            reason: "because".into(),
            origin,
            source: None,
            by: Some("anna".into()),
            reference: Some(Reference(7)),
            force: false,
        }
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn claims_come_back_as_they_were() {
        let mut before = Blacklist::new(10);
        before
            .ban(order("10.0.0.1/32", Origin::Operator, 3600), at(0, 0))
            .unwrap();
        before.ban(order("10.0.0.1/32", Origin::Score, 60), at(10, 0)).unwrap();
        let kept = before.claims_of(net("10.0.0.1/32"));
        assert_eq!(kept.len(), 2);
        let (mut after, now) = (Blacklist::new(10), at(30, 20));
        let mut restorer = Restorer::default();
        for claim in &kept {
            after.restore(net("10.0.0.1/32"), claim, &mut restorer, now).unwrap();
        }
        assert_eq!(after.claims_of(net("10.0.0.1/32")), kept);
        let ban = after.ban_of(net("10.0.0.1/32"), now).unwrap();
        assert_eq!(ban.remaining(now), Duration::from_secs(3570));
        assert_eq!(ban.by.as_deref(), Some("anna"));
    }

    #[test]
    fn none_lasts_longer_than_told_and_what_is_over_stays_over() {
        let mut before = Blacklist::new(10);
        before
            .ban(order("10.0.0.1/32", Origin::Operator, 60), at(1000, 0))
            .unwrap();
        let kept = before.claims_of(net("10.0.0.1/32")).remove(0);
        assert_eq!(kept.remaining(at(1030, 0)), Duration::from_secs(30));
        assert_eq!(
            kept.remaining(at(0, 0)),
            Duration::from_secs(60),
            "the clock was set back"
        );
        assert_eq!(kept.remaining(at(1060, 0)), Duration::ZERO);
        let mut after = Blacklist::new(10);
        let over = after.restore(net("10.0.0.1/32"), &kept, &mut Restorer::default(), at(1060, 0));
        assert_eq!((over, after.len()), (None, 0));
    }

    #[test]
    fn never_ban_and_capacity_hold_for_what_comes_back() {
        let mut before = Blacklist::new(10);
        before
            .ban(order("10.0.0.0/24", Origin::Operator, 60), at(0, 0))
            .unwrap();
        let kept = before.claims_of(net("10.0.0.0/24")).remove(0);
        let mut after = Blacklist::new(1);
        after.allow(Allowed::fixed(net("10.0.0.9/32"), "office")).unwrap();
        let mut restorer = Restorer::default();
        assert_eq!(after.restore(net("10.0.0.9/32"), &kept, &mut restorer, at(0, 0)), None);
        assert!(
            after
                .restore(net("10.0.0.0/24"), &kept, &mut restorer, at(0, 0))
                .is_some(),
            "forced once"
        );
        assert_eq!(
            after.restore(net("10.0.1.0/24"), &kept, &mut restorer, at(0, 0)),
            None,
            "full"
        );
    }

    #[test]
    fn going_back_keeps_what_the_gate_found_since() {
        let mut list = Blacklist::new(10);
        list.ban(order("10.0.0.1/32", Origin::Operator, 60), at(0, 0)).unwrap();
        let before = list.claims_of(net("10.0.0.1/32"));
        list.ban(order("10.0.0.1/32", Origin::Operator, 600), at(10, 0))
            .unwrap();
        list.ban(order("10.0.0.1/32", Origin::Score, 30), at(12, 0)).unwrap();
        let ban = list
            .put_back(net("10.0.0.1/32"), &before, at(10, 0).wall, at(15, 0))
            .unwrap();
        assert_eq!(ban.remaining(at(15, 0)), Duration::from_secs(45));
        assert_eq!(list.claims_of(net("10.0.0.1/32")).len(), 2);
        assert_eq!(list.put_back(net("10.0.0.1/32"), &[], at(13, 0).wall, at(15, 0)), None);
    }
}
