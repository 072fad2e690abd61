//! Keeps the filter of the program: every ban has its bits in it before it is one.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_common::{
    Address, FlowKey, Geometry, PrefixKey,
    filter::{self, COARSE_WORDS, FINE_AT, Mark, NEVER_BAN_AT, Place},
    hash::{Seed, Source},
};

use super::{mapped::Words, target::Key};

/// The words that the program reads.
pub(super) struct Filter {
    words: Words,
    /// Bits that every fine word has.
    in_use: u64,
    seed: Seed,
    mask: u32,
}

/// What the words should be, in the making.
pub(super) struct Draft {
    words: Vec<u64>,
    /// Bits of every fine word.
    in_use: u64,
    seed: Seed,
    mask: u32,
}

/// How many words the filter has.
pub(super) fn words(geometry: &Geometry) -> usize {
    (FINE_AT + geometry.filter_words) as usize
}

impl Filter {
    pub(super) fn new(words: Words, geometry: &Geometry) -> Self {
        Self {
            words,
            in_use: 0,
            seed: geometry.seed,
            mask: geometry.filter_words - 1,
        }
    }

    /// Makes the program look for a ban. Never takes a bit away.
    pub(super) fn add(&mut self, key: &Key) {
        let words = self.words.get();
        marks(key, self.seed, self.mask, |word, bits| {
            set(&words[word as usize], bits);
        });
        let in_use = coarse_in_use(key);
        let fine = &words[FINE_AT as usize..];
        // The bit of a single word may be there for another reason.
        if self.in_use & in_use != in_use {
            self.in_use |= in_use;
            fine.iter().for_each(|word| set(word, in_use));
        }
    }

    /// The hashes of an address.
    pub(super) fn source(&self, address: &Address) -> Source {
        Source::of(address, self.seed)
    }

    /// The word of a source, and in it the bits of a host or /64 that has this hash.
    pub(super) fn place(&self, source: &Source, hash: u64) -> Place {
        Place {
            word: filter::fine_word(source, self.mask),
            bits: filter::host_bits(hash),
        }
    }

    /// Does what [`add`](Self::add) does.
    pub(super) fn add_at(&self, place: Place) {
        set(&self.words.get()[place.word as usize], place.bits);
    }

    /// Reads what [`add_at`](Self::add_at) will: before many of these, so that the processor waits for their words at
    /// once.
    pub(super) fn touch(&self, place: Place) -> u64 {
        self.words.get()[place.word as usize].load(Ordering::Relaxed)
    }

    /// Makes the program look into the never-ban set for that prefix.
    pub(super) fn add_never_ban(&self, prefix: &PrefixKey) {
        let words = self.words.get();
        never_ban_marks(prefix, |word, bits| {
            set(&words[word as usize], bits);
        });
    }

    /// Whether the never-ban set may hold that prefix, or part of it.
    pub(super) fn may_be_never_ban(&self, prefix: &PrefixKey) -> bool {
        let words = self.words.get();
        if prefix.bits == PrefixKey::ADDRESS_BITS && prefix.address.is_v4() {
            let place = filter::coarse_v4(u32::from_be(prefix.address.0[3]));
            return words[(NEVER_BAN_AT + place.word) as usize].load(Ordering::Relaxed) & place.bits != 0;
        }
        let mut maybe = false;
        // A short never-ban prefix of IPv6 has its bits in another table than a long ban.
        let short = PrefixKey {
            bits: prefix.bits.min(16),
            address: prefix.address,
        };
        let mut look = |word: u32, bits| maybe |= words[word as usize].load(Ordering::Relaxed) & bits != 0;
        never_ban_marks(prefix, &mut look);
        if !prefix.address.is_v4() {
            never_ban_marks(&short, &mut look);
        }
        maybe
    }

    pub(super) fn draft(&self) -> Draft {
        Draft {
            words: vec![0; self.words.get().len()],
            in_use: 0,
            seed: self.seed,
            mask: self.mask,
        }
    }

    /// Replaces the words by those of a draft that has every ban and every never-ban prefix.
    ///
    /// All that a packet needs to know stands in one word of each table, and the old word as well
    /// as the new one has all bits of the bans that hold: no packet meets a filter without them.
    pub(super) fn publish(&mut self, draft: &Draft) {
        self.in_use = draft.in_use;
        for (index, (word, drafted)) in self.words.get().iter().zip(&draft.words).enumerate() {
            let drafted = if index < FINE_AT as usize {
                *drafted
            } else {
                drafted | draft.in_use
            };
            if word.load(Ordering::Relaxed) != drafted {
                word.store(drafted, Ordering::Release);
            }
        }
    }
}

impl Draft {
    pub(super) fn add(&mut self, key: &Key) {
        self.in_use |= coarse_in_use(key);
        let words = &mut self.words;
        marks(key, self.seed, self.mask, |word, bits| words[word as usize] |= bits);
    }

    pub(super) fn add_never_ban(&mut self, prefix: &PrefixKey) {
        let words = &mut self.words;
        never_ban_marks(prefix, |word, bits| words[word as usize] |= bits);
    }
}

/// There is one writer, so that no bit is lost between the two steps.
fn set(word: &AtomicU64, bits: u64) {
    let before = word.load(Ordering::Relaxed);
    if before & bits != bits {
        word.store(before | bits, Ordering::Release);
    }
}

fn marks(key: &Key, seed: Seed, mask: u32, mut mark: impl FnMut(u32, u64)) {
    match key {
        Key::Host(address) => {
            let source = Source::of(address, seed);
            mark(filter::fine_word(&source, mask), filter::host_bits(source.host));
        }
        Key::Wide(address) => {
            let source = Source::of(address, seed);
            mark(filter::fine_word(&source, mask), filter::host_bits(source.wide));
        }
        Key::Prefix(prefix) => match filter::mark(prefix) {
            Mark::Fine => {
                let source = Source::of(&prefix.address, seed);
                mark(
                    filter::fine_word(&source, mask),
                    filter::network_bits(&source) | filter::PREFIXES_HERE,
                );
            }
            Mark::Coarse { table, first, count } => coarse_marks(table, first, count, mark),
        },
        Key::Flow(FlowKey { remote, .. }) => {
            let source = Source::of(remote, seed);
            mark(
                filter::fine_word(&source, mask),
                filter::host_bits(source.host) | filter::flow_bits(source.host),
            );
        }
    }
}

/// The bits that every fine word must have for this ban to be found.
fn coarse_in_use(key: &Key) -> u64 {
    match key {
        Key::Prefix(prefix) if filter::mark(prefix) != Mark::Fine => {
            if prefix.address.is_v4() {
                filter::COARSE_V4_IN_USE
            } else {
                filter::COARSE_V6_IN_USE
            }
        }
        Key::Prefix(_) | Key::Host(_) | Key::Wide(_) | Key::Flow(_) => 0,
    }
}

fn never_ban_marks(prefix: &PrefixKey, mark: impl FnMut(u32, u64)) {
    let Mark::Coarse { table, first, count } = filter::coarse_mark(prefix) else {
        return;
    };
    coarse_marks(NEVER_BAN_AT + table, first, count, mark);
}

fn coarse_marks(table: u32, first: u32, count: u32, mut mark: impl FnMut(u32, u64)) {
    let last = first + count;
    let mut bit = first;
    while bit < last {
        let in_word = bit % 64;
        let run = (last - bit).min(64 - in_word);
        let bits = if run == 64 {
            u64::MAX
        } else {
            ((1 << run) - 1) << in_word
        };
        mark(table + bit / 64, bits);
        bit += run;
    }
    debug_assert!(table + (last - 1) / 64 < 2 * COARSE_WORDS);
}
