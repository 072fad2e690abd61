//! The admin listener: metrics for Prometheus, health for whoever restarts things, and a page to look at. It only reads.
//!
//! It knows no secrets, but addresses of banned clients: it belongs on loopback or a management network. A page of
//! somebody else must not read it through the operator's browser, so it answers to addresses and `localhost` only, never
//! to a name that somebody may have pointed here.

mod health;
mod metrics;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};

use crate::conclusion::{conclude, converse};
use crate::gate::Gate;
use crate::stats::stats;

pub use health::missing;

const CONNECTIONS: u32 = 32;
const LONGEST_HEAD: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(10);
/// After a failed accept: out of descriptors, most likely.
const BREATHER: Duration = Duration::from_millis(100);

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");
/// Nothing from elsewhere, nothing inline, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Opens the listener.
///
/// # Errors
/// If the address is taken or not ours.
pub fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers until `stopped` turns true; then what was asked before.
pub async fn serve(gate: Arc<Gate>, listener: std::net::TcpListener, mut stopped: watch::Receiver<bool>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the admin listener cannot be used"),
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        // The semaphore is never closed, so there always is a slot in the end.
        let accepting = async { (Arc::clone(&slots).acquire_owned().await.ok(), listener.accept().await) };
        let (slot, accepted) = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = accepting => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(BREATHER).await;
            continue;
        };
        let (gate, stopped) = (Arc::clone(&gate), stopped.clone());
        tokio::spawn(async move {
            let asked = Notify::new();
            let service = service_fn(|request| {
                asked.notify_one();
                let gate = Arc::clone(&gate);
                async move { Ok::<_, Infallible>(answer(gate, &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(LONGEST_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = converse(connection, &asked, stopped).await {
                tracing::debug!(%error, "a conversation on the admin listener broke off");
            }
            drop(slot);
        });
    }
    conclude(&slots, CONNECTIONS).await;
}

async fn answer(gate: Arc<Gate>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !names_us(request) {
        return text(StatusCode::MISDIRECTED_REQUEST, "ask by the address, or by localhost\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "it only reads\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/" => file("text/html; charset=utf-8", PAGE),
        "/page.js" => file("text/javascript; charset=utf-8", SCRIPT),
        "/page.css" => file("text/css; charset=utf-8", STYLE),
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/metrics" | "/readyz" | "/stats.json" => {
            // Counting a million bans takes a moment.
            let read = tokio::task::spawn_blocking(move || match path.as_str() {
                "/metrics" => with_type(
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    metrics::text(&gate),
                ),
                "/readyz" => ready(&gate),
                _ => with_type(
                    StatusCode::OK,
                    "application/json",
                    serde_json::to_vec(&stats(&gate)).unwrap_or_default(),
                ),
            });
            read.await
                .unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, "internal error\n"))
        }
        _ => text(StatusCode::NOT_FOUND, "/metrics, /healthz, /readyz, or / for a page\n"),
    }
}

/// Whether it is asked by an address or by `localhost`.
fn names_us(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_local_name)
}

fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        Some(_) | None => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

fn ready(gate: &Gate) -> Response<Full<Bytes>> {
    let missing = missing(gate);
    if missing.is_empty() {
        return text(StatusCode::OK, "ready\n");
    }
    let lines: String = missing.iter().map(|reason| format!("{reason}\n")).collect();
    with_type(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", lines)
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn file(content_type: &'static str, content: &'static str) -> Response<Full<Bytes>> {
    with_type(StatusCode::OK, content_type, content)
}

fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    const FIELDS: [(HeaderName, &str); 4] = [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_ours() {
        for host in [
            "localhost",
            "LOCALHOST:9464",
            "127.0.0.1:9464",
            "[::1]:9464",
            "::1",
            "192.0.2.7",
        ] {
            assert!(is_local_name(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "example.com:9464",
            "127.0.0.1.nip.io",
            "localhost.evil.example:80",
            "[x]:1",
        ] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
