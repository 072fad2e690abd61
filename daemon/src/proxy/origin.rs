//! Where a request comes from, when trusted proxies may speak for others.

use http::{HeaderMap, HeaderValue};
use portcullis_guard::fingerprint::Fingerprint;
use portcullis_guard::forwarded::TrustedProxies;
use portcullis_guard::request::ClientAddress;

use crate::config::Scheme;
use crate::listener::connections::Connection;

/// Who asks, and how he came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) client: ClientAddress,
    pub(super) scheme: Scheme,
    pub(super) fingerprint: Option<Fingerprint>,
}

impl Origin {
    /// Of a request over this connection. What strangers say of themselves is not heard.
    pub(super) fn of(connection: &Connection, headers: &HeaderMap, proxies: &TrustedProxies) -> Self {
        let peer = &connection.peer;
        let (client, is_secure) = if peer.is_proxy {
            (
                proxies.client(peer.address, headers),
                TrustedProxies::is_secure(headers),
            )
        } else {
            (peer.address, None)
        };
        let scheme = match is_secure {
            Some(true) => Scheme::Https,
            Some(false) => Scheme::Http,
            None => peer.scheme,
        };
        Self {
            client,
            scheme,
            fingerprint: connection.fingerprint(),
        }
    }

    /// The client's address as a field. Made once for each connection, unless a proxy speaks for others.
    pub(super) fn client_text(self, connection: &Connection) -> HeaderValue {
        let text = || HeaderValue::from_str(&self.client.to_string()).unwrap_or(HeaderValue::from_static(""));
        if connection.peer.is_proxy {
            text()
        } else {
            connection.address_text.get_or_init(text).clone()
        }
    }
}
