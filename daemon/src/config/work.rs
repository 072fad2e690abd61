//! `[work]`: what opening a session costs.

use portcullis_guard::session::mint::{WorkMode, WorkPolicy};

use super::error::Mistake;
use super::policy::MOST_POINTS;
use super::section::Section;
use super::value::{integer, points, word};

const MODES: &[(&str, WorkMode)] = &[
    ("off", WorkMode::Off),
    ("reputation", WorkMode::Reputation),
    ("always", WorkMode::Always),
];

pub(super) fn read(section: &Section<'_>) -> WorkPolicy {
    let defaults = WorkPolicy::default();
    let policy = WorkPolicy {
        mode: section.read("mode", defaults.mode, word(MODES)),
        bits: section.read("bits", defaults.bits, integer(1..=24)),
        max_bits: section.read("max_bits", defaults.max_bits, integer(1..=24)),
        points: section.read("points", defaults.points, points(1.0..=MOST_POINTS)),
        sessions: section.read("sessions", defaults.sessions, points(1.0..=MOST_POINTS)),
    };
    if policy.max_bits < policy.bits {
        let mistake = Mistake::new(format!("{} is below bits ({})", policy.max_bits, policy.bits));
        section.error("max_bits", mistake.hint("the work grows from `bits` to `max_bits`"));
    }
    policy
}
