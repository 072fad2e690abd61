//! Gives privilege up: user, capabilities, files, system calls. What is given up never comes back.
//!
//! The daemon does it when everything is open that it needs, and while it has one thread only; its helper, which keeps
//! the capabilities to load and attach, before it does either. It refuses to know what they are needed for.

mod calls;
mod files;
mod user;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;

pub use user::{OWN_USER, UserError};

/// What the helper needs to load, attach, and write to a directory of another user.
const HELPERS: [Capability; 4] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
    Capability::CAP_BPF,
    Capability::CAP_DAC_OVERRIDE,
];

/// Why privilege could not be given up. Nobody should go on then.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Who to be.
    #[error(transparent)]
    User(#[from] UserError),
    /// A capability would have stayed.
    #[error("failed to give capabilities up: {0}")]
    Capabilities(#[from] caps::errors::CapsError),
    /// Files would have stayed open to it.
    #[error("failed to confine the process to its files: {0}")]
    Files(#[from] landlock::RulesetError),
    /// System calls would have stayed open to it.
    #[error("failed to filter system calls: {0}")]
    Calls(String),
    /// Another thread would have kept what this one gives up.
    #[error("{0} threads run already: those beside this one would keep their privileges; please report this")]
    Threads(usize),
    /// Anything else.
    #[error("failed to {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What the daemon needs after it gave its privileges up.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// Who it should be, if it was started as root; `None`: [`OWN_USER`], if there is one.
    pub user: Option<&'a str>,
    /// What it writes to: a directory of its own.
    pub state: &'a Path,
    /// Files that it may read anew, or files beside them.
    pub files: &'a [PathBuf],
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// The user that it is now.
    pub user: String,
    /// Why it is still root, if it is.
    pub root: Option<&'static str>,
    /// How much of the confinement to files the kernel knows.
    pub files: Extent,
}

/// How much the kernel knows of the confinement to files (landlock).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// An earlier version of it.
    Part,
    /// Nothing: it is not built in, or switched off.
    Nothing,
}

/// What a process may still do, as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose process it is.
    pub user: String,
    /// Whether that is root.
    pub root: bool,
    /// Capabilities that it has in effect.
    pub capabilities: usize,
    /// Whether its system calls are filtered.
    pub filtered: bool,
}

/// How this process stands.
#[must_use]
pub fn standing() -> Standing {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    Standing {
        user: user::current(),
        root: nix::unistd::geteuid().is_root(),
        capabilities: caps::read(None, CapSet::Effective).map_or(0, |held| held.len()),
        filtered: mode.is_some_and(|mode| mode.trim() == "2"),
    }
}

/// Makes the daemon a process that answers requests and writes to maps, and can do nothing else.
///
/// # Errors
/// [`ConfineError`]. The process is then neither what it was nor what it should be: it should end.
pub fn daemon(needs: &Needs<'_>) -> Result<Confined, ConfineError> {
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(ConfineError::Threads(threads));
    }
    let choice = user::choose(needs.user)?;
    drop_bounding(&CapsHashSet::new())?;
    let root = user::become_it(&choice, needs.state)?;
    keep(&CapsHashSet::new())?;
    seal()?;
    let is_root = nix::unistd::geteuid().is_root();
    let files = files::daemon(needs.state, needs.files, is_root)?;
    calls::daemon().map_err(ConfineError::Calls)?;
    Ok(Confined {
        user: user::current(),
        root,
        files,
    })
}

/// Makes the helper a process that loads and attaches, and writes to `places`, and can do nothing else.
///
/// # Errors
/// [`ConfineError`], as for [`daemon`].
pub fn helper(places: &[PathBuf]) -> Result<Extent, ConfineError> {
    let held = caps::read(None, CapSet::Permitted)?;
    let mut kept: CapsHashSet = HELPERS.into_iter().filter(|one| held.contains(one)).collect();
    if !(held.contains(&Capability::CAP_BPF) && held.contains(&Capability::CAP_PERFMON)) {
        // It includes both.
        kept.extend(held.get(&Capability::CAP_SYS_ADMIN).copied());
    }
    drop_bounding(&kept)?;
    keep(&kept)?;
    seal()?;
    let extent = files::helper(places)?;
    calls::helper().map_err(ConfineError::Calls)?;
    Ok(extent)
}

/// No program that is executed later gets anything but these: none is executed, but this stays should that fail.
fn drop_bounding(kept: &CapsHashSet) -> Result<(), ConfineError> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP)? {
        // Not ours to change. No new privileges come from there either, once they are sealed.
        return Ok(());
    }
    let bounding = caps::read(None, CapSet::Bounding)?;
    for capability in bounding.difference(kept) {
        caps::drop(None, CapSet::Bounding, *capability)?;
    }
    Ok(())
}

fn keep(kept: &CapsHashSet) -> Result<(), ConfineError> {
    caps::clear(None, CapSet::Ambient)?;
    caps::set(None, CapSet::Effective, kept)?;
    caps::set(None, CapSet::Permitted, kept)?;
    caps::clear(None, CapSet::Inheritable)?;
    Ok(())
}

/// No set-user-id program gives anything back, and nobody reads the memory: not from outside, not from a core dump.
fn seal() -> Result<(), ConfineError> {
    let failed = |action| {
        move |error: nix::errno::Errno| ConfineError::Io {
            action,
            source: error.into(),
        }
    };
    prctl::set_no_new_privs().map_err(failed("refuse new privileges"))?;
    prctl::set_dumpable(false).map_err(failed("keep the memory to itself"))
}
