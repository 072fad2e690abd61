//! What the gate remembers of a session that was used.

mod kept;

use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::USER_AGENT;
use serde::{Deserialize, Serialize};

pub use self::kept::KeptState;

use super::nonce::Streams;
use super::shared::SharedTexts;
use super::token::{Epoch, SessionGrant};
use super::{SessionId, SessionStatus, SessionSummary};
use crate::behaviour::{Behaviour, PAUSE};
use crate::binding::Surroundings;
use crate::campaign::ESTABLISHED;
use crate::ledger::{Ledger, Line};
use crate::refusal::Refusal;
use crate::request::{ClientAddress, ConnectionId};
use crate::score::Score;
use crate::sequence::Facts;
use crate::signature::verify::Verifier;
use crate::time::{MonoMillis, Now, WallMillis};

/// How much of a User-Agent is kept, for the operator.
pub const USER_AGENT_KEPT: usize = 120;
/// Connections that are remembered of one session; a browser opens six.
const CONNECTIONS_KEPT: usize = 8;

/// When signals of behaviour counted last.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Noticed([Option<u32>; 3]);

/// A signal of behaviour that counts once in a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Robotic timing.
    Rhythm,
    /// Identical calls.
    Alike,
    /// Errors.
    Errors,
}

impl Noticed {
    /// Whether a signal counts now; if it does, not again for [`PAUSE`].
    pub fn counts(&mut self, notice: Notice, now: MonoMillis) -> bool {
        let place = match notice {
            Notice::Rhythm => 0,
            Notice::Alike => 1,
            Notice::Errors => 2,
        };
        let seconds = u32::try_from(now.0 / 1000).unwrap_or(u32::MAX);
        let pause = u32::try_from(PAUSE.as_secs()).unwrap_or(u32::MAX);
        let is_due = self.0[place].is_none_or(|at| seconds.saturating_sub(at) >= pause);
        if is_due {
            self.0[place] = Some(seconds);
        }
        is_due
    }
}

/// One session.
pub struct Record {
    /// Its name.
    pub id: SessionId,
    /// When it was opened.
    pub opened: WallMillis,
    /// Seconds from then to its end.
    lifetime: u32,
    /// What its signatures are checked with; `None` until the first call after a restart.
    pub verifier: Option<Verifier>,
    /// Replay protection.
    pub streams: Streams,
    /// Where and by which browser it is used.
    pub binding: Surroundings,
    /// What it did, as far as rules care.
    facts: Option<Box<Facts>>,
    /// Points.
    pub score: Score,
    /// Where they came from.
    pub ledger: Ledger,
    /// How it calls.
    pub behaviour: Behaviour,
    /// Points of calls that passed, which nobody has judged yet.
    pub unjudged: f32,
    rare: Option<Box<Rare>>,
    /// When its source was last told that it behaves, after one.
    vouched: Option<Tick>,
    /// IPv4 as it is mapped into IPv6.
    client: Ipv6Addr,
    user_agent: Arc<str>,
    began: Tick,
    used: MonoMillis,
    calls: u32,
    connections: Connections,
    /// It changed, and whoever writes it down is told so.
    pub(super) is_noted: bool,
}

/// Tenths of a second of the monotonic clock, counted from one: 13 years in half a word.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Tick(NonZeroU32);

impl Tick {
    fn at(now: MonoMillis) -> Self {
        let tenths = u32::try_from(now.0 / 100).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(tenths))
    }

    fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(100) * self.0.get().saturating_sub(earlier.0.get())
    }
}

/// What few sessions have.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Rare {
    /// When each signal of behaviour counted last.
    noticed: Noticed,
    /// The gate only watches, and would have banned it until then.
    would_be_banned: Option<MonoMillis>,
}

/// The connections that a session was last seen on.
#[derive(Default)]
struct Connections {
    /// Its number, after one.
    newest: Option<NonZeroU64>,
    /// The others, the oldest first; most sessions have none.
    earlier: Option<Box<[Option<ConnectionId>; CONNECTIONS_KEPT - 1]>>,
}

impl Connections {
    fn iter(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        let earlier = self.earlier.iter().flat_map(|earlier| earlier.iter().flatten());
        let number = |number: NonZeroU64| ConnectionId(number.get() - 1);
        earlier.copied().chain(self.newest.map(number))
    }

    fn note(&mut self, connection: ConnectionId) {
        if self.iter().any(|known| known == connection) {
            return;
        }
        if let Some(before) = self.newest.replace(NonZeroU64::MIN.saturating_add(connection.0)) {
            let earlier = self.earlier.get_or_insert_default();
            earlier.rotate_left(1);
            earlier[CONNECTIONS_KEPT - 2] = Some(ConnectionId(before.get() - 1));
        }
    }
}

impl Record {
    /// The state of a session at its first call in this run of the daemon.
    #[must_use]
    pub fn new(
        grant: &SessionGrant,
        verifier: Verifier,
        epoch: Epoch,
        binding: Surroundings,
        client: ClientAddress,
        now: Now,
    ) -> Self {
        Self {
            id: grant.id,
            opened: grant.opened,
            lifetime: u32::try_from(grant.expires.0.saturating_sub(grant.opened.0) / 1000).unwrap_or(u32::MAX),
            verifier: Some(verifier),
            streams: if grant.epoch == epoch {
                Streams::complete()
            } else {
                Streams::incomplete()
            },
            binding,
            facts: None,
            score: Score::default(),
            ledger: Ledger::default(),
            behaviour: Behaviour::default(),
            unjudged: 0.0,
            rare: None,
            vouched: None,
            client: mapped(client),
            user_agent: Arc::default(),
            began: Tick::at(now.mono),
            used: now.mono,
            calls: 0,
            connections: Connections::default(),
            is_noted: false,
        }
    }

    /// When it ends.
    #[must_use]
    pub fn expires(&self) -> WallMillis {
        self.opened.after(Duration::from_secs(self.lifetime.into()))
    }

    /// Whether its time is over, or it was left alone for too long.
    ///
    /// # Errors
    /// [`Refusal::SessionExpired`] or [`Refusal::SessionIdle`].
    pub fn check_expiry(&self, idle: Duration, now: Now) -> Result<(), Refusal> {
        if self.expires() <= now.wall {
            Err(Refusal::SessionExpired)
        } else if now.mono.since(self.used) > idle {
            Err(Refusal::SessionIdle)
        } else {
            Ok(())
        }
    }

    /// When it was used last.
    pub(super) fn used(&self) -> MonoMillis {
        self.used
    }

    /// Its key, which comes with its first call after a restart.
    pub fn know(&mut self, verifier: Verifier) {
        self.verifier.get_or_insert(verifier);
    }

    /// Notes a verified call.
    pub fn touch(&mut self, client: ClientAddress, headers: &HeaderMap, connection: ConnectionId, now: Now) {
        self.client = mapped(client);
        self.used = now.mono;
        if self.user_agent.is_empty() {
            self.user_agent = shown_user_agent(headers);
        }
        self.connections.note(connection);
    }

    /// Adds the points of a line and returns the sum.
    pub fn charge(&mut self, line: Line, half_life: Duration, now: MonoMillis) -> f32 {
        let score = self.score.add(line.points, half_life, now);
        if line.points > 0.0 {
            self.ledger.add(line);
        }
        score
    }

    /// Whether it has behaved for a while, without a single point.
    #[must_use]
    pub fn is_established(&self, now: Now) -> bool {
        self.ledger.is_empty() && Tick::at(now.mono).since(self.began) >= ESTABLISHED
    }

    /// Counts a call that passed.
    pub fn count_call(&mut self) {
        self.calls = self.calls.saturating_add(1);
    }

    /// The operator takes its end back: it starts without points, and its time without calls begins now.
    pub fn reinstate(&mut self, now: Now) {
        self.score.clear();
        self.used = now.mono;
    }

    /// The connections that it was last seen on.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionId> {
        self.connections.iter().collect()
    }

    /// What it did, as far as rules care.
    pub fn facts(&mut self) -> &mut Facts {
        self.facts.get_or_insert_default()
    }

    /// Whether a signal of behaviour counts now; see [`Noticed::counts`].
    pub fn counts(&mut self, notice: Notice, now: MonoMillis) -> bool {
        self.rare.get_or_insert_default().noticed.counts(notice, now)
    }

    /// Until when it would be banned, if the gate did not only watch.
    #[must_use]
    pub fn would_be_banned(&self) -> Option<MonoMillis> {
        self.rare.as_ref()?.would_be_banned
    }

    /// The gate only watches, and would have banned it until then.
    pub fn note_would_be_banned(&mut self, until: MonoMillis) {
        self.rare.get_or_insert_default().would_be_banned = Some(until);
    }

    /// Whether its source is to be told again that it behaves: once in each interval.
    pub fn is_vouch_due(&mut self, interval: Duration, now: MonoMillis) -> bool {
        let now = Tick::at(now);
        let is_due = self.vouched.is_none_or(|at| now.since(at) >= interval);
        if is_due {
            self.vouched = Some(now);
        }
        is_due
    }

    /// Keeps its User-Agent together with others' that are equal.
    pub(super) fn share_agent(&mut self, agents: &mut SharedTexts) {
        agents.share(&mut self.user_agent);
    }

    /// For the operator.
    #[must_use]
    pub fn summary(&self, half_life: Duration, now: Now) -> SessionSummary {
        SessionSummary {
            id: self.id,
            opened: self.opened,
            expires: self.expires(),
            idle: now.mono.since(self.used),
            client: ClientAddress::new(IpAddr::V6(self.client)),
            user_agent: self.user_agent.to_string(),
            score: self.score.value(half_life, now.mono),
            streams: self.streams.len(),
            connections: self.connections.iter().count(),
            calls: self.calls.into(),
            user: self.binding.user().map(ToString::to_string),
            status: if self.binding.is_suspended() {
                SessionStatus::Suspended
            } else {
                SessionStatus::Active
            },
        }
    }
}

fn mapped(client: ClientAddress) -> Ipv6Addr {
    match client.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The User-Agent for display: printable ASCII, cut.
fn shown_user_agent(headers: &HeaderMap) -> Arc<str> {
    let bytes = headers.get(USER_AGENT).map_or(&[][..], http::HeaderValue::as_bytes);
    let shown = |&byte: &u8| {
        if matches!(byte, b' '..=b'~') {
            char::from(byte)
        } else {
            '?'
        }
    };
    bytes.iter().take(USER_AGENT_KEPT).map(shown).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_little() {
        // With its place in the table, 512 bytes.
        assert!(size_of::<Record>() <= 472, "{}", size_of::<Record>());
    }

    #[test]
    fn the_last_connections_are_kept_in_their_order() {
        let mut connections = Connections::default();
        assert_eq!(connections.iter().count(), 0);
        for number in [0, 1, 0, 2, 3, 4, 5, 6, 7, 8, 8, 9] {
            connections.note(ConnectionId(number));
        }
        let kept: Vec<u64> = connections.iter().map(|connection| connection.0).collect();
        assert_eq!(kept, [2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
