//! A coarse timer: one tick for all deadlines of a worker.
//!
//! A precise timer for each request wakes the reactor again and again; nothing here needs better than a quarter of a
//! second. Moving a deadline is one store, and what a request needs afresh is used again: it takes no memory, and the clock
//! is read once a tick.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How late a deadline may be noticed.
pub const TICK: Duration = Duration::from_millis(250);

/// Deadlines that nobody sleeps by, kept for the next who does.
const SPARE: usize = 64;

/// The deadlines of one worker.
#[derive(Clone)]
pub struct CoarseTimer {
    start: Instant,
    desk: Arc<Desk>,
}

/// What all sleeps of a worker share.
#[derive(Default)]
struct Desk {
    /// Milliseconds after the start of the timer, at the last tick.
    ticked: AtomicU64,
    deadlines: Mutex<Vec<Weak<Deadline>>>,
    /// Deadlines on the list above that never come, until somebody takes one.
    spare: Mutex<Vec<Arc<Deadline>>>,
}

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

#[derive(Default)]
struct Deadline {
    /// Milliseconds after the start of the timer.
    at: AtomicU64,
    passed: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// A deadline as a future.
pub struct CoarseSleep {
    deadline: Arc<Deadline>,
    desk: Arc<Desk>,
}

impl CoarseTimer {
    /// A timer that stands still until [`run`](Self::run) is polled.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            desk: Arc::default(),
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
        self.at(u64::MAX)
    }

    /// Moves the end of a sleep to `after` from now, at most two ticks late, or takes it away. Costs one store.
    pub fn move_to(&self, sleep: &mut CoarseSleep, after: Option<Duration>) {
        let at = after.map_or(u64::MAX, |after| self.soon().saturating_add(millis(after)));
        if sleep.deadline.passed.load(Ordering::Acquire) == 1 {
            *sleep = self.never();
        }
        sleep.deadline.at.store(at, Ordering::Release);
    }

    fn deadline(&self, at: Instant) -> CoarseSleep {
        self.at(self.millis(at))
    }

    fn at(&self, at: u64) -> CoarseSleep {
        let spare = lock(&self.desk.spare).pop();
        let is_listed = |spare: &Arc<Deadline>| spare.passed.load(Ordering::Acquire) == 0;
        let deadline = spare.filter(is_listed).unwrap_or_else(|| {
            let deadline = Arc::new(Deadline::default());
            lock(&self.desk.deadlines).push(Arc::downgrade(&deadline));
            deadline
        });
        deadline.at.store(at, Ordering::Release);
        CoarseSleep {
            deadline,
            desk: Arc::clone(&self.desk),
        }
    }

    fn tick(&self, now: u64) {
        self.desk.ticked.store(now, Ordering::Release);
        let mut deadlines = lock(&self.desk.deadlines);
        deadlines.retain(|deadline| deadline.upgrade().is_some_and(|deadline| !deadline.fire(now)));
    }

    /// A moment that is not over yet, without a look at the clock.
    fn soon(&self) -> u64 {
        self.desk.ticked.load(Ordering::Acquire).saturating_add(millis(TICK))
    }

    fn millis(&self, at: Instant) -> u64 {
        millis(at.saturating_duration_since(self.start))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
        true
    }
}

impl Drop for CoarseSleep {
    fn drop(&mut self) {
        // One that has passed left the list.
        if self.deadline.passed.load(Ordering::Acquire) == 1 {
            return;
        }
        self.deadline.at.store(u64::MAX, Ordering::Release);
        *lock(&self.deadline.waker) = None;
        let mut spare = lock(&self.desk.spare);
        if spare.len() < SPARE {
            spare.push(Arc::clone(&self.deadline));
        }
    }
}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waker = lock(&self.deadline.waker);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        drop(waker);
        if self.deadline.passed.load(Ordering::Acquire) == 1 {
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
            Some(sleep) if sleep.deadline.passed.load(Ordering::Acquire) == 0 => {
                sleep.deadline.at.store(self.millis(at), Ordering::Release);
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
        assert_eq!(lock(&timer.desk.deadlines).len(), 1, "the moved one still waits");
    }

    #[test]
    fn a_dropped_one_is_used_again_and_never_comes_before() {
        let timer = CoarseTimer::new();
        let listed = || lock(&timer.desk.deadlines).len();
        drop(timer.after(Duration::ZERO));
        timer.tick(1000);
        assert_eq!(listed(), 1);
        let again = timer.after(Duration::from_secs(3600));
        assert_eq!(listed(), 1, "the same one");
        timer.tick(1000);
        assert_eq!(again.deadline.passed.load(Ordering::Acquire), 0);
        let many: Vec<_> = (0..3 * SPARE).map(|_| timer.never()).collect();
        drop((many, again));
        timer.tick(1000);
        assert_eq!(listed(), SPARE, "not more than a few are kept");
    }

    #[test]
    fn one_that_passed_is_not_used_again() {
        let timer = CoarseTimer::new();
        let passed = timer.after(Duration::ZERO);
        timer.tick(1000);
        drop(passed);
        assert_eq!(timer.never().deadline.passed.load(Ordering::Acquire), 0);
    }

    #[test]
    fn a_moved_one_is_never_early() {
        let timer = CoarseTimer::new();
        timer.tick(1000);
        let mut sleep = timer.never();
        // Whatever the clock says until the next tick, it is at most this.
        let latest = 1000 + millis(TICK);
        timer.move_to(&mut sleep, Some(Duration::from_secs(1)));
        assert_eq!(sleep.deadline.at.load(Ordering::Acquire), latest + 1000);
    }
}
