//! The file of the memory: its tables, and what is written in one transaction.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use portcullis_guard::campaign::ClientMark;
use portcullis_guard::changes::Changed;
use portcullis_guard::guard::Guard;
use portcullis_guard::request::Source;
use portcullis_guard::sequence::HolderKey;
use portcullis_guard::session::SessionId;
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use redb::{Builder, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;

use super::super::StoreError;
use super::super::database::Bytes;
use super::row::{self, Head};

/// Pages that are kept in memory, in bytes.
const CACHE: usize = 4 << 20;
/// A file that is this many times as large as what is in it is compacted at the start.
const SLACK: u64 = 4;
/// Below this, in bytes, no file is too large.
const SMALL: u64 = 16 << 20;

const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
pub(super) const STATES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("states");
pub(super) const HOLDERS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("holders");
pub(super) const SOURCES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("sources");
pub(super) const TIERS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("tiers");
pub(super) const CLIENTS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("clients");

/// Something that is known by a name in the file.
pub(super) trait Name: Copy + Ord {
    fn bytes(self) -> Vec<u8>;
}

impl Name for SessionId {
    fn bytes(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl Name for HolderKey {
    fn bytes(self) -> Vec<u8> {
        self.to_bytes().to_vec()
    }
}

impl Name for Source {
    fn bytes(self) -> Vec<u8> {
        super::super::rows::network_key(self.network())
    }
}

impl Name for IpNet {
    fn bytes(self) -> Vec<u8> {
        super::super::rows::network_key(self)
    }
}

impl Name for ClientMark {
    fn bytes(self) -> Vec<u8> {
        let (source, software) = self.parts();
        let mut bytes = source.bytes();
        bytes.extend(software.to_be_bytes());
        bytes
    }
}

/// What is written beside the rows.
pub(super) struct Meta<'a> {
    pub(super) clocks: &'a super::time::Clocks,
    pub(super) secret: &'a [u8],
}

/// The file.
pub(super) struct File {
    path: PathBuf,
    /// `None` after a failure, until it is opened again.
    current: Option<redb::Database>,
    /// The next transaction writes everything.
    is_whole_due: bool,
    /// Of all rows.
    bytes: u64,
    /// Sessions that were opened up to here may have been left out for lack of room.
    left_out: Option<WallMillis>,
}

impl File {
    /// The file, opened at the first use.
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            current: None,
            is_whole_due: true,
            bytes: 0,
            left_out: None,
        }
    }

    /// Opens it, or makes it.
    pub(super) fn open(&mut self) -> Result<(), StoreError> {
        if self.current.is_some() {
            return Ok(());
        }
        let path = self.path.clone();
        let opened = guarded(&path, || {
            let opened = open_file(&path)?;
            let prepare = || -> Result<(), redb::Error> {
                let transaction = opened.begin_write()?;
                transaction.open_table(META)?;
                for table in [STATES, HOLDERS, SOURCES, TIERS, CLIENTS] {
                    transaction.open_table(table)?;
                }
                Ok(transaction.commit()?)
            };
            prepare().map_err(|error| StoreError::of(path.clone(), error))?;
            Ok(opened)
        })?;
        self.current = Some(opened);
        Ok(())
    }

    /// Moves a file aside that cannot be used. The one before it goes.
    pub(super) fn set_aside(&mut self) -> io::Result<PathBuf> {
        self.current = None;
        self.is_whole_due = true;
        self.bytes = 0;
        let aside = self.path.with_extension("damaged");
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Bytes of all rows.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A value beside the rows; `None`: it is not there.
    pub(super) fn meta<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.read_meta(name)? else {
            return Ok(None);
        };
        let value = postcard::from_bytes(&bytes);
        let garbled = |_| StoreError::damaged(self.path.clone(), format!("`{name}` is garbled"));
        value.map(Some).map_err(garbled)
    }

    fn read_meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(current) = &self.current else { return Ok(None) };
        guarded(&self.path, || {
            let read = || -> Result<Option<Vec<u8>>, redb::Error> {
                let table = current.begin_read()?.open_table(META)?;
                Ok(table.get(name)?.map(|value| value.value().to_vec()))
            };
            read().map_err(|error| StoreError::of(self.path.clone(), error))
        })
    }

    /// Every row of a table.
    pub(super) fn each(
        &mut self,
        table: TableDefinition<'static, Bytes, Bytes>,
        mut row: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), StoreError> {
        let Some(current) = &self.current else { return Ok(()) };
        let mut bytes = 0;
        guarded(&self.path, || {
            let mut read = || -> Result<(), redb::Error> {
                let open = current.begin_read()?.open_table(table)?;
                for entry in open.iter()? {
                    let (key, value) = entry?;
                    bytes += size(key.value(), value.value());
                    row(key.value(), value.value());
                }
                Ok(())
            };
            read().map_err(|error| StoreError::of(self.path.clone(), error))
        })?;
        self.bytes += bytes;
        Ok(())
    }

    /// Everything was read, and is as the guard has it: from here on only changes are written.
    pub(super) fn is_known(&mut self) {
        self.is_whole_due = false;
    }

    /// Gives back what a file does not need that has become much larger than what is in it.
    pub(super) fn compact_if_large(&mut self) {
        let length = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if length < SMALL || length < SLACK * self.bytes {
            return;
        }
        if let Some(current) = &mut self.current
            && let Err(error) = current.compact()
        {
            tracing::warn!(%error, "the file of the sessions cannot be compacted");
        }
    }

    /// Writes what changed in one transaction; tells how many rows there was no room for. `None`: nothing did, and nobody
    /// said that it `must` be written. After a failure the next one writes everything.
    pub(super) fn write(
        &mut self,
        guard: &Guard,
        meta: &Meta<'_>,
        most_bytes: u64,
        must: bool,
        now: Now,
    ) -> Result<Option<u64>, StoreError> {
        // Asked for before anything can fail: what is asked for once is not told again.
        let changes = Changes {
            sessions: self.all_or(guard.changed_sessions()),
            holders: self.all_or(guard.changed_holders()),
            sources: self.all_or(guard.changed_sources()),
            tiers: self.all_or(guard.changed_tiers()),
            clients: self.all_or(guard.changed_clients()),
        };
        if changes.are_none() && !must {
            return Ok(None);
        }
        self.is_whole_due = true;
        self.open()?;
        let path = self.path.clone();
        let Some(current) = self.current.take() else {
            return Ok(None);
        };
        let mut batch = Batch {
            guard,
            now,
            bytes: self.bytes,
            left_out: self.left_out,
        };
        let written = guarded(&path, || {
            let written = batch.write(&current, changes, meta, most_bytes);
            written.map_err(|error| StoreError::of(path.clone(), error))
        });
        let trimmed = written?;
        // After a failed write redb refuses everything, and it is opened anew.
        self.current = Some(current);
        self.is_whole_due = false;
        (self.bytes, self.left_out) = (batch.bytes, batch.left_out);
        Ok(Some(trimmed))
    }

    fn all_or<K>(&self, changed: Changed<K>) -> Changed<K> {
        if self.is_whole_due { Changed::All } else { changed }
    }
}

/// What is to be written.
struct Changes {
    sessions: Changed<SessionId>,
    holders: Changed<HolderKey>,
    sources: Changed<Source>,
    tiers: Changed<IpNet>,
    clients: Changed<ClientMark>,
}

impl Changes {
    fn are_none(&self) -> bool {
        fn is_none<K>(changed: &Changed<K>) -> bool {
            matches!(changed, Changed::These(names) if names.is_empty())
        }
        let are_others = is_none(&self.sources) && is_none(&self.tiers) && is_none(&self.clients);
        is_none(&self.sessions) && is_none(&self.holders) && are_others
    }
}

/// What one transaction does.
struct Batch<'a> {
    guard: &'a Guard,
    now: Now,
    bytes: u64,
    left_out: Option<WallMillis>,
}

impl Batch<'_> {
    fn write(
        &mut self,
        database: &redb::Database,
        changes: Changes,
        meta: &Meta<'_>,
        most_bytes: u64,
    ) -> Result<u64, redb::Error> {
        let transaction = database.begin_write()?;
        self.rows(&transaction, changes)?;
        let trimmed = self.trim(&transaction, most_bytes)?;
        self.meta(&transaction, meta)?;
        transaction.commit()?;
        Ok(trimmed)
    }

    fn rows(&mut self, transaction: &WriteTransaction, changes: Changes) -> Result<(), redb::Error> {
        let (guard, now) = (self.guard, self.now);
        let state = |id: SessionId, key: &[u8]| {
            let kept = guard.session_state(id, now)?;
            let (used, opened) = (kept.used, kept.opened);
            row::write(key, Head { used, opened }, &kept)
        };
        self.table(transaction, STATES, changes.sessions, || guard.session_names(), state)?;
        let facts = |holder: HolderKey, key: &[u8]| {
            let kept = guard.holder_facts(holder)?;
            let opened = WallMillis(0);
            row::write(
                key,
                Head {
                    used: kept.used(),
                    opened,
                },
                &kept,
            )
        };
        self.table(transaction, HOLDERS, changes.holders, || guard.holder_names(), facts)?;
        // What fades by itself is not asked for when it mattered last.
        let head = Head {
            used: MonoMillis(0),
            opened: WallMillis(0),
        };
        let source = |source, key: &[u8]| row::write(key, head, &guard.source_state(source)?);
        self.table(transaction, SOURCES, changes.sources, || guard.source_names(), source)?;
        let tier = |network, key: &[u8]| row::write(key, head, &guard.tier_state(network)?);
        self.table(transaction, TIERS, changes.tiers, || guard.tier_names(), tier)?;
        let client = |mark, key: &[u8]| row::write(key, head, &guard.client_state(mark)?);
        self.table(transaction, CLIENTS, changes.clients, || guard.client_names(), client)
    }

    fn table<K: Name>(
        &mut self,
        transaction: &WriteTransaction,
        table: TableDefinition<'static, Bytes, Bytes>,
        changed: Changed<K>,
        all: impl FnOnce() -> Vec<K>,
        row: impl Fn(K, &[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), redb::Error> {
        let mut names = match changed {
            Changed::These(names) => names,
            Changed::All => {
                let before = transaction.open_table(table)?;
                for entry in before.iter()? {
                    let (key, value) = entry?;
                    self.bytes = self.bytes.saturating_sub(size(key.value(), value.value()));
                }
                drop(before);
                transaction.delete_table(table)?;
                all()
            }
        };
        names.sort_unstable();
        names.dedup();
        let mut open = transaction.open_table(table)?;
        // Each is locked for itself, so that nobody waits for more than one.
        for name in names {
            let key = name.bytes();
            self.put(&mut open, &key, row(name, &key))?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        table: &mut Table<'_, Bytes, Bytes>,
        key: &[u8],
        row: Option<Vec<u8>>,
    ) -> Result<(), redb::Error> {
        let before = match &row {
            Some(row) => table.insert(key, &row[..])?,
            None => table.remove(key)?,
        };
        let before = before.map_or(0, |before| size(key, before.value()));
        let after = row.map_or(0, |row| size(key, &row));
        self.bytes = (self.bytes + after).saturating_sub(before);
        Ok(())
    }

    /// Leaves out what was used longest ago, until a tenth of the room is free: so it is not looked for each time.
    fn trim(&mut self, transaction: &WriteTransaction, most: u64) -> Result<u64, redb::Error> {
        if self.bytes <= most {
            return Ok(0);
        }
        let mut rows: Vec<(Head, bool, Vec<u8>)> = Vec::new();
        for (table, is_session) in [(STATES, true), (HOLDERS, false)] {
            let open = transaction.open_table(table)?;
            for entry in open.iter()? {
                let (key, value) = entry?;
                let Some(head) = row::head(value.value()) else { continue };
                rows.push((head, is_session, key.value().to_vec()));
            }
        }
        rows.sort_unstable_by_key(|(head, ..)| head.used);
        let (mut states, mut holders) = (transaction.open_table(STATES)?, transaction.open_table(HOLDERS)?);
        let mut trimmed = 0;
        for (head, is_session, key) in rows {
            if self.bytes <= most - most / 10 {
                break;
            }
            let table = if is_session { &mut states } else { &mut holders };
            self.put(table, &key, None)?;
            if is_session {
                self.left_out = self.left_out.max(Some(head.opened));
            }
            trimmed += 1;
        }
        Ok(trimmed)
    }

    fn meta(&self, transaction: &WriteTransaction, meta: &Meta<'_>) -> Result<(), redb::Error> {
        let horizon = self.guard.session_horizon().max(self.left_out);
        let mut table = transaction.open_table(META)?;
        let values = [
            (super::CLOCKS, postcard::to_stdvec(meta.clocks)),
            (super::SECRET, postcard::to_stdvec(meta.secret)),
            (super::HORIZON, postcard::to_stdvec(&horizon)),
        ];
        for (name, value) in values {
            // Numbers and texts can always be written down.
            table.insert(name, &value.unwrap_or_default()[..])?;
        }
        Ok(())
    }
}

fn size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// A damaged file must not end the process.
fn guarded<T>(path: &Path, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(StoreError::damaged(path.to_owned(), "it cannot be read")))
}

fn open_file(path: &Path) -> Result<redb::Database, StoreError> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path);
    drop(file.map_err(|error| StoreError::io(path.to_owned(), &error))?);
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
        .create(path)
        .map_err(|error| StoreError::of(path.to_owned(), error))
}
