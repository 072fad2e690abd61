//! A place for what outlives a process.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis::enforcer::Enforcer;

/// The directory of pins of one test. Nothing is left there when this is dropped.
pub struct Pins(String);

impl Pins {
    /// One that nobody else has.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        Self(format!("/run/pc-pins-{}-{number}", std::process::id()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = Enforcer::detach_pinned(Path::new(&self.0));
    }
}
