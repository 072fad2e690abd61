//! What outlives the process: bans and how often somebody was banned, the operator's never-ban entries, ended sessions,
//! and what operators did.
//!
//! The guard is the truth while the daemon runs. The store hears *what* changed, and its thread writes down how that
//! is at the moment of writing; so changes may come in any order, and what changed twice is written once. Many changes
//! share one transaction: [`Store::submit`] waits for its own, [`Store::note`] for none. What is only noted makes
//! room for a change that comes: nobody waits for a million others.
//!
//! The order of a change is memory, kernel, disk, answer. So the kernel is never behind what somebody was told, and
//! what it has beyond the store was promised to nobody: the next start adopts it.

mod database;
mod error;
mod queue;
mod rows;
pub mod sessions;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use portcullis_guard::blacklist::{Allowed, KeptClaim};
use portcullis_guard::guard::Guard;
use portcullis_guard::session::{KeptSession, SessionId};
use portcullis_guard::time::{Now, WallMillis};

use crate::{clock, memory};
use database::Database;
pub use database::{Checked, FILE};
pub use error::StoreError;
use queue::{Batch, Queue};

/// Something that is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// The claims to a network.
    Ban(IpNet),
    /// An entry of the never-ban set.
    Allow(IpNet),
    /// A session that was ended.
    Session(SessionId),
    /// How often a network was banned, by which its next ban is longer.
    Strikes(IpNet),
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// When.
    pub at: WallMillis,
    /// The user, as the kernel vouches for it.
    pub uid: u32,
    /// The process.
    pub pid: Option<i32>,
    /// The user's name.
    pub who: String,
    /// `ban`, `import`, …
    pub action: String,
    /// To what.
    pub object: String,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What an operator changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// What may be another now.
    pub items: Vec<Item>,
    /// For the audit trail.
    pub deed: Deed,
    /// Whether it can be undone.
    pub undo: Undo,
}

/// Whether a change can be undone. If it could, it replaces what could be undone before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// It is of a kind that cannot.
    Never,
    /// How things were before is kept.
    Kept,
    /// Its items were noted beside it, as they are too many.
    TooLarge,
}

/// How a thing was before the last change.
#[derive(Clone, Debug, PartialEq)]
pub enum Before {
    /// The claims to a network; none: it was not banned.
    Ban(IpNet, Vec<KeptClaim>),
    /// The entry of a network in the never-ban set.
    Allow(IpNet, Option<Allowed>),
}

/// The last change of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct LastChange {
    /// What was done.
    pub deed: Deed,
    /// How things were before; `None`: it was too large to be kept.
    pub before: Option<Vec<Before>>,
}

/// What the start gets back.
pub trait Restore {
    /// Claims, in the order of their networks, a few thousand at a time.
    fn bans(&mut self, claims: Vec<(IpNet, KeptClaim)>);
    /// An entry of the never-ban set.
    fn allowed(&mut self, entry: Allowed);
    /// A session that was ended.
    fn session(&mut self, kept: &KeptSession);
    /// What was left of the bans of a network at a moment.
    fn strikes(&mut self, network: IpNet, left: f32, at: WallMillis);
}

/// Networks that a change may have and still be undone.
pub const UNDOABLE: usize = 200_000;
/// Deeds that are kept.
pub const DEEDS_KEPT: u64 = 100_000;

/// How long after a failure the next attempt is made.
const RETRY: Duration = Duration::from_secs(2);
/// How long a change may take to be written.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long millions of things may take.
const LONG_PATIENCE: Duration = Duration::from_secs(170);

/// Things in one transaction after which memory is given back.
const LARGE: usize = 10_000;

/// How the store does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why the last attempt failed; `None`: it did not.
    pub failure: Option<String>,
    /// Attempts that failed since the start.
    pub failures: u64,
    /// Transactions since the start.
    pub commits: u64,
    /// Things that wait to be written.
    pub waiting: usize,
}

/// The store of a running daemon.
pub struct Store {
    database: RwLock<Database>,
    queue: Mutex<Queue>,
    work: Condvar,
    done: Condvar,
    commits: AtomicU64,
    failures: AtomicU64,
}

impl Store {
    /// Opens the store of a state directory, or makes it. Every page is compared with its checksum.
    ///
    /// # Errors
    /// [`StoreError`] with what to do. What is there is never overwritten.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Database::open(directory).map(Self::with)
    }

    fn with(database: Database) -> Self {
        Self {
            database: RwLock::new(database),
            queue: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            commits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Reads the ended sessions, the never-ban entries, and how often somebody was banned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load_exceptions(&self, into: &mut dyn Restore) -> Result<(), StoreError> {
        self.database().load_exceptions(into)
    }

    /// Reads the bans.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load_bans(&self, into: &mut dyn Restore) -> Result<(), StoreError> {
        self.database().load_bans(into)
    }

    /// How many networks somebody wants banned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn banned_networks(&self) -> Result<u64, StoreError> {
        self.database().banned_networks()
    }

    /// Has things written soon.
    pub fn note(&self, items: impl IntoIterator<Item = Item>) {
        let mut queue = self.queue();
        queue.note(items);
        drop(queue);
        self.work.notify_one();
    }

    /// Has a change written, and waits until it is on the disk.
    ///
    /// # Errors
    /// Why it is not on the disk yet. It is tried again until it is.
    pub fn submit(&self, change: Change) -> Result<(), String> {
        let mut queue = self.queue();
        let ticket = queue.submit(change);
        self.wait(queue, PATIENCE, |queue| queue.outcome(ticket))
    }

    /// Waits until everything that was noted before is on the disk.
    ///
    /// # Errors
    /// Why it is not there yet. It is tried again until it is.
    pub fn settle(&self) -> Result<(), String> {
        let mut queue = self.queue();
        let ticket = queue.settle();
        self.wait(queue, LONG_PATIENCE, |queue| queue.is_settled(ticket))
    }

    fn wait(
        &self,
        mut queue: MutexGuard<'_, Queue>,
        patience: Duration,
        outcome: impl Fn(&Queue) -> Option<Result<(), String>>,
    ) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        self.work.notify_one();
        loop {
            if let Some(outcome) = outcome(&queue) {
                return outcome;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("the disk did not answer within {} s", patience.as_secs()));
            }
            let waited = self.done.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes what changes, until [`close`](Self::close). For a thread of its own.
    pub fn write(&self, guard: &Guard) {
        let mut is_large = false;
        while let Some(batch) = self.next_batch() {
            let outcome = self.write_one(&batch, guard);
            is_large |= batch.len() > LARGE;
            let mut queue = self.queue();
            match outcome {
                Ok(noted) => {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    queue.written(batch, noted);
                }
                Err(error) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    let reason = error.to_string();
                    let reason = reason.lines().next().unwrap_or_default();
                    tracing::error!(%reason, "the store cannot be written; it is tried again");
                    queue.failed(batch, reason);
                }
            }
            let is_idle = queue.is_idle();
            drop(queue);
            self.done.notify_all();
            if is_large && is_idle {
                is_large = false;
                memory::give_back();
            }
        }
    }

    fn write_one(&self, batch: &Batch, guard: &Guard) -> Result<usize, StoreError> {
        if !self.database().is_ready() {
            self.database_mut().prepare()?;
        }
        let somebody_waits = || self.queue().has_changes();
        let outcome = self.database().write(batch, guard, clock::now(), &somebody_waits);
        if outcome.is_err() {
            self.database_mut().give_up();
        }
        outcome
    }

    fn next_batch(&self) -> Option<Batch> {
        let mut queue = self.queue();
        if queue.has_failed() && !queue.is_closed() {
            let waited = self.work.wait_timeout_while(queue, RETRY, |queue| !queue.is_closed());
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let idle = |queue: &mut Queue| queue.is_idle();
        let mut queue = self
            .work
            .wait_while(queue, idle)
            .unwrap_or_else(PoisonError::into_inner);
        queue.take()
    }

    /// Has [`write`](Self::write) end after it has written what waits.
    pub fn close(&self) {
        self.queue().close();
        self.work.notify_all();
    }

    /// Has what is over removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sweep(&self, now: Now) -> Result<usize, StoreError> {
        let over = self.database().over(now)?;
        let count = over.len();
        if count > 0 {
            self.note(over);
        }
        Ok(count)
    }

    /// The last change that can be undone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_change(&self) -> Result<Option<LastChange>, StoreError> {
        self.database().last_change()
    }

    /// The last deeds of operators, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn deeds(&self, limit: usize) -> Result<Vec<Deed>, StoreError> {
        self.database().deeds(limit)
    }

    /// Reads everything, and tells how much there is.
    ///
    /// # Errors
    /// [`StoreError`] with what is damaged.
    pub fn check(&self) -> Result<Checked, StoreError> {
        self.database().check()
    }

    /// Gives back what the file does not need. Changes wait meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn compact(&self) -> Result<(u64, u64), StoreError> {
        self.database_mut().compact()
    }

    /// How it does.
    #[must_use]
    pub fn health(&self) -> Health {
        let queue = self.queue();
        Health {
            failure: queue.failure().map(str::to_owned),
            failures: self.failures.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            waiting: queue.waiting(),
        }
    }

    /// To read it, and for the one thread that writes to write a transaction beside those who read.
    fn database(&self) -> RwLockReadGuard<'_, Database> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alone.
    fn database_mut(&self) -> RwLockWriteGuard<'_, Database> {
        self.database.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
