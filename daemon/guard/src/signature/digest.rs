//! `Content-Digest` (RFC 9530).

use http::HeaderMap;
use http::header::HeaderName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::refusal::Refusal;

/// The field that carries digests of the content.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static(super::CONTENT_DIGEST);

/// The SHA-256 of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDigest(pub [u8; 32]);

impl BodyDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

/// Reads the SHA-256 that a request claims for its body.
///
/// # Errors
/// [`Refusal::DigestMissing`] if there is none that can be used.
pub fn claimed(headers: &HeaderMap) -> Result<BodyDigest, Refusal> {
    let mut values = headers.get_all(CONTENT_DIGEST).iter();
    let value = values.next().ok_or(Refusal::DigestMissing)?;
    if values.next().is_some() {
        return Err(Refusal::DigestMissing);
    }
    let fields: sfv::Dictionary = sfv::Parser::new(value.as_bytes())
        .parse()
        .map_err(|_| Refusal::DigestMissing)?;
    let Some(sfv::ListEntry::Item(item)) = fields.get("sha-256") else {
        return Err(Refusal::DigestMissing);
    };
    let bytes = item.bare_item.as_byte_sequence().ok_or(Refusal::DigestMissing)?;
    bytes.try_into().map(BodyDigest).map_err(|_| Refusal::DigestMissing)
}

/// Compares the claim with the body.
///
/// # Errors
/// [`Refusal::DigestMismatch`].
pub fn check(claimed: &BodyDigest, actual: &BodyDigest) -> Result<(), Refusal> {
    if bool::from(claimed.0.ct_eq(&actual.0)) {
        Ok(())
    } else {
        Err(Refusal::DigestMismatch)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &'static str) -> Result<BodyDigest, Refusal> {
        claimed(&HeaderMap::from_iter([(
            CONTENT_DIGEST,
            HeaderValue::from_static(value),
        )]))
    }

    #[test]
    fn rfc_9530_example() {
        // RFC 9530 appendix B.1: the representation {"hello": "world"} and a line feed.
        let claim = read("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:").unwrap();
        assert_eq!(check(&claim, &BodyDigest::of(b"{\"hello\": \"world\"}\n")), Ok(()));
        assert_eq!(
            check(&claim, &BodyDigest::of(b"{\"hello\": \"w0rld\"}\n")),
            Err(Refusal::DigestMismatch)
        );
    }

    #[test]
    fn defects() {
        assert_eq!(read("sha-512=:AA==:"), Err(Refusal::DigestMissing));
        assert_eq!(
            read("sha-256=:AA==:"),
            Err(Refusal::DigestMissing),
            "one byte is no SHA-256"
        );
        assert_eq!(read("sha-256=abc"), Err(Refusal::DigestMissing));
        assert_eq!(read("sha-256"), Err(Refusal::DigestMissing));
        assert_eq!(claimed(&HeaderMap::new()), Err(Refusal::DigestMissing));
    }
}
