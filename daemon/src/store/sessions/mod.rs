//! The memory of what sessions, addresses and users did, in a file of its own beside the store: what rules know of them,
//! their points and those of their networks, since when a session is idle, who may not go on before he has logged in again,
//! and which clients are distrusted.
//!
//! It is written behind the requests: every few seconds what changed, and at the end of the daemon the rest. A crash loses
//! what happened since the last time; what may not be lost by that, bans and ended sessions, is in the store. It is a file
//! of its own as nobody should wait for it who has a ban written, and as it may be damaged: it is not worth a gate that does
//! not start. What cannot be read is left out, counted and told, and the sessions that it may have been about have to be
//! opened anew.
//!
//! No key is in it. Sessions bring theirs along, sealed; the secret of the hashes, by which rules know values and people, is
//! sealed under the same keys.

mod file;
mod restore;
mod row;
#[cfg(test)]
mod tests;
mod time;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_guard::guard::Guard;
use portcullis_guard::session::token::MasterKeys;
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use zeroize::Zeroizing;

use super::StoreError;
use crate::random::{self, NoRandomness};
use crate::{clock, memory};
use file::{File, Meta};
use restore::Restoring;
use time::{Clocks, Resumed};

/// The name of the file in the state directory.
pub const FILE: &str = "sessions.redb";

const CLOCKS: &str = "clocks";
const SECRET: &str = "secret";
const HORIZON: &str = "horizon";

/// What was left out, by why. Each is counted from the start of the daemon on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// It was not what had been written.
    pub damaged: u64,
    /// There was no room: in the file, or in a table that has become smaller.
    pub room: u64,
    /// It would allow something, and nobody knows how long ago that was.
    pub clock: u64,
    /// No key is left that it was sealed under.
    pub key: u64,
    /// Facts that no rule asks for any more.
    pub unasked: u64,
}

impl LeftOut {
    /// The numbers with the names of their causes.
    #[must_use]
    pub fn each(self) -> [(&'static str, u64); 5] {
        [
            ("damaged", self.damaged),
            ("room", self.room),
            ("clock", self.clock),
            ("key", self.key),
            ("unasked", self.unasked),
        ]
    }
}

/// How the memory does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Sessions, holders of facts and sources that came back at the start.
    pub restored: u64,
    /// What did not, or will not.
    pub left_out: LeftOut,
    /// Why the last attempt to write failed; `None`: it did not.
    pub failure: Option<String>,
    /// Attempts that failed.
    pub failures: u64,
    /// Transactions.
    pub saves: u64,
    /// Bytes of all that is written down.
    pub bytes: u64,
    /// When it was written last.
    pub at: Option<WallMillis>,
}

/// How it is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saving {
    /// How often.
    pub every: Duration,
    /// Bytes that it may have.
    pub most_bytes: u64,
}

/// The memory of a running daemon.
pub struct SessionStore {
    file: Mutex<File>,
    secret: Zeroizing<[u8; 32]>,
    /// As it is in the file, and under which key.
    sealed: Mutex<(u32, Vec<u8>)>,
    boot: String,
    resumed: Resumed,
    /// Not all that was written came back: sessions that are not known have to be opened anew.
    is_part_lost: bool,
    kept: Mutex<Kept>,
    is_closed: Mutex<bool>,
    closing: Condvar,
}

impl SessionStore {
    /// Opens the memory in a state directory, or makes it, and tells where the guard's clock goes on. A file that cannot be
    /// used is put aside.
    ///
    /// # Errors
    /// [`NoRandomness`] alone: without any memory the gate still stands.
    pub fn open(directory: &Path, keys: &MasterKeys, now: Now) -> Result<Self, NoRandomness> {
        let (mut file, mut left_out) = (File::at(directory.join(FILE)), LeftOut::default());
        let since_boot = clock::since_boot(now.mono);
        let boot = clock::boot_name();
        let fresh = Resumed {
            mono: now.mono,
            keeps_time: true,
        };
        let found = match look(&mut file) {
            Ok(found) => found,
            Err(error) => {
                left_out.damaged += 1;
                give_up(&mut file, &error);
                None
            }
        };
        let mut is_part_lost = left_out.damaged > 0;
        let mut opened = None;
        if let Some((clocks, sealed)) = found {
            let resumed = time::resume(&clocks, &boot, since_boot, now.wall);
            match (keys.open_secret(&sealed), resumed) {
                (Some((secret, is_current)), Some(resumed)) => {
                    // What an earlier key sealed is sealed anew with the next change.
                    let number = if is_current {
                        keys.current().number()
                    } else {
                        !keys.current().number()
                    };
                    opened = Some((secret, (number, sealed), resumed));
                }
                (None, _) => {
                    left_out.key += 1;
                    tracing::warn!("no master key is left that opens the memory of sessions: it begins anew");
                }
                (Some(_), None) => {
                    left_out.clock += 1;
                    tracing::warn!("the clock says that years have passed: the memory of sessions begins anew");
                }
            }
            if opened.is_none() {
                is_part_lost = true;
                if let Err(error) = file.set_aside() {
                    tracing::error!(%error, "the old memory of sessions stays where it is");
                }
            }
        }
        let (secret, sealed, resumed) = match opened {
            Some(opened) => opened,
            None => (random::secret()?, (!keys.current().number(), Vec::new()), fresh),
        };
        if !resumed.keeps_time {
            is_part_lost = true;
            tracing::warn!("the clock was set back while the daemon was off: sessions have to be opened anew");
        }
        Ok(Self {
            file: Mutex::new(file),
            secret,
            sealed: Mutex::new(sealed),
            boot,
            resumed,
            is_part_lost,
            kept: Mutex::new(Kept {
                left_out,
                ..Kept::default()
            }),
            is_closed: Mutex::new(false),
            closing: Condvar::new(),
        })
    }

    /// Where the guard's clock goes on: to be put in force before anybody remembers a time.
    #[must_use]
    pub fn resumed(&self) -> MonoMillis {
        self.resumed.mono
    }

    /// The secret by which the guard knows values and people.
    #[must_use]
    pub fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }

    /// Gives the guard what was written down. The clock goes on already, and ended sessions are known.
    pub fn load(&self, guard: &Guard, now: Now) {
        let mut file = self.file();
        let before = self.health().left_out;
        let mut restoring = Restoring::new(guard, before, self.resumed.keeps_time, now);
        if let Err(error) = restoring.read(&mut file) {
            restoring.left_out.damaged += 1;
            restoring.is_part_lost = true;
            give_up(&mut file, &error);
        }
        if restoring.is_part_lost || self.is_part_lost {
            guard.expect_anew(now.wall);
        }
        guard.order_sessions();
        file.compact_if_large();
        if restoring.is_all() {
            file.is_known();
        }
        let (restored, left_out) = (restoring.restored, restoring.left_out);
        if left_out == LeftOut::default() {
            tracing::info!(restored, "memory of sessions restored");
        } else {
            tracing::warn!(restored, left_out = ?left_out, "memory of sessions restored in part");
        }
        *self.kept() = Kept {
            restored,
            left_out,
            bytes: file.bytes(),
            ..Kept::default()
        };
        drop(file);
        memory::give_back();
    }

    /// Writes what changes, until [`close`](Self::close), and what is left then. For a thread of its own.
    pub fn keep(&self, guard: impl Fn() -> Arc<Guard>, saving: impl Fn() -> Saving) {
        loop {
            let saving = saving();
            let is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .closing
                .wait_timeout_while(is_closed, saving.every, |closed| !*closed);
            let is_over = *waited.unwrap_or_else(PoisonError::into_inner).0;
            self.save(&guard(), saving.most_bytes, is_over, clock::now());
            if is_over {
                return;
            }
        }
    }

    /// Has [`keep`](Self::keep) write what is left, and end.
    pub fn close(&self) {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.closing.notify_all();
    }

    /// Writes what changed, and at the end of the daemon what time it is.
    pub fn save(&self, guard: &Guard, most_bytes: u64, is_last: bool, now: Now) {
        let clocks = Clocks {
            boot: self.boot.clone(),
            since_boot: u64::try_from(clock::since_boot(now.mono).as_millis()).unwrap_or(u64::MAX),
            mono: now.mono,
            wall: now.wall,
        };
        let outcome = self.seal(&guard.master_keys()).and_then(|(secret, is_new)| {
            let mut file = self.file();
            let meta = Meta {
                clocks: &clocks,
                secret: &secret,
            };
            let written = file.write(guard, &meta, most_bytes, is_last || is_new, now);
            Ok((written.map_err(|error| error.to_string())?, file.bytes()))
        });
        let mut kept = self.kept();
        match outcome {
            Ok((None, _)) => {}
            Ok((Some(trimmed), bytes)) => {
                if kept.failure.take().is_some() {
                    tracing::info!("the memory of sessions is written again");
                }
                if trimmed > 0 && kept.left_out.room == 0 {
                    tracing::warn!(
                        trimmed,
                        "the memory of sessions is larger than state.max_session_bytes: what was used longest ago is left out"
                    );
                }
                kept.left_out.room += trimmed;
                (kept.bytes, kept.at) = (bytes, Some(now.wall));
                kept.saves += 1;
            }
            Err(error) => {
                kept.failures += 1;
                let reason = error.lines().next().unwrap_or_default();
                if kept.failure.as_deref() != Some(reason) {
                    tracing::error!(%reason, "the memory of sessions cannot be written; it is tried again");
                }
                kept.failure = Some(reason.to_owned());
            }
        }
    }

    /// The secret, sealed under the current key, and whether that is another than before.
    fn seal(&self, keys: &MasterKeys) -> Result<(Vec<u8>, bool), String> {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = sealed.0 != keys.current().number();
        if is_other {
            let entropy = random::session_entropy().map_err(|error| error.to_string())?;
            let again = keys.seal_secret(entropy.id, &self.secret);
            *sealed = (keys.current().number(), again.ok_or("the secret cannot be sealed")?);
        }
        Ok((sealed.1.clone(), is_other))
    }

    /// How it does.
    #[must_use]
    pub fn health(&self) -> Kept {
        self.kept().clone()
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clocks and the sealed secret of the last run; `None`: there was none.
fn look(file: &mut File) -> Result<Option<(Clocks, Vec<u8>)>, StoreError> {
    file.open()?;
    let clocks = file.meta(CLOCKS)?;
    let sealed = file.meta(SECRET)?;
    Ok(clocks.zip(sealed))
}

/// Goes on without what cannot be read. A damaged file is kept for who wants to look at it; one that the system does not
/// let us use stays where it is, and is written anew when it does.
fn give_up(file: &mut File, error: &StoreError) {
    let text = error.to_string();
    let reason = text.lines().next().unwrap_or_default();
    tracing::error!(%reason, "the memory of sessions cannot be read: they have to be opened anew");
    match error {
        StoreError::InUse(_) | StoreError::Unusable { .. } => {}
        StoreError::Damaged { .. } | StoreError::Foreign { .. } => match file.set_aside() {
            Ok(aside) => tracing::warn!(file = %aside.display(), "it was put aside"),
            Err(error) => tracing::error!(%error, "it cannot be put aside"),
        },
    }
}
