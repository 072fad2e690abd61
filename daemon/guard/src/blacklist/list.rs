//! Whole lists: an import replaces what a list bans by what it names now, by difference. What stays listed is banned
//! at every moment of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::claims::{Claim, Note};
use super::{Allowed, Blacklist, Holder, LONGEST_BAN, Origin, canonical, too_wide};
use crate::effect::KernelBan;
use crate::request::Reference;
use crate::time::{Now, WallMillis};

/// A list on its way into the set.
#[derive(Debug)]
pub struct List {
    name: Option<Arc<str>>,
    wanted: Vec<Wanted>,
    notes: Vec<Arc<Note>>,
    by: Option<Arc<str>>,
    duplicates: usize,
}

/// An entry, small: a list may have millions.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    network: IpNet,
    seconds: u32,
    /// Seconds since 1970; 0: now.
    since: u32,
    note: u32,
}

/// Collects the entries of a list.
#[derive(Debug)]
pub struct ListBuilder {
    list: List,
    known: HashMap<Arc<Note>, u32>,
    capacity: usize,
    force: bool,
}

/// An entry as it was read.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// A host or a prefix.
    pub network: IpNet,
    /// For how long from now.
    pub ttl: Duration,
    /// Why.
    pub reason: &'a str,
    /// When it began; `None`: now.
    pub since: Option<WallMillis>,
    /// Who wanted it. A list with a name is always [`Origin::List`].
    pub origin: Origin,
    /// The list that it was on, if this list has no name.
    pub source: Option<&'a str>,
    /// The refusal that led to it.
    pub reference: Option<Reference>,
}

/// Why an entry was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryRefused {
    /// The prefix is too wide.
    #[error("{network} is wider than /{shortest}")]
    TooWide {
        /// What should have been banned.
        network: IpNet,
        /// The shortest prefix length that is accepted.
        shortest: u8,
    },
    /// Less than a second is left of it.
    #[error("{0} is over")]
    Over(IpNet),
    /// More entries than can ever be banned.
    #[error("the list has more than {0} entries, and no more fit; raise packet.max_bans")]
    TooMany(usize),
}

/// Why a list was not imported. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListRefused {
    /// Nothing to ban.
    #[error("the list has no entry to ban")]
    Empty,
    /// It lost more than half of its entries.
    #[error("the list {name} would shrink from {before} entries to {after}")]
    Shrunk {
        /// The list.
        name: String,
        /// What it bans.
        before: usize,
        /// What it would ban.
        after: usize,
    },
    /// The set has no room for it.
    #[error("{added} new bans do not fit: {len} of {capacity} are in use; delete some or raise packet.max_bans")]
    Full {
        /// How many bans it would add.
        added: usize,
        /// How many there are.
        len: usize,
        /// How many fit.
        capacity: usize,
    },
}

/// What an import would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Networks that nobody wants banned yet.
    pub added: usize,
    /// Networks that are banned already: by this list, which changes the end, or by somebody else.
    pub kept: usize,
    /// Networks that the list lets go.
    pub removed: usize,
    /// Entries that overlap the never-ban set, and were left out.
    pub exempt: usize,
    /// The first of those, each with the never-ban entry that it overlaps.
    pub exempt_shown: Vec<(IpNet, Allowed)>,
    /// Whether what is let go must go first, as there is no room for both.
    pub make_room: bool,
    /// Networks that this list bans already.
    held: usize,
    /// Entries that were sifted and stay.
    sifted: usize,
}

/// How many entries left out are told one by one.
pub const SHOWN: usize = 20;
/// How many entries are looked at before others get their turn.
pub const AT_ONCE: usize = 4096;

impl ListBuilder {
    /// A list by this name, which replaces what it banned before; or entries that are only added. `capacity` bounds
    /// how many are taken, and with `force` they may be as wide as they like.
    #[must_use]
    pub fn new(name: Option<&str>, by: Option<&str>, capacity: usize, force: bool) -> Self {
        let list = List {
            name: name.map(Arc::from),
            wanted: Vec::new(),
            notes: Vec::new(),
            by: by.map(Arc::from),
            duplicates: 0,
        };
        Self {
            list,
            known: HashMap::new(),
            capacity,
            force,
        }
    }

    /// Takes an entry.
    ///
    /// # Errors
    /// [`EntryRefused`]; only after [`EntryRefused::TooMany`] there is no sense in going on.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), EntryRefused> {
        let network = canonical(entry.network);
        if let (Some(shortest), false) = (too_wide(network), self.force) {
            return Err(EntryRefused::TooWide { network, shortest });
        }
        let seconds = u32::try_from(entry.ttl.min(LONGEST_BAN).as_secs()).unwrap_or(u32::MAX);
        if seconds == 0 {
            return Err(EntryRefused::Over(network));
        }
        if self.list.wanted.len() >= self.capacity {
            self.list.tidy();
            if self.list.wanted.len() >= self.capacity {
                return Err(EntryRefused::TooMany(self.capacity));
            }
        }
        let since = entry
            .since
            .map_or(0, |since| u32::try_from(since.seconds()).unwrap_or(0));
        let note = self.note(entry);
        self.list.wanted.push(Wanted {
            network,
            seconds,
            since,
            note,
        });
        Ok(())
    }

    /// The list, in order and without duplicates.
    #[must_use]
    pub fn finish(mut self) -> List {
        self.list.tidy();
        self.list.wanted.shrink_to_fit();
        self.list
    }

    fn note(&mut self, entry: &Entry<'_>) -> u32 {
        let last = self.list.notes.last();
        let same = |note: &Note| {
            *note.reason == *entry.reason
                && note.reference == entry.reference
                && (self.list.name.is_some() || (note.origin == entry.origin && note.source.as_deref() == entry.source))
        };
        let place = |place: usize| u32::try_from(place).unwrap_or(0);
        // Most lists have one note for all.
        if last.is_some_and(|last| same(last)) {
            return place(self.list.notes.len() - 1);
        }
        let note = Arc::new(Note {
            origin: if self.list.name.is_some() {
                Origin::List
            } else {
                entry.origin
            },
            source: self.list.name.clone().or_else(|| entry.source.map(Arc::from)),
            reason: entry.reason.into(),
            by: self.list.by.clone(),
            reference: entry.reference,
        });
        let next = place(self.list.notes.len());
        *self.known.entry(Arc::clone(&note)).or_insert_with(|| {
            self.list.notes.push(note);
            next
        })
    }
}

impl List {
    /// The name under which it replaces what it banned before.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How many networks it wants banned.
    #[must_use]
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether it wants none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// How many entries named a network again.
    #[must_use]
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// The ranges in which it is worked on.
    pub fn steps(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let len = self.wanted.len();
        (0..len)
            .step_by(AT_ONCE)
            .map(move |start| start..len.min(start + AT_ONCE))
    }

    /// Who holds what it bans; `None` if it has no name, and replaces nothing.
    #[must_use]
    pub fn holder(&self) -> Option<Holder> {
        self.name.as_ref().map(|name| Holder {
            origin: None,
            source: Some(Arc::clone(name)),
        })
    }

    /// Whether it wants exactly this network banned.
    #[must_use]
    pub fn wants(&self, network: IpNet) -> bool {
        self.wanted
            .binary_search_by_key(&network, |wanted| wanted.network)
            .is_ok()
    }

    /// By network, each once and for the longest time that was asked for.
    fn tidy(&mut self) {
        let before = self.wanted.len();
        self.wanted
            .sort_unstable_by_key(|wanted| (wanted.network, std::cmp::Reverse(wanted.seconds)));
        self.wanted.dedup_by_key(|wanted| wanted.network);
        self.duplicates += before - self.wanted.len();
    }
}

impl Blacklist {
    /// Looks at a part of a list: takes out of it what overlaps the never-ban set, and counts.
    /// Returns where the next part begins. Call it for one part after the other, from 0.
    pub fn sift(&self, list: &mut List, from: usize, plan: &mut Plan) -> Option<usize> {
        let end = list.wanted.len().min(from + AT_ONCE);
        let holder = list.holder();
        for place in from..end {
            let wanted = list.wanted[place];
            if let Some(exempt) = self.exempt(wanted.network) {
                plan.exempt += 1;
                if plan.exempt_shown.len() < SHOWN {
                    plan.exempt_shown.push((wanted.network, exempt.clone()));
                }
                continue;
            }
            if self.bans.contains(wanted.network) {
                plan.kept += 1;
                let held = holder
                    .as_ref()
                    .is_some_and(|holder| self.is_held(wanted.network, holder));
                plan.held += usize::from(held);
            } else {
                plan.added += 1;
            }
            list.wanted[plan.sifted] = wanted;
            plan.sifted += 1;
        }
        if end < list.wanted.len() {
            return Some(end);
        }
        list.wanted.truncate(plan.sifted);
        None
    }

    /// Whether a list may be imported, after all of it was sifted.
    ///
    /// # Errors
    /// [`ListRefused`].
    pub fn consider(&self, list: &List, plan: &mut Plan, force: bool) -> Result<(), ListRefused> {
        let before = list.name.as_deref().map_or(0, |name| self.list_len(name));
        plan.removed = before.saturating_sub(plan.held);
        let after = list.len();
        if after * 2 < before && !force {
            let name = list.name.as_deref().unwrap_or_default().to_owned();
            return Err(ListRefused::Shrunk { name, before, after });
        }
        if after == 0 && before == 0 {
            return Err(ListRefused::Empty);
        }
        let len = self.len();
        plan.make_room = len + plan.added > self.capacity;
        if len + plan.added > self.capacity + plan.removed {
            return Err(ListRefused::Full {
                added: plan.added,
                len,
                capacity: self.capacity,
            });
        }
        Ok(())
    }

    /// Bans a part of a list, as far as there is room. Returns the bans that hold now.
    pub fn import(&mut self, list: &List, part: Range<usize>, now: Now) -> Vec<KernelBan> {
        let mut holding = Vec::with_capacity(part.len());
        for wanted in &list.wanted[part] {
            let network = wanted.network;
            if (self.len() >= self.capacity && !self.bans.contains(network)) || self.exempt(network).is_some() {
                continue;
            }
            self.lengths.add(network);
            let note = Arc::clone(&list.notes[wanted.note as usize]);
            let mut claim = Claim::new(note, now, Duration::from_secs(wanted.seconds.into()));
            if wanted.since > 0 {
                claim = claim.begun(WallMillis(u64::from(wanted.since) * 1000));
            }
            self.bans.put(network, claim, now);
            holding.extend(self.kernel_ban_of(network, now));
        }
        holding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blacklist::BanOrder;
    use crate::time::MonoMillis;

    fn at(seconds: u64) -> Now {
        Now {
            wall: WallMillis(1_800_000_000_000 + seconds * 1000),
            mono: MonoMillis(seconds * 1000),
        }
    }

    fn entry(network: &str, seconds: u64) -> Entry<'static> {
        Entry {
            network: network.parse().unwrap(),
            ttl: Duration::from_secs(seconds),
            reason: "listed",
            since: None,
            origin: Origin::Operator,
            source: None,
            reference: None,
        }
    }

    fn list(name: Option<&str>, networks: &[&str]) -> List {
        let mut builder = ListBuilder::new(name, None, 1000, false);
        for network in networks {
            builder.add(&entry(network, 60)).unwrap();
        }
        builder.finish()
    }

    fn plan(blacklist: &Blacklist, list: &mut List, force: bool) -> Result<Plan, ListRefused> {
        let (mut plan, mut from) = (Plan::default(), Some(0));
        while let Some(start) = from {
            from = blacklist.sift(list, start, &mut plan);
        }
        blacklist.consider(list, &mut plan, force).map(|()| plan)
    }

    fn import(blacklist: &mut Blacklist, list: &List, now: Now) -> usize {
        list.steps().map(|part| blacklist.import(list, part, now).len()).sum()
    }

    fn banned(blacklist: &Blacklist, now: Now) -> Vec<String> {
        blacklist.bans(now).map(|ban| ban.network.to_string()).collect()
    }

    #[test]
    fn a_list_replaces_itself_by_difference() {
        let mut blacklist = Blacklist::new(10);
        let mut first = list(
            Some("drop"),
            &["10.0.0.3/32", "10.0.0.1/32", "10.0.0.2/32", "10.0.0.1/32"],
        );
        assert_eq!((first.len(), first.duplicates()), (3, 1));
        let planned = plan(&blacklist, &mut first, false).unwrap();
        assert_eq!((planned.added, planned.kept, planned.removed), (3, 0, 0));
        import(&mut blacklist, &first, at(0));

        let mut second = list(Some("drop"), &["10.0.0.2/32", "10.0.0.4/32", "10.0.0.3/32"]);
        let planned = plan(&blacklist, &mut second, false).unwrap();
        assert_eq!((planned.added, planned.kept, planned.removed), (1, 2, 1));
        import(&mut blacklist, &second, at(30));
        let holder = second.holder().unwrap();
        for network in ["10.0.0.1/32", "10.0.0.2/32"] {
            let network = network.parse().unwrap();
            if !second.wants(network) {
                assert!(blacklist.release(network, &holder).0);
            }
        }
        assert_eq!(
            banned(&blacklist, at(89)),
            ["10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32"]
        );
        let ban = blacklist.ban_of("10.0.0.2/32".parse().unwrap(), at(30)).unwrap();
        assert_eq!((ban.since, ban.remaining(at(30)).as_secs()), (at(0).wall, 60));
    }

    #[test]
    fn a_list_without_a_name_only_adds() {
        let mut blacklist = Blacklist::new(10);
        import(&mut blacklist, &list(Some("drop"), &["10.0.0.1/32"]), at(0));
        let mut more = list(None, &["10.0.0.2/32"]);
        assert_eq!(plan(&blacklist, &mut more, false).unwrap().removed, 0);
        import(&mut blacklist, &more, at(0));
        assert_eq!(banned(&blacklist, at(0)), ["10.0.0.1/32", "10.0.0.2/32"]);
        let ban = blacklist.ban_of("10.0.0.2/32".parse().unwrap(), at(0)).unwrap();
        assert_eq!((ban.origin, ban.source), (Origin::Operator, None));
    }

    #[test]
    fn what_is_exempt_is_left_out_and_told() {
        let mut blacklist = Blacklist::new(10_000);
        let exempt = Allowed {
            fixed: false,
            ..Allowed::fixed("10.0.0.0/24".parse().unwrap(), "office")
        };
        blacklist.allow(exempt).unwrap();
        let mut builder = ListBuilder::new(Some("drop"), None, 10_000, false);
        for number in 0..9_000_u32 {
            let host = std::net::Ipv4Addr::from(0x0a00_0000 + number);
            builder.add(&entry(&format!("{host}/32"), 60)).unwrap();
        }
        let mut list = builder.finish();
        let planned = plan(&blacklist, &mut list, false).unwrap();
        assert_eq!(
            (planned.added, planned.exempt, planned.exempt_shown.len()),
            (8_744, 256, SHOWN)
        );
        assert_eq!(import(&mut blacklist, &list, at(0)), 8_744, "in several steps");
        assert!(!list.wants("10.0.0.255/32".parse().unwrap()) && list.wants("10.0.1.0/32".parse().unwrap()));
    }

    #[test]
    fn a_list_that_shrinks_by_more_than_half_is_refused() {
        let mut blacklist = Blacklist::new(10);
        import(
            &mut blacklist,
            &list(
                Some("drop"),
                &["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32"],
            ),
            at(0),
        );
        let mut half = list(Some("drop"), &["10.0.0.1/32", "10.0.0.9/32"]);
        assert!(plan(&blacklist, &mut half, false).is_ok());
        let mut less = list(Some("drop"), &["10.0.0.1/32"]);
        let refused = plan(&blacklist, &mut less, false).unwrap_err();
        assert_eq!(refused.to_string(), "the list drop would shrink from 4 entries to 1");
        assert!(plan(&blacklist, &mut less, true).is_ok());
        assert_eq!(
            plan(&blacklist, &mut list(Some("new"), &[]), true),
            Err(ListRefused::Empty)
        );
    }

    #[test]
    fn a_full_set_is_said_before_anything_is_changed() {
        let mut blacklist = Blacklist::new(3);
        import(
            &mut blacklist,
            &list(Some("drop"), &["10.0.0.1/32", "10.0.0.2/32"]),
            at(0),
        );
        let mut other = list(Some("other"), &["10.0.0.3/32", "10.0.0.4/32"]);
        assert!(matches!(
            plan(&blacklist, &mut other, false),
            Err(ListRefused::Full {
                added: 2,
                len: 2,
                capacity: 3
            })
        ));
        let mut same = list(Some("drop"), &["10.0.0.3/32", "10.0.0.4/32"]);
        assert!(
            plan(&blacklist, &mut same, false).unwrap().make_room,
            "what it lets go makes room"
        );
    }

    #[test]
    fn entries_are_bounded() {
        let mut builder = ListBuilder::new(None, None, 2, false);
        for host in [1, 1, 2] {
            builder.add(&entry(&format!("10.0.0.{host}/32"), 60)).unwrap();
        }
        assert_eq!(builder.add(&entry("10.0.0.3/32", 60)), Err(EntryRefused::TooMany(2)));
        let mut builder = ListBuilder::new(None, None, 2, false);
        assert!(matches!(
            builder.add(&entry("224.0.0.0/3", 60)),
            Err(EntryRefused::TooWide { shortest: 8, .. })
        ));
        assert!(matches!(
            builder.add(&entry("10.0.0.0/8", 0)),
            Err(EntryRefused::Over(_))
        ));
        ListBuilder::new(None, None, 2, true)
            .add(&entry("224.0.0.0/3", 60))
            .unwrap();
    }

    #[test]
    fn the_operators_ban_outlives_the_list() {
        let mut blacklist = Blacklist::new(10);
        let order = BanOrder {
            network: "10.0.0.1/32".parse().unwrap(),
            ttl: Duration::from_secs(30),
            reason: "mine".into(),
            origin: Origin::Operator,
            source: None,
            by: None,
            reference: None,
            force: false,
        };
        blacklist.ban(order, at(0)).unwrap();
        let drop = list(Some("drop"), &["10.0.0.1/32"]);
        let holding = blacklist.import(&drop, 0..1, at(0));
        assert_eq!(holding[0].origin, Origin::List);
        let (_, left) = blacklist.release("10.0.0.1/32".parse().unwrap(), &drop.holder().unwrap());
        assert_eq!(&*left.unwrap().reason, "mine");
    }
}
