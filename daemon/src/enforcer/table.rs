//! A typed map.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use portcullis_common::Plain;

use super::{EnforcerError, clone_fd, handed::Handed, sys};

/// Where maps are.
pub(super) enum Source<'a> {
    /// In our hands.
    Handed(&'a Handed),
    /// In a directory of a bpffs.
    Pins(&'a Path),
}

/// A descriptor of a map of a loaded object.
pub(super) fn fd_of(program: &Ebpf, name: &'static str) -> Result<OwnedFd, EnforcerError> {
    opened(name, data_of(program, name)?.fd())
}

/// A map of a loaded object.
pub(super) fn data_of<'a>(program: &'a Ebpf, name: &'static str) -> Result<&'a MapData, EnforcerError> {
    let map = program.map(name).ok_or_else(|| bad(format!("it has no map {name}")))?;
    map_data(map).ok_or_else(|| bad(format!("map {name} is of another type")))
}

/// Entries that are read by one system call.
const BATCH: usize = 4096;

/// A map whose keys and values are known to have the sizes of `K` and `V`.
pub(super) struct Table<K, V> {
    name: &'static str,
    fd: OwnedFd,
    capacity: u32,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// The map of that name.
    pub(super) fn open(source: &Source<'_>, name: &'static str) -> Result<Self, EnforcerError> {
        match source {
            Source::Handed(handed) => {
                let (shape, fd) = handed.find(name)?;
                Self::of(name, fd, (shape.key_bytes, shape.value_bytes), shape.entries)
            }
            Source::Pins(path) => {
                let data = MapData::from_pin(path.join(name)).map_err(|error| bad(error.to_string()))?;
                let info = data.info().map_err(|error| bad(error.to_string()))?;
                let sizes = (info.key_size(), info.value_size());
                Self::of(name, data.fd().as_fd(), sizes, info.max_entries())
            }
        }
    }

    /// The first word of the first value of an array, whatever else is in it: where layouts note their version.
    pub(super) fn first_word(path: &Path) -> Result<u32, EnforcerError> {
        let failed = |source| EnforcerError::Map {
            map: "SETTINGS",
            action: "read",
            source,
        };
        let data = MapData::from_pin(path).map_err(|error| bad(error.to_string()))?;
        let info = data.info().map_err(|error| bad(error.to_string()))?;
        let mut value = vec![0_u32; (info.value_size() as usize).div_ceil(size_of::<u32>()).max(1)];
        if info.key_size() as usize != size_of::<u32>() {
            return Err(bad("it is no array".to_owned()));
        }
        sys::lookup_into(data.fd().as_fd(), &0_u32, &mut value).map_err(failed)?;
        Ok(value[0])
    }

    fn of(name: &'static str, fd: BorrowedFd<'_>, sizes: (u32, u32), capacity: u32) -> Result<Self, EnforcerError> {
        if (sizes.0 as usize, sizes.1 as usize) != (size_of::<K>(), size_of::<V>()) {
            return Err(bad(format!("the sizes of map {name} are {sizes:?}")));
        }
        Ok(Self {
            name,
            fd: opened(name, fd)?,
            capacity,
            types: PhantomData,
        })
    }

    pub(super) fn get(&self, key: &K) -> Result<Option<V>, EnforcerError> {
        sys::lookup(self.fd.as_fd(), key).map_err(|source| self.failed("read", source))
    }

    pub(super) fn set(&self, key: &K, value: &V) -> Result<(), EnforcerError> {
        sys::update(self.fd.as_fd(), key, value).map_err(|source| match source.raw_os_error() {
            Some(libc::E2BIG | libc::ENOSPC) => EnforcerError::MapFull {
                table: self.name,
                capacity: self.capacity,
            },
            _ => self.failed("write", source),
        })
    }

    pub(super) fn remove(&self, key: &K) -> Result<bool, EnforcerError> {
        sys::delete(self.fd.as_fd(), key).map_err(|source| self.failed("write", source))
    }

    /// Every entry. What others add or remove meanwhile may be missing or come twice.
    pub(super) fn entries(&self) -> Result<Vec<(K, V)>, EnforcerError> {
        let mut entries = Vec::new();
        let mut mark = None;
        let mut room = BATCH;
        loop {
            match sys::lookup_batch(self.fd.as_fd(), mark.as_ref(), room, &mut entries) {
                Ok(None) => return Ok(entries),
                Ok(next) => mark = next,
                // One bucket of the hash has more entries than there was room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < BATCH << 8 => room *= 2,
                Err(error) => return Err(self.failed("walk", error)),
            }
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn failed(&self, action: &'static str, source: io::Error) -> EnforcerError {
        EnforcerError::Map {
            map: self.name,
            action,
            source,
        }
    }
}

impl<V: Plain> Table<u32, V> {
    /// The values of one element of a per-CPU array, one for each possible CPU.
    pub(super) fn get_per_cpu(&self, index: u32, values: &mut [V]) -> Result<(), EnforcerError> {
        sys::lookup_per_cpu(self.fd.as_fd(), index, values).map_err(|source| self.failed("read", source))
    }
}

fn map_data(map: &Map) -> Option<&MapData> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "aya knows dozens of types, we use these")]
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::LpmTrie(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}

fn opened(name: &'static str, fd: impl AsFd) -> Result<OwnedFd, EnforcerError> {
    clone_fd(fd).map_err(|source| EnforcerError::Map {
        map: name,
        action: "open",
        source,
    })
}

fn bad(reason: String) -> EnforcerError {
    EnforcerError::BadObject { reason }
}
