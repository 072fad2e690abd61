//! Campaigns: many sessions of one client. A client is an address, a User-Agent and, where the gate sees it, a TLS
//! stack, as far as anybody can tell who is whom behind a NAT.
//!
//! A client whose sessions are banned one after the other is distrusted, so that a farm is stopped sooner whose neighbours
//! protect its address: a session of it that misbehaved itself is refused, and new ones cost more work. Those that behave
//! go on, as they may be others' that look the same. Once one has behaved for a while, nobody is distrusted for the next
//! ones.

mod kept;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use serde::{Deserialize, Serialize};

pub use self::kept::KeptClient;
use crate::behaviour::Pattern;
use crate::policy::Mode;
use crate::remembered::Remembered;
use crate::request::Source;
use crate::score::Score;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// Sessions with the same pattern that are told apart.
const TOLD_APART: usize = 8;
/// How long a pattern is remembered after the last session that had it.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The time in which new sessions are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// One client: a source and a mark of its software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// Sessions of one client that are banned within some minutes, from which on it is distrusted; 0: never.
    pub banned: u8,
}

impl Default for CampaignLimits {
    fn default() -> Self {
        Self {
            sessions: 30,
            alike: 5,
            banned: 3,
        }
    }
}

/// How long a session must have behaved before it vouches for the clients that look like its own.
pub const ESTABLISHED: Duration = Duration::from_secs(120);
/// The time in which half of the banned sessions of a client are forgotten.
const BLAME: Duration = Duration::from_secs(600);

/// What is remembered of clients and patterns, bounded: the one that was silent for longest is forgotten.
pub struct Campaigns {
    clients: Mutex<Remembered<ClientMark, Client>>,
    /// When the last distrust ends: nobody is looked up after that.
    last_end: AtomicU64,
    patterns: Mutex<LruCache<(ClientMark, Pattern), Alike>>,
}

/// What is known of one client.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Client {
    opened: Opened,
    banned: Score,
    strikes: Score,
    established: [Option<(u32, MonoMillis)>; 2],
    condemned: Option<(MonoMillis, Mode)>,
}

/// Sessions of one client, counted by the minute: this one and the one before.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
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
        let patterns = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self {
            clients: Mutex::new(Remembered::new(capacity)),
            last_end: AtomicU64::new(0),
            patterns: Mutex::new(LruCache::new(patterns)),
        }
    }

    /// Counts a session that a client used for the first time. Whether that is more than people open.
    pub fn count(&self, client: ClientMark, limits: CampaignLimits, now: MonoMillis) -> bool {
        let mut clients = self.clients();
        let client = clients.open(client);
        client.opened.count(now) > f32::from(limits.sessions)
    }

    /// Remembers that a session of a client has behaved for a while.
    pub fn vouch(&self, client: ClientMark, session: SessionId, now: MonoMillis) {
        let mut clients = self.clients();
        let client = clients.open(client);
        let name = short(session);
        let [first, second] = client.established;
        let same = |entry: Option<(u32, MonoMillis)>| entry.is_some_and(|(known, _)| known == name);
        let place = usize::from(!same(first) && (same(second) || second.map(|(_, at)| at) < first.map(|(_, at)| at)));
        client.established[place] = Some((name, now));
    }

    /// A session of a client was banned. How many earlier bans of the client are remembered, if that is one too many
    /// and nobody else vouches for it.
    pub fn blame(
        &self,
        client: ClientMark,
        session: SessionId,
        limits: CampaignLimits,
        guard: Duration,
        memory: Duration,
        now: MonoMillis,
    ) -> Option<f32> {
        let mut clients = self.clients();
        let client = clients.open(client);
        let name = short(session);
        for entry in &mut client.established {
            *entry = entry.filter(|(known, at)| *known != name && now.since(*at) <= guard);
        }
        let banned = client.banned.add(1.0, BLAME, now);
        let vouched = client.established.iter().any(Option::is_some);
        // They fade from the first moment on, so that three are never quite three.
        let is_due = limits.banned > 0 && banned + 0.3 >= f32::from(limits.banned);
        (is_due && !vouched).then(|| client.strikes.value(memory, now))
    }

    /// Distrusts a client, or notes that it would be distrusted.
    pub fn condemn(&self, client: ClientMark, ttl: Duration, mode: Mode, memory: Duration, now: MonoMillis) {
        let until = now.after(ttl);
        let mut clients = self.clients();
        let client = clients.open(client);
        client.condemned = Some((until, mode));
        client.strikes.add(1.0, memory, now);
        self.last_end.fetch_max(until.0, Ordering::Relaxed);
    }

    /// For how long a client is distrusted, or would be. `client` is asked for only if any is.
    pub fn condemned(&self, client: impl FnOnce() -> ClientMark, now: MonoMillis) -> Option<(Duration, Mode)> {
        if self.last_end.load(Ordering::Relaxed) <= now.0 {
            return None;
        }
        let client = client();
        let (until, mode) = self.clients().peek(&client)?.condemned?;
        (until > now).then(|| (until.since(now), mode))
    }

    fn clients(&self) -> MutexGuard<'_, Remembered<ClientMark, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.clients().len()
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

/// Enough of a session's name, which is random, to tell a few apart.
fn short(session: SessionId) -> u32 {
    let [a, b, c, d, ..] = session.0;
    u32::from_be_bytes([a, b, c, d])
}

impl Alike {
    fn note(&mut self, session: SessionId, now: MonoMillis) -> usize {
        let name = short(session);
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

    const LIMITS: CampaignLimits = CampaignLimits {
        sessions: 10,
        alike: 3,
        banned: 3,
    };
    const GUARD: Duration = Duration::from_secs(600);

    fn blame(campaigns: &Campaigns, name: u8, ms: u64) -> bool {
        let session = SessionId([name; 12]);
        let client = client("10.0.0.1");
        campaigns
            .blame(client, session, LIMITS, GUARD, GUARD, MonoMillis(ms))
            .is_some()
    }

    #[test]
    fn a_client_is_blamed_for_its_third_session() {
        let campaigns = Campaigns::new(10);
        assert_eq!([1, 2, 3].map(|name| blame(&campaigns, name, 0)), [false, false, true]);
        let slowly = Campaigns::new(10);
        assert!((0..20).all(|n| !blame(&slowly, n, u64::from(n) * 600_000)));
    }

    #[test]
    fn whoever_has_behaved_for_a_while_vouches_for_his_like_but_not_for_himself() {
        let campaigns = Campaigns::new(10);
        let vouch = |name: u8| campaigns.vouch(client("10.0.0.1"), SessionId([name; 12]), MonoMillis(0));
        vouch(9);
        assert_eq!([1, 2, 3, 4].map(|name| blame(&campaigns, name, 1000)), [false; 4]);
        assert!(blame(&campaigns, 9, 1000), "he was the only one");
        vouch(7);
        vouch(8);
        vouch(8);
        assert!(!blame(&campaigns, 7, 2000));
        assert!(blame(&campaigns, 6, 600_001), "long ago");
    }

    #[test]
    fn a_condemned_client_is_known_until_the_end() {
        let campaigns = Campaigns::new(10);
        let asked = |address: &'static str, ms| campaigns.condemned(|| client(address), MonoMillis(ms));
        assert_eq!(campaigns.condemned(|| panic!("nobody is banned"), MonoMillis(0)), None);
        campaigns.condemn(client("10.0.0.1"), GUARD, Mode::Enforce, GUARD, MonoMillis(0));
        assert_eq!(
            asked("10.0.0.1", 100_000),
            Some((Duration::from_secs(500), Mode::Enforce))
        );
        assert_eq!(asked("10.0.0.2", 100_000), None);
        assert_eq!(asked("10.0.0.1", 600_000), None);
    }

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
