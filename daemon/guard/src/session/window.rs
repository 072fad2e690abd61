//! Which counters of a stream were seen: a sliding window, as in IPsec's anti-replay service (RFC 4303 section 3.4.3).
//!
//! A client counts up and its calls overtake each other by a few places. As long as no counter stays out for long, 64
//! bits tell everything; only then the whole window gets memory.

/// Counters below the highest seen that are still accepted.
pub const WIDTH: u64 = 1024;
/// Places that the short form tells apart.
const RECENT: u64 = 64;
const WORDS: usize = WIDTH as usize / 64;

/// The accepted counters of one stream.
#[derive(Debug)]
pub(super) struct Window {
    highest: u64,
    seen: Seen,
}

#[derive(Debug)]
enum Seen {
    /// Bit `n` stands for `highest - n`; all counters before those were seen, or are below zero.
    Recent(u64),
    /// A ring with a bit for each counter of the window.
    All(Box<[u64; WORDS]>),
}

impl Window {
    /// The window of a stream that this counter opens.
    #[must_use]
    pub(super) fn opened_by(counter: u64) -> Self {
        let seen = if counter < RECENT - 1 {
            // What lies below zero never comes.
            Seen::Recent(u64::MAX << (counter + 1) | 1)
        } else if counter == RECENT - 1 {
            Seen::Recent(1)
        } else {
            let mut ring = Box::new([0; WORDS]);
            mark(&mut ring, counter);
            Seen::All(ring)
        };
        Self { highest: counter, seen }
    }

    /// Notes a counter; `false` if it was seen, or lies so far below the window that it may have been.
    pub(super) fn accept(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            self.advance(counter);
            return true;
        }
        if self.is_spent(counter) {
            return false;
        }
        match &mut self.seen {
            Seen::Recent(bits) => *bits |= 1 << (self.highest - counter),
            Seen::All(ring) => mark(ring, counter),
        }
        true
    }

    /// Seen, or so far below the window that it may have been.
    #[must_use]
    pub(super) fn is_spent(&self, counter: u64) -> bool {
        let Some(below) = self.highest.checked_sub(counter) else {
            return false;
        };
        match &self.seen {
            Seen::Recent(bits) => below >= RECENT || bits & (1 << below) != 0,
            Seen::All(ring) => below >= WIDTH || is_marked(ring, counter),
        }
    }

    fn advance(&mut self, counter: u64) {
        let step = counter - self.highest;
        match &mut self.seen {
            Seen::Recent(bits) if step <= u64::from(bits.leading_ones()) => {
                *bits = bits.unbounded_shl(u32::try_from(step).unwrap_or(u32::MAX)) | 1;
            }
            Seen::Recent(bits) => {
                let mut ring = spread(*bits, self.highest);
                pass(&mut ring, self.highest, counter);
                self.seen = Seen::All(ring);
            }
            Seen::All(ring) => pass(ring, self.highest, counter),
        }
        self.highest = counter;
    }
}

/// The long form of the short one.
fn spread(recent: u64, highest: u64) -> Box<[u64; WORDS]> {
    let mut ring = Box::new([0; WORDS]);
    let seen = |below: &u64| *below >= RECENT || recent & (1 << below) != 0;
    (0..WIDTH.min(highest + 1))
        .filter(seen)
        .for_each(|below| mark(&mut ring, highest - below));
    ring
}

/// Moves the window up to a counter, which is seen; those in between are not.
fn pass(ring: &mut [u64; WORDS], from: u64, to: u64) {
    if to - from >= WIDTH {
        *ring = [0; WORDS];
    } else {
        (from + 1..to).for_each(|counter| {
            let (word, bit) = place(counter);
            ring[word] &= !bit;
        });
    }
    mark(ring, to);
}

fn mark(ring: &mut [u64; WORDS], counter: u64) {
    let (word, bit) = place(counter);
    ring[word] |= bit;
}

fn is_marked(ring: &[u64; WORDS], counter: u64) -> bool {
    let (word, bit) = place(counter);
    ring[word] & bit != 0
}

fn place(counter: u64) -> (usize, u64) {
    let ring = counter % WIDTH;
    ((ring / 64) as usize, 1 << (ring % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Remembers everything.
    fn follows_a_set(counters: impl IntoIterator<Item = u64>) -> Result<(), TestCaseError> {
        let mut counters = counters.into_iter();
        let Some(first) = counters.next() else { return Ok(()) };
        let mut window = Window::opened_by(first);
        let mut seen = HashSet::from([first]);
        let mut highest = first;
        for counter in counters {
            let spent = seen.contains(&counter) || highest.saturating_sub(counter) >= WIDTH;
            prop_assert_eq!(window.is_spent(counter), spent, "{}", counter);
            prop_assert_eq!(window.accept(counter), !spent, "{}", counter);
            seen.insert(counter);
            highest = highest.max(counter);
        }
        Ok(())
    }

    #[test]
    fn a_client_that_counts_needs_no_more_than_64_bits() {
        let mut window = Window::opened_by(0);
        // Three calls that overtake each other, again and again.
        for start in (1..30_000).step_by(3) {
            assert!(
                [start + 2, start, start + 1]
                    .into_iter()
                    .all(|counter| window.accept(counter))
            );
        }
        assert!(matches!(window.seen, Seen::Recent(_)));
        assert!((0..30_000).all(|counter| window.is_spent(counter)));
        assert!(!window.is_spent(30_001));
    }

    #[test]
    fn edges_of_the_short_form() {
        for first in [0, 1, 62, 63, 64, 65, 1023, 1024] {
            for step in [1, 62, 63, 64, 65, 66, 1023, 1024, 1025] {
                let end = first + step;
                let all = (0..=end + 1).rev();
                follows_a_set([first, end].into_iter().chain(all.clone())).unwrap();
                follows_a_set([first].into_iter().chain((0..first).rev()).chain([end]).chain(all)).unwrap();
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(counters in prop::collection::vec(0u64..3000, 1..500)) {
            follows_a_set(counters)?;
        }

        #[test]
        fn also_when_calls_overtake_each_other_a_little(
            start in 0u64..100,
            jumps in prop::collection::vec((0u64..70, prop::bool::ANY), 1..500),
        ) {
            let mut at = start;
            let counters = jumps.into_iter().map(move |(jump, forward)| {
                if forward {
                    at += jump;
                    at
                } else {
                    at.saturating_sub(jump)
                }
            });
            follows_a_set(counters)?;
        }
    }
}
