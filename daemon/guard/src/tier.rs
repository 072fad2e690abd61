//! What is remembered of the networks around sources: whoever has a whole prefix can use each address once.
//!
//! An IPv4 source lies in a /24, an IPv6 source (a /64) in a /56 and a /48. A prefix collects the points of its sources,
//! and is worth a verdict only when many of them misbehaved.

mod kept;

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::kept::KeptTier;
use crate::remembered::Remembered;
use crate::request::Source;
use crate::score::Score;
use crate::time::MonoMillis;

/// Sources that are told apart in one prefix.
const TOLD_APART: usize = 16;
/// Points that a prefix takes notice of; less happens to anybody.
const LEAST: f32 = 10.0;
/// How long a prefix is left alone after it was spared.
const PAUSE: Duration = Duration::from_secs(60);
/// A /48 is one customer or a hundred: it may have so many times the points.
const WIDER: f32 = 4.0;

/// When a prefix is worth a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TierLimits {
    /// Sources in it that misbehaved; 0: prefixes are left alone.
    pub sources: u8,
    /// Points of a /24 or /56; a /48 may have four times as many.
    pub points: f32,
    /// How long it is banned the first time.
    pub ban: Duration,
}

impl TierLimits {
    /// The most sources that are told apart.
    pub const MOST_SOURCES: u8 = TOLD_APART as u8;
}

impl Default for TierLimits {
    fn default() -> Self {
        Self {
            sources: 8,
            points: 800.0,
            ban: Duration::from_secs(3600),
        }
    }
}

/// A prefix that is over the limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crowd {
    /// Which.
    pub network: IpNet,
    /// Its points.
    pub score: f32,
    /// Sources in it that misbehaved, up to 16.
    pub sources: usize,
}

/// Prefixes in which somebody misbehaved, bounded: the one that was silent for longest is forgotten, with its points.
pub struct Tiers(Mutex<Remembered<IpNet, Record>>);

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Record {
    score: Score,
    sources: [Option<(Source, MonoMillis)>; TOLD_APART],
    spared: Option<MonoMillis>,
}

/// The prefixes around a source, the narrowest first.
fn around(source: Source) -> impl Iterator<Item = (IpNet, f32)> {
    let network = source.network();
    let (narrow, wide) = match network.addr() {
        IpAddr::V4(_) => (24, None),
        IpAddr::V6(_) => (56, Some(48)),
    };
    let cut = move |length: u8| IpNet::new(network.addr(), length).ok().map(|network| network.trunc());
    let wide = wide.and_then(cut).map(|network| (network, WIDER));
    cut(narrow).map(|network| (network, 1.0)).into_iter().chain(wide)
}

/// The narrowest prefix around a source: a /24 or a /56.
#[must_use]
pub fn narrowest_around(source: Source) -> IpNet {
    around(source).next().map_or(source.network(), |(network, _)| network)
}

impl Tiers {
    /// Room for `capacity` prefixes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Mutex::new(Remembered::new(capacity)))
    }

    /// Adds the points of a source to the prefixes around it. Returns the widest one that is over the limits.
    pub fn charge(
        &self,
        source: Source,
        points: f32,
        limits: &TierLimits,
        half_life: Duration,
        now: MonoMillis,
    ) -> Option<Crowd> {
        if points < LEAST || limits.sources == 0 {
            return None;
        }
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut crowds = around(source).filter_map(|(network, wider)| {
            let record = table.open(network);
            let score = record.score.add(points, half_life, now);
            let sources = record.note(source, half_life, now);
            let is_over = score >= limits.points * wider && sources >= usize::from(limits.sources);
            let is_due = record.spared.is_none_or(|at| now.since(at) >= PAUSE);
            (is_over && is_due).then_some(Crowd {
                network,
                score,
                sources,
            })
        });
        let narrow = crowds.next();
        crowds.next().or(narrow)
    }

    /// Notes a source that misbehaved, and returns how many did in the narrowest prefix around it.
    pub fn offenders(&self, source: Source, half_life: Duration, now: MonoMillis) -> usize {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let record = table.open(narrowest_around(source));
        record.note(source, half_life, now)
    }

    /// A prefix is left alone for a while: innocents live there.
    pub fn spare(&self, network: IpNet, now: MonoMillis) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = table.get(network) {
            record.spared = Some(now);
        }
    }

    /// The consequence was drawn: the prefix starts again.
    pub fn clear(&self, network: IpNet) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop(&network);
    }

    /// Prefixes that are remembered.
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

impl Record {
    /// Notes who misbehaved and returns how many did lately: within two half-lives.
    fn note(&mut self, source: Source, half_life: Duration, now: MonoMillis) -> usize {
        let lately = half_life.saturating_mul(2);
        for known in &mut self.sources {
            *known = known.filter(|(other, at)| *other != source && now.since(*at) <= lately);
        }
        let oldest = || {
            let by_age = |place: &usize| self.sources[*place].map(|(_, at)| at);
            (0..TOLD_APART).min_by_key(by_age).unwrap_or(0)
        };
        let place = self.sources.iter().position(Option::is_none).unwrap_or_else(oldest);
        self.sources[place] = Some((source, now));
        self.sources.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ClientAddress;

    const HALF_LIFE: Duration = Duration::from_secs(600);
    const LIMITS: TierLimits = TierLimits {
        sources: 4,
        points: 100.0,
        ban: HALF_LIFE,
    };

    fn source(text: &str) -> Source {
        ClientAddress::new(text.parse().unwrap()).source()
    }

    fn charge(tiers: &Tiers, address: &str, points: f32, ms: u64) -> Option<String> {
        let crowd = tiers.charge(source(address), points, &LIMITS, HALF_LIFE, MonoMillis(ms));
        crowd.map(|crowd| crowd.network.to_string())
    }

    #[test]
    fn one_source_is_no_crowd_however_bad() {
        let tiers = Tiers::new(10);
        assert!((0..100).all(|_| charge(&tiers, "10.0.0.1", 60.0, 0).is_none()));
        assert!((2..4).all(|host| charge(&tiers, &format!("10.0.0.{host}"), 60.0, 0).is_none()));
        assert_eq!(charge(&tiers, "10.0.0.4", 60.0, 0).as_deref(), Some("10.0.0.0/24"));
        tiers.spare("10.0.0.0/24".parse().unwrap(), MonoMillis(0));
        assert_eq!(charge(&tiers, "10.0.0.4", 60.0, 59_999), None, "left alone for a while");
        assert!(charge(&tiers, "10.0.0.4", 60.0, 60_000).is_some());
    }

    #[test]
    fn many_innocents_are_no_crowd() {
        let tiers = Tiers::new(10);
        let trifles = (0..200).map(|host| charge(&tiers, &format!("10.0.0.{host}"), 1.0, 0));
        assert!(trifles.into_iter().all(|crowd| crowd.is_none()));
        assert!(tiers.is_empty(), "a trifle leaves no trace");
        let slowly = (0..200).map(|n| charge(&tiers, &format!("10.0.0.{n}"), 10.0, n * 400_000));
        assert!(slowly.into_iter().all(|crowd| crowd.is_none()));
    }

    #[test]
    fn an_ipv6_site_is_judged_in_two_steps() {
        let tiers = Tiers::new(10);
        let within = (0..4).filter_map(|net| charge(&tiers, &format!("2001:db8:0:{net:x}::1"), 40.0, 0));
        assert_eq!(within.collect::<Vec<_>>(), ["2001:db8::/56"]);
        let across = (1..16).filter_map(|net| charge(&tiers, &format!("2001:db8:0:{net:x}00::1"), 40.0, 0));
        assert_eq!(across.last().as_deref(), Some("2001:db8::/48"));
    }

    #[test]
    fn memory_is_bounded() {
        let tiers = Tiers::new(4);
        for net in 0..=255 {
            charge(&tiers, &format!("10.0.{net}.1"), 50.0, 0);
        }
        assert_eq!(tiers.len(), 4);
    }
}
