//! The file: its tables, what is written in one transaction, and what is read back.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use portcullis_guard::blacklist::KeptClaim;
use portcullis_guard::guard::Guard;
use portcullis_guard::time::Now;
use redb::{Builder, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::queue::Batch;
use super::rows::{self, ClaimReader, Garbled};
use super::{Before, Deed, Item, LastChange, Restore, StoreError, write};

/// The name of the file in the state directory.
pub const FILE: &str = "portcullis.redb";

const FORMAT: u64 = 1;
/// Pages that are kept in memory, in bytes: everything is read once, and writes are few.
const CACHE: usize = 4 << 20;
/// Bans that are read or written before the guard's other callers get their turn.
pub(super) const AT_ONCE: usize = 4096;

pub(super) type Bytes = &'static [u8];
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
pub(super) const BANS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("bans");
pub(super) const ALLOW: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("allow");
pub(super) const SESSIONS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("sessions");
/// What was left of the bans of a network, and when.
pub(super) const STRIKES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("strikes");
pub(super) const DEEDS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("deeds");
/// How things were before the last change: table and key, and what was there.
pub(super) const UNDO: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("undo");
/// The deed that they belong to, and whether it was too large.
pub(super) const LAST: TableDefinition<'_, &str, Bytes> = TableDefinition::new("last");

pub(super) const TOO_LARGE: &str = "too-large";
pub(super) const LAST_DEED: &str = "deed";

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Networks with claims.
    pub bans: u64,
    /// Entries of the never-ban set.
    pub allowed: u64,
    /// Ended sessions.
    pub sessions: u64,
    /// Deeds of operators.
    pub deeds: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// How the file is opened: again after a failure.
type Open = Box<dyn Fn() -> Result<redb::Database, StoreError> + Send + Sync>;

/// The file.
pub(super) struct Database {
    path: PathBuf,
    open: Open,
    /// `None` after a failure.
    current: Option<redb::Database>,
}

impl Database {
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        fs::create_dir_all(directory).map_err(|error| StoreError::io(path.clone(), &error))?;
        make_file(&path)?;
        let place = path.clone();
        Self::by(path, Box::new(move || open_file(&place)))
    }

    /// What `open` opens, and later opens again.
    pub(super) fn by(path: PathBuf, open: Open) -> Result<Self, StoreError> {
        let mut database = Self {
            path,
            open,
            current: None,
        };
        database.prepare()?;
        Ok(database)
    }

    /// Whether nothing failed since it was prepared.
    pub(super) fn is_ready(&self) -> bool {
        self.current.is_some()
    }

    /// After a failed write it refuses everything, until it is prepared anew.
    pub(super) fn give_up(&mut self) {
        self.current = None;
    }

    /// The open file, with all tables, of our format.
    pub(super) fn prepare(&mut self) -> Result<(), StoreError> {
        let opened = self.guarded(|database| (database.open)())?;
        let path = self.path.clone();
        let prepared = || -> Result<u64, redb::Error> {
            let transaction = opened.begin_write()?;
            let format = {
                let mut meta = transaction.open_table(META)?;
                let known = meta.get("format")?.map(|format| format.value());
                match known {
                    Some(format) => format,
                    None => {
                        meta.insert("format", FORMAT)?;
                        FORMAT
                    }
                }
            };
            if format == FORMAT {
                for table in [BANS, ALLOW, SESSIONS, UNDO, STRIKES] {
                    transaction.open_table(table)?;
                }
                transaction.open_table(DEEDS)?;
                transaction.open_table(LAST)?;
            }
            transaction.commit()?;
            Ok(format)
        };
        let found = prepared().map_err(|error| StoreError::of(path.clone(), error))?;
        if found != FORMAT {
            return Err(StoreError::Foreign {
                path,
                found,
                known: FORMAT,
            });
        }
        self.current = Some(opened);
        Ok(())
    }

    /// A damaged file must not end the process.
    fn guarded<T>(&self, act: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(|| act(self)))
            .unwrap_or_else(|_| Err(StoreError::damaged(self.path.clone(), "it cannot be read")))
    }

    fn current(&self) -> Result<&redb::Database, StoreError> {
        self.current.as_ref().ok_or_else(|| StoreError::Unusable {
            path: self.path.clone(),
            reason: "it failed before".into(),
        })
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        StoreError::of(self.path.clone(), error)
    }

    fn garbled(&self, table: &str, key: &[u8]) -> StoreError {
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        StoreError::damaged(self.path.clone(), format!("the row {key} of {table} is garbled"))
    }

    /// Writes a batch as the guard has it now, in one transaction: the changes, and of what was noted as much as there is
    /// time for until it is `enough`. Tells how much that is. Others read meanwhile what was there before.
    pub(super) fn write(
        &self,
        batch: &Batch,
        guard: &Guard,
        now: Now,
        enough: &dyn Fn() -> bool,
    ) -> Result<usize, StoreError> {
        self.guarded(|database| {
            let transaction = database.current()?.begin_write();
            let transaction = transaction.map_err(|error| database.failed(error))?;
            let written = || -> Result<usize, redb::Error> {
                for change in &batch.changes {
                    write::change(&transaction, change, guard, now)?;
                }
                write::noted(&transaction, &batch.noted, guard, now, enough)
            };
            let written = written().map_err(|error| database.failed(error))?;
            transaction.commit().map_err(|error| database.failed(error))?;
            Ok(written)
        })
    }

    pub(super) fn load_exceptions(&self, into: &mut dyn Restore) -> Result<(), StoreError> {
        self.guarded(|database| {
            let read = database.read()?;
            database.each(&read, SESSIONS, |key, value| {
                into.session(&rows::read_session(rows::session_of(key)?, value)?);
                Ok(())
            })?;
            database.each(&read, ALLOW, |key, value| {
                into.allowed(rows::read_allowed(rows::network_of(key)?, value)?);
                Ok(())
            })?;
            database.each(&read, STRIKES, |key, value| {
                let (left, at) = rows::read_strikes(value)?;
                into.strikes(rows::network_of(key)?, left, at);
                Ok(())
            })
        })
    }

    pub(super) fn load_bans(&self, into: &mut dyn Restore) -> Result<(), StoreError> {
        self.guarded(|database| {
            let read = database.read()?;
            let (mut reader, mut some) = (ClaimReader::default(), Vec::with_capacity(AT_ONCE));
            database.each(&read, BANS, |key, value| {
                let network = rows::network_of(key)?;
                reader.read(value, |claim| some.push((network, claim)))?;
                if some.len() >= AT_ONCE {
                    into.bans(std::mem::replace(&mut some, Vec::with_capacity(AT_ONCE)));
                }
                Ok(())
            })?;
            into.bans(some);
            Ok(())
        })
    }

    pub(super) fn banned_networks(&self) -> Result<u64, StoreError> {
        self.guarded(|database| {
            let read = database.read()?;
            let len = || -> Result<u64, redb::Error> { Ok(read.open_table(BANS)?.len()?) };
            len().map_err(|error| database.failed(error))
        })
    }

    /// What is over, to be looked at again.
    pub(super) fn over(&self, now: Now) -> Result<Vec<Item>, StoreError> {
        let mut over = Vec::new();
        self.guarded(|database| {
            let read = database.read()?;
            let mut reader = ClaimReader::default();
            database.each(&read, BANS, |key, value| {
                let mut holds = false;
                reader.read(value, |claim| holds |= u64::from(claim.until) >= now.wall.seconds())?;
                if !holds {
                    over.push(Item::Ban(rows::network_of(key)?));
                }
                Ok(())
            })?;
            database.each(&read, SESSIONS, |key, value| {
                let kept = rows::read_session(rows::session_of(key)?, value)?;
                if kept.expires <= now.wall {
                    over.push(Item::Session(kept.id));
                }
                Ok(())
            })?;
            // The guard remembers so many and no more, and forgets them with time: it is asked about each.
            database.each(&read, STRIKES, |key, _| {
                over.push(Item::Strikes(rows::network_of(key)?));
                Ok(())
            })
        })?;
        Ok(over)
    }

    pub(super) fn last_change(&self) -> Result<Option<LastChange>, StoreError> {
        self.guarded(|database| {
            let read = database.read()?;
            let (mut deed, mut too_large) = (None, false);
            let last = read.open_table(LAST).map_err(|error| database.failed(error))?;
            let get = |key| -> Result<Option<Vec<u8>>, StoreError> {
                let value = last.get(key).map_err(|error| database.failed(error))?;
                Ok(value.map(|value| value.value().to_vec()))
            };
            if let Some(value) = get(LAST_DEED)? {
                let read = rows::read_deed(&value);
                deed = Some(read.map_err(|_| database.garbled("last", LAST_DEED.as_bytes()))?);
                too_large = get(TOO_LARGE)?.is_some();
            }
            let Some(deed) = deed else { return Ok(None) };
            let mut before = Vec::new();
            database.each(&read, UNDO, |key, value| {
                before.push(read_before(key, value)?);
                Ok(())
            })?;
            Ok(Some(LastChange {
                deed,
                before: (!too_large).then_some(before),
            }))
        })
    }

    pub(super) fn deeds(&self, limit: usize) -> Result<Vec<Deed>, StoreError> {
        self.guarded(|database| {
            let read = database.read()?;
            let table = read.open_table(DEEDS).map_err(|error| database.failed(error))?;
            let rows = table.iter().map_err(|error| database.failed(error))?;
            let mut deeds = Vec::new();
            for row in rows.rev().take(limit) {
                let (number, value) = row.map_err(|error| database.failed(error))?;
                let deed = rows::read_deed(value.value());
                deeds.push(deed.map_err(|_| database.garbled("deeds", &number.value().to_be_bytes()))?);
            }
            Ok(deeds)
        })
    }

    pub(super) fn check(&self) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        let mut count = Counting(&mut checked);
        self.load_exceptions(&mut count)?;
        self.load_bans(&mut count)?;
        checked.bans = self.banned_networks()?;
        checked.deeds = self.deeds(usize::MAX)?.len() as u64;
        self.last_change()?;
        checked.bytes = self.bytes();
        Ok(checked)
    }

    /// Bytes before and after.
    pub(super) fn compact(&mut self) -> Result<(u64, u64), StoreError> {
        let before = self.bytes();
        let path = self.path.clone();
        let current = self.current.as_mut().ok_or_else(|| StoreError::Unusable {
            path: path.clone(),
            reason: "it failed before".into(),
        })?;
        current.compact().map_err(|error| StoreError::of(path, error))?;
        Ok((before, self.bytes()))
    }

    fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.current()?.begin_read().map_err(|error| self.failed(error))
    }

    fn each(
        &self,
        read: &ReadTransaction,
        table: TableDefinition<'static, Bytes, Bytes>,
        mut row: impl FnMut(&[u8], &[u8]) -> Result<(), Garbled>,
    ) -> Result<(), StoreError> {
        let open = read.open_table(table).map_err(|error| self.failed(error))?;
        for entry in open.iter().map_err(|error| self.failed(error))? {
            let (key, value) = entry.map_err(|error| self.failed(error))?;
            let read = row(key.value(), value.value());
            read.map_err(|_| self.garbled(&table.to_string(), key.value()))?;
        }
        Ok(())
    }
}

struct Counting<'a>(&'a mut Checked);

impl Restore for Counting<'_> {
    fn bans(&mut self, _: Vec<(IpNet, KeptClaim)>) {}

    fn allowed(&mut self, _: portcullis_guard::blacklist::Allowed) {
        self.0.allowed += 1;
    }

    fn session(&mut self, _: &portcullis_guard::session::KeptSession) {
        self.0.sessions += 1;
    }

    fn strikes(&mut self, _: IpNet, _: f32, _: portcullis_guard::time::WallMillis) {}
}

/// A new file gets its name when it is whole: a crash leaves none, or one that can be used.
fn make_file(path: &Path) -> Result<(), StoreError> {
    if path.exists() {
        return Ok(());
    }
    let aside = path.with_extension("new");
    let failed = |error| StoreError::io(path.to_owned(), &error);
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let place = aside.clone();
    drop(Database::by(aside.clone(), Box::new(move || open_file(&place)))?);
    fs::rename(&aside, path).map_err(failed)?;
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

fn open_file(path: &Path) -> Result<redb::Database, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    drop(file.map_err(|error| StoreError::io(path.to_owned(), &error))?);
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    let opened = builder.create(path);
    opened.map_err(|error| StoreError::of(path.to_owned(), error))
}

fn read_before(key: &[u8], value: &[u8]) -> Result<Before, Garbled> {
    let (tag, key) = key.split_first().ok_or(Garbled)?;
    let network = rows::network_of(key)?;
    match tag {
        b'b' => {
            let mut claims = Vec::new();
            ClaimReader::default().read(value, |claim| claims.push(claim))?;
            Ok(Before::Ban(network, claims))
        }
        b'a' if value.is_empty() => Ok(Before::Allow(network, None)),
        b'a' => rows::read_allowed(network, value).map(|entry| Before::Allow(network, Some(entry))),
        _ => Err(Garbled),
    }
}
