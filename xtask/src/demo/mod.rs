//! `cargo xtask demo`: the whole gate on real packets, told in a terminal.
//!
//! The show needs the daemon's crates, which the other tasks should not wait for: it is behind the feature `demo`, and
//! without it this gets everything ready, builds xtask again with it, and becomes that.

#[cfg(not(feature = "demo"))]
mod launch;
#[cfg(feature = "demo")]
mod show;

use clap::Args;

#[cfg(not(feature = "demo"))]
pub(crate) use self::launch::run;
#[cfg(feature = "demo")]
pub(crate) use self::show::run;

/// Names a daemon that is built already, and passes the one that was built on to the show.
const BINARY: &str = "PORTCULLIS_BIN";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave everything running afterwards, to play with, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}
