//! Escalation: whoever is banned again is banned for longer. The memory of it fades like a score, more slowly.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use lru::LruCache;

use crate::score::Score;
use crate::time::MonoMillis;

/// How bans grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// By how much a ban is longer than the one before; 1 keeps them the same.
    pub factor: f32,
    /// The longest ban.
    pub longest: Duration,
    /// The share of a ban that may be added by chance: those who were banned together do not come back together, and
    /// nobody can wait for the exact end.
    pub jitter: f32,
    /// The time in which half of the memory is gone.
    pub memory: Duration,
}

impl Default for Growth {
    fn default() -> Self {
        Self {
            factor: 2.0,
            longest: Duration::from_secs(86_400),
            jitter: 0.1,
            memory: Duration::from_secs(86_400),
        }
    }
}

impl Growth {
    /// How long a ban is that would take `base` the first time, after `strikes` earlier ones. Whole seconds, at least
    /// one; `entropy` is any 64 random bits.
    #[must_use]
    pub fn ban(&self, base: Duration, strikes: f32, entropy: u64) -> Duration {
        let longest = self.longest.max(base).as_secs_f32();
        let grown = (base.as_secs_f32() * self.factor.powf(strikes)).min(longest);
        // The upper bits of a product are as good as random.
        let chance = (entropy.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1u64 << 24) as f32;
        let seconds = (grown * (1.0 + self.jitter.clamp(0.0, 1.0) * chance)).min(longest);
        Duration::from_secs_f32(seconds.round().max(1.0))
    }
}

/// What is left of a ban that matters no more: it is as good as forgotten.
const FORGOTTEN: f32 = 0.05;

/// Who was banned before, bounded: the one whose last ban lies back furthest is forgotten.
pub struct Escalations(Mutex<LruCache<IpNet, Score>>);

impl Escalations {
    /// Room for `capacity` networks.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(capacity)))
    }

    /// Notes a ban and returns what is left of those before: 1 for one a moment ago, 0.5 after [`Growth::memory`].
    pub fn strike(&self, network: IpNet, growth: &Growth, now: MonoMillis) -> f32 {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let score = table.get_or_insert_mut(network, Score::default);
        let before = score.value(growth.memory, now);
        score.add(1.0, growth.memory, now);
        before
    }

    /// What is left of the bans of a network.
    #[must_use]
    pub fn strikes(&self, network: IpNet, growth: &Growth, now: MonoMillis) -> f32 {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .peek(&network)
            .map_or(0.0, |score| score.value(growth.memory, now))
    }

    /// What is left of the bans of a network that was remembered before a restart: `points`, so long ago.
    pub fn restore(&self, network: IpNet, points: f32, ago: Duration, growth: &Growth, now: MonoMillis) {
        let memory = growth.memory.as_secs_f32().max(1.0);
        let left = points * (-ago.as_secs_f32() / memory).exp2();
        if left.is_finite() && left >= FORGOTTEN {
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            table.put(network, Score::of(left, now));
        }
    }

    /// What is left of the bans of a network, if it is worth being written down.
    #[must_use]
    pub fn kept(&self, network: IpNet, growth: &Growth, now: MonoMillis) -> Option<f32> {
        Some(self.strikes(network, growth, now)).filter(|left| *left >= FORGOTTEN)
    }

    /// A ban was lifted by the operator: it was wrong, or is forgiven.
    pub fn forgive(&self, network: IpNet) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(&network);
    }

    /// Networks that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_outlives_a_restart_and_fades_meanwhile() {
        let (before, after) = (Escalations::new(10), Escalations::new(10));
        let host = network("10.0.0.1/32");
        let _ = before.strike(host, &GROWTH, MonoMillis(0));
        let _ = before.strike(host, &GROWTH, MonoMillis(0));
        let kept = before.kept(host, &GROWTH, MonoMillis(0)).unwrap();
        after.restore(host, kept, GROWTH.memory, &GROWTH, MonoMillis(5));
        assert!((after.strikes(host, &GROWTH, MonoMillis(5)) - 1.0).abs() < 0.01);
        after.restore(network("10.0.0.2/32"), 1.0, 10 * GROWTH.memory, &GROWTH, MonoMillis(5));
        after.restore(network("10.0.0.3/32"), f32::NAN, Duration::ZERO, &GROWTH, MonoMillis(5));
        assert_eq!(after.len(), 1, "the others are forgotten");
        before.forgive(host);
        assert_eq!(before.kept(host, &GROWTH, MonoMillis(0)), None);
    }

    const GROWTH: Growth = Growth {
        factor: 2.0,
        longest: Duration::from_secs(3600),
        jitter: 0.0,
        memory: Duration::from_secs(86_400),
    };
    const DAY: u64 = 86_400_000;

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn bans_grow_up_to_the_longest_and_the_memory_fades() {
        let escalations = Escalations::new(10);
        let ban = |ms| {
            let strikes = escalations.strike(network("10.0.0.1/32"), &GROWTH, MonoMillis(ms));
            GROWTH.ban(Duration::from_secs(600), strikes, 0).as_secs()
        };
        assert_eq!([ban(0), ban(0), ban(0), ban(0)], [600, 1200, 2400, 3600]);
        assert_eq!(ban(DAY), 2400, "half of four strikes are left");
        assert_eq!(ban(30 * DAY), 600, "long after");
        escalations.forgive(network("10.0.0.1/32"));
        assert!(escalations.is_empty());
    }

    #[test]
    fn chance_only_lengthens() {
        let growth = Growth { jitter: 0.2, ..GROWTH };
        let bans: Vec<u64> = (0..1000)
            .map(|entropy| growth.ban(Duration::from_secs(1000), 0.0, entropy).as_secs())
            .collect();
        assert!(bans.iter().all(|seconds| (1000..=1200).contains(seconds)));
        let different: std::collections::BTreeSet<_> = bans.iter().collect();
        assert!(different.len() > 100, "{}", different.len());
        let never_longer = growth.ban(GROWTH.longest, 9.0, 7);
        assert_eq!(never_longer, GROWTH.longest);
        let never_shorter_than_a_second = growth.ban(Duration::ZERO, 0.0, 7);
        assert_eq!(never_shorter_than_a_second, Duration::from_secs(1));
    }

    #[test]
    fn strange_numbers_are_bans_of_a_sane_length() {
        for (factor, strikes) in [(1e30, 1e30), (2.0, f32::INFINITY), (1.0, 1e9)] {
            let growth = Growth { factor, ..GROWTH };
            let ban = growth.ban(Duration::from_secs(600), strikes, u64::MAX);
            assert!((1..=3600).contains(&ban.as_secs()), "{factor} {strikes}: {ban:?}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let escalations = Escalations::new(4);
        for host in 0..=255 {
            escalations.strike(network(&format!("10.0.0.{host}/32")), &GROWTH, MonoMillis(0));
        }
        assert_eq!(escalations.len(), 4);
    }
}
