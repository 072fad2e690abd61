//! Waiting for what comes soon.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Looks again and again whether something holds.
///
/// # Errors
/// Looking failed, or it does not hold after all of this time.
pub fn until(patience: Duration, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !holds()? {
        ensure!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
    Ok(())
}
