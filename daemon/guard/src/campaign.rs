//! Campaigns: many sessions of one client. A client is an address and a User-Agent (and what its TLS looks like, where
//! that is seen), as far as anybody can tell who is whom behind a NAT.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use crate::behaviour::Pattern;
use crate::request::Source;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// Sessions with the same pattern that are told apart.
const TOLD_APART: usize = 8;
/// How long a pattern is remembered after the last session that had it.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The time in which new sessions are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// One client: a source and a mark of its software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientMark {
    source: Source,
    software: u64,
}

impl ClientMark {
    /// `software` is a hash of what the client says and shows of itself.
    #[must_use]
    pub fn new(source: Source, software: u64) -> Self {
        Self { source, software }
    }
}

/// When it is a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CampaignLimits {
    /// New sessions of one client in a minute that are nothing special.
    pub sessions: u16,
    /// Sessions of one client with the same pattern from which on it is a script.
    pub alike: u8,
}

impl Default for CampaignLimits {
    fn default() -> Self {
        Self { sessions: 30, alike: 5 }
    }
}

/// What is remembered of clients and patterns, bounded: the one that was silent for longest is forgotten.
pub struct Campaigns {
    clients: Mutex<LruCache<ClientMark, Opened>>,
    patterns: Mutex<LruCache<(ClientMark, Pattern), Alike>>,
}

/// Sessions of one client, counted by the minute: this one and the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Opened {
    minute: u64,
    now: u16,
    before: u16,
}

/// The sessions that had one pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Alike([Option<(u32, MonoMillis)>; TOLD_APART]);

impl Campaigns {
    /// Room for `capacity` clients, and for as many patterns.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self {
            clients: Mutex::new(LruCache::new(capacity)),
            patterns: Mutex::new(LruCache::new(capacity)),
        }
    }

    /// Counts a session that a client used for the first time. Whether that is more than people open.
    pub fn count(&self, client: ClientMark, limits: CampaignLimits, now: MonoMillis) -> bool {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = clients.get_or_insert_mut(client, Opened::default);
        opened.count(now) > f32::from(limits.sessions)
    }

    /// Notes that a session has a pattern. Whether so many sessions of this client have it that it is a script.
    pub fn note(
        &self,
        client: ClientMark,
        pattern: Pattern,
        session: SessionId,
        limits: CampaignLimits,
        now: MonoMillis,
    ) -> bool {
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = patterns.get_or_insert_mut((client, pattern), Alike::default);
        alike.note(session, now) >= usize::from(limits.alike).min(TOLD_APART)
    }

    /// Clients that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Opened {
    /// Sessions in the last minute: those of this one, and as much of the one before as still lies in it.
    fn count(&mut self, now: MonoMillis) -> f32 {
        let length = u64::try_from(MINUTE.as_millis()).unwrap_or(u64::MAX);
        let minute = now.0 / length;
        if minute != self.minute {
            self.before = if minute == self.minute + 1 { self.now } else { 0 };
            (self.minute, self.now) = (minute, 0);
        }
        self.now = self.now.saturating_add(1);
        // Below a minute: exact.
        let gone = (now.0 % length) as f32 / length as f32;
        f32::from(self.now) + f32::from(self.before) * (1.0 - gone)
    }
}

impl Alike {
    fn note(&mut self, session: SessionId, now: MonoMillis) -> usize {
        let [a, b, c, d, ..] = session.0;
        let name = u32::from_be_bytes([a, b, c, d]);
        for known in &mut self.0 {
            *known = known.filter(|(other, at)| *other != name && now.since(*at) <= REMEMBERED);
        }
        let place = self.0.iter().position(Option::is_none).unwrap_or(0);
        self.0[place] = Some((name, now));
        self.0.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ClientAddress;

    fn client(address: &str) -> ClientMark {
        ClientMark::new(ClientAddress::new(address.parse().unwrap()).source(), 1)
    }

    const LIMITS: CampaignLimits = CampaignLimits { sessions: 10, alike: 3 };

    #[test]
    fn a_farm_opens_more_than_people_do() {
        let campaigns = Campaigns::new(10);
        let farm = client("10.0.0.1");
        let over = (0..30).filter(|n| campaigns.count(farm, LIMITS, MonoMillis(n * 1000)));
        assert_eq!(over.count(), 20);
        let office = client("10.0.0.2");
        let over = (0..100).filter(|n| campaigns.count(office, LIMITS, MonoMillis(n * 7_000)));
        assert_eq!(over.count(), 0, "eight a minute");
    }

    #[test]
    fn the_minute_slides() {
        let campaigns = Campaigns::new(10);
        let burst = client("10.0.0.1");
        for _ in 0..10 {
            assert!(!campaigns.count(burst, LIMITS, MonoMillis(59_000)));
        }
        assert!(campaigns.count(burst, LIMITS, MonoMillis(61_000)), "a second later");
        assert!(
            !campaigns.count(burst, LIMITS, MonoMillis(179_000)),
            "two minutes later"
        );
    }

    #[test]
    fn the_same_session_again_is_no_campaign() {
        let campaigns = Campaigns::new(10);
        let (farm, pattern) = (client("10.0.0.1"), Pattern(7));
        let note = |name: u8, ms| campaigns.note(farm, pattern, SessionId([name; 12]), LIMITS, MonoMillis(ms));
        assert!(!(0..10).any(|ms| note(1, ms)));
        assert!(!note(2, 20));
        assert!(note(3, 30));
        assert!((4..100).all(|name| note(name, 40)), "however many there are");
        assert!(!note(1, 700_000), "long after");
    }

    #[test]
    fn memory_is_bounded() {
        let campaigns = Campaigns::new(4);
        for host in 0..=255 {
            let client = client(&format!("10.0.0.{host}"));
            campaigns.count(client, LIMITS, MonoMillis(0));
            campaigns.note(client, Pattern(1), SessionId([host; 12]), LIMITS, MonoMillis(0));
        }
        assert_eq!((campaigns.len(), campaigns.patterns.lock().unwrap().len()), (4, 4));
    }
}
