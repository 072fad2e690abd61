//! What is sent: made before the clock starts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac as Mac, KeyInit, Mac as _};
use portcullis_tests::client::Client;
use sha2::Sha256;

/// A kind of requests.
pub(super) enum Calls<'a> {
    /// One and the same.
    Plain(&'static str),
    /// Each signed by the profile, one session for each connection.
    Signed(Box<dyn Fn() -> Result<Client> + Sync + 'a>),
    /// Each with an HMAC that haproxy and nginx can check.
    Hmac(&'a Hmac),
}

/// The key of both sides.
pub(super) struct Hmac {
    mac: Mac<Sha256>,
    nonce: AtomicU64,
}

impl Hmac {
    pub(super) fn new(key: &[u8]) -> Result<Self> {
        let mac = Mac::new_from_slice(key).context("no key")?;
        let nonce = AtomicU64::new(0);
        Ok(Self { mac, nonce })
    }

    fn request(&self, address: SocketAddr) -> Vec<u8> {
        let nonce = format!("bench-stream-{}", self.nonce.fetch_add(1, Ordering::Relaxed));
        let now = portcullis_tests::client::now();
        let base = format!("GET\n{address}\n{PROTECTED}\n\n{now}\n{nonce}");
        let mut mac = self.mac.clone();
        mac.update(base.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let fields = format!("x-ts: {now}\r\nx-nonce: {nonce}\r\nx-sig: {signature}\r\n");
        request(address, PROTECTED, &fields)
    }
}

/// A path that the daemon protects, and of which one of its rules speaks.
const PROTECTED: &str = "/api/orders7/7";

impl<'a> Calls<'a> {
    pub(super) fn plain(path: &'static str) -> Self {
        Self::Plain(path)
    }

    pub(super) fn signed(open: impl Fn() -> Result<Client> + Sync + 'a) -> Self {
        Self::Signed(Box::new(open))
    }

    pub(super) fn hmac(hmac: &'a Hmac) -> Self {
        Self::Hmac(hmac)
    }

    /// So many requests for one connection.
    pub(super) fn prepare(&self, address: SocketAddr, count: usize) -> Result<Vec<Vec<u8>>> {
        match self {
            Self::Plain(path) => Ok(vec![request(address, path, ""); count]),
            Self::Hmac(hmac) => Ok((0..count).map(|_| hmac.request(address)).collect()),
            Self::Signed(open) => {
                let mut client = open()?;
                client.user_agent = "bench/1".into();
                (0..count).map(|_| client.request("GET", PROTECTED, "")).collect()
            }
        }
    }
}

fn request(address: SocketAddr, path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: bench/1\r\n{fields}\r\n").into_bytes()
}
