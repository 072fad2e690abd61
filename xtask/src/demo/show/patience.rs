//! Waiting: for something that can be seen, with an end.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::interrupt;

const AT_MOST: Duration = Duration::from_secs(15);
const BETWEEN: Duration = Duration::from_millis(10);

/// Looks again and again until there is something, and says what did not come about if it takes too long.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + AT_MOST;
    loop {
        interrupt::check()?;
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            bail!("{what} did not come about within {} s", AT_MOST.as_secs());
        }
        thread::sleep(BETWEEN);
    }
}
