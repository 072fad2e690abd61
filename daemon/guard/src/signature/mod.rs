//! RFC 9421 signatures, as the strict profile `portcullis-1` (docs/protocol.md section 2).
//!
//! [`input`] finds and reads the one signature that is ours, [`base`] rebuilds what was signed, [`sign`] makes one.
//! Nothing here knows sessions, nonce memory or time.

pub mod base;
pub mod digest;
pub mod input;
mod parse;
pub mod sign;

use hmac::{Hmac, Mac};
use sha2::Sha256;

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

/// Whether the MAC of a signature base is the one presented. Constant-time (RFC 2104; RFC 9421 section 3.3.3).
#[must_use]
pub fn mac_matches(key: &Hmac<Sha256>, base: &[u8], presented: &[u8]) -> bool {
    let mut mac = key.clone();
    mac.update(base);
    mac.verify_slice(presented).is_ok()
}
