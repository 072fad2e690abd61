//! Memory that was needed for a moment.

/// Gives what this thread has free back to the system: after work on a million bans it is more than what stays in use,
/// and the allocator would keep it until the thread needs it again, which may be never.
pub fn give_back() {
    // SAFETY: it may be called from any thread at any time, and takes no pointers.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
