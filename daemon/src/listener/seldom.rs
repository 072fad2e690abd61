//! A future that is asked only when it has something to say.
//!
//! The task of a connection runs twice for each request, and what else it waits for (a verdict, the end of the daemon, a
//! silence) says nothing for hours. Asked each time, all that would put its name down again, which costs more than parsing
//! the request.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that has a bell of its own.
pub(super) struct Seldom<F> {
    future: F,
    bell: Arc<Bell>,
    /// What the future is given to call with, which rings the bell.
    rope: Waker,
    /// Who is called by the bell, as far as this side knows.
    task: Option<Waker>,
}

/// Says whether the future has called, and calls the task.
#[derive(Default)]
struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F> Seldom<F> {
    /// Wraps a future.
    pub(super) fn new(future: F) -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            future,
            rope: Waker::from(Arc::clone(&bell)),
            bell,
            task: None,
        }
    }
}

impl<F: Future + Unpin> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let is_known = this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker()));
        if is_known && !this.bell.rang.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        if !is_known {
            this.task = Some(cx.waker().clone());
            this.bell
                .task
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone_from(&this.task);
        }
        // Whatever rings from here on is heard the next time.
        this.bell.rang.store(false, Ordering::Release);
        Pin::new(&mut this.future).poll(&mut Context::from_waker(&this.rope))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_is_asked_at_first_and_when_it_called() {
        let (asked, notify) = (AtomicUsize::new(0), Notify::new());
        let mut heard = Box::pin(notify.notified());
        let inner = poll_fn(|cx| {
            asked.fetch_add(1, Ordering::Relaxed);
            heard.as_mut().poll(cx)
        });
        let mut seldom = Seldom::new(inner);
        for _ in 0..3 {
            let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut seldom).poll(cx).is_pending())).await;
            assert!(pending);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        notify.notify_waiters();
        seldom.await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn it_calls_the_task_that_asked_last() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut seldom = Seldom::new(receiver);
        assert!(
            Pin::new(&mut seldom)
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        let waits = tokio::spawn(seldom);
        tokio::task::yield_now().await;
        sender.send(7).unwrap();
        assert_eq!(waits.await.unwrap(), Ok(7));
    }
}
