//! All maps of the program, and its settings.

use std::io;

use ipnet::IpNet;
use portcullis_common::{Address, BanEntry, FlowKey, Geometry, Origin, PrefixKey, Slot, maps};

use super::{
    Capacities, EnforcerError, KernelBan, Target, clock, filter,
    filter::Filter,
    hits::{self, HitCells},
    hosts::{Hosts, Memory, Place},
    mapped::Words,
    table::{Source, Table},
    target::{self, Key},
};

/// A table that holds bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BanTable {
    Hosts,
    Prefixes,
    Flows,
}

impl BanTable {
    pub(super) const ALL: [Self; 3] = [Self::Hosts, Self::Prefixes, Self::Flows];
}

/// The maps that hold verdicts. Who changes them is alone: the filter must not miss what a table has.
pub(super) struct Maps {
    hosts: Hosts,
    prefixes: Table<PrefixKey, BanEntry>,
    flows: Table<FlowKey, BanEntry>,
    never_ban: Table<PrefixKey, u32>,
    /// What `never_ban` holds.
    exempt: Vec<PrefixKey>,
    filter: Filter,
    hits: HitCells,
    /// Bits of the filter that may stand for nothing any more.
    stale: u32,
    /// What was changed since larger tables began to be filled.
    touched: Option<Vec<Key>>,
    /// No ban of the table ends before this.
    first_expiry: [u64; BanTable::ALL.len()],
}

/// Where the ban of a host or /64 is written to: its hashes are computed once.
pub(super) struct Seat {
    place: Place,
    filter: portcullis_common::filter::Place,
}

impl Seat {
    pub(super) fn key(&self) -> Key {
        Key::of_prefix(*self.place.key())
    }

    pub(super) const fn sources(&self) -> &PrefixKey {
        self.place.key()
    }
}

/// A ban as the tables have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) expires_boot_ns: u64,
    pub(super) origin: u32,
}

impl Maps {
    pub(super) fn open(
        program: &Source<'_>,
        geometry: &Geometry,
        capacities: &Capacities,
    ) -> Result<Self, EnforcerError> {
        let memory = Memory {
            v4: mapped::<u32, [u64; 8]>(program, maps::HOSTS_V4, geometry.v4_lines as usize * Slot::PER_LINE)?,
            v6: mapped::<u32, [u64; 8]>(program, maps::HOSTS_V6, geometry.v6_lines as usize * Slot::PER_LINE)?,
            v6_keys: mapped::<u32, Address>(program, maps::KEYS_V6, geometry.v6_lines as usize * Slot::PER_LINE * 2)?,
        };
        let overflow = Table::open(program, maps::OVERFLOW)?;
        let never_ban: Table<PrefixKey, u32> = Table::open(program, maps::NEVER_BAN)?;
        let exempt = never_ban.entries()?.into_iter().map(|(key, _)| key).collect();
        Ok(Self {
            hosts: Hosts::open(memory, overflow, *geometry, capacities.hosts)?,
            prefixes: Table::open(program, maps::PREFIXES)?,
            flows: Table::open(program, maps::FLOWS)?,
            never_ban,
            exempt,
            filter: Filter::new(
                mapped::<u32, u64>(program, maps::FILTER, filter::words(geometry))?,
                geometry,
            ),
            hits: HitCells::new(
                mapped::<u32, portcullis_common::HitCell>(program, maps::HITS, hits::words(geometry))?,
                geometry,
            ),
            stale: 0,
            touched: None,
            first_expiry: [0; BanTable::ALL.len()],
        })
    }

    /// Writes a ban. The bits first: a table that nobody looks into bans nobody.
    pub(super) fn insert(&mut self, key: &Key, expires_boot_ns: u64, origin: Origin) -> Result<(), EnforcerError> {
        if let Some(seat) = self.seat(key) {
            return self.insert_at(&seat, expires_boot_ns, origin);
        }
        self.filter.add(key);
        let entry = || BanEntry {
            expires_boot_ns,
            origin: origin as u32,
            prefix_bits: key.prefix_bits(),
            id: self.hits.id(key),
        };
        match key {
            Key::Host(_) | Key::Wide(_) => {}
            Key::Prefix(key) => self.prefixes.set(key, &entry())?,
            Key::Flow(key) => {
                self.flows.set(key, &entry())?;
                // The kernel throws the oldest out without a word.
                self.stale += 1;
            }
        }
        self.written(key.table(), expires_boot_ns, || *key);
        Ok(())
    }

    /// Where a host or /64 belongs; `None` for other keys.
    #[inline]
    pub(super) fn seat(&self, key: &Key) -> Option<Seat> {
        let (Key::Host(address) | Key::Wide(address)) = key else {
            return None;
        };
        let source = self.filter.source(address);
        let hash = if matches!(key, Key::Wide(_)) {
            source.wide
        } else {
            source.host
        };
        Some(Seat {
            place: self.hosts.place_of(address, key.sources().bits, &source),
            filter: self.filter.place(&source, hash),
        })
    }

    /// Does what [`insert`](Self::insert) does.
    pub(super) fn insert_at(&mut self, seat: &Seat, expires_boot_ns: u64, origin: Origin) -> Result<(), EnforcerError> {
        self.filter.add_at(seat.filter);
        let slot = |identity| Slot::new(identity, origin, expires_boot_ns);
        self.hosts.set(&seat.place, clock::boot_ns, slot)?;
        self.written(BanTable::Hosts, expires_boot_ns, || seat.key());
        Ok(())
    }

    fn written(&mut self, table: BanTable, expires_boot_ns: u64, key: impl FnOnce() -> Key) {
        let first = &mut self.first_expiry[table as usize];
        *first = (*first).min(expires_boot_ns);
        if let Some(touched) = &mut self.touched {
            touched.push(key());
        }
    }

    /// Fetches what bans in these places will touch into the caches, all at once: what [`insert_at`](Self::insert_at)
    /// takes longest for is waiting for memory.
    pub(super) fn touch<'s>(&self, seats: impl Iterator<Item = &'s Seat>) {
        let seen = seats.fold(0, |seen, seat| {
            seen ^ self.filter.touch(seat.filter) ^ self.hosts.touch(&seat.place)
        });
        std::hint::black_box(seen);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Result<bool, EnforcerError> {
        let removed = match key {
            Key::Host(address) | Key::Wide(address) => self.hosts.remove(address, key.sources().bits)?,
            Key::Prefix(key) => self.prefixes.remove(key)?,
            Key::Flow(key) => self.flows.remove(key)?,
        };
        if removed {
            self.stale += 1;
            self.hits.forget(key);
            self.touched.iter_mut().for_each(|touched| touched.push(*key));
        }
        Ok(removed)
    }

    /// The entry of exactly this key, ended or not.
    pub(super) fn entry(&self, key: &Key) -> Result<Option<Entry>, EnforcerError> {
        match key {
            Key::Host(address) | Key::Wide(address) => {
                Ok(self.hosts.get(address, key.sources().bits)?.map(Entry::from))
            }
            Key::Prefix(key) => {
                let entry = self.prefixes.get(key)?;
                // A trie answers with the longest prefix that holds the key: a shorter one, maybe.
                Ok(entry.filter(|entry| entry.prefix_bits == key.bits).map(Entry::from))
            }
            Key::Flow(key) => Ok(self.flows.get(key)?.map(Entry::from)),
        }
    }

    /// What is left of the ban of exactly this key, and what it kept away.
    pub(super) fn ban(&self, key: &Key) -> Result<Option<KernelBan>, EnforcerError> {
        Ok(self.entry(key)?.and_then(|entry| self.holding(key, &entry)))
    }

    /// What the ban of this key kept away.
    pub(super) fn hits(&self, key: &Key) -> Option<hits::Hits> {
        self.hits.get(key)
    }

    pub(super) fn bans(&self) -> Result<Vec<(Target, KernelBan)>, EnforcerError> {
        let mut bans = Vec::new();
        self.walk(|key, entry| {
            if let Some(ban) = self.holding(&key, &entry) {
                bans.push((key.into(), ban));
            }
        })?;
        Ok(bans)
    }

    fn holding(&self, key: &Key, entry: &Entry) -> Option<KernelBan> {
        let ban = clock::holding(entry.expires_boot_ns, entry.origin)?;
        Some(KernelBan {
            hits: self.hits.get(key),
            ..ban
        })
    }

    /// Takes out what has ended, and tells how much.
    pub(super) fn sweep(&mut self) -> Result<usize, EnforcerError> {
        let now = clock::boot_ns();
        let mut swept = 0;
        for table in BanTable::ALL {
            if self.first_expiry[table as usize] > now {
                continue;
            }
            let mut ended = Vec::new();
            let mut first = u64::MAX;
            self.walk_table(table, |key, entry| {
                if entry.expires_boot_ns <= now {
                    ended.push(key);
                } else {
                    first = first.min(entry.expires_boot_ns);
                }
            })?;
            for key in ended {
                swept += usize::from(self.remove(&key)?);
            }
            self.first_expiry[table as usize] = first;
        }
        if self.stale > self.hosts.len() / 8 {
            self.rebuild_filter()?;
        }
        Ok(swept)
    }

    /// Frees the filter of bits that stand for nothing any more.
    pub(super) fn rebuild_filter(&mut self) -> Result<(), EnforcerError> {
        let mut draft = self.filter.draft();
        self.walk(|key, _| draft.add(&key))?;
        self.exempt.iter().for_each(|prefix| draft.add_never_ban(prefix));
        self.filter.publish(&draft);
        self.stale = 0;
        Ok(())
    }

    pub(super) fn allow(&mut self, key: &PrefixKey) -> Result<(), EnforcerError> {
        self.filter.add_never_ban(key);
        self.never_ban.set(key, &key.bits)?;
        if !self.exempt.contains(key) {
            self.exempt.push(*key);
        }
        Ok(())
    }

    pub(super) fn disallow(&mut self, key: &PrefixKey) -> Result<bool, EnforcerError> {
        self.exempt.retain(|exempt| exempt != key);
        self.stale += 1;
        self.never_ban.remove(key)
    }

    pub(super) fn allowed(&self) -> Vec<IpNet> {
        self.exempt.iter().map(target::network).collect()
    }

    /// Whether the never-ban set holds every one of these sources.
    pub(super) fn is_never_ban(&self, sources: &PrefixKey) -> bool {
        self.filter.may_be_never_ban(sources) && self.exempt.iter().any(|exempt| exempt.holds(sources))
    }

    /// How many hosts are banned, how many of them found their line full, how many may be.
    pub(super) fn hosts(&self) -> (u32, u32, u32) {
        (self.hosts.len(), self.hosts.overflowed(), self.hosts.capacity())
    }

    /// Copies every ban that holds and the never-ban set from tables of another size.
    pub(super) fn take_over(&mut self, earlier: &Self) -> Result<(), EnforcerError> {
        for prefix in &earlier.exempt {
            self.allow(prefix)?;
        }
        let mut bans = Vec::new();
        earlier.walk(|key, entry| bans.push((key, entry)))?;
        self.put_all(bans)?;
        self.hits.take_over(&earlier.hits);
        Ok(())
    }

    /// Writes entries of other tables, but for those that have ended.
    pub(super) fn put_all(&mut self, entries: Vec<(Key, Entry)>) -> Result<(), EnforcerError> {
        let now = clock::boot_ns();
        for (key, entry) in entries {
            if let (Some(origin), true) = (Origin::from_number(entry.origin), entry.expires_boot_ns > now) {
                self.insert(&key, entry.expires_boot_ns, origin)?;
            }
        }
        Ok(())
    }

    /// Remembers from now on which entries change.
    pub(super) fn follow_changes(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// What changed since, and no longer remembers.
    pub(super) fn changes(&mut self) -> Vec<Key> {
        self.touched.take().unwrap_or_default()
    }

    /// The hosts of some lines, of [`lines`](Self::lines) that there are.
    pub(super) fn hosts_in(&self, lines: std::ops::Range<u32>) -> Vec<(Key, Entry)> {
        let mut found = Vec::new();
        self.hosts.walk_lines(lines, |key, slot| found.push((key, slot.into())));
        found
    }

    pub(super) const fn lines(&self) -> u32 {
        self.hosts.lines()
    }

    /// The hosts that found their line full.
    pub(super) fn overflowed_hosts(&self) -> Result<Vec<(Key, Entry)>, EnforcerError> {
        let mut found = Vec::new();
        self.hosts.walk_overflow(|key, slot| found.push((key, slot.into())))?;
        Ok(found)
    }

    /// The prefixes that are banned.
    pub(super) fn banned_prefixes(&self) -> Result<Vec<(Key, Entry)>, EnforcerError> {
        let entries = self.prefixes.entries()?.into_iter();
        Ok(entries.map(|(key, entry)| (Key::Prefix(key), entry.into())).collect())
    }

    /// Brings tables that were filled from `earlier` to its state: prefixes, flows and the never-ban set are the same
    /// maps, hits are too unless they have another number of cells.
    pub(super) fn catch_up(&mut self, earlier: &Self, changed: &[Key]) -> Result<(), EnforcerError> {
        for key in changed {
            match earlier.entry(key)? {
                Some(entry) => self.put_all(vec![(*key, entry)])?,
                None => {
                    self.remove(key)?;
                }
            }
        }
        self.exempt.clone_from(&earlier.exempt);
        self.exempt.iter().for_each(|prefix| self.filter.add_never_ban(prefix));
        if !self.hits.are_as_many(&earlier.hits) {
            self.hits.take_over(&earlier.hits);
        }
        Ok(())
    }

    pub(super) fn walk(&self, mut visit: impl FnMut(Key, Entry)) -> Result<(), EnforcerError> {
        for table in BanTable::ALL {
            self.walk_table(table, &mut visit)?;
        }
        Ok(())
    }

    fn walk_table(&self, table: BanTable, mut visit: impl FnMut(Key, Entry)) -> Result<(), EnforcerError> {
        match table {
            BanTable::Hosts => self.hosts.walk(|key, slot| visit(key, slot.into()))?,
            BanTable::Prefixes => {
                let banned = self.banned_prefixes()?;
                banned.into_iter().for_each(|(key, entry)| visit(key, entry));
            }
            BanTable::Flows => {
                let entries = self.flows.entries()?;
                entries
                    .into_iter()
                    .for_each(|(key, entry)| visit(Key::Flow(key), entry.into()));
            }
        }
        Ok(())
    }
}

impl From<Slot> for Entry {
    fn from(slot: Slot) -> Self {
        Self {
            expires_boot_ns: slot.expires_boot_ns(),
            origin: slot.origin(),
        }
    }
}

impl From<BanEntry> for Entry {
    fn from(entry: BanEntry) -> Self {
        Self {
            expires_boot_ns: entry.expires_boot_ns,
            origin: entry.origin,
        }
    }
}

fn mapped<K: portcullis_common::Plain, V: portcullis_common::Plain>(
    program: &Source<'_>,
    name: &'static str,
    words: usize,
) -> Result<Words, EnforcerError> {
    let table = Table::<K, V>::open(program, name)?;
    Words::map(table.fd(), words).map_err(|source: io::Error| EnforcerError::Map {
        map: name,
        action: "map the memory of",
        source,
    })
}
