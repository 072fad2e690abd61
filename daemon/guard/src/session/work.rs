//! Proof of work at the opening of a session (docs/protocol.md section 1): who must do some, how much, and whether it
//! was done.
//!
//! A challenge carries its own proof (a MAC over time, serial number, difficulty and source), so asking for one costs
//! the gate nothing that it would have to keep. One bit is kept for each challenge that was solved.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::token::SigningKey;
use crate::refusal::Refusal;
use crate::request::Source;
use crate::signature::mac::MacKey;
use crate::time::{MonoMillis, Now, WallMillis};

/// The name of the puzzle on the wire.
pub const ALGORITHM: &str = "sha256-counters";
/// Puzzles in one challenge. Eight small ones take as long as one of eight times the work, but the luck averages out.
pub const COUNT: usize = 8;
/// How long a challenge may take.
pub const LIFETIME: Duration = Duration::from_secs(120);
/// Bits by which the demand may have grown since a challenge was given.
const GROWN: u8 = 1;
/// Numbers end here: what JavaScript counts exactly.
const ANSWER_END: u64 = 1 << 53;
/// Time, serial number, bits.
const STAMP: usize = 6 + 5 + 1;
const CHALLENGE: usize = STAMP + 16;
/// Serial numbers below the highest solved one that are still told apart.
const SPENT_WIDTH: u64 = 1 << 20;

/// What a client must do before it gets a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Opaque to the client; URL-safe.
    pub challenge: String,
    /// Zero bits that each hash begins with.
    pub bits: u8,
    /// When it is too late.
    pub expires: WallMillis,
}

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As it was given.
    pub challenge: String,
    /// The numbers, in order.
    pub answers: Vec<u64>,
}

/// Issues challenges and checks answers. Good for one run of the daemon.
pub struct WorkDesk {
    key: MacKey,
    serial: AtomicU64,
    spent: Mutex<Spent>,
}

impl WorkDesk {
    /// `secret` is fresh for each run.
    #[must_use]
    pub fn new(secret: &Zeroizing<[u8; 32]>) -> Self {
        Self {
            key: MacKey::new(&SigningKey(**secret)),
            serial: AtomicU64::new(0),
            spent: Mutex::default(),
        }
    }

    /// A challenge for this source.
    #[must_use]
    pub fn issue(&self, source: Source, bits: u8, now: Now) -> Demand {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut stamp = [bits; STAMP];
        stamp[..6].copy_from_slice(&now.mono.0.to_be_bytes()[2..]);
        stamp[6..11].copy_from_slice(&serial.to_be_bytes()[3..]);
        let mut bytes = [0; CHALLENGE];
        bytes[..STAMP].copy_from_slice(&stamp);
        bytes[STAMP..].copy_from_slice(&self.tag(&stamp, source));
        Demand {
            challenge: URL_SAFE_NO_PAD.encode(bytes),
            bits,
            expires: now.wall.after(LIFETIME),
        }
    }

    /// Checks an answer and spends its challenge, in one step. Costs a MAC, and eight hashes if that is right. `due` is
    /// what the source would be asked for now: a stock of challenges from better times is worth nothing.
    ///
    /// # Errors
    /// [`Refusal::WorkWrong`], [`Refusal::WorkStale`] or [`Refusal::WorkSpent`]; nothing is spent then.
    pub fn check(&self, answer: &Answer, source: Source, due: u8, now: Now) -> Result<(), Refusal> {
        let mut bytes = [0; CHALLENGE];
        let length = URL_SAFE_NO_PAD.decode_slice(&answer.challenge, &mut bytes);
        let Some((stamp, tag)) = bytes.split_first_chunk::<STAMP>().filter(|_| length == Ok(CHALLENGE)) else {
            return Err(Refusal::WorkWrong);
        };
        if !bool::from(self.tag(stamp, source).ct_eq(tag)) {
            // Made up, of an earlier run, or given to somebody else: a phone that changed network.
            return Err(Refusal::WorkStale);
        }
        let [a, b, c, d, e, f, v, w, x, y, z, bits] = *stamp;
        let issued = MonoMillis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        if now.mono < issued || now.mono.since(issued) > LIFETIME || bits + GROWN < due {
            return Err(Refusal::WorkStale);
        }
        let solved = |(index, &number)| number < ANSWER_END && is_solution(&answer.challenge, index, number, bits);
        if answer.answers.len() != COUNT || !answer.answers.iter().enumerate().all(solved) {
            return Err(Refusal::WorkWrong);
        }
        let serial = u64::from_be_bytes([0, 0, 0, v, w, x, y, z]);
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.spend(serial) {
            Ok(())
        } else {
            Err(Refusal::WorkSpent)
        }
    }

    fn tag(&self, stamp: &[u8; STAMP], source: Source) -> [u8; 16] {
        let network = match source.network().addr() {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            std::net::IpAddr::V6(v6) => v6,
        };
        let mut message = [0; STAMP + 16];
        message[..STAMP].copy_from_slice(stamp);
        message[STAMP..].copy_from_slice(&network.octets());
        let mut tag = [0; 16];
        tag.copy_from_slice(&self.key.tag(&message)[..16]);
        tag
    }
}

/// Whether a number solves one puzzle of a challenge.
#[must_use]
pub fn is_solution(challenge: &str, index: usize, number: u64, bits: u8) -> bool {
    let hash = Sha256::new()
        .chain_update(challenge)
        .chain_update(format!(".{index}.{number}"))
        .finalize();
    let leading = hash
        .first_chunk()
        .map_or(0, |start| u128::from_be_bytes(*start).leading_zeros());
    leading >= u32::from(bits)
}

/// Solves a challenge, for tests, benches and clients in Rust: about `8 · 2^bits` hashes.
#[must_use]
pub fn solve(challenge: &str, bits: u8) -> Vec<u64> {
    let puzzle = |index| (0..ANSWER_END).find(|&number| is_solution(challenge, index, number, bits));
    (0..COUNT).filter_map(puzzle).collect()
}

/// Which challenges were solved: a sliding window over their serial numbers. What lies below it counts as solved.
#[derive(Default)]
struct Spent {
    /// One past the highest serial number that was solved.
    end: u64,
    /// A ring with a bit for each serial number of the window; empty until the first is solved.
    ring: Vec<u64>,
}

impl Spent {
    /// `false` if it was spent, or may have been.
    fn spend(&mut self, serial: u64) -> bool {
        if self.ring.is_empty() {
            self.ring = vec![0; (SPENT_WIDTH / 64) as usize];
        }
        if serial + SPENT_WIDTH < self.end {
            return false;
        }
        if serial >= self.end {
            self.clear(serial);
            self.end = serial + 1;
        }
        let place = serial % SPENT_WIDTH;
        let Some(word) = self.ring.get_mut((place / 64) as usize) else {
            return false;
        };
        let bit = 1 << (place % 64);
        let is_fresh = *word & bit == 0;
        *word |= bit;
        is_fresh
    }

    /// Frees the places that the window moves over when `serial` becomes its highest.
    fn clear(&mut self, serial: u64) {
        if serial - self.end >= SPENT_WIDTH {
            self.ring.fill(0);
            return;
        }
        for passed in self.end..=serial {
            let place = passed % SPENT_WIDTH;
            if let Some(word) = self.ring.get_mut((place / 64) as usize) {
                *word &= !(1 << (place % 64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ClientAddress;

    const BITS: u8 = 4;

    fn desk() -> WorkDesk {
        WorkDesk::new(&Zeroizing::new([1; 32]))
    }

    fn at(ms: u64) -> Now {
        Now {
            wall: WallMillis(1_800_000_000_000 + ms),
            mono: MonoMillis(1000 + ms),
        }
    }

    fn source(text: &str) -> Source {
        ClientAddress::new(text.parse().unwrap()).source()
    }

    fn solved(demand: &Demand) -> Answer {
        Answer {
            challenge: demand.challenge.clone(),
            answers: solve(&demand.challenge, demand.bits),
        }
    }

    #[test]
    fn a_challenge_is_good_for_one_source_run_and_time_and_once() {
        let (desk, home) = (desk(), source("10.0.0.1"));
        let demand = desk.issue(home, BITS, at(0));
        assert_eq!((demand.bits, demand.expires), (BITS, WallMillis(1_800_000_120_000)));
        let answer = solved(&demand);
        assert_eq!(
            desk.check(&answer, source("10.0.0.2"), 0, at(0)),
            Err(Refusal::WorkStale)
        );
        assert_eq!(
            desk.check(&answer, source("2001:db8::1"), 0, at(0)),
            Err(Refusal::WorkStale)
        );
        assert_eq!(desk.check(&answer, home, 0, at(120_001)), Err(Refusal::WorkStale));
        assert_eq!(
            WorkDesk::new(&Zeroizing::new([2; 32])).check(&answer, home, 0, at(0)),
            Err(Refusal::WorkStale)
        );
        assert_eq!(desk.check(&answer, home, 0, at(120_000)), Ok(()));
        assert_eq!(desk.check(&answer, home, 0, at(120_000)), Err(Refusal::WorkSpent));
    }

    #[test]
    fn neighbours_in_one_network_share_a_challenge() {
        let desk = desk();
        let demand = desk.issue(source("2001:db8::1"), BITS, at(0));
        assert_eq!(desk.check(&solved(&demand), source("2001:db8::2"), 0, at(0)), Ok(()));
    }

    #[test]
    fn wrong_answers_spend_nothing() {
        let (desk, home) = (desk(), source("10.0.0.1"));
        let demand = desk.issue(home, 12, at(0));
        let good = solved(&demand);
        let with = |answers: Vec<u64>| Answer {
            answers,
            ..good.clone()
        };
        let mut swapped = good.answers.clone();
        swapped.swap(0, 1);
        let mut off = good.answers.clone();
        off[7] += 1;
        for answers in [
            vec![],
            good.answers[..7].to_vec(),
            [&good.answers[..], &[0]].concat(),
            swapped,
            off,
            vec![ANSWER_END; 8],
            vec![u64::MAX; 8],
        ] {
            assert_eq!(
                desk.check(&with(answers.clone()), home, 0, at(0)),
                Err(Refusal::WorkWrong),
                "{answers:?}"
            );
        }
        for challenge in ["", "AAAA", "!", &"A".repeat(38), &format!("{}A", good.challenge)] {
            let answer = Answer {
                challenge: challenge.to_owned(),
                ..good.clone()
            };
            assert!(desk.check(&answer, home, 0, at(0)).is_err(), "{challenge}");
        }
        assert_eq!(desk.check(&good, home, 0, at(0)), Ok(()));
    }

    #[test]
    fn nobody_lowers_the_difficulty() {
        let (desk, home) = (desk(), source("10.0.0.1"));
        let demand = desk.issue(home, 20, at(0));
        let mut bytes = URL_SAFE_NO_PAD.decode(&demand.challenge).unwrap();
        bytes[STAMP - 1] = 0;
        let challenge = URL_SAFE_NO_PAD.encode(bytes);
        let answer = Answer {
            challenge,
            answers: vec![0; 8],
        };
        assert_eq!(desk.check(&answer, home, 0, at(0)), Err(Refusal::WorkStale));
    }

    #[test]
    fn a_stock_of_easy_challenges_is_worth_nothing_when_the_demand_has_grown() {
        let (desk, home) = (desk(), source("10.0.0.1"));
        let answer = solved(&desk.issue(home, BITS, at(0)));
        assert_eq!(desk.check(&answer, home, BITS + 2, at(0)), Err(Refusal::WorkStale));
        assert_eq!(
            desk.check(&answer, home, BITS + 1, at(0)),
            Ok(()),
            "somebody else opened one meanwhile"
        );
    }

    #[test]
    fn a_known_puzzle() {
        // From an independent implementation: hashlib.sha256(b"challenge.3.6").hexdigest() begins with 008d57f4.
        assert!(is_solution("challenge", 3, 6, 8) && !is_solution("challenge", 3, 6, 9));
        assert!((0..6).all(|number| !is_solution("challenge", 3, number, 8)));
    }

    #[test]
    fn what_is_below_the_window_counts_as_spent() {
        let mut spent = Spent::default();
        assert!(spent.spend(5) && !spent.spend(5) && spent.spend(4) && spent.spend(6));
        assert!(spent.spend(SPENT_WIDTH + 5) && !spent.spend(SPENT_WIDTH + 5));
        assert!(!spent.spend(4) && !spent.spend(5), "below");
        assert!(!spent.spend(6), "at the edge, and spent");
        assert!(spent.spend(7), "at the edge, and free");
        assert!(spent.spend(10 * SPENT_WIDTH) && spent.spend(9 * SPENT_WIDTH + 1));
        assert!(!spent.spend(10 * SPENT_WIDTH) && !spent.spend(9 * SPENT_WIDTH - 1));
    }
}
