//! The intended set: who is banned, why, since when and until when, and who is never banned.
//!
//! The kernel maps mirror this set; they are never the source of truth. Every ban ends (invariant I4).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::request::Reference;
use crate::time::{Now, WallMillis};

/// The longest ban that can be given: ten years. A ban without end would outlive its reason.
pub const LONGEST_BAN: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Shortest prefixes that may be banned without force: a /8 of IPv4, a /19 of IPv6.
pub const SHORTEST_PREFIX: (u8, u8) = (8, 19);

/// Who wanted a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The operator, by the command line.
    Operator,
    /// The gate itself, by score.
    Score,
}

impl Origin {
    /// As shown to the operator.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Score => "score",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A ban as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// A host (/32, /128) or a prefix.
    pub network: IpNet,
    /// Why, in words for the operator.
    pub reason: String,
    /// Who wanted it.
    pub origin: Origin,
    /// When it began.
    pub since: WallMillis,
    /// When it ends, for people. The decision goes by the monotonic clock.
    pub until: WallMillis,
    /// The refusal that led to it.
    pub reference: Option<Reference>,
    ends: crate::time::MonoMillis,
}

impl Ban {
    /// Time that is left; zero when it is over.
    #[must_use]
    pub fn remaining(&self, now: Now) -> Duration {
        self.ends.since(now.mono)
    }
}

/// A ban to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanOrder {
    /// A host or a prefix.
    pub network: IpNet,
    /// For how long; at most [`LONGEST_BAN`].
    pub ttl: Duration,
    /// Why, in words for the operator.
    pub reason: String,
    /// Who wants it.
    pub origin: Origin,
    /// The refusal that led to it.
    pub reference: Option<Reference>,
    /// Ban a prefix that is wider than [`SHORTEST_PREFIX`].
    pub force: bool,
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
}

/// Why a ban was not made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BanRefused {
    /// The network overlaps the never-ban set.
    #[error("{}", never_ban(network, allowed, reason))]
    NeverBan {
        /// What should have been banned.
        network: IpNet,
        /// What it overlaps.
        allowed: IpNet,
        /// Why that is in the set.
        reason: String,
    },
    /// The prefix is too wide.
    #[error("{network} is too wide: at least /{shortest} is needed without force")]
    TooWide {
        /// What should have been banned.
        network: IpNet,
        /// The shortest prefix length that is accepted.
        shortest: u8,
    },
    /// The time is zero or longer than [`LONGEST_BAN`].
    #[error("a ban lasts between one second and ten years")]
    Duration,
    /// The set is full.
    #[error("the ban list is full ({capacity} entries); delete some or raise packet.max_bans")]
    Full {
        /// How many fit.
        capacity: usize,
    },
}

fn never_ban(network: &IpNet, allowed: &IpNet, reason: &str) -> String {
    if allowed.contains(network) {
        format!("{network} is never banned ({reason})")
    } else {
        format!("{network} covers {allowed}, which is never banned ({reason})")
    }
}

/// Why an entry of the never-ban set was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowRefused {
    /// It belongs to the configuration or to the machine.
    #[error("{0} is fixed by the configuration ({1}); change it there")]
    Fixed(IpNet, String),
    /// It is not there.
    #[error("{0} is not in the never-ban set")]
    Unknown(IpNet),
    /// The set is full.
    #[error("the never-ban set is full ({0} entries)")]
    Full(usize),
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
    bans: BTreeMap<IpNet, Ban>,
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
            bans: BTreeMap::new(),
            allowed: BTreeMap::new(),
            lengths: Lengths::default(),
            capacity,
        }
    }

    /// Bans a network, or changes the end of its ban.
    ///
    /// # Errors
    /// [`BanRefused`] says why nothing was changed.
    pub fn ban(&mut self, order: BanOrder, now: Now) -> Result<&Ban, BanRefused> {
        let network = canonical(order.network);
        self.check_order(network, &order)?;
        if !self.bans.contains_key(&network) && self.bans.len() >= self.capacity {
            self.expire(now);
            if self.bans.len() >= self.capacity {
                return Err(BanRefused::Full {
                    capacity: self.capacity,
                });
            }
        }
        let since = self.bans.get(&network).map_or(now.wall, |ban| ban.since);
        let ban = Ban {
            network,
            reason: order.reason,
            origin: order.origin,
            since,
            until: now.wall.after(order.ttl),
            reference: order.reference,
            ends: now.mono.after(order.ttl),
        };
        self.lengths.add(network);
        Ok(self.bans.entry(network).insert_entry(ban).into_mut())
    }

    fn check_order(&self, network: IpNet, order: &BanOrder) -> Result<(), BanRefused> {
        if order.ttl < Duration::from_secs(1) || order.ttl > LONGEST_BAN {
            return Err(BanRefused::Duration);
        }
        let shortest = match network {
            IpNet::V4(_) => SHORTEST_PREFIX.0,
            IpNet::V6(_) => SHORTEST_PREFIX.1,
        };
        if network.prefix_len() < shortest && !order.force {
            return Err(BanRefused::TooWide { network, shortest });
        }
        // Force widens a prefix; it never reaches into the never-ban set (I7).
        match self.allowed.values().find(|entry| overlap(entry.network, network)) {
            Some(entry) => Err(BanRefused::NeverBan {
                network,
                allowed: entry.network,
                reason: entry.reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Ends a ban. `None` if there was none.
    pub fn unban(&mut self, network: IpNet) -> Option<Ban> {
        self.bans.remove(&canonical(network))
    }

    /// Removes the bans that are over and returns them.
    pub fn expire(&mut self, now: Now) -> Vec<Ban> {
        self.bans
            .extract_if(.., |_, ban| ban.remaining(now).is_zero())
            .map(|(_, ban)| ban)
            .collect()
    }

    /// The bans in force, by network.
    pub fn bans(&self, now: Now) -> impl Iterator<Item = &Ban> {
        self.bans.values().filter(move |ban| !ban.remaining(now).is_zero())
    }

    /// The ban of exactly this network, if it is in force.
    #[must_use]
    pub fn ban_of(&self, network: IpNet, now: Now) -> Option<&Ban> {
        self.in_force(canonical(network), now)
    }

    /// How many bans are held, with those that are just over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Whether no ban is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }

    /// How many bans fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The ban that refuses this address now, the most specific one; `None` when it may pass.
    #[must_use]
    pub fn banned(&self, address: IpAddr, now: Now) -> Option<&Ban> {
        if self.bans.is_empty() {
            return None;
        }
        let ban = self
            .lengths
            .networks_of(address)
            .find_map(|network| self.in_force(network, now))?;
        self.covering_allowed(address).is_none().then_some(ban)
    }

    /// Everything known of an address.
    #[must_use]
    pub fn standing(&self, address: IpAddr, now: Now) -> Standing {
        let bans = self
            .lengths
            .networks_of(address)
            .filter_map(|network| self.in_force(network, now))
            .cloned()
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
    pub fn allow(&mut self, entry: Allowed) -> Result<Vec<Ban>, AllowRefused> {
        let network = canonical(entry.network);
        if !self.allowed.contains_key(&network) && self.allowed.len() >= NEVER_BAN_CAPACITY {
            return Err(AllowRefused::Full(NEVER_BAN_CAPACITY));
        }
        self.lengths.add(network);
        // A fixed entry stays fixed when the operator names it again.
        let fixed = entry.fixed || self.allowed.get(&network).is_some_and(|old| old.fixed);
        self.allowed.insert(
            network,
            Allowed {
                network,
                reason: entry.reason,
                fixed,
            },
        );
        Ok(self
            .bans
            .extract_if(.., |banned, _| network.contains(banned))
            .map(|(_, ban)| ban)
            .collect())
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

    /// The never-ban set, by network.
    pub fn allowed(&self) -> impl Iterator<Item = &Allowed> {
        self.allowed.values()
    }

    fn in_force(&self, network: IpNet, now: Now) -> Option<&Ban> {
        self.bans.get(&network).filter(|ban| !ban.remaining(now).is_zero())
    }

    fn covering_allowed(&self, address: IpAddr) -> Option<&Allowed> {
        self.lengths
            .networks_of(address)
            .find_map(|network| self.allowed.get(&network))
    }
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

fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MonoMillis;

    fn at(seconds: u64) -> Now {
        Now {
            wall: WallMillis(1_800_000_000_000 + seconds * 1000),
            mono: MonoMillis(seconds * 1000),
        }
    }

    fn order(network: &str, seconds: u64) -> BanOrder {
        BanOrder {
            network: network.parse().unwrap(),
            ttl: Duration::from_secs(seconds),
            reason: "test".into(),
            origin: Origin::Operator,
            reference: None,
            force: false,
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn allowed(network: &str, fixed: bool) -> Allowed {
        Allowed {
            network: network.parse().unwrap(),
            reason: "office".into(),
            fixed,
        }
    }

    #[test]
    fn a_ban_ends_by_itself() {
        let mut list = Blacklist::new(10);
        list.ban(order("10.0.0.1/32", 60), at(0)).unwrap();
        assert!(list.banned(ip("10.0.0.1"), at(59)).is_some());
        assert!(list.banned(ip("::ffff:10.0.0.1"), at(59)).is_some(), "v4-mapped is v4");
        assert!(list.banned(ip("10.0.0.2"), at(59)).is_none());
        assert!(list.banned(ip("10.0.0.1"), at(60)).is_none());
        assert_eq!(list.expire(at(60)).len(), 1);
        assert!(list.is_empty());
    }

    #[test]
    fn the_most_specific_entry_comes_first() {
        let mut list = Blacklist::new(10);
        for network in [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "2001:db8::/32",
            "2001:db8::1/128",
        ] {
            list.ban(order(network, 60), at(0)).unwrap();
        }
        let covering = |address| {
            list.standing(ip(address), at(1))
                .bans
                .iter()
                .map(|ban| ban.network.prefix_len())
                .collect::<Vec<_>>()
        };
        assert_eq!(covering("10.1.2.3"), [32, 16, 8]);
        assert_eq!(covering("10.9.9.9"), [8]);
        assert_eq!(covering("2001:db8::1"), [128, 32]);
        assert_eq!(covering("11.0.0.1"), []);
    }

    #[test]
    fn a_second_ban_changes_the_end_and_keeps_the_beginning() {
        let mut list = Blacklist::new(10);
        list.ban(order("10.0.0.1/32", 60), at(0)).unwrap();
        let ban = list.ban(order("10.0.0.1/32", 3600), at(30)).unwrap();
        assert_eq!(
            (ban.since, ban.remaining(at(30))),
            (at(0).wall, Duration::from_secs(3600))
        );
    }

    #[test]
    fn never_ban_wins_both_ways() {
        let mut list = Blacklist::new(10);
        list.allow(allowed("10.0.0.0/24", false)).unwrap();
        for network in ["10.0.0.7/32", "10.0.0.0/16", "10.0.0.0/24"] {
            assert!(
                matches!(list.ban(order(network, 60), at(0)), Err(BanRefused::NeverBan { .. })),
                "{network}"
            );
        }
        let forced = BanOrder {
            force: true,
            ..order("10.0.0.7/32", 60)
        };
        assert!(list.ban(forced, at(0)).is_err(), "not even by force");
        list.ban(order("10.0.1.0/24", 60), at(0)).unwrap();
        let lifted = list.allow(allowed("10.0.1.0/24", false)).unwrap();
        assert_eq!(lifted.len(), 1);
        assert!(list.banned(ip("10.0.1.5"), at(1)).is_none());
    }

    #[test]
    fn an_allowed_host_in_a_banned_prefix_passes() {
        let mut list = Blacklist::new(10);
        list.ban(order("10.0.1.0/24", 60), at(0)).unwrap();
        list.allow(allowed("10.0.1.7/32", false)).unwrap();
        assert!(list.banned(ip("10.0.1.7"), at(1)).is_none());
        assert!(list.banned(ip("10.0.1.8"), at(1)).is_some());
        let standing = list.standing(ip("10.0.1.7"), at(1));
        assert!(standing.allowed.is_some() && standing.bans.len() == 1);
    }

    #[test]
    fn fixed_entries_stay() {
        let mut list = Blacklist::new(10);
        list.allow(allowed("127.0.0.0/8", true)).unwrap();
        list.allow(allowed("127.0.0.0/8", false)).unwrap();
        assert!(matches!(
            list.disallow("127.0.0.0/8".parse().unwrap()),
            Err(AllowRefused::Fixed(..))
        ));
        assert!(matches!(
            list.disallow("10.0.0.0/8".parse().unwrap()),
            Err(AllowRefused::Unknown(_))
        ));
    }

    #[test]
    fn full_is_an_error_and_the_expired_make_room() {
        let mut list = Blacklist::new(2);
        list.ban(order("10.0.0.1/32", 10), at(0)).unwrap();
        list.ban(order("10.0.0.2/32", 60), at(0)).unwrap();
        assert_eq!(
            list.ban(order("10.0.0.3/32", 60), at(0)).err(),
            Some(BanRefused::Full { capacity: 2 })
        );
        list.ban(order("10.0.0.3/32", 60), at(11)).unwrap();
        assert_eq!(list.bans(at(11)).count(), 2);
    }

    #[test]
    fn senseless_orders_are_refused() {
        let mut list = Blacklist::new(2);
        assert_eq!(
            list.ban(order("10.0.0.1/32", 0), at(0)).err(),
            Some(BanRefused::Duration)
        );
        assert!(matches!(
            list.ban(order("10.0.0.0/7", 60), at(0)),
            Err(BanRefused::TooWide { shortest: 8, .. })
        ));
        assert!(matches!(
            list.ban(order("2000::/16", 60), at(0)),
            Err(BanRefused::TooWide { shortest: 19, .. })
        ));
        list.ban(
            BanOrder {
                force: true,
                ..order("10.0.0.0/7", 60)
            },
            at(0),
        )
        .unwrap();
    }
}
