//! Answers to clients whose requests never came to be: a head that was too slow, a connection too many. They are
//! problem documents like all others, but nobody is named in them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use portcullis_guard::refusal::{Problem, Refusal, Remedy};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::timer::CoarseTimer;
use crate::proxy::problem::PROBLEM_BASE;

/// How long who is turned away has to take the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Clients that are being told why they are turned away, at a time. More are turned away without a word.
const MOST: usize = 256;
/// What is read of those who go on sending, so that the answer is not lost by a reset.
const HEARD: u64 = 64 << 10;

static BEING_TOLD: AtomicUsize = AtomicUsize::new(0);

fn document(problem: Problem) -> String {
    let document = json!({
        "type": format!("{PROBLEM_BASE}{}", problem.name),
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    });
    document.to_string()
}

/// The answer to one request over a connection that goes on.
pub(super) fn response(refusal: Refusal) -> Response<Full<Bytes>> {
    let problem = refusal.problem();
    let mut response = Response::new(Full::from(document(problem)));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer of HTTP/1.1 that ends its connection.
fn answer(refusal: Refusal) -> String {
    let problem = refusal.problem();
    let reason = StatusCode::from_u16(problem.status).ok();
    let reason = reason.and_then(|status| status.canonical_reason()).unwrap_or_default();
    let body = document(problem);
    let wait = match refusal.remedy() {
        Remedy::Wait(wait) => format!("retry-after: {}\r\n", wait.as_secs().max(1)),
        Remedy::None | Remedy::Sign | Remedy::SignWithFreshNonce => String::new(),
    };
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n{wait}\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        problem.status,
        body.len()
    )
}

/// Tells why, and ends the connection.
pub(super) async fn tell(mut stream: impl AsyncRead + AsyncWrite + Unpin, refusal: Refusal, timer: &CoarseTimer) {
    let told = async {
        stream.write_all(answer(refusal).as_bytes()).await?;
        stream.flush().await?;
        linger(&mut stream).await
    };
    // Who does not want to know need not.
    let _ = timer.timeout(PATIENCE, told).await;
}

/// The same for who comes when there is no room: only so many at a time, as each is a connection too.
pub(super) async fn turn_away(stream: impl AsyncRead + AsyncWrite + Unpin, refusal: Refusal, timer: CoarseTimer) {
    if BEING_TOLD.fetch_add(1, Ordering::Relaxed) < MOST {
        tell(stream, refusal, &timer).await;
    }
    BEING_TOLD.fetch_sub(1, Ordering::Relaxed);
}

/// Ends a connection that has nothing more to say.
pub(super) async fn close(mut stream: impl AsyncWrite + Unpin, timer: &CoarseTimer) {
    let _ = timer.timeout(PATIENCE, stream.shutdown()).await;
}

/// Ends a connection of which not everything was read: closed at once, its last answer would be lost by a reset.
pub(super) async fn let_go(mut stream: impl AsyncRead + AsyncWrite + Unpin, timer: &CoarseTimer) {
    let _ = timer.timeout(PATIENCE, linger(&mut stream)).await;
}

async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(HEARD), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_problem_document() {
        let text = answer(Refusal::Overloaded);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("retry-after: 1\r\n") && head.ends_with(&format!("content-length: {}", body.len())));
        let document: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(document["type"], "/.well-known/portcullis/problems/overloaded");
        assert!(answer(Refusal::BodyLate).starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    }
}
