//! How a session calls: its rhythm, the shape of its calls, the share of errors. A few words for each session, whatever
//! it does.
//!
//! Pages poll. So a call to the path of the call before says nothing here, and nothing here is worth points more than
//! once in [`PAUSE`]: behaviour alone makes nobody a criminal.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::path::NormalPath;
use crate::time::MonoMillis;

/// Each signal of behaviour counts once in this time.
pub const PAUSE: Duration = Duration::from_secs(600);
/// Gaps that are compared.
const GAPS: u8 = 20;
/// The standard deviation of gaps over their mean, below which no person makes them.
const STEADY: f32 = 0.1;
/// Gaps below this are the network's, not the client's.
const SHORTEST_MEAN: f32 = 20.0;
/// Answers that are counted together.
const ANSWERS: u8 = 20;
/// Errors among them from which on it is a sign.
const ERRORS: u8 = 12;
/// Calls that make a pattern.
const PATTERN: u8 = 16;
/// How much of a path is looked at.
const PATH_SEEN: usize = 96;

/// A call as it is compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    exact: u32,
    shape: u32,
    safe: bool,
}

impl Shape {
    /// The shape of a call: method and path, and the same with every segment that has a digit left out.
    #[must_use]
    pub fn of(method: &Method, path: &NormalPath) -> Self {
        let (mut exact, mut shape) = (Fnv::default(), Fnv::default());
        method.as_str().bytes().for_each(|byte| shape.add(byte));
        let bytes = path.as_str().as_bytes();
        for segment in bytes[..bytes.len().min(PATH_SEEN)].split(|byte| *byte == b'/') {
            let before = shape;
            let mut has_digit = false;
            for byte in segment {
                exact.add(*byte);
                shape.add(*byte);
                has_digit |= byte.is_ascii_digit();
            }
            if has_digit {
                shape = before;
                shape.add(b'#');
            }
            exact.add(b'/');
            shape.add(b'/');
        }
        Self {
            exact: exact.short(),
            shape: shape.short(),
            safe: method.is_safe(),
        }
    }
}

/// Enough for comparisons that nobody gains by deceiving: whoever looks like somebody else only gets his points.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn short(&self) -> u32 {
        // Both halves count.
        ((self.0 >> 32) ^ (self.0 & 0xffff_ffff)) as u32
    }
}

/// What a call revealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revealed {
    /// The last calls were as regular as a clock.
    pub robotic: bool,
    /// The last calls make a pattern, which others may have too. Only where something was changed by them: pages that
    /// show the same to many people all look alike.
    pub pattern: Option<Pattern>,
}

/// Sixteen calls: which, in which order, in which rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(pub u64);

/// The behaviour of one session so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Behaviour {
    last: Option<(MonoMillis, Shape)>,
    gaps: Gaps,
    answers: u8,
    errors: u8,
    pattern: u64,
    in_pattern: u8,
    unsafe_in_pattern: bool,
}

/// Mean and spread of gaps as they come (Welford).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Gaps {
    count: u8,
    mean: f32,
    squares: f32,
}

impl Gaps {
    /// Adds a gap; whether those of a full round were steady.
    fn add(&mut self, millis: f32) -> bool {
        self.count += 1;
        let from_mean = millis - self.mean;
        self.mean += from_mean / f32::from(self.count);
        self.squares += from_mean * (millis - self.mean);
        if self.count < GAPS {
            return false;
        }
        let deviation = (self.squares / f32::from(GAPS)).sqrt();
        let steady = self.mean >= SHORTEST_MEAN && deviation < STEADY * self.mean;
        *self = Self::default();
        steady
    }
}

impl Behaviour {
    /// Notes a call that was admitted.
    pub fn call(&mut self, call: Shape, now: MonoMillis) -> Revealed {
        let before = self.last.replace((now, call));
        let Some((at, before)) = before else {
            self.extend_pattern(call, 0);
            return Revealed::default();
        };
        if before.exact == call.exact {
            return Revealed::default();
        }
        let gap = now.since(at);
        let millis = u32::try_from(gap.as_millis()).unwrap_or(u32::MAX);
        Revealed {
            robotic: self.gaps.add(gap.as_secs_f32() * 1000.0),
            pattern: self.extend_pattern(call, millis),
        }
    }

    /// The rhythm in steps of eight: below 8 ms, 64 ms, 512 ms, 4 s, half a minute…
    fn extend_pattern(&mut self, call: Shape, millis: u32) -> Option<Pattern> {
        let beat = (u32::BITS - millis.leading_zeros()) / 3;
        let mixed = self.pattern ^ u64::from(call.shape) ^ (u64::from(beat) << 40);
        self.pattern = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        self.in_pattern += 1;
        self.unsafe_in_pattern |= !call.safe;
        if self.in_pattern < PATTERN {
            return None;
        }
        let found = self.unsafe_in_pattern.then_some(Pattern(self.pattern));
        (self.pattern, self.in_pattern, self.unsafe_in_pattern) = (0, 0, false);
        found
    }

    /// Notes an answer of the application; whether most of the last ones were errors of the client.
    pub fn answer(&mut self, status: u16) -> bool {
        self.answers += 1;
        self.errors += u8::from((400..500).contains(&status));
        if self.answers < ANSWERS {
            return false;
        }
        let is_sign = self.errors >= ERRORS;
        (self.answers, self.errors) = (0, 0);
        is_sign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(method: &Method, path: &str) -> Shape {
        Shape::of(method, &NormalPath::parse(path).unwrap())
    }

    /// Calls with these gaps, each to another path; how often they were found robotic.
    fn robotic(gaps: impl Iterator<Item = u64>, path: impl Fn(usize) -> String) -> usize {
        let mut behaviour = Behaviour::default();
        let mut now = 0;
        gaps.enumerate()
            .filter(|(index, gap)| {
                now += gap;
                behaviour
                    .call(shape(&Method::GET, &path(*index)), MonoMillis(now))
                    .robotic
            })
            .count()
    }

    #[test]
    fn clocks_are_told_from_people() {
        let page = |index: usize| format!("/items/{index}");
        assert_eq!(robotic((0..41).map(|_| 1000), page), 2);
        assert_eq!(robotic((0..41).map(|n| 1000 + n % 7 * 10), page), 2, "with some jitter");
        assert_eq!(robotic((0..41).map(|n| 500 + n * 613 % 1000), page), 0, "a person");
        assert_eq!(robotic((0..41).map(|_| 2), page), 0, "a page that loads");
        assert_eq!(
            robotic((0..41).map(|_| 1000), |_| "/news".into()),
            0,
            "a page that polls"
        );
    }

    #[test]
    fn ids_do_not_count_in_a_shape() {
        let get = |path| shape(&Method::GET, path);
        assert_eq!(get("/orders/7").shape, get("/orders/815").shape);
        assert_ne!(get("/orders/7").exact, get("/orders/815").exact);
        assert_ne!(get("/orders/7").shape, get("/carts/7").shape);
        assert_ne!(get("/orders/7").shape, shape(&Method::PUT, "/orders/7").shape);
        let long = format!("/{}", "a".repeat(5000));
        assert_eq!(get(&long), get(&format!("{long}b")), "only so much is looked at");
    }

    fn pattern(calls: &[(&Method, &str)], gap: u64) -> Vec<Pattern> {
        let mut behaviour = Behaviour::default();
        let mut now = 0;
        let calls = calls.iter().cycle().take(33).map(|(method, path)| {
            now += gap;
            behaviour.call(shape(method, path), MonoMillis(now)).pattern
        });
        calls.flatten().collect()
    }

    #[test]
    fn a_script_has_a_pattern_and_a_dashboard_none() {
        let script = [
            (&Method::GET, "/shows/1"),
            (&Method::GET, "/shows/1/seats"),
            (&Method::POST, "/shows/1/holds"),
        ];
        let found = pattern(&script, 500);
        assert_eq!(found.len(), 2);
        let other_ids = [
            (&Method::GET, "/shows/9"),
            (&Method::GET, "/shows/9/seats"),
            (&Method::POST, "/shows/9/holds"),
        ];
        assert_eq!(pattern(&other_ids, 510), found, "in nearly the same rhythm");
        assert_ne!(pattern(&script, 5000), found, "slower");
        let dashboard = [(&Method::GET, "/a"), (&Method::GET, "/b")];
        assert_eq!(pattern(&dashboard, 500), []);
    }

    #[test]
    fn errors_count_by_the_score() {
        let rounds = |errors: u16| {
            let mut behaviour = Behaviour::default();
            let answers = (0..40).filter(|n| behaviour.answer(if n % 20 < errors { 404 } else { 200 }));
            answers.count()
        };
        assert_eq!((rounds(11), rounds(12)), (0, 2));
    }

    #[test]
    fn a_session_takes_little() {
        assert!(size_of::<Behaviour>() <= 64, "{}", size_of::<Behaviour>());
    }
}
