//! The master keys that seal session ids, and where they are kept: in the state directory, or in a credential that
//! systemd hands over.
//!
//! One key a line, the current one first: 32 bytes in base64, then `created=SECONDS` and `retired=SECONDS` since the
//! Unix epoch where they are known. `#` begins a comment. A file that is anything else is refused and never overwritten:
//! with it, every session would be lost.

mod keys;

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_guard::session::token::MasterKeys;
use portcullis_guard::time::WallMillis;
use zeroize::Zeroizing;

pub use self::keys::KeyDefect;
use self::keys::Keys;
use crate::random;

const KEY_FILE: &str = "master.key";
/// The name of the credential, below `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "portcullis-master-key";
/// A key a month would fill this in ten years.
const LONGEST_FILE: u64 = 16 << 10;

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
    /// Others could read the keys.
    #[error(
        "{path} is readable by others (mode {mode:o}): sessions could be forged\nhint: chmod 600 {path}, or delete it: all clients then open new sessions"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not what this module writes.
    #[error(
        "{path} holds no master keys: {defect}\nhint: it was left as it is; restore it from a backup, or delete it: all clients then open new sessions"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        defect: KeyDefect,
    },
    /// The keys are not ours to change.
    #[error(
        "the master keys come from the credential {0}\nhint: put a new key before the old one in the credential, and restart the daemon"
    )]
    FromCredential(PathBuf),
    /// No random bytes for a new key.
    #[error(transparent)]
    NoRandomness(#[from] random::NoRandomness),
}

/// The master keys with their place.
pub struct KeyRing {
    place: Place,
    keys: Keys,
}

enum Place {
    Directory(PathBuf),
    Credential(PathBuf),
}

/// What a rotation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The number of the new key.
    pub number: u32,
    /// Keys that still open sessions, the new one not counted.
    pub previous: usize,
}

impl KeyRing {
    /// The keys of the credential if there is one below `credentials`; else those of the state directory, which gets
    /// its first key now.
    ///
    /// # Errors
    /// [`StateError`] with what to do. Nothing that is there is overwritten.
    pub fn open(directory: &Path, credentials: Option<&Path>, now: WallMillis) -> Result<Self, StateError> {
        if let Some(path) = credentials.map(|credentials| credentials.join(CREDENTIAL))
            && let Some((text, _)) = read(&path)?
        {
            let keys = parse(&path, &text)?;
            return Ok(Self {
                place: Place::Credential(path),
                keys,
            });
        }
        make_directory(directory)?;
        let path = directory.join(KEY_FILE);
        let keys = match read(&path)? {
            Some((_, mode)) if mode & 0o077 != 0 => return Err(StateError::Exposed { path, mode }),
            Some((text, _)) => parse(&path, &text)?,
            None => {
                let keys = Keys::first(random::secret()?, now);
                write(directory, &keys)?;
                keys
            }
        };
        Ok(Self {
            place: Place::Directory(directory.to_owned()),
            keys,
        })
    }

    /// The keys as the guard uses them.
    #[must_use]
    pub fn master_keys(&self) -> MasterKeys {
        self.keys.master_keys()
    }

    /// Makes a new key, after it is safely on disk. Keys that were retired `lifetime` ago are forgotten: every session
    /// of theirs has ended.
    ///
    /// # Errors
    /// [`StateError`]; nothing changed then.
    pub fn rotate(&mut self, lifetime: Duration, now: WallMillis) -> Result<Rotated, StateError> {
        let directory = match &self.place {
            Place::Directory(directory) => directory,
            Place::Credential(path) => return Err(StateError::FromCredential(path.clone())),
        };
        let keys = self.keys.rotated(random::secret()?, lifetime, now);
        write(directory, &keys)?;
        self.keys = keys;
        Ok(Rotated {
            number: self.keys.master_keys().current().number(),
            previous: self.keys.previous(),
        })
    }

    /// Makes a new key if the current one is older than `every`, and forgets those that are over. `None` if nothing was
    /// to be done.
    ///
    /// # Errors
    /// [`StateError`]; nothing changed then.
    pub fn rotate_if_due(
        &mut self,
        every: Duration,
        lifetime: Duration,
        now: WallMillis,
    ) -> Result<Option<Rotated>, StateError> {
        match self.place {
            Place::Directory(_) if self.keys.age(now) >= every => self.rotate(lifetime, now).map(Some),
            Place::Directory(_) | Place::Credential(_) => Ok(None),
        }
    }
}

fn make_directory(directory: &Path) -> Result<(), StateError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| StateError::Io {
        path: directory.into(),
        source,
    })
}

fn parse(path: &Path, text: &str) -> Result<Keys, StateError> {
    Keys::parse(text).map_err(|defect| StateError::Damaged {
        path: path.into(),
        defect,
    })
}

/// The text of a file and its permissions; `None` if it is not there.
fn read(path: &Path) -> Result<Option<(Zeroizing<String>, u32)>, StateError> {
    let failed = |source| StateError::Io {
        path: path.into(),
        source,
    };
    let file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    // With room for all at the start, so that no half of it stays in memory that was given back.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_FILE as usize + 1));
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    let damaged = |defect| StateError::Damaged {
        path: path.into(),
        defect,
    };
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(damaged(KeyDefect::TooLong));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged(KeyDefect::NoText))?;
    Ok(Some((
        Zeroizing::new(text.to_owned()),
        metadata.permissions().mode() & 0o777,
    )))
}

/// Written beside and renamed, so that a crash leaves the whole old file or the whole new one.
fn write(directory: &Path, keys: &Keys) -> Result<(), StateError> {
    let (path, partial) = (directory.join(KEY_FILE), directory.join(format!("{KEY_FILE}.new")));
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
        file.write_all(keys.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        fs::File::open(directory)?.sync_all()
    };
    write().map_err(|source| StateError::Io {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: WallMillis = WallMillis(1_800_000_000_000);

    fn open(directory: &Path) -> Result<KeyRing, StateError> {
        KeyRing::open(directory, None, NOW)
    }

    fn number(ring: &KeyRing) -> u32 {
        ring.master_keys().current().number()
    }

    #[test]
    fn the_first_key_is_made_once_and_private() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("deep/state");
        let first = number(&open(&directory).unwrap());
        let path = directory.join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(number(&open(&directory).unwrap()), first);
    }

    #[test]
    fn rotation_outlives_the_process_and_forgets_what_is_over() {
        let home = tempfile::tempdir().unwrap();
        let mut ring = open(home.path()).unwrap();
        let first = number(&ring);
        let rotated = ring.rotate(DAY, NOW).unwrap();
        assert_ne!(rotated.number, first);
        assert_eq!(rotated.previous, 1);
        let again = open(home.path()).unwrap();
        assert_eq!((number(&again), again.keys.previous()), (rotated.number, 1));
        assert_eq!(ring.rotate(DAY, NOW.after(DAY / 2)).unwrap().previous, 2);
        assert_eq!(
            ring.rotate(DAY, NOW.after(DAY)).unwrap().previous,
            2,
            "the first key's sessions have ended"
        );
        assert!(!home.path().join("master.key.new").exists());
    }

    #[test]
    fn a_key_is_replaced_when_it_is_old() {
        let home = tempfile::tempdir().unwrap();
        let mut ring = open(home.path()).unwrap();
        let mut due = |now| ring.rotate_if_due(30 * DAY, DAY, now).unwrap().is_some();
        assert!(!due(NOW) && !due(NOW.after(29 * DAY)));
        assert!(due(NOW.after(30 * DAY)));
        assert!(!due(NOW.after(31 * DAY)));
        assert!(!due(WallMillis(0)), "a clock that was set back makes no keys");
    }

    #[test]
    fn what_is_damaged_or_exposed_is_refused_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        open(home.path()).unwrap();
        let path = home.path().join(KEY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            open(home.path()),
            Err(StateError::Exposed { mode: 0o640, .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for (content, expected) in [
            (&b""[..], "no key"),
            (b"short\n", "line 1"),
            (&[0xff; 32], "not text"),
            (&[b'#'; 20_000], "too long"),
        ] {
            fs::write(&path, content).unwrap();
            let error = open(home.path()).err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains("\nhint: "), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn a_credential_wins_and_is_not_ours_to_change() {
        let home = tempfile::tempdir().unwrap();
        let credentials = home.path().join("credentials");
        fs::create_dir(&credentials).unwrap();
        let state = home.path().join("state");
        let open = || KeyRing::open(&state, Some(&credentials), NOW);
        assert!(open().is_ok() && state.exists(), "no credential: the state directory");
        let own = number(&open().unwrap());
        fs::write(
            credentials.join(CREDENTIAL),
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n",
        )
        .unwrap();
        let mut ring = open().unwrap();
        assert_ne!(number(&ring), own);
        assert!(matches!(ring.rotate(DAY, NOW), Err(StateError::FromCredential(_))));
        assert_eq!(ring.rotate_if_due(DAY, DAY, NOW.after(DAY)).unwrap(), None);
    }
}
