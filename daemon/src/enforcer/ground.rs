//! Where maps have names: in a directory that outlives the process, or in a file system that nobody else sees.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    AttachOptions, Capacities, EnforcerError, bpffs,
    pins::{self, Pins},
};

/// What is there before anything is loaded. Making it may take mounting, which nothing later does.
pub(super) enum Ground {
    /// A directory of a bpffs.
    Pins(Pins),
    /// A bpffs of our own; if the kernel refused it, tables cannot grow.
    Hidden(io::Result<bpffs::Hidden>),
}

impl Ground {
    pub(super) fn prepare(options: &AttachOptions) -> Result<Self, EnforcerError> {
        match options.pins.as_deref() {
            Some(pins) => Pins::open(pins).map(Self::Pins),
            None => Ok(Self::Hidden(bpffs::Hidden::new())),
        }
    }

    /// The directories that are written to from now on.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        match self {
            Self::Pins(pins) => vec![pins.root().to_owned()],
            Self::Hidden(hidden) => hidden.iter().map(bpffs::Hidden::path).collect(),
        }
    }

    pub(super) const fn pins(&self) -> Option<&Pins> {
        match self {
            Self::Pins(pins) => Some(pins),
            Self::Hidden(_) => None,
        }
    }

    /// An empty directory for the maps of larger tables.
    pub(super) fn start_next(&self, from: &Capacities, to: &Capacities) -> Result<PathBuf, EnforcerError> {
        let hidden = match self {
            Self::Pins(pins) => return pins.start_next(),
            Self::Hidden(hidden) => hidden.as_ref().map_err(|error| EnforcerError::MayNotGrow {
                from: from.hosts,
                to: to.hosts,
                reason: format!("without packet.pins this takes a bpffs of its own, and thus CAP_SYS_ADMIN ({error})"),
            })?,
        };
        let path = next_of(&hidden.path());
        pins::remove_directory(&path)?;
        fs::create_dir(&path).map_err(|source| pins::failed(&path, "create", source))?;
        Ok(path)
    }

    /// Gives up the directory that was begun, or what is left of it.
    pub(super) fn drop_next(&self) {
        match self {
            Self::Pins(pins) => pins.drop_next(),
            Self::Hidden(Ok(hidden)) => {
                if let Err(error) = pins::remove_directory(&next_of(&hidden.path())) {
                    tracing::warn!(%error, "names of maps stay until the tables grow again");
                }
            }
            Self::Hidden(Err(_)) => {}
        }
    }
}

fn next_of(root: &Path) -> PathBuf {
    root.join("next")
}
