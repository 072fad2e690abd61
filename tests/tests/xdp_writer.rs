//! Whoever writes the maps, and the program that reads them: random steps against a plain list. Needs root.
//!
//! A failure prints the seed of its case: `PORTCULLIS_SEED=… cargo test -p portcullis-tests --test xdp_writer` runs it
//! again. `PORTCULLIS_CASES` sets how many there are; `cargo xtask fuzz map_writer` searches longer.

#![expect(clippy::panic, reason = "a helper of tests may fail as a test may")]

use std::hash::{BuildHasher as _, RandomState};

use portcullis_tests::plain_list;

const CASES: u64 = 100;
/// Of four bytes.
const MOST_STEPS: usize = 400;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
    )
}

#[test]
fn whatever_is_written_holds_as_in_a_plain_list() {
    let enforcer = plain_list::enforcer();
    let again = number("PORTCULLIS_SEED");
    let start = again.unwrap_or_else(|| RandomState::new().hash_one("xdp_writer"));
    let cases = if again.is_some() { 1 } else { CASES };
    for case in 0..number("PORTCULLIS_CASES").unwrap_or(cases) {
        let seed = start.wrapping_add(case);
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut steps = vec![0; 4 * dice.usize(1..MOST_STEPS)];
        dice.fill(&mut steps);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| plain_list::play(&enforcer, &steps)));
        if let Err(panic) = played {
            eprintln!("again with PORTCULLIS_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
