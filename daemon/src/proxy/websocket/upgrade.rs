//! Asking for a WebSocket and granting it, in each version of HTTP. HTTP/1.1 upgrades its connection (RFC 6455 section 4);
//! in HTTP/2 an extended CONNECT gets one of its streams (RFC 8441). The application is always asked as HTTP/1.1 does,
//! so that the rest of the gate sees a GET.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, request};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest, Sha1};

use crate::listener::connections::{Connection, Connections};
use crate::random;

const SEC_WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const SEC_WEBSOCKET_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
/// What a server adds to the key, to show that it knows WebSockets (RFC 6455 section 1.3).
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client that asks for a WebSocket.
pub(in crate::proxy) struct Upgrade {
    pub(in crate::proxy) client: OnUpgrade,
    /// What ends it: its connection, or for a stream of HTTP/2 a branch of that.
    pub(in crate::proxy) connection: Arc<Connection>,
    /// HTTP/2: what the application is asked with.
    key: Option<HeaderValue>,
}

impl Upgrade {
    /// The wish in a head. One of HTTP/2 becomes a GET.
    pub(in crate::proxy) fn asked_by(
        parts: &mut request::Parts,
        connection: &Arc<Connection>,
        connections: &Connections,
    ) -> Option<Self> {
        if is_asked(parts) {
            return Some(Self {
                client: parts.extensions.remove()?,
                connection: Arc::clone(connection),
                key: None,
            });
        }
        if !is_asked_over_stream(parts) {
            return None;
        }
        let client = parts.extensions.remove()?;
        parts.method = Method::GET;
        Some(Self {
            client,
            connection: connections.branch(connection),
            key: Some(new_key()),
        })
    }

    /// Whether it has a stream instead of a connection.
    pub(in crate::proxy) fn is_stream(&self) -> bool {
        self.key.is_some()
    }

    /// Asks the application.
    pub(in crate::proxy) fn ask(&self, headers: &mut HeaderMap) {
        say(headers);
        if let Some(key) = &self.key {
            headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        }
    }

    /// Whether the application's answer can be passed on. To an extended CONNECT, any success would mean that the stream
    /// is a WebSocket; and nobody behind the gate compares the keys.
    pub(in crate::proxy) fn is_answered(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let Some(key) = &self.key else { return true };
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return !status.is_success();
        }
        headers.get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes) == Some(acceptance(key.as_bytes()).as_bytes())
    }

    /// Tells the client that it has its WebSocket.
    pub(in crate::proxy) fn grant(&self, status: &mut StatusCode, headers: &mut HeaderMap) {
        if self.is_stream() {
            *status = StatusCode::OK;
            headers.remove(SEC_WEBSOCKET_ACCEPT);
        } else {
            say(headers);
        }
    }
}

/// Says on one hop that it is asked for, or granted.
fn say(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Sixteen bytes that no other handshake has; nothing depends on that they cannot be guessed.
fn new_key() -> HeaderValue {
    let halves = [random::reference(), random::reference()].map(|half| half.0.to_ne_bytes());
    let key = STANDARD.encode(halves.concat());
    HeaderValue::from_str(&key).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

fn acceptance(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(MAGIC).finalize())
}

/// Whether a field is there once, and is this in any case.
fn is(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    second.is_none() && first.is_some_and(|first| first.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

/// Whether a head asks for a WebSocket (RFC 6455 section 4.2.1).
fn is_asked(parts: &request::Parts) -> bool {
    let headers = &parts.headers;
    parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && is(headers, &UPGRADE, "websocket")
        && is(headers, &SEC_WEBSOCKET_VERSION, "13")
        && headers.contains_key(SEC_WEBSOCKET_KEY)
        // A body would be the first frames of the WebSocket for an application that does not expect one.
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
        && asks_to_upgrade(headers)
}

fn asks_to_upgrade(headers: &HeaderMap) -> bool {
    let connection = headers.get_all(CONNECTION).iter();
    let mut options = connection.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// The same in HTTP/2 (RFC 8441 section 5).
fn is_asked_over_stream(parts: &request::Parts) -> bool {
    let protocol = parts.extensions.get::<Protocol>();
    parts.method == Method::CONNECT
        && parts.version == Version::HTTP_2
        && protocol.is_some_and(|protocol| protocol.as_str() == "websocket")
        && is(&parts.headers, &SEC_WEBSOCKET_VERSION, "13")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_request_asks() {
        let parts = |version, fields: &[(&str, &str)]| {
            let request = http::Request::builder().version(version);
            let request = fields
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            request.body(()).unwrap().into_parts().0
        };
        let whole = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "x"),
        ];
        assert!(is_asked(&parts(Version::HTTP_11, &whole)));
        assert!(!is_asked(&parts(Version::HTTP_10, &whole)));
        for missing in 0..whole.len() {
            let mut fields = whole.to_vec();
            fields.remove(missing);
            assert!(!is_asked(&parts(Version::HTTP_11, &fields)), "{missing}");
        }
        for more in [
            ("upgrade", "h2c"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
        ] {
            let fields = [&whole[..], &[more]].concat();
            assert!(!is_asked(&parts(Version::HTTP_11, &fields)), "{more:?}");
        }
    }

    #[test]
    fn an_extended_connect_asks_only_for_a_websocket() {
        let parts = |method: Method, protocol: Option<&'static str>, version: &str| {
            let request = http::Request::builder().method(method).version(Version::HTTP_2);
            let mut parts = request
                .header("sec-websocket-version", version)
                .body(())
                .unwrap()
                .into_parts()
                .0;
            parts.extensions =
                protocol
                    .map(Protocol::from_static)
                    .into_iter()
                    .fold(http::Extensions::new(), |mut all, protocol| {
                        all.insert(protocol);
                        all
                    });
            parts
        };
        assert!(is_asked_over_stream(&parts(Method::CONNECT, Some("websocket"), "13")));
        assert!(!is_asked_over_stream(&parts(Method::CONNECT, Some("websocket"), "8")));
        assert!(!is_asked_over_stream(&parts(
            Method::CONNECT,
            Some("connect-udp"),
            "13"
        )));
        assert!(!is_asked_over_stream(&parts(Method::CONNECT, None, "13")));
        assert!(!is_asked_over_stream(&parts(Method::GET, Some("websocket"), "13")));
    }

    #[test]
    fn the_key_of_the_standard_is_accepted() {
        assert_eq!(acceptance(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
