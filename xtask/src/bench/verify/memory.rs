//! What sessions cost in memory: resident bytes of this process, before and after.

use anyhow::{Context as _, Result, ensure};
use portcullis_guard::guard::Guard;
use portcullis_guard::path::NormalPath;
use portcullis_guard::policy::SessionLimits;
use portcullis_guard::time::{MonoMillis, Now, WallMillis};

use super::Effort;
use super::fixture::{PATH, client, guard, now, open, passes, per_item, signed};
use crate::bench::report::{Rounds, Row};

/// Of one active session, without rules.
const SESSION_BYTES: f64 = 512.0;
/// What a flood may add: pages that the allocator had not touched before.
const GROWTH_MEGABYTES: f64 = 1.0;
/// Requests that are made at once: few, since their memory stays with this process.
const BATCH: u32 = 1000;
/// Sessions that are opened in the same second.
const A_SECOND: u32 = 10_000;

pub(super) fn rows(effort: &Effort) -> Result<Vec<Row>> {
    let capacity = usize::try_from(effort.sessions)?;
    let limits = SessionLimits {
        capacity,
        source_capacity: 1,
        ..SessionLimits::default()
    };
    // A first guard and its calls, so that what only the process needs is there.
    let warm = guard(
        9,
        SessionLimits {
            capacity: 4096,
            ..limits
        },
    )?;
    calls(&warm, 0, BATCH)?;
    let empty = resident()?;
    let guard = guard(1, limits)?;
    let first = calls(&guard, 0, effort.sessions)?;
    // Shards do not fill evenly; what was pushed out of a full one takes no memory.
    let kept = guard.session_count().max(1);
    let full = resident()?;
    for number in 0..effort.sessions {
        open(&guard, id(number), client(number), now())?;
    }
    let minted = resident()?;
    let pushing = calls(&guard, effort.sessions, effort.sessions)?;
    let used = resident()?;
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory: below 2^52")]
    let each = (full - empty) as f64 / kept as f64;
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory: below 2^52")]
    let growth = |before: usize, after: usize| after.saturating_sub(before) as f64 / 1e6;
    Ok(vec![
        Row::new("memory/session", "B", &one(each)).at_most(SESSION_BYTES),
        Row::new("memory/mint-flood", "MB", &one(growth(full, minted))).at_most(GROWTH_MEGABYTES),
        Row::new("memory/call-flood", "MB", &one(growth(full, used))),
        Row::new("guard/first-call", "ns", &one(first)),
        Row::new("guard/first-call-at-capacity", "ns", &one(pushing)),
    ])
}

fn one(value: f64) -> Rounds {
    let mut rounds = Rounds::default();
    rounds.push(value);
    rounds
}

/// Opens sessions and makes one call of each; nanoseconds for a call.
fn calls(guard: &Guard, from: u32, count: u32) -> Result<f64> {
    let path = NormalPath::parse(PATH)?;
    let mut nanos = 0.0;
    for start in (from..from + count).step_by(BATCH as usize) {
        let batch = start..(start + BATCH).min(from + count);
        let size = batch.end - batch.start;
        let at = later(start);
        let ready = batch.map(|number| Ok((number, signed(&open(guard, id(number), client(number), at)?, 0, at)?)));
        let ready: Vec<_> = ready.collect::<Result<_>>()?;
        let mut passed = 0;
        let each = per_item(size, || {
            let all = ready.iter();
            passed = all
                .filter(|(number, call)| passes(guard, call, &path, client(*number), at))
                .count();
        });
        ensure!(passed == ready.len(), "{passed} of {size} passed");
        nanos += each * f64::from(size);
    }
    Ok(nanos / f64::from(count))
}

/// Time goes on: whoever is pushed out takes those with him that were opened at the same time.
fn later(number: u32) -> Now {
    let ms = u64::from(number / A_SECOND) * 1000;
    Now {
        wall: WallMillis(now().wall.0 + ms),
        mono: MonoMillis(now().mono.0 + ms),
    }
}

/// Names that spread over the shards as random ones do.
fn id(number: u32) -> [u8; 12] {
    let mixed = u64::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut id = [0; 12];
    id[..8].copy_from_slice(&(mixed ^ (mixed >> 29)).to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

/// Resident bytes (proc(5), `statm`).
fn resident() -> Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text
        .split_whitespace()
        .nth(1)
        .context("statm has no second number")?
        .parse()?;
    Ok(pages * 4096)
}
