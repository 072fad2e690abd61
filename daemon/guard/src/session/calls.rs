//! The last calls of a session, for the operator: what it did just now. No decision is made by them.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use lru::LruCache;

use super::SessionId;
use crate::time::WallMillis;

/// Bytes for the calls of one session: ten with paths of sixteen characters.
const ROOM: usize = 248;
/// Length of the whole entry, method, status, seconds; the path follows.
const HEAD: usize = 1 + 1 + 2 + 4;
/// How much of a path is kept.
const PATH_KEPT: usize = 40;
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// One call that was admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentCall {
    /// When, to the second.
    pub at: WallMillis,
    /// The method; `OTHER` where it is none of the usual.
    pub method: &'static str,
    /// The path, cut to 40 bytes; never the query.
    pub path: String,
    /// What the application answered; `None` while it is at work, and if nobody saw its answer.
    pub status: Option<u16>,
}

/// The last calls, in a ring of bytes.
#[derive(Debug, Default)]
pub struct RecentCalls {
    bytes: Option<Box<[u8; ROOM]>>,
    used: u8,
    /// Where the last call begins.
    last: u8,
    /// How many there were, of which the last ones are kept.
    total: u32,
}

/// Which call of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallNumber(u32);

impl RecentCalls {
    /// Notes a call; the oldest ones make room.
    pub fn note(&mut self, method: &Method, path: &str, at: WallMillis) -> CallNumber {
        let path = &path.as_bytes()[..path.len().min(PATH_KEPT)];
        let length = HEAD + path.len();
        let bytes = self.bytes.get_or_insert_with(|| Box::new([0; ROOM]));
        let mut used = usize::from(self.used);
        while used + length > ROOM {
            let oldest = usize::from(bytes[0]).clamp(HEAD, used);
            bytes.copy_within(oldest..used, 0);
            used -= oldest;
        }
        let method = METHODS
            .iter()
            .position(|known| known == method)
            .unwrap_or(METHODS.len());
        let seconds = u32::try_from(at.seconds()).unwrap_or(u32::MAX);
        let entry = &mut bytes[used..used + length];
        // All of these are below 256.
        entry[0] = u8::try_from(length).unwrap_or(u8::MAX);
        entry[1] = u8::try_from(method).unwrap_or(u8::MAX);
        entry[2..4].fill(0);
        entry[4..8].copy_from_slice(&seconds.to_be_bytes());
        entry[HEAD..].copy_from_slice(path);
        self.last = u8::try_from(used).unwrap_or(u8::MAX);
        self.used = u8::try_from(used + length).unwrap_or(u8::MAX);
        self.total = self.total.wrapping_add(1);
        CallNumber(self.total)
    }

    /// Notes how a call was answered, if it is still kept.
    pub fn answered(&mut self, call: CallNumber, status: u16) {
        let later = self.total.wrapping_sub(call.0) as usize;
        let start = if later == 0 {
            Some(usize::from(self.last))
        } else {
            let index = self.starts().count().checked_sub(later + 1);
            index.and_then(|index| self.starts().nth(index))
        };
        if let (Some(bytes), Some(start)) = (&mut self.bytes, start) {
            bytes[start + 2..start + 4].copy_from_slice(&status.to_be_bytes());
        }
    }

    /// The calls that are kept, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = RecentCall> + '_ {
        let bytes = self
            .bytes
            .as_deref()
            .map_or(&[][..], |bytes| &bytes[..usize::from(self.used)]);
        self.starts().filter_map(|start| {
            let entry = bytes.get(start..start + usize::from(*bytes.get(start)?))?;
            let (head, path) = entry.split_first_chunk::<HEAD>()?;
            let [_, method, status @ .., a, b, c, d] = *head;
            Some(RecentCall {
                at: WallMillis(u64::from(u32::from_be_bytes([a, b, c, d])) * 1000),
                method: METHODS
                    .get(usize::from(method))
                    .map_or("OTHER", |method| name_of(method)),
                path: String::from_utf8_lossy(path).into_owned(),
                status: Some(u16::from_be_bytes(status)).filter(|status| *status != 0),
            })
        })
    }

    fn starts(&self) -> impl Iterator<Item = usize> + '_ {
        let used = usize::from(self.used);
        let next = move |start: &usize| {
            let length = self.bytes.as_ref().map_or(ROOM, |bytes| usize::from(bytes[*start]));
            Some(start + length.max(HEAD)).filter(|start| *start < used)
        };
        std::iter::successors((used > 0).then_some(0), next)
    }
}

fn name_of(method: &'static Method) -> &'static str {
    method.as_str()
}

/// The last calls of the sessions that called last, bounded: beyond, the one idle for longest has no calls to show.
pub struct Timelines(Vec<Mutex<LruCache<SessionId, RecentCalls>>>);

const SHARDS: usize = 16;

impl Timelines {
    /// Room for about `capacity` sessions.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let each = NonZeroUsize::new(capacity / SHARDS).unwrap_or(NonZeroUsize::MIN);
        Self((0..SHARDS).map(|_| Mutex::new(LruCache::new(each))).collect())
    }

    /// Notes a call that was admitted.
    pub fn note(&self, session: SessionId, method: &Method, path: &str, at: WallMillis) -> CallNumber {
        let mut shard = self.shard(session);
        shard
            .get_or_insert_mut(session, RecentCalls::default)
            .note(method, path, at)
    }

    /// Notes how it was answered.
    pub fn answered(&self, session: SessionId, call: CallNumber, status: u16) {
        if let Some(calls) = self.shard(session).peek_mut(&session) {
            calls.answered(call, status);
        }
    }

    /// The calls of a session that are kept, the oldest first.
    #[must_use]
    pub fn of(&self, session: SessionId) -> Vec<RecentCall> {
        let shard = self.shard(session);
        shard
            .peek(&session)
            .map_or_else(Vec::new, |calls| calls.iter().collect())
    }

    fn shard(&self, session: SessionId) -> MutexGuard<'_, LruCache<SessionId, RecentCalls>> {
        let shard = &self.0[usize::from(session.0[1]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(calls: &RecentCalls) -> Vec<String> {
        let shown = |call: RecentCall| {
            let status = call.status.map_or("-".to_owned(), |status| status.to_string());
            format!("{} {} {} {status}", call.at.seconds(), call.method, call.path)
        };
        calls.iter().map(shown).collect()
    }

    #[test]
    fn the_last_calls_are_kept_with_their_answers() {
        let mut calls = RecentCalls::default();
        assert_eq!(texts(&calls), Vec::<String>::new());
        let first = calls.note(&Method::GET, "/api/orders/7", WallMillis(1000));
        let second = calls.note(&Method::POST, "/api/orders/7/pay", WallMillis(2999));
        calls.answered(first, 200);
        assert_eq!(texts(&calls), ["1 GET /api/orders/7 200", "2 POST /api/orders/7/pay -"]);
        calls.answered(second, 402);
        assert_eq!(
            texts(&calls),
            ["1 GET /api/orders/7 200", "2 POST /api/orders/7/pay 402"]
        );
    }

    #[test]
    fn old_calls_make_room_and_late_answers_find_nobody() {
        let mut calls = RecentCalls::default();
        let numbers: Vec<_> = (0..100)
            .map(|n| calls.note(&Method::GET, &format!("/{n}"), WallMillis(0)))
            .collect();
        for (index, number) in numbers.iter().enumerate() {
            calls.answered(*number, 100 + u16::try_from(index).unwrap());
        }
        let kept = texts(&calls);
        assert_eq!(kept.last().map(String::as_str), Some("0 GET /99 199"));
        assert_eq!(kept.first().map(String::as_str), Some("0 GET /78 178"));
        assert_eq!(kept.len(), 22);
    }

    #[test]
    fn long_paths_are_cut_and_strange_methods_have_no_name() {
        let mut calls = RecentCalls::default();
        let method = Method::from_bytes(b"BREW").unwrap();
        for length in [0, 39, 40, 41, 5000] {
            calls.note(&method, &"é".repeat(length), WallMillis(0));
            let last = calls.iter().last().unwrap();
            assert_eq!(last.method, "OTHER");
            assert!(last.path.chars().count() <= PATH_KEPT);
        }
    }

    #[test]
    fn the_session_idle_for_longest_makes_room() {
        let timelines = Timelines::new(32);
        for name in 0..=255 {
            timelines.note(SessionId([name; 12]), &Method::GET, "/", WallMillis(0));
        }
        let kept = (0..=255).filter(|name| !timelines.of(SessionId([*name; 12])).is_empty());
        assert_eq!(kept.count(), 32);
        timelines.answered(SessionId([0; 12]), CallNumber(1), 200);
    }
}
