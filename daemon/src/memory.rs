//! Memory that was needed for a moment.

use std::cell::Cell;
use std::time::Duration;

/// How often a thread looks whether something was let go.
const PACE: Duration = Duration::from_secs(1);

thread_local! {
    static LET_GO: Cell<bool> = const { Cell::new(false) };
}

/// Gives what this thread has free back to the system: after work on a million bans it is more than what stays in use,
/// and the allocator would keep it until the thread needs it again, which may be never.
pub fn give_back() {
    // SAFETY: it may be called from any thread at any time, and takes no pointers.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Notes that this thread let something go that is not needed again soon: the buffers of a connection.
pub fn let_go() {
    LET_GO.set(true);
}

/// Gives back what was let go, once a second, for ever: a thread whose thousands of connections have fallen silent has no
/// other occasion.
pub async fn tidy_up() {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        if LET_GO.take() {
            give_back();
        }
    }
}
