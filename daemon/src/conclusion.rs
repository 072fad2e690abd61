//! How conversations end when the daemon stops. With operators and scrapes: what was asked is answered, and nothing else.
//! Whoever connects from then on waits for the next daemon, if somebody holds the socket for it.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1::Connection;
use hyper::service::Service;
use tokio::sync::{Notify, Semaphore, watch};

/// How long an answer may take when the daemon stops.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who has connected is about to ask.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Converses until the other end has enough, or `stopped` turns true and the last answer is given; `asked` is told of
/// each request.
///
/// # Errors
/// If it broke off.
pub async fn converse<I, S, B>(
    connection: Connection<I, S>,
    asked: &Notify,
    mut stopped: watch::Receiver<bool>,
) -> hyper::Result<()>
where
    I: Read + Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let over = async {
        end(&mut stopped).await;
        // A graceful end would cut off who has not asked yet. A question of before counts.
        let _ = tokio::time::timeout(FIRST_WORD, asked.notified()).await;
    };
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = over => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// Waits for all conversations, of which each has a slot.
pub async fn conclude(slots: &Semaphore, conversations: u32) {
    // The semaphore is never closed. Who is not done in time is cut off.
    let _ = tokio::time::timeout(PATIENCE, slots.acquire_many(conversations)).await;
}

/// Returns when the daemon stops.
pub async fn end(stopped: &mut watch::Receiver<bool>) {
    // Whoever could say so may be gone: that is the end as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
