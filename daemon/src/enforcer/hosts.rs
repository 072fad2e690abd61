//! The tables of banned hosts and /64s: they are the only record of these bans, so that whoever
//! opens them later knows all that the program knows.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use portcullis_common::{
    Address, Geometry, PrefixKey, Slot,
    hash::{self, Source},
    v4_permuted, v4_tag, v6_likely, v6_tag,
};

use super::{EnforcerError, mapped::Words, table::Table, target::Key};

const PER_LINE: usize = Slot::PER_LINE;
const KEY_WORDS: usize = size_of::<Address>() / size_of::<u64>();

/// The memory of the tables.
pub(super) struct Memory {
    pub(super) v4: Words,
    pub(super) v6: Words,
    pub(super) v6_keys: Words,
}

/// The tables.
pub(super) struct Hosts {
    memory: Memory,
    overflow: Table<PrefixKey, u64>,
    geometry: Geometry,
    capacity: u32,
    count: u32,
    /// How many entries of the overflow table belong to a line: its last slot must not be empty.
    overflowing: HashMap<LineId, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct LineId {
    v4: bool,
    number: u32,
}

/// Where a host belongs.
pub(super) struct Place {
    line: LineId,
    /// The slot that it takes if it can.
    likely: usize,
    identity: u64,
    key: PrefixKey,
}

impl Place {
    /// The network of the host or /64.
    pub(super) const fn key(&self) -> &PrefixKey {
        &self.key
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Slot(usize),
    Overflow,
}

impl Hosts {
    /// Takes the tables over with what is in them.
    pub(super) fn open(
        memory: Memory,
        overflow: Table<PrefixKey, u64>,
        geometry: Geometry,
        capacity: u32,
    ) -> Result<Self, EnforcerError> {
        let mut hosts = Self {
            memory,
            overflow,
            geometry,
            capacity,
            count: 0,
            overflowing: HashMap::new(),
        };
        for (key, _) in hosts.overflow.entries()? {
            let place = hosts.place(&key.address, key.bits);
            *hosts.overflowing.entry(place.line).or_default() += 1;
            hosts.count += 1;
        }
        let mut in_lines = 0;
        hosts.walk_lines(0..hosts.lines(), |_, _| in_lines += 1);
        hosts.count += in_lines;
        Ok(hosts)
    }

    /// How many there are, ended ones not yet swept among them.
    pub(super) const fn len(&self) -> u32 {
        self.count
    }

    /// How many found their line full.
    pub(super) fn overflowed(&self) -> u32 {
        self.overflowing.values().sum()
    }

    pub(super) const fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn get(&self, address: &Address, bits: u32) -> Result<Option<Slot>, EnforcerError> {
        let place = self.place(address, bits);
        match self.find(&place)? {
            Some(Found::Slot(slot)) => Ok(Some(load(&self.line(place.line)[slot]))),
            Some(Found::Overflow) => Ok(self.overflow.get(&place.key)?.map(Slot)),
            None => Ok(None),
        }
    }

    /// Reads what [`set`](Self::set) will: before many of these, so that the processor waits for their lines at once.
    pub(super) fn touch(&self, place: &Place) -> u64 {
        load(&self.line(place.line)[0]).0
    }

    /// Writes a ban, which makes `slot` of an identity.
    pub(super) fn set(
        &mut self,
        place: &Place,
        now: impl Fn() -> u64,
        slot: impl FnOnce(u64) -> Slot,
    ) -> Result<(), EnforcerError> {
        let slot = slot(place.identity);
        if self.take_empty(place, slot) {
            return Ok(());
        }
        match self.find(place)? {
            Some(Found::Slot(number)) => {
                store(&self.line(place.line)[number], slot);
                Ok(())
            }
            Some(Found::Overflow) => self.overflow.set(&place.key, &slot.0),
            None => self.insert(place, slot, now),
        }
    }

    /// What becomes of most bans when many are written: their host is not in its line, and the last slot is empty. Looks
    /// at each slot once.
    #[inline]
    fn take_empty(&mut self, place: &Place, slot: Slot) -> bool {
        let mut known = false;
        let mut empty = 0_u32;
        for (number, cell) in self.line(place.line).iter().enumerate() {
            let other = load(cell);
            known |= other.is(place.identity);
            empty |= u32::from(other.is_empty()) << number;
        }
        // Behind a last slot in use there may be more, for the others to look at.
        if known || empty >> Slot::LAST == 0 || self.count >= self.capacity {
            return false;
        }
        let likely = empty >> place.likely & 1 != 0;
        let number = if likely {
            place.likely
        } else {
            empty.trailing_zeros() as usize
        };
        self.fill(place, number, slot);
        self.count += 1;
        true
    }

    fn insert(&mut self, place: &Place, slot: Slot, now: impl Fn() -> u64) -> Result<(), EnforcerError> {
        let line = self.line(place.line);
        // Two IPv6 hosts with one tag would hide each other.
        let hidden = !place.line.v4 && line.iter().any(|other| load(other).is(place.identity));
        let room = if hidden {
            None
        } else {
            let free = |number: &usize| load(&line[*number]).is_free();
            let free = [place.likely].into_iter().chain(0..PER_LINE).find(free);
            free.or_else(|| {
                let now = now();
                line.iter().position(|slot| load(slot).expires_boot_ns() <= now)
            })
        };
        let replaces = room.is_some_and(|number| !load(&line[number]).is_free());
        if self.count >= self.capacity && !replaces {
            return Err(EnforcerError::MapFull {
                table: "HOSTS",
                capacity: self.capacity,
            });
        }
        match room {
            Some(number) => self.fill(place, number, slot),
            None => {
                let last = &line[Slot::LAST];
                if load(last).is_empty() {
                    store(last, Slot::TOMBSTONE);
                }
                self.overflow.set(&place.key, &slot.0)?;
                *self.overflowing.entry(place.line).or_default() += 1;
            }
        }
        self.count += u32::from(!replaces);
        Ok(())
    }

    /// The address is there before the slot that it belongs to.
    fn fill(&self, place: &Place, number: usize, slot: Slot) {
        let cell = &self.line(place.line)[number];
        if !place.line.v4 {
            if !load(cell).is_free() {
                store(cell, Slot::TOMBSTONE);
            }
            for (word, value) in self
                .stored_key(place.line, number)
                .iter()
                .zip(key_words(&place.key.address))
            {
                word.store(value, Ordering::Release);
            }
        }
        store(cell, slot);
    }

    /// Takes a ban out; `false` if there was none.
    pub(super) fn remove(&mut self, address: &Address, bits: u32) -> Result<bool, EnforcerError> {
        let place = self.place(address, bits);
        match self.find(&place)? {
            None => return Ok(false),
            Some(Found::Slot(number)) => {
                let keep = number == Slot::LAST && self.overflowing.contains_key(&place.line);
                let slot = if keep { Slot::TOMBSTONE } else { Slot::EMPTY };
                store(&self.line(place.line)[number], slot);
            }
            Some(Found::Overflow) => {
                self.overflow.remove(&place.key)?;
                self.leave_overflow(place.line);
            }
        }
        self.count -= 1;
        Ok(true)
    }

    fn leave_overflow(&mut self, line: LineId) {
        let left = self.overflowing.get_mut(&line).map_or(0, |count| {
            *count -= 1;
            *count
        });
        if left > 0 {
            return;
        }
        self.overflowing.remove(&line);
        let last = &self.line(line)[Slot::LAST];
        if load(last) == Slot::TOMBSTONE {
            store(last, Slot::EMPTY);
        }
    }

    /// Every entry of those lines, for walks in steps.
    pub(super) fn walk_lines(&self, lines: std::ops::Range<u32>, mut visit: impl FnMut(Key, Slot)) {
        for number in lines {
            let v4 = number < self.geometry.v4_lines;
            let line = LineId {
                v4,
                number: if v4 { number } else { number - self.geometry.v4_lines },
            };
            for (index, cell) in self.line(line).iter().enumerate() {
                let slot = load(cell);
                if !slot.is_free() {
                    visit(self.key_of(line, index, slot), slot);
                }
            }
        }
    }

    /// How many lines there are to walk.
    pub(super) const fn lines(&self) -> u32 {
        self.geometry.v4_lines + self.geometry.v6_lines
    }

    /// Every entry that found its line full.
    pub(super) fn walk_overflow(&self, mut visit: impl FnMut(Key, Slot)) -> Result<(), EnforcerError> {
        for (key, slot) in self.overflow.entries()? {
            visit(host_key(key.address, key.bits), Slot(slot));
        }
        Ok(())
    }

    pub(super) fn walk(&self, mut visit: impl FnMut(Key, Slot)) -> Result<(), EnforcerError> {
        self.walk_lines(0..self.lines(), &mut visit);
        self.walk_overflow(visit)
    }

    fn find(&self, place: &Place) -> Result<Option<Found>, EnforcerError> {
        let line = self.line(place.line);
        let slot = line.iter().position(|slot| load(slot).is(place.identity));
        if let Some(number) = slot
            && (place.line.v4 || self.key_at(place.line, number) == place.key.address)
        {
            return Ok(Some(Found::Slot(number)));
        }
        if load(&line[Slot::LAST]).is_empty() || !self.overflowing.contains_key(&place.line) {
            return Ok(None);
        }
        Ok(self.overflow.get(&place.key)?.map(|_| Found::Overflow))
    }

    fn place(&self, address: &Address, bits: u32) -> Place {
        self.place_of(address, bits, &Source::of(address, self.geometry.seed))
    }

    /// Where a host belongs that has those hashes.
    #[inline]
    pub(super) fn place_of(&self, address: &Address, bits: u32, source: &Source) -> Place {
        let wide = bits != PrefixKey::ADDRESS_BITS;
        let v4 = address.is_v4();
        let (hash, lines, tag, likely) = if v4 {
            let number = source.host;
            (number, self.geometry.v4_lines, v4_tag(number), Slot::likely(number))
        } else {
            let hash = if wide { source.wide } else { source.host };
            (hash, self.geometry.v6_lines, v6_tag(hash), v6_likely(hash))
        };
        Place {
            line: LineId {
                v4,
                number: hash as u32 & (lines - 1),
            },
            likely,
            identity: if wide {
                Slot::wide_identity(tag)
            } else {
                Slot::identity(tag)
            },
            key: PrefixKey {
                bits,
                address: *address,
            },
        }
    }

    fn line(&self, line: LineId) -> &[AtomicU64] {
        let words = if line.v4 { &self.memory.v4 } else { &self.memory.v6 };
        let start = line.number as usize * PER_LINE;
        &words.get()[start..start + PER_LINE]
    }

    fn stored_key(&self, line: LineId, slot: usize) -> &[AtomicU64] {
        let start = (line.number as usize * PER_LINE + slot) * KEY_WORDS;
        &self.memory.v6_keys.get()[start..start + KEY_WORDS]
    }

    fn key_at(&self, line: LineId, slot: usize) -> Address {
        let mut words = [0; KEY_WORDS];
        for (word, stored) in words.iter_mut().zip(self.stored_key(line, slot)) {
            *word = stored.load(Ordering::Acquire);
        }
        let [[a, b], [c, d]] = words.map(halves);
        Address([a, b, c, d])
    }

    fn key_of(&self, line: LineId, index: usize, slot: Slot) -> Key {
        if line.v4 {
            let number = v4_permuted(line.number, slot.tag());
            let address = hash::restore(number, self.geometry.seed);
            return Key::Host(Address::from_v4_word(address.to_be()));
        }
        let bits = if slot.is_wide() { 64 } else { PrefixKey::ADDRESS_BITS };
        host_key(self.key_at(line, index), bits)
    }
}

fn host_key(address: Address, bits: u32) -> Key {
    if bits == PrefixKey::ADDRESS_BITS {
        Key::Host(address)
    } else {
        Key::Wide(address)
    }
}

/// The words of an address as the program reads them: two of its four in each, as they lie.
fn key_words(address: &Address) -> [u64; KEY_WORDS] {
    let [a, b, c, d] = address.0.map(u32::to_ne_bytes);
    [pair(a, b), pair(c, d)]
}

fn pair(first: [u8; 4], second: [u8; 4]) -> u64 {
    let [a, b, c, d] = first;
    let [e, f, g, h] = second;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

fn load(slot: &AtomicU64) -> Slot {
    Slot(slot.load(Ordering::Acquire))
}

fn store(slot: &AtomicU64, value: Slot) {
    slot.store(value.0, Ordering::Release);
}
