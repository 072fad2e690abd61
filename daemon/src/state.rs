//! The state directory: what must survive the process. Today the master key that seals session ids.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use portcullis_guard::session::token::{MasterKey, MasterKeys};
use zeroize::Zeroizing;

use crate::random;

const MASTER_KEY_FILE: &str = "master.key";
/// The number that tokens name the first key by.
const FIRST_KEY: u8 = 1;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory or a file in it.
    #[error("cannot use {path}: {source}\nhint: state.directory must belong to the user that the daemon runs as")]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others could read the key.
    #[error(
        "{path} is readable by others (mode {mode:o}): sessions could be forged\nhint: chmod 600 {path}, or delete it: all clients then open new sessions"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not 32 bytes.
    #[error("{0} is not a master key of 32 bytes\nhint: restore it, or delete it: all clients then open new sessions")]
    Damaged(PathBuf),
    /// No random bytes for a new key.
    #[error(transparent)]
    NoRandomness(#[from] random::NoRandomness),
}

/// The master keys of the state directory; makes the directory and the first key if they are missing.
///
/// # Errors
/// [`StateError`] with what to do.
pub fn master_keys(directory: &Path) -> Result<MasterKeys, StateError> {
    let path = directory.join(MASTER_KEY_FILE);
    make_directory(directory)?;
    let secret = match read_secret(&path)? {
        Some(secret) => secret,
        None => make_secret(directory, &path)?,
    };
    Ok(MasterKeys::new(MasterKey::new(FIRST_KEY, &secret), Vec::new()))
}

fn make_directory(directory: &Path) -> Result<(), StateError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| StateError::Io {
        path: directory.into(),
        source,
    })
}

fn read_secret(path: &Path) -> Result<Option<Zeroizing<[u8; MasterKey::BYTES]>>, StateError> {
    let failed = |source| StateError::Io {
        path: path.into(),
        source,
    };
    let mut file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateError::Exposed {
            path: path.into(),
            mode,
        });
    }
    let mut secret = Zeroizing::new([0; MasterKey::BYTES]);
    let is_whole = metadata.len() == secret.len() as u64 && file.read_exact(&mut *secret).is_ok();
    if is_whole {
        Ok(Some(secret))
    } else {
        Err(StateError::Damaged(path.into()))
    }
}

/// Written beside and renamed, so that a crash leaves a whole key or none.
fn make_secret(directory: &Path, path: &Path) -> Result<Zeroizing<[u8; MasterKey::BYTES]>, StateError> {
    let secret = random::secret()?;
    let partial = directory.join(format!("{MASTER_KEY_FILE}.new"));
    let write = || -> io::Result<()> {
        // What a crash left, or somebody put there: its permissions are not ours.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(&*secret)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(|source| StateError::Io {
        path: path.into(),
        source,
    })?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("portcullis-state-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        let directory = Directory::new("once");
        master_keys(&directory.0).unwrap();
        let path = directory.0.join(MASTER_KEY_FILE);
        let first = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        master_keys(&directory.0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);
    }

    #[test]
    fn a_damaged_or_exposed_key_is_refused() {
        let directory = Directory::new("damaged");
        master_keys(&directory.0).unwrap();
        let path = directory.0.join(MASTER_KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            master_keys(&directory.0),
            Err(StateError::Exposed { mode: 0o644, .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, b"short").unwrap();
        assert!(matches!(master_keys(&directory.0), Err(StateError::Damaged(_))));
    }
}
