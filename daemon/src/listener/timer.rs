//! A coarse timer: one tick for all deadlines of a worker.
//!
//! A precise timer for each request wakes the reactor again and again; nothing here needs better than a quarter of a
//! second. Moving a deadline is one store.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(250);

/// The deadlines of one worker.
#[derive(Clone)]
pub struct CoarseTimer {
    start: Instant,
    deadlines: Arc<Mutex<Vec<Weak<Deadline>>>>,
}

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

struct Deadline {
    /// Milliseconds after the start of the timer.
    at: AtomicU64,
    passed: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// A deadline as a future.
pub struct CoarseSleep(Arc<Deadline>);

impl CoarseTimer {
    /// A timer that stands still until [`run`](Self::run) is polled.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            deadlines: Arc::default(),
        }
    }

    /// Drives the timer, for ever.
    pub async fn run(self) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.tick(self.millis(Instant::now()));
        }
    }

    /// Gives a future at most `limit`, rounded up to a tick.
    ///
    /// # Errors
    /// [`Elapsed`].
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        let sleep = self.deadline(Instant::now() + limit);
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = sleep => Err(Elapsed),
        }
    }

    /// A sleep of this length, rounded up to a tick.
    #[must_use]
    pub fn after(&self, duration: Duration) -> CoarseSleep {
        self.deadline(Instant::now() + duration)
    }

    /// A sleep without an end, until it is moved.
    #[must_use]
    pub fn never(&self) -> CoarseSleep {
        let sleep = self.deadline(self.start);
        sleep.0.at.store(u64::MAX, Ordering::Release);
        sleep
    }

    /// Moves the end of a sleep to `after` from now, or takes it away. Costs one store, where a new sleep costs memory.
    pub fn move_to(&self, sleep: &mut CoarseSleep, after: Option<Duration>) {
        let at = after.map_or(u64::MAX, |after| self.millis(Instant::now() + after));
        if sleep.0.passed.load(Ordering::Acquire) == 1 {
            *sleep = self.never();
        }
        sleep.0.at.store(at, Ordering::Release);
    }

    fn deadline(&self, at: Instant) -> CoarseSleep {
        let deadline = Arc::new(Deadline {
            at: AtomicU64::new(self.millis(at)),
            passed: AtomicU64::new(0),
            waker: Mutex::new(None),
        });
        self.deadlines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&deadline));
        CoarseSleep(deadline)
    }

    fn tick(&self, now: u64) {
        let mut deadlines = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
        deadlines.retain(|deadline| deadline.upgrade().is_some_and(|deadline| !deadline.fire(now)));
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for CoarseTimer {
    fn default() -> Self {
        Self::new()
    }
}

impl Deadline {
    /// Wakes the sleeper if its time has come; says so.
    fn fire(&self, now: u64) -> bool {
        if self.at.load(Ordering::Acquire) > now {
            return false;
        }
        self.passed.store(1, Ordering::Release);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
        true
    }
}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        drop(waker);
        if self.0.passed.load(Ordering::Acquire) == 1 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl hyper::rt::Sleep for CoarseSleep {}

impl hyper::rt::Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(self.deadline(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, at: Instant) {
        match sleep.as_mut().downcast_mut_pin::<CoarseSleep>() {
            // A deadline that has passed left the list; moving it would wait for ever.
            Some(sleep) if sleep.0.passed.load(Ordering::Acquire) == 0 => {
                sleep.0.at.store(self.millis(at), Ordering::Release);
            }
            Some(_) | None => *sleep = self.sleep_until(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_passes_and_can_be_moved() {
        let timer = CoarseTimer::new();
        let mut moved: Pin<Box<dyn hyper::rt::Sleep>> = hyper::rt::Timer::sleep(&timer, Duration::from_millis(100));
        hyper::rt::Timer::reset(&timer, &mut moved, Instant::now() + Duration::from_secs(3600));
        let fired = timer.deadline(Instant::now());
        timer.tick(timer.millis(Instant::now()) + 1000);
        fired.await;
        assert_eq!(timer.deadlines.lock().unwrap().len(), 1, "the moved one still waits");
        drop(moved);
        timer.tick(0);
        assert!(timer.deadlines.lock().unwrap().is_empty(), "a dropped one is forgotten");
    }
}
