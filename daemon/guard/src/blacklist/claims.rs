//! Who wants which network banned. Several may want the same one: the claim that lasts longest is the ban, and the
//! others wait behind it, so that a list which lets go of a network does not lift the operator's ban of it.
//!
//! A million bans are kept in some 35 MB: times are seconds, and claims with the same words share them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::shelf::Shelves;
use super::{Holder, Origin};
use crate::request::Reference;
use crate::time::{MonoMillis, Now, WallMillis};

/// The words of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Note {
    pub(super) origin: Origin,
    pub(super) source: Option<Arc<str>>,
    pub(super) reason: Arc<str>,
    pub(super) by: Option<Arc<str>>,
    pub(super) reference: Option<Reference>,
}

/// That somebody wants a network banned until then.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) note: Arc<Note>,
    pub(super) ends: MonoMillis,
    since: u32,
    until: u32,
}

impl Claim {
    pub(super) fn new(note: Arc<Note>, now: Now, ttl: Duration) -> Self {
        Self {
            note,
            ends: now.mono.after(ttl),
            since: seconds(now.wall),
            until: seconds(now.wall.after(ttl)),
        }
    }

    pub(super) fn since(&self) -> WallMillis {
        WallMillis(u64::from(self.since) * 1000)
    }

    pub(super) fn until(&self) -> WallMillis {
        WallMillis(u64::from(self.until) * 1000)
    }

    /// The same, as one that began at another time.
    pub(super) fn begun(self, since: WallMillis) -> Self {
        Self {
            since: seconds(since),
            ..self
        }
    }

    /// The same, with times that were told before: rounding them again would drift.
    pub(super) fn lasting(self, since: u32, until: u32) -> Self {
        Self { since, until, ..self }
    }

    pub(super) fn is_held_by(&self, holder: &Holder) -> bool {
        let Holder { origin, source } = holder;
        origin.is_none_or(|origin| origin == self.note.origin)
            && source
                .as_deref()
                .is_none_or(|source| self.note.source.as_deref() == Some(source))
    }

    /// Whether this replaces the other: the operator and the gate want a network once, and each list does. A list
    /// whose name was forgotten over a restart is any list.
    fn is_by_the_holder_of(&self, other: &Self) -> bool {
        let (new, old) = (&self.note, &other.note);
        new.origin == old.origin && (new.source == old.source || (new.origin == Origin::List && old.source.is_none()))
    }
}

/// Until the year 2106.
fn seconds(at: WallMillis) -> u32 {
    u32::try_from(at.seconds()).unwrap_or(u32::MAX)
}

/// What kind of network is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One IPv4 address.
    HostV4,
    /// One IPv6 address.
    HostV6,
    /// An IPv4 network.
    PrefixV4,
    /// An IPv6 network.
    PrefixV6,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::HostV4, Self::HostV6, Self::PrefixV4, Self::PrefixV6];

    /// Of a network.
    #[must_use]
    pub fn of(network: IpNet) -> Self {
        let host = network.prefix_len() == network.max_prefix_len();
        match (network, host) {
            (IpNet::V4(_), true) => Self::HostV4,
            (IpNet::V6(_), true) => Self::HostV6,
            (IpNet::V4(_), false) => Self::PrefixV4,
            (IpNet::V6(_), false) => Self::PrefixV6,
        }
    }
}

/// How many bans there are of each kind and origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([[usize; Kind::ALL.len()]; Origin::ALL.len()]);

impl Tally {
    /// Of this kind and origin.
    #[must_use]
    pub fn get(&self, kind: Kind, origin: Origin) -> usize {
        self.0[origin as usize][kind as usize]
    }

    fn change(&mut self, network: IpNet, claim: &Claim, by: isize) {
        let count = &mut self.0[claim.note.origin as usize][Kind::of(network) as usize];
        *count = count.saturating_add_signed(by);
    }
}

/// All claims, by network.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The one of each network that lasts longest.
    first: Shelves<Claim>,
    /// The others.
    more: BTreeMap<IpNet, Vec<Claim>>,
    tally: Tally,
    lists: BTreeMap<Arc<str>, usize>,
    /// No ban ends before this.
    first_end: MonoMillis,
    /// The same for those that were looked at since a walk through all began.
    first_end_seen: Option<MonoMillis>,
}

impl Claims {
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    pub(super) fn contains(&self, network: IpNet) -> bool {
        self.first.get(network).is_some()
    }

    pub(super) fn get(&self, network: IpNet) -> Option<&Claim> {
        self.first.get(network)
    }

    /// Every claim to a network, the one that holds first.
    pub(super) fn all(&self, network: IpNet) -> impl Iterator<Item = &Claim> {
        let first = self.first.get(network).into_iter();
        first.chain(self.more.get(&network).into_iter().flatten())
    }

    pub(super) fn iter(&self, from: Bound<IpNet>) -> impl Iterator<Item = (IpNet, &Claim)> {
        self.first.from(from)
    }

    /// Those in a network, itself included.
    pub(super) fn within(&self, network: IpNet) -> impl Iterator<Item = (IpNet, &Claim)> {
        let first = IpNet::new(network.network(), 0).unwrap_or(network);
        let last = network.broadcast();
        self.first
            .from(Bound::Included(first))
            .take_while(move |(inner, _)| inner.addr() <= last)
            .filter(move |(inner, _)| network.contains(inner))
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.lists.iter().map(|(name, count)| (name, *count))
    }

    pub(super) fn list_len(&self, name: &str) -> usize {
        self.lists.get(name).copied().unwrap_or(0)
    }

    /// Whether a holder has a claim to a network.
    pub(super) fn has(&self, network: IpNet, holder: &Holder) -> bool {
        self.all(network).any(|claim| claim.is_held_by(holder))
    }

    /// Adds a claim, or replaces what its holder claimed before.
    pub(super) fn put(&mut self, network: IpNet, claim: Claim, now: Now) {
        self.first_end = self.first_end.min(claim.ends);
        if let Some(seen) = &mut self.first_end_seen {
            *seen = (*seen).min(claim.ends);
        }
        if self.first.get(network).is_none() {
            self.count_list(&claim, 1);
            self.tally.change(network, &claim, 1);
            self.first.insert(network, claim);
            return;
        }
        let mut all = self.take(network);
        all.retain(|old| old.ends > now.mono);
        let old = all.iter().position(|old| claim.is_by_the_holder_of(old));
        let claim = match old.map(|place| all.swap_remove(place)) {
            Some(old) => claim.begun(old.since()),
            None => claim,
        };
        all.push(claim);
        self.put_back(network, all);
    }

    /// Removes every claim to a network, and returns the one that held.
    pub(super) fn remove(&mut self, network: IpNet) -> Option<Claim> {
        self.take(network).into_iter().next()
    }

    /// Removes the claims of a holder to a network. Returns how many, and the claim that holds now.
    pub(super) fn release(&mut self, network: IpNet, holder: &Holder) -> (usize, Option<&Claim>) {
        let mut all = self.take(network);
        let before = all.len();
        all.retain(|claim| !claim.is_held_by(holder));
        let released = before - all.len();
        self.put_back(network, all);
        (released, self.first.get(network))
    }

    /// Looks at `at_most` of them from `from` on, and removes what is over. Without a look if none can be.
    pub(super) fn expire(&mut self, from: Bound<IpNet>, at_most: usize, now: Now) -> (usize, Option<Bound<IpNet>>) {
        if from == Bound::Unbounded {
            if self.first_end > now.mono {
                return (0, None);
            }
            self.first_end_seen = Some(MonoMillis(u64::MAX));
        }
        let (mut over, mut seen, mut last) = (Vec::new(), 0, None);
        let mut first_end = MonoMillis(u64::MAX);
        for (network, claim) in self.first.from(from).take(at_most) {
            (seen, last) = (seen + 1, Some(network));
            if claim.ends <= now.mono {
                over.push(network);
            } else {
                first_end = first_end.min(claim.ends);
            }
        }
        for network in &over {
            self.remove(*network);
        }
        let first_end = first_end.min(self.first_end_seen.unwrap_or_default());
        self.first_end_seen = Some(first_end);
        let next = last.filter(|_| seen == at_most).map(Bound::Excluded);
        if next.is_none() {
            self.first_end = first_end;
            self.first_end_seen = None;
        }
        (over.len(), next)
    }

    /// Takes a network out, with all claims to it, the one that holds first.
    fn take(&mut self, network: IpNet) -> Vec<Claim> {
        let Some(first) = self.first.remove(network) else {
            return Vec::new();
        };
        self.tally.change(network, &first, -1);
        let mut all = vec![first];
        if !self.more.is_empty() {
            all.extend(self.more.remove(&network).into_iter().flatten());
        }
        for claim in &all {
            self.count_list(claim, -1);
        }
        all
    }

    fn put_back(&mut self, network: IpNet, mut all: Vec<Claim>) {
        for claim in &all {
            self.count_list(claim, 1);
        }
        let longest = (0..all.len()).max_by_key(|&place| (all[place].ends, std::cmp::Reverse(place)));
        let Some(longest) = longest else { return };
        let first = all.swap_remove(longest);
        self.tally.change(network, &first, 1);
        self.first.insert(network, first);
        if !all.is_empty() {
            self.more.insert(network, all);
        }
    }

    fn count_list(&mut self, claim: &Claim, by: isize) {
        let Some(name) = &claim.note.source else { return };
        let count = match self.lists.get_mut(name) {
            Some(count) => count,
            None => self.lists.entry(Arc::clone(name)).or_default(),
        };
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.lists.remove(name);
        }
    }
}
