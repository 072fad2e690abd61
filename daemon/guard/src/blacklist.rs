//! The intended set: who is banned, why, since when and until when, and who is never banned.
//!
//! The kernel maps mirror this set; they are never the source of truth. Every ban ends (invariant I4).

mod claims;
mod fixed;
mod keep;
pub mod list;
mod order;
mod shelf;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::effect::KernelBan;
use crate::request::Reference;
use crate::time::{MonoMillis, Now, WallMillis};
use claims::{Claim, Claims, Note};
pub use claims::{Kind, Tally};
pub use fixed::Fixed;
pub use keep::{KeptClaim, Restorer};
pub use order::{AllowRefused, BanOrder, BanRefused, Holder};

/// The longest ban that can be given: ten years. A ban without end would outlive its reason.
pub const LONGEST_BAN: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Shortest prefixes that may be banned without force: a /8 of IPv4, a /19 of IPv6.
pub const SHORTEST_PREFIX: (u8, u8) = (8, 19);

/// Who wanted a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The operator, by the command line.
    Operator,
    /// The gate itself, by score.
    Score,
    /// A list that was imported.
    List,
    /// The gate itself, for packets over the rate limits.
    Rate,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Operator, Self::Score, Self::List, Self::Rate];

    /// As shown to the operator.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Score => "score",
            Self::List => "list",
            Self::Rate => "rate",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A ban as it stands. When several want the same network banned, the one who wants it for longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// A host (/32, /128) or a prefix.
    pub network: IpNet,
    /// Why, in words for the operator.
    pub reason: Arc<str>,
    /// Who wanted it.
    pub origin: Origin,
    /// The list that it is on.
    pub source: Option<Arc<str>>,
    /// The operator who asked for it.
    pub by: Option<Arc<str>>,
    /// When it began, to the second.
    pub since: WallMillis,
    /// When it ends, to the second, for people. The decision goes by the monotonic clock.
    pub until: WallMillis,
    /// The refusal that led to it.
    pub reference: Option<Reference>,
    ends: MonoMillis,
}

impl Ban {
    fn of(network: IpNet, claim: &Claim) -> Self {
        Self {
            network,
            reason: Arc::clone(&claim.note.reason),
            origin: claim.note.origin,
            source: claim.note.source.clone(),
            by: claim.note.by.clone(),
            since: claim.since(),
            until: claim.until(),
            reference: claim.note.reference,
            ends: claim.ends,
        }
    }

    /// Time that is left; zero when it is over.
    #[must_use]
    pub fn remaining(&self, now: Now) -> Duration {
        self.ends.since(now.mono)
    }
}

/// A network that is never banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The network.
    pub network: IpNet,
    /// Why, in words for the operator.
    pub reason: String,
    /// Entries from the configuration and of the machine itself cannot be deleted by command.
    pub fixed: bool,
    /// When it was made; `None` for fixed entries.
    pub since: Option<WallMillis>,
    /// When it ends, to the second; `None`: never.
    pub until: Option<WallMillis>,
    /// The operator who asked for it.
    pub by: Option<Arc<str>>,
}

impl Allowed {
    /// An entry that belongs to the machine or its configuration.
    #[must_use]
    pub fn fixed(network: IpNet, reason: &str) -> Self {
        Self {
            network,
            reason: reason.into(),
            fixed: true,
            since: None,
            until: None,
            by: None,
        }
    }
}

/// What is known of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The never-ban entry that covers it; it wins over every ban.
    pub allowed: Option<Allowed>,
    /// The bans that cover it, the most specific first.
    pub bans: Vec<Ban>,
}

/// Bans and the never-ban set.
#[derive(Debug)]
pub struct Blacklist {
    bans: Claims,
    allowed: BTreeMap<IpNet, Allowed>,
    lengths: Lengths,
    capacity: usize,
}

/// The prefix lengths that entries had since the start, longest first: an address is looked up once for each.
#[derive(Debug, Default)]
struct Lengths {
    v4: BTreeSet<Reverse<u8>>,
    v6: BTreeSet<Reverse<u8>>,
}

impl Lengths {
    fn add(&mut self, network: IpNet) {
        let lengths = match network {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        };
        lengths.insert(Reverse(network.prefix_len()));
    }

    /// The networks that contain an address and may have an entry, from the host outwards.
    fn networks_of(&self, address: IpAddr) -> impl Iterator<Item = IpNet> {
        let address = address.to_canonical();
        let lengths = match address {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        lengths
            .iter()
            .filter_map(move |&Reverse(length)| IpNet::new(address, length).ok().map(|network| network.trunc()))
    }
}

/// Entries that the never-ban set holds: it is for management networks, not for lists.
pub const NEVER_BAN_CAPACITY: usize = 1024;

impl Blacklist {
    /// An empty list for at most `capacity` bans.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            bans: Claims::default(),
            allowed: BTreeMap::new(),
            lengths: Lengths::default(),
            capacity,
        }
    }

    /// Bans a network, or changes the end of its ban. Returns the ban that holds now: somebody else's, if that lasts
    /// longer.
    ///
    /// # Errors
    /// [`BanRefused`] says why nothing was changed.
    pub fn ban(&mut self, order: BanOrder, now: Now) -> Result<Ban, BanRefused> {
        let network = canonical(order.network);
        self.check_order(network, &order)?;
        if !self.bans.contains(network) && self.bans.len() >= self.capacity {
            self.expire(now);
            if self.bans.len() >= self.capacity {
                return Err(BanRefused::Full {
                    capacity: self.capacity,
                });
            }
        }
        let note = Note {
            origin: order.origin,
            source: order.source,
            reason: order.reason.into(),
            by: order.by,
            reference: order.reference,
        };
        self.lengths.add(network);
        let claim = Claim::new(Arc::new(note), now, order.ttl);
        let asked = Ban::of(network, &claim);
        self.bans.put(network, claim, now);
        Ok(self.in_force(network, now).unwrap_or(asked))
    }

    /// Whether an order would be carried out, but for the room.
    ///
    /// # Errors
    /// [`BanRefused`].
    pub fn may_ban(&self, order: &BanOrder) -> Result<(), BanRefused> {
        self.check_order(canonical(order.network), order)
    }

    fn check_order(&self, network: IpNet, order: &BanOrder) -> Result<(), BanRefused> {
        if order.ttl < Duration::from_secs(1) || order.ttl > LONGEST_BAN {
            return Err(BanRefused::Duration);
        }
        if let (Some(shortest), false) = (too_wide(network), order.force) {
            return Err(BanRefused::TooWide { network, shortest });
        }
        // Force bans what lies around an exempt network; it never reaches into it (I7).
        match self.exempt(network) {
            Some(entry) if entry.network.contains(&network) || !order.force => Err(BanRefused::NeverBan {
                network,
                allowed: entry.network,
                reason: entry.reason.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Ends a ban, whoever wanted it. `None` if there was none.
    pub fn unban(&mut self, network: IpNet) -> Option<Ban> {
        let network = canonical(network);
        self.bans.remove(network).map(|claim| Ban::of(network, &claim))
    }

    /// Ends what a holder wants banned. Returns whether there was such a claim, and the ban that holds all the same.
    pub fn release(&mut self, network: IpNet, holder: &Holder) -> (bool, Option<Ban>) {
        let (released, left) = self.bans.release(network, holder);
        (released > 0, left.map(|claim| Ban::of(network, claim)))
    }

    /// Whether a holder wants exactly this network banned.
    #[must_use]
    pub fn is_held(&self, network: IpNet, holder: &Holder) -> bool {
        self.bans.has(network, holder)
    }

    /// Removes all bans that are over and returns how many.
    pub fn expire(&mut self, now: Now) -> usize {
        let (mut over, mut from) = (0, Some(Bound::Unbounded));
        while let Some(start) = from {
            let (some, next) = self.expire_some(start, usize::MAX, now);
            over += some;
            from = next;
        }
        over
    }

    /// Looks at `at_most` bans from `from` on, removes those that are over, and returns how many and where to go on.
    pub fn expire_some(&mut self, from: Bound<IpNet>, at_most: usize, now: Now) -> (usize, Option<Bound<IpNet>>) {
        self.bans.expire(from, at_most, now)
    }

    /// The bans in force, by network.
    pub fn bans(&self, now: Now) -> impl Iterator<Item = Ban> {
        self.all_from(Bound::Unbounded)
            .filter(move |ban| !ban.remaining(now).is_zero())
    }

    /// How many networks a list bans.
    #[must_use]
    pub fn list_len(&self, name: &str) -> usize {
        self.bans.list_len(name)
    }

    /// The bans from a network on, by network, with those that are just over.
    pub fn all_from(&self, from: Bound<IpNet>) -> impl Iterator<Item = Ban> {
        self.bans.iter(from).map(|(network, claim)| Ban::of(network, claim))
    }

    /// At most so many bans in force from a network on, as the kernel needs to know them, and where to go on.
    pub(crate) fn kernel_bans_from(
        &self,
        from: Bound<IpNet>,
        at_most: usize,
        now: Now,
    ) -> (Vec<KernelBan>, Option<Bound<IpNet>>) {
        let (mut bans, mut seen, mut last) = (Vec::with_capacity(at_most), 0, None);
        for (network, claim) in self.bans.iter(from).take(at_most) {
            (seen, last) = (seen + 1, Some(network));
            if claim.ends > now.mono {
                bans.push(kernel_ban(network, claim, now));
            }
        }
        (bans, last.filter(|_| seen == at_most).map(Bound::Excluded))
    }

    pub(crate) fn kernel_ban_of(&self, network: IpNet, now: Now) -> Option<KernelBan> {
        let network = canonical(network);
        self.claim_in_force(network, now)
            .map(|claim| kernel_ban(network, claim, now))
    }

    /// The ban of exactly this network, if it is in force.
    #[must_use]
    pub fn ban_of(&self, network: IpNet, now: Now) -> Option<Ban> {
        self.in_force(canonical(network), now)
    }

    /// How many networks are banned, with those whose ban is just over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Whether no ban is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bans.len() == 0
    }

    /// How many bans fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bans there are of each kind and origin.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.bans.tally()
    }

    /// The lists that were imported, and how many networks each of them bans.
    pub fn lists(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.bans.lists()
    }

    /// For how long this address is refused, by the most specific ban; `None` when it may pass.
    #[must_use]
    pub fn banned(&self, address: IpAddr, now: Now) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let ends = self
            .lengths
            .networks_of(address)
            .find_map(|network| Some(self.claim_in_force(network, now)?.ends))?;
        self.covering_allowed(address).is_none().then(|| ends.since(now.mono))
    }

    /// Everything known of an address.
    #[must_use]
    pub fn standing(&self, address: IpAddr, now: Now) -> Standing {
        let bans = self
            .lengths
            .networks_of(address)
            .filter_map(|network| self.in_force(network, now))
            .collect();
        Standing {
            allowed: self.covering_allowed(address).cloned(),
            bans,
        }
    }

    /// Puts a network into the never-ban set. Returns the bans that this lifts.
    ///
    /// # Errors
    /// [`AllowRefused::Full`].
    pub fn allow(&mut self, entry: Allowed) -> Result<Vec<IpNet>, AllowRefused> {
        let network = canonical(entry.network);
        if !self.allowed.contains_key(&network) && self.allowed.len() >= NEVER_BAN_CAPACITY {
            return Err(AllowRefused::Full(NEVER_BAN_CAPACITY));
        }
        self.lengths.add(network);
        // A fixed entry stays fixed when the operator names it again.
        let fixed = entry.fixed || self.allowed.get(&network).is_some_and(|old| old.fixed);
        let until = entry.until.filter(|_| !fixed);
        self.allowed.insert(
            network,
            Allowed {
                network,
                fixed,
                until,
                ..entry
            },
        );
        let inside: Vec<IpNet> = self.bans.within(network).map(|(banned, _)| banned).collect();
        for banned in &inside {
            self.bans.remove(*banned);
        }
        Ok(inside)
    }

    /// Takes a network out of the never-ban set.
    ///
    /// # Errors
    /// [`AllowRefused::Unknown`] or [`AllowRefused::Fixed`].
    pub fn disallow(&mut self, network: IpNet) -> Result<Allowed, AllowRefused> {
        let network = canonical(network);
        match self.allowed.get(&network) {
            None => Err(AllowRefused::Unknown(network)),
            Some(entry) if entry.fixed => Err(AllowRefused::Fixed(network, entry.reason.clone())),
            Some(_) => self.allowed.remove(&network).ok_or(AllowRefused::Unknown(network)),
        }
    }

    /// Removes the entries of the never-ban set that are over, and returns them.
    pub fn expire_allowed(&mut self, now: Now) -> Vec<IpNet> {
        let is_over = |entry: &Allowed| entry.until.is_some_and(|until| until <= now.wall);
        let over = self.allowed.values().filter(|entry| is_over(entry));
        let over: Vec<IpNet> = over.map(|entry| entry.network).collect();
        for network in &over {
            self.allowed.remove(network);
        }
        over
    }

    /// The entry of the never-ban set for exactly this network.
    #[must_use]
    pub fn allowed_entry(&self, network: IpNet) -> Option<&Allowed> {
        self.allowed.get(&canonical(network))
    }

    /// The never-ban set, by network.
    pub fn allowed(&self) -> impl Iterator<Item = &Allowed> {
        self.allowed.values()
    }

    /// The never-ban entry that a network overlaps: one around it, or else one inside it.
    #[must_use]
    pub fn exempt(&self, network: IpNet) -> Option<&Allowed> {
        let around = self.lengths.networks_of(network.addr());
        around
            .filter(|around| around.prefix_len() <= network.prefix_len())
            .find_map(|around| self.allowed.get(&around))
            .or_else(|| {
                let mut inside = self.allowed.range(span(network));
                inside.find_map(|(inner, entry)| network.contains(inner).then_some(entry))
            })
    }

    fn in_force(&self, network: IpNet, now: Now) -> Option<Ban> {
        self.claim_in_force(network, now).map(|claim| Ban::of(network, claim))
    }

    fn claim_in_force(&self, network: IpNet, now: Now) -> Option<&Claim> {
        self.bans.get(network).filter(|claim| claim.ends > now.mono)
    }

    fn covering_allowed(&self, address: IpAddr) -> Option<&Allowed> {
        self.lengths
            .networks_of(address)
            .find_map(|network| self.allowed.get(&network))
    }
}

fn kernel_ban(network: IpNet, claim: &Claim, now: Now) -> KernelBan {
    KernelBan {
        network,
        ttl: claim.ends.since(now.mono),
        origin: claim.note.origin,
    }
}

/// The shortest prefix of its family that needs no force, if this one is shorter.
fn too_wide(network: IpNet) -> Option<u8> {
    let shortest = match network {
        IpNet::V4(_) => SHORTEST_PREFIX.0,
        IpNet::V6(_) => SHORTEST_PREFIX.1,
    };
    (network.prefix_len() < shortest).then_some(shortest)
}

/// Where, in a map by network, the entries within a network lie. Entries around it may lie there too.
fn span(network: IpNet) -> (Bound<IpNet>, Bound<IpNet>) {
    let last = IpNet::from(network.broadcast());
    let first = IpNet::new(network.network(), 0).unwrap_or(network);
    (Bound::Included(first), Bound::Included(last))
}

/// The network without host bits, and IPv4 in IPv6 as IPv4.
fn canonical(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(IpAddr::V4(v4), v6.prefix_len() - 96).unwrap_or(network),
            None => network,
        },
        IpNet::V4(_) | IpNet::V6(_) => network,
    }
    .trunc()
}
