//! A client with the manners of the SDK: opens sessions, works for them, signs, signs again when it is asked to.

use std::net::IpAddr;

use portcullis_guard::session::token::SigningKey;

/// Somebody's browser, or what claims to be one.
pub(super) struct Caller {
    pub(super) address: IpAddr,
    pub(super) agent: &'static str,
    pub(super) connection: u64,
    pub(super) session: Option<Session>,
}

/// An open session.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) key: SigningKey,
    pub(super) stream: String,
    pub(super) counter: u64,
}

impl Session {
    pub(super) fn next_nonce(&mut self) -> String {
        let nonce = format!("{}.{}", self.stream, self.counter);
        self.counter += 1;
        nonce
    }

    /// Goes on in the stream of a nonce that the gate chose.
    pub(super) fn adopt(&mut self, nonce: &str) {
        if let Some((stream, counter)) = nonce.rsplit_once('.') {
            self.stream = stream.to_owned();
            self.counter = counter.parse().unwrap_or_default();
        }
    }
}

impl Caller {
    pub(super) fn new(address: IpAddr, agent: &'static str) -> Self {
        Self {
            address,
            agent,
            connection: 0,
            session: None,
        }
    }
}
