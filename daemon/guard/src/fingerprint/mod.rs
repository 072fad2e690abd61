//! What the first message of a TLS handshake says of the program that sent it: the JA4 fingerprint.
//!
//! JA4 (the TLS client part of JA4+, BSD 3-clause) names a TLS stack by what it offers, sorted, so that browsers which
//! shuffle their extensions keep one name. Whoever wants another browser's name can copy its handshake: a fingerprint is
//! evidence, never proof.

mod contradiction;
mod hello;
mod ja4;

use std::fmt;

pub use hello::{Extracted, LONGEST_HELLO, extract};

use hello::ClientHello;

/// The length of a JA4 fingerprint, in letters.
const LENGTH: usize = 36;

/// The fingerprint of a TLS client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    ja4: [u8; LENGTH],
    stable: u32,
}

impl Fingerprint {
    /// The fingerprint of a `ClientHello` message (RFC 8446 section 4.1.2), with its four bytes of handshake header.
    /// `None` if it is none.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        let hello = ClientHello::parse(message)?;
        Some(Self {
            ja4: ja4::of(&hello),
            stable: ja4::stable(&hello),
        })
    }

    /// Some program's.
    #[cfg(test)]
    pub(crate) fn named(stable: u32) -> Self {
        let ja4 = [b'0'; LENGTH];
        Self { ja4, stable }
    }

    /// JA4, as others write it: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    #[must_use]
    pub fn ja4(&self) -> &str {
        // It is written in ASCII.
        std::str::from_utf8(&self.ja4).unwrap_or_default()
    }

    /// What stays the same over all connections of one program; never zero. JA4 itself changes when a session is resumed
    /// and when a browser opens a WebSocket, as both change the extensions that are sent.
    #[must_use]
    pub fn stable(&self) -> u32 {
        self.stable
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ja4())
    }
}

#[cfg(test)]
mod tests;
