//! A typed map.

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
};

use aya::{Ebpf, maps::Map};
use portcullis_common::Plain;

use super::{EnforcerError, clone_fd, sys};

/// A map whose keys and values are known to have the sizes of `K` and `V`.
pub(super) struct Table<K, V> {
    name: &'static str,
    fd: OwnedFd,
    capacity: u32,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// The map of that name in a loaded object.
    pub(super) fn open(program: &Ebpf, name: &'static str) -> Result<Self, EnforcerError> {
        let map = program.map(name).ok_or_else(|| bad(format!("it has no map {name}")))?;
        let data = map_data(map).ok_or_else(|| bad(format!("map {name} is of another type")))?;
        let info = data.info().map_err(|error| bad(error.to_string()))?;
        let sizes = (info.key_size() as usize, info.value_size() as usize);
        if sizes != (size_of::<K>(), size_of::<V>()) {
            return Err(bad(format!("the sizes of map {name} are {sizes:?}")));
        }
        let fd = clone_fd(data.fd()).map_err(|source| EnforcerError::Map {
            map: name,
            action: "open",
            source,
        })?;
        Ok(Self {
            name,
            fd,
            capacity: info.max_entries(),
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

    pub(super) fn is_empty(&self) -> Result<bool, EnforcerError> {
        Ok(self.after(None)?.is_none())
    }

    /// Every entry. What others add or remove meanwhile may be missing or come twice.
    pub(super) fn entries(&self) -> Result<Vec<(K, V)>, EnforcerError> {
        let mut entries = Vec::new();
        let mut key = self.after(None)?;
        // When somebody removes the key that we stand at, the kernel starts over.
        let mut steps = u64::from(self.capacity) * 2;
        while let Some(current) = key
            && steps > 0
        {
            if let Some(value) = self.get(&current)? {
                entries.push((current, value));
            }
            key = self.after(Some(&current))?;
            steps -= 1;
        }
        Ok(entries)
    }

    fn after(&self, key: Option<&K>) -> Result<Option<K>, EnforcerError> {
        sys::next_key(self.fd.as_fd(), key).map_err(|source| self.failed("walk", source))
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

fn map_data(map: &Map) -> Option<&aya::maps::MapData> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "aya knows dozens of types, we use these")]
    match map {
        Map::Array(data) | Map::PerCpuArray(data) | Map::HashMap(data) | Map::LruHashMap(data) | Map::LpmTrie(data) => {
            Some(data)
        }
        _ => None,
    }
}

fn bad(reason: String) -> EnforcerError {
    EnforcerError::BadObject { reason }
}
