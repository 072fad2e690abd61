//! The commands of bpf(2) on elements of maps, on any map and from any thread.
//!
//! aya's map types want `&mut self` for a write and read `/sys` for every per-CPU look-up, which
//! the request path and the sandbox cannot give.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd},
    ptr, slice,
};

use portcullis_common::Plain;

#[derive(Clone, Copy)]
enum Command {
    Lookup = 1,
    Update = 2,
    Delete = 3,
    LookupBatch = 24,
}

/// The part of `union bpf_attr` that the batch commands use.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// Where a walk by batches stands: the kernel's own mark, of the size of a key or of a word.
pub(super) struct Mark(Vec<u64>);

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

/// Copies the value of `key` out, of whatever type it is.
///
/// The caller has room for it, and has compared the size of `K` with that of the map.
pub(super) fn lookup_into<K: Plain>(map: BorrowedFd<'_>, key: &K, value: &mut [u32]) -> io::Result<()> {
    element(Command::Lookup, map, ptr::from_ref(key), value.as_mut_ptr().cast())
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

/// Copies a batch of entries out and appends them; `None` after the last one.
///
/// The caller has compared the sizes of `K` and `V` with those of the map.
pub(super) fn lookup_batch<K: Plain, V: Plain>(
    map: BorrowedFd<'_>,
    mark: Option<&Mark>,
    room: usize,
    entries: &mut Vec<(K, V)>,
) -> io::Result<Option<Mark>> {
    let mut keys: Vec<MaybeUninit<K>> = Vec::with_capacity(room);
    let mut values: Vec<MaybeUninit<V>> = Vec::with_capacity(room);
    let mut next = Mark(vec![0; size_of::<K>().div_ceil(8).max(1)]);
    let mut attr = BatchAttr {
        in_batch: mark.map_or(0, |mark| mark.0.as_ptr().expose_provenance() as u64),
        out_batch: next.0.as_mut_ptr().expose_provenance() as u64,
        keys: keys.as_mut_ptr().expose_provenance() as u64,
        values: values.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(room).unwrap_or(u32::MAX),
        map_fd: map.as_raw_fd().cast_unsigned(),
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: `attr` is the attribute of this command and lives through the call; `keys` and
    // `values` have room for as many as `count` says, and a mark has room for a key.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            Command::LookupBatch as libc::c_long,
            &raw mut attr,
            size_of::<BatchAttr>(),
        )
    };
    let last = match present(if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    })? {
        Some(()) => false,
        None => true,
    };
    let count = (attr.count as usize).min(room);
    // SAFETY: the kernel filled that many, for which there is room.
    unsafe { keys.set_len(count) };
    // SAFETY: as above.
    unsafe { values.set_len(count) };
    entries.extend(keys.into_iter().zip(values).map(|(key, value)| {
        // SAFETY: filled, and every pattern of a `Plain` type is a value.
        let key = unsafe { key.assume_init() };
        // SAFETY: as above.
        (key, unsafe { value.assume_init() })
    }));
    Ok((!last).then_some(next))
}

/// The bytes of a value.
pub(super) fn bytes<V: Plain>(value: &V) -> Vec<u8> {
    // SAFETY: a `Plain` value has as many initialised bytes as it is long.
    let bytes = unsafe { slice::from_raw_parts(ptr::from_ref(value).cast::<u8>(), size_of::<V>()) };
    bytes.to_vec()
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
