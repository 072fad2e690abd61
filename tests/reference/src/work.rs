//! Answers to proof of work: the reference remembers each challenge and whether it was spent.

use portcullis_guard::request::{ClientAddress, Source};
use portcullis_guard::session::work::{Answer, COUNT, Demand, WorkDesk, solve};
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Agreed, Disagreement};

/// Few, so that the reference solves them fast.
const BITS: u8 = 2;
const LIFETIME_MS: u64 = 120_000;

struct Issued {
    demand: Demand,
    source: Source,
    at: u64,
    spent: bool,
}

/// A history: groups of four bytes, each an answer. Which challenge (a new one if there is none so far), from which
/// source, how much later, and what is changed in it.
///
/// # Errors
/// [`Disagreement`].
pub fn answers(data: &[u8]) -> Agreed {
    let desk = WorkDesk::new(&Zeroizing::new([1; 32]));
    let mut issued: Vec<Issued> = Vec::new();
    let (mut ms, mut accepted) = (0, false);
    for step in data.chunks_exact(4).take(32) {
        let [which, source, later, change] = [step[0], step[1], step[2], step[3]].map(|byte| byte.wrapping_sub(b' '));
        let source = ClientAddress::new([10, 0, 0, source % 4].into()).source();
        if usize::from(which) >= issued.len() {
            issued.push(Issued {
                demand: desk.issue(source, BITS, at(ms)),
                source,
                at: ms,
                spent: false,
            });
        }
        ms += u64::from(later) * 1000;
        let place = usize::from(which).min(issued.len() - 1);
        let answer = changed(&issued[place].demand, change);
        if desk.check(&answer, source, BITS, at(ms)).is_ok() {
            accepted = true;
            let known = issued
                .iter_mut()
                .find(|known| known.demand.challenge == answer.challenge);
            let is_right = known.is_some_and(|known| {
                let is_first = !std::mem::replace(&mut known.spent, true);
                is_first && known.source == source && ms - known.at <= LIFETIME_MS && solves(&answer)
            });
            if !is_right {
                return Err(Disagreement(format!("{answer:?} was accepted at {ms}")));
            }
        }
    }
    Ok(accepted)
}

fn at(ms: u64) -> Now {
    Now {
        wall: WallMillis(1_800_000_000_000 + ms),
        mono: MonoMillis(1000 + ms),
    }
}

/// A right answer, or one with something wrong.
fn changed(demand: &Demand, change: u8) -> Answer {
    let mut challenge = demand.challenge.clone().into_bytes();
    let mut answers = solve(&demand.challenge, BITS);
    match change {
        0..=7 => {}
        8..=15 => answers[usize::from(change - 8)] ^= 1,
        16 => answers.truncate(COUNT - 1),
        17 => answers.push(0),
        18 => answers.swap(0, 1),
        19 => answers = vec![u64::MAX; COUNT],
        _ => {
            let place = usize::from(change) % challenge.len();
            challenge[place] = if challenge[place] == b'A' { b'B' } else { b'A' };
        }
    }
    Answer {
        challenge: String::from_utf8_lossy(&challenge).into_owned(),
        answers,
    }
}

fn solves(answer: &Answer) -> bool {
    let puzzle = |(index, number): (usize, &u64)| {
        let hash = Sha256::digest(format!("{}.{index}.{number}", answer.challenge));
        let bits: String = hash.iter().map(|byte| format!("{byte:08b}")).collect();
        *number < 1 << 53 && bits.starts_with(&"0".repeat(usize::from(BITS)))
    };
    answer.answers.len() == 8 && answer.answers.iter().enumerate().all(puzzle)
}
