//! What futures are polled with that one task drives itself, one inside the other. When one wakes the other, it is the
//! task that is running already: to wake it would have it run once more for nothing. So the bell is heard by the task
//! while it runs, and wakes it only when it waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

/// The bell. The futures are polled with its waker.
#[derive(Default)]
pub(super) struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Bell {
    /// The task runs, and will listen to the bell itself.
    pub(super) fn attend(&self) {
        *self.task() = None;
        self.rang.store(false, Ordering::Release);
    }

    /// Whether it rang since.
    pub(super) fn rang(&self) -> bool {
        self.rang.load(Ordering::Acquire)
    }

    /// The task waits, and wants to be woken.
    pub(super) fn wait(&self, cx: &Context<'_>) {
        *self.task() = Some(cx.waker().clone());
        if self.rang() {
            cx.waker().wake_by_ref();
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        let task = self.task().take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_that_runs_hears_the_bell_and_one_that_waits_is_woken() {
        let (task, bell) = (Arc::new(Task::default()), Arc::new(Bell::default()));
        let (waker, rope) = (Waker::from(Arc::clone(&task)), Waker::from(Arc::clone(&bell)));
        let (cx, woken) = (Context::from_waker(&waker), || task.0.load(Ordering::Relaxed));
        bell.attend();
        assert!(!bell.rang());
        rope.wake_by_ref();
        assert!(bell.rang() && woken() == 0);
        bell.wait(&cx);
        assert_eq!(woken(), 1, "what was not heard is not lost");
        bell.attend();
        bell.wait(&cx);
        assert_eq!(woken(), 1);
        rope.wake_by_ref();
        rope.wake_by_ref();
        assert_eq!(woken(), 2, "once is enough");
        bell.attend();
        rope.wake();
        assert_eq!(woken(), 2);
    }
}
