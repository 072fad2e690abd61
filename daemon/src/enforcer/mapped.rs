//! The memory of an array map as words that the program reads while we write them.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::AtomicU64,
};

/// Shared memory, as long as this lives; the map itself may be closed.
pub(super) struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory is not bound to a thread, and all access is atomic.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps the `count` words of an array that was created with `BPF_F_MMAPABLE`, whose values are
    /// whole words. The kernel refuses if the array is shorter. Its pages are there already: whoever bans waits for none.
    pub(super) fn map(map: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        let bytes = count.checked_mul(size_of::<u64>()).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, count })
    }

    /// The words. Whoever indexes them is checked as with any slice.
    pub(super) fn get(&self) -> &[AtomicU64] {
        // SAFETY: `map` mapped that many words, aligned to a page, and they stay until `drop`.
        // Others write them too, which atomic words are for.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<u64>()) };
    }
}
