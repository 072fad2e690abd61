//! RFC 9421 signatures, as the strict profile `portcullis-1` (docs/protocol.md section 2).
//!
//! [`input`] finds and reads the one signature that is ours, [`base`] rebuilds what was signed, [`sign`] makes one.
//! Nothing here knows sessions, nonce memory or time.

pub mod algorithm;
pub mod base;
pub mod components;
pub mod digest;
pub mod input;
pub mod mac;
mod parse;
pub mod sign;
mod strict;
pub mod ticket;
pub mod verify;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// The tag that tells our signatures from others in the same request.
pub const TAG: &str = "portcullis-1";
/// The algorithm of symmetric sessions, by its name in the IANA registry of HTTP signature algorithms.
pub const HMAC_SHA256: &str = "hmac-sha256";
/// The components that every signature covers.
pub const REQUIRED: [&str; 4] = ["@method", "@authority", "@path", "@query"];
/// Covered as well when the request has a body.
pub const CONTENT_DIGEST: &str = "content-digest";
/// Covered as well when the request has a body and this field.
pub const CONTENT_TYPE: &str = "content-type";

/// The bytes of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureBytes {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl SignatureBytes {
    /// The longest signature of the profile: two numbers of 32 bytes.
    pub const LONGEST: usize = 64;
    /// Matches nothing.
    pub const NONE: Self = Self {
        bytes: [0; Self::LONGEST],
        length: 0,
    };

    /// Keeps a signature; `None` if it is longer than any of the profile.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut kept = [0; Self::LONGEST];
        kept.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self {
            bytes: kept,
            length: bytes.len(),
        })
    }

    /// As sent.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Compares in words, all of them in any case. Constant-time.
fn are_equal<const BYTES: usize>(one: &[u8; BYTES], other: &[u8; BYTES]) -> bool {
    const { assert!(BYTES.is_multiple_of(8)) }
    let (one, other) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let equal = |(one, other): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*one).ct_eq(&u64::from_ne_bytes(*other));
    let all = one.iter().zip(other).map(equal);
    all.fold(Choice::from(1), |all, equal| all & equal).into()
}

/// Whether the MAC of a signature base is the one presented. Constant-time (RFC 2104; RFC 9421 section 3.3.3).
#[must_use]
pub fn mac_matches(key: &Hmac<Sha256>, base: &[u8], presented: &[u8]) -> bool {
    let mut mac = key.clone();
    mac.update(base);
    mac.verify_slice(presented).is_ok()
}
