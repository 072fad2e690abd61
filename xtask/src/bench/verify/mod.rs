//! `cargo xtask bench verify`: what it costs to verify a call, to open a session and to remember one.
//!
//! `guard/…` and `stage/…` are the guard alone, in a loop, beside one bare HMAC of the same bytes and other
//! implementations on the same request. `daemon/…` is the whole daemon. `memory/…` and `flood/…` fill the tables.

mod daemon;
mod fixture;
mod memory;
mod mint;
mod peers;
mod stages;

use anyhow::Result;

use super::report::{Report, Rounds, Row};
use fixture::Fixture;

const HMAC: &str = "floor/hmac";
/// A full verification, on one core.
const VERIFY_NANOS: f64 = 1500.0;
/// Opening a session with a key of the server: 20,000 a second on one core.
const MINT_NANOS: f64 = 50_000.0;

struct Effort {
    rounds: usize,
    verifications: u32,
    requests: u32,
    connections: usize,
    mints: u32,
    sessions: u32,
}

const FULL: Effort = Effort {
    rounds: 7,
    verifications: 100_000,
    requests: 20_000,
    connections: 8,
    mints: 20_000,
    sessions: 1_000_000,
};
const QUICK: Effort = Effort {
    rounds: 3,
    verifications: 20_000,
    requests: 4_000,
    connections: 4,
    mints: 4_000,
    sessions: 100_000,
};

pub(super) fn measure(quick: bool) -> Result<Report> {
    let effort = if quick { QUICK } else { FULL };
    // First, while the heap of this process is small.
    let mut rows = memory::rows(&effort)?;
    rows.extend(guard_alone(&effort)?);
    rows.extend(mint::rows(&effort)?);
    rows.extend(daemon::rows(&effort)?);
    Ok(Report::new("verify", rows))
}

fn guard_alone(effort: &Effort) -> Result<Vec<Row>> {
    let (mut floor, mut verification) = (Rounds::default(), Rounds::default());
    let mut stages = stages::Rows::default();
    let mut peers = peers::Rows::default();
    for round in 0..effort.rounds {
        let fixture = Fixture::new(effort.verifications, u8::try_from(round).unwrap_or(0))?;
        floor.push(fixture.bare_hmacs());
        verification.push(fixture.verifications()?);
        stages.measure(&fixture)?;
        peers.measure(&fixture)?;
    }
    let mut rows = vec![
        Row::new(HMAC, "ns", &floor),
        Row::new("guard/verify", "ns", &verification).at_most(VERIFY_NANOS),
        Row::new("guard/verify-to-hmac", "ns", &verification).versus(HMAC, &floor, None),
    ];
    rows.extend(stages.rows(&floor));
    rows.extend(peers.rows(&verification));
    Ok(rows)
}
