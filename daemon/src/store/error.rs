//! Why the store does not work, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why the store cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{} is in use\nhint: does portcullis run already? its store is looked at by `portcullis store` then", .0.display())]
    InUse(PathBuf),
    /// What is in it is not what was written.
    #[error(
        "{} is damaged: {what}\n\
         hint: it was left as it is, and what the kernel drops by packet.pins it goes on dropping\n\
         hint: put a backup in its place; or move it away, and the next start makes a new one from the kernel's bans",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A later version wrote it.
    #[error("{} has format {found}, and this version knows {known}\nhint: run the version that wrote it, or a later one", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// The system refused.
    #[error(
        "cannot use {}: {reason}\nhint: is the disk full, or state.directory not the daemon's own?",
        .path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    pub(super) fn io(path: PathBuf, source: &io::Error) -> Self {
        Self::Unusable {
            path,
            reason: source.to_string(),
        }
    }

    pub(super) fn damaged(path: PathBuf, what: impl Into<String>) -> Self {
        Self::Damaged {
            path,
            what: what.into(),
        }
    }

    /// What redb says.
    pub(super) fn of(path: PathBuf, error: impl Into<redb::Error>) -> Self {
        let error = error.into();
        #[expect(clippy::wildcard_enum_match_arm, reason = "redb may learn further errors")]
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse(path),
            redb::Error::Corrupted(what) => Self::damaged(path, what),
            redb::Error::UpgradeRequired(format) => {
                Self::damaged(path, format!("its file format {format} is not known"))
            }
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::damaged(path, error.to_string())
            }
            redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
                Self::damaged(path, "its tables are of another kind")
            }
            other => Self::Unusable {
                path,
                reason: other.to_string(),
            },
        }
    }
}
