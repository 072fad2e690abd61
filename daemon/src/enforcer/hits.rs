//! How often bans were met.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use portcullis_common::{
    Geometry, HitCell, PrefixKey,
    hash::{Seed, Source, mix},
};

use super::{mapped::Words, target::Key};

/// What a ban kept away. Counted for the bans that are met most: the program has a cell for each
/// of some ten thousand, and leaves it to whoever came first while that one is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hits {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// The last one, by `CLOCK_BOOTTIME`.
    pub last_since_boot: Duration,
}

/// The cells.
pub(super) struct HitCells {
    words: Words,
    cells: u32,
    seed: Seed,
}

const CELL_WORDS: usize = size_of::<HitCell>() / size_of::<u64>();

/// How many words the cells have.
pub(super) const fn words(geometry: &Geometry) -> usize {
    geometry.hit_cells as usize * CELL_WORDS
}

impl HitCells {
    pub(super) fn new(words: Words, geometry: &Geometry) -> Self {
        Self {
            words,
            cells: geometry.hit_cells,
            seed: geometry.seed,
        }
    }

    /// Whether these are as many cells.
    pub(super) const fn are_as_many(&self, other: &Self) -> bool {
        self.cells == other.cells
    }

    /// What the hits of a ban are counted under; 0 if they are not.
    pub(super) fn id(&self, key: &Key) -> u64 {
        match key {
            Key::Host(address) => HitCell::id_of(Source::of(address, self.seed).host),
            Key::Wide(address) => HitCell::id_of(Source::of(address, self.seed).wide),
            Key::Prefix(PrefixKey { bits, address }) => {
                let source = Source::of_v6(address, self.seed);
                HitCell::id_of(mix(source.host ^ u64::from(*bits)))
            }
            Key::Flow(_) => 0,
        }
    }

    /// The hits of a ban, if it has a cell.
    pub(super) fn get(&self, key: &Key) -> Option<Hits> {
        let id = self.id(key);
        let start = HitCell::index(id, self.cells) as usize * CELL_WORDS;
        let [found, packets, bytes, last] = self.words.get().get(start..start + CELL_WORDS)? else {
            return None;
        };
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        (id != 0 && read(found) == id).then(|| Hits {
            packets: read(packets),
            bytes: read(bytes),
            last_since_boot: Duration::from_nanos(read(last)),
        })
    }

    /// Copies what was counted in cells of another number; of two bans that meet in one, the later one stays.
    pub(super) fn take_over(&self, earlier: &Self) {
        let words = self.words.get();
        for cell in earlier.words.get().chunks_exact(CELL_WORDS) {
            let id = cell[0].load(Ordering::Relaxed);
            let start = HitCell::index(id, self.cells) as usize * CELL_WORDS;
            if let (true, Some(place)) = (id != 0, words.get(start..start + CELL_WORDS)) {
                for (word, earlier) in place.iter().zip(cell) {
                    word.store(earlier.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
        }
    }

    /// Starts from nothing: another ban of the same target.
    pub(super) fn forget(&self, key: &Key) {
        let id = self.id(key);
        let start = HitCell::index(id, self.cells) as usize * CELL_WORDS;
        if let Some(cell) = self.words.get().get(start)
            && id != 0
        {
            let _ = cell.compare_exchange(id, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
