//! Memory whose end is the end of what can be read.

use std::ptr;
use std::sync::LazyLock;

const PAGE: usize = 4096;
/// Frames of more bytes are not tried.
const ROOM: usize = 2 * PAGE;

/// Where the room begins; the page behind it cannot be read.
static START: LazyLock<usize> = LazyLock::new(|| {
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            ROOM + PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(start != libc::MAP_FAILED, "no memory for the frames");
    // SAFETY: the last page of the mapping, which nothing refers to.
    let outcome = unsafe { libc::mprotect(start.byte_add(ROOM), PAGE, libc::PROT_NONE) };
    assert_eq!(outcome, 0, "the page behind the frames cannot be closed");
    start.expose_provenance()
});

/// Copies a frame to the end of the room, and tells where it begins and ends; `None` if it is too long.
pub fn place_before_the_end(frame: &[u8]) -> Option<(usize, usize)> {
    let end = *START + ROOM;
    let start = end - Some(frame.len()).filter(|length| *length <= ROOM)?;
    // SAFETY: so many bytes are before the end of the room, and the target's one thread reads and writes there.
    unsafe { ptr::copy_nonoverlapping(frame.as_ptr(), ptr::with_exposed_provenance_mut(start), frame.len()) };
    Some((start, end))
}
