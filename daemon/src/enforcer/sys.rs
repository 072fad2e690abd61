//! The commands of bpf(2) on elements of maps, on any map and from any thread.
//!
//! aya's map types want `&mut self` for a write and read `/sys` for every per-CPU look-up, which
//! the request path and the sandbox cannot give.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
};

use portcullis_common::Plain;

#[derive(Clone, Copy)]
enum Command {
    Lookup = 1,
    Update = 2,
    Delete = 3,
    NextKey = 4,
}

/// The part of `union bpf_attr` that the element commands use.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// Copies the value of `key` out; `None` if there is none.
///
/// The caller has compared the sizes of `K` and `V` with those of the map.
pub(super) fn lookup<K: Plain, V: Plain>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    let mut value = MaybeUninit::<V>::uninit();
    let found = element(Command::Lookup, map, ptr::from_ref(key), value.as_mut_ptr().cast());
    // SAFETY: the kernel filled the value, and every pattern of a `Plain` type is one.
    present(found).map(|found| found.map(|()| unsafe { value.assume_init() }))
}

/// Copies the values of `key` of every possible CPU out.
///
/// The caller has room for one `V` per possible CPU, and `V` is a multiple of 8 bytes, which is
/// how the kernel lays them out.
pub(super) fn lookup_per_cpu<V: Plain>(map: BorrowedFd<'_>, key: u32, values: &mut [V]) -> io::Result<()> {
    element(Command::Lookup, map, &raw const key, values.as_mut_ptr().cast())
}

/// Inserts or replaces.
pub(super) fn update<K: Plain, V: Plain>(map: BorrowedFd<'_>, key: &K, value: &V) -> io::Result<()> {
    element(
        Command::Update,
        map,
        ptr::from_ref(key),
        ptr::from_ref(value).cast_mut().cast(),
    )
}

/// Deletes; `false` if there was nothing.
pub(super) fn delete<K: Plain>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    let deleted = element(Command::Delete, map, ptr::from_ref(key), ptr::null_mut());
    present(deleted).map(|deleted| deleted.is_some())
}

/// The key after `key`, or the first one; also the first one if `key` is no longer there.
pub(super) fn next_key<K: Plain>(map: BorrowedFd<'_>, key: Option<&K>) -> io::Result<Option<K>> {
    let mut next = MaybeUninit::<K>::uninit();
    let key = key.map_or(ptr::null(), ptr::from_ref);
    let found = element(Command::NextKey, map, key, next.as_mut_ptr().cast());
    // SAFETY: the kernel filled the key, and every pattern of a `Plain` type is one.
    present(found).map(|found| found.map(|()| unsafe { next.assume_init() }))
}

fn present(result: io::Result<()>) -> io::Result<Option<()>> {
    match result {
        Ok(()) => Ok(Some(())),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn element<K>(command: Command, map: BorrowedFd<'_>, key: *const K, value: *mut libc::c_void) -> io::Result<()> {
    let attr = ElementAttr {
        map_fd: map.as_raw_fd().cast_unsigned(),
        padding: 0,
        key: key.expose_provenance() as u64,
        value_or_next_key: value.expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: `attr` is the attribute of these commands and lives through the call; the kernel
    // reads the key and reads or writes the value, whose sizes are those of the map's types.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw const attr,
            size_of::<ElementAttr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
