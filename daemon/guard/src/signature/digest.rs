//! `Content-Digest` (RFC 9530).

use http::HeaderMap;
use http::header::HeaderName;
use sha2::{Digest, Sha256, Sha512};

use super::{are_equal, strict};
use crate::refusal::Refusal;

/// Algorithms that one field may name; RFC 9530 knows eight.
const MOST_DIGESTS: usize = 16;

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

/// What a request says of its body: the digests in algorithms that are fit for it (RFC 9530 section 5). At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    sha256: Option<[u8; 32]>,
    /// In a box, as few use it and each call goes from hand to hand.
    sha512: Option<Box<[u8; 64]>>,
}

impl From<BodyDigest> for Claimed {
    fn from(digest: BodyDigest) -> Self {
        Self {
            sha256: Some(digest.0),
            sha512: None,
        }
    }
}

impl Claimed {
    /// To take a body in.
    #[must_use]
    pub fn hasher(&self) -> BodyHasher {
        BodyHasher {
            claimed: self.clone(),
            sha256: self.sha256.map(|_| Sha256::new()),
            sha512: self.sha512.as_ref().map(|_| Sha512::new()),
        }
    }

    /// Compares the claim with a whole body.
    ///
    /// # Errors
    /// [`Refusal::DigestMismatch`].
    pub fn check(&self, body: &[u8]) -> Result<(), Refusal> {
        let mut hasher = self.hasher();
        hasher.update(body);
        hasher.finish()
    }
}

/// A body that is being compared with its claim. All digests that were claimed must be right: whoever comes next may
/// look at any of them.
pub struct BodyHasher {
    claimed: Claimed,
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl BodyHasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.sha256 {
            hash.update(bytes);
        }
        if let Some(hash) = &mut self.sha512 {
            hash.update(bytes);
        }
    }

    /// That was all.
    ///
    /// # Errors
    /// [`Refusal::DigestMismatch`].
    pub fn finish(self) -> Result<(), Refusal> {
        let sha256 = self.claimed.sha256.zip(self.sha256);
        let sha512 = self.claimed.sha512.zip(self.sha512);
        let first = sha256.is_none_or(|(claimed, hash)| are_equal(&claimed, &hash.finalize().into()));
        let second = sha512.is_none_or(|(claimed, hash)| are_equal(&claimed, &hash.finalize().into()));
        if first && second {
            Ok(())
        } else {
            Err(Refusal::DigestMismatch)
        }
    }
}

/// Reads the digests that a request claims for its body. Algorithms that we do not know are left alone.
///
/// # Errors
/// [`Refusal::DigestMissing`] if there is none that can be used, or something about them is wrong.
pub fn claimed(headers: &HeaderMap) -> Result<Claimed, Refusal> {
    let mut values = headers.get_all(CONTENT_DIGEST).iter();
    let value = values.next().ok_or(Refusal::DigestMissing)?;
    if values.next().is_some() {
        return Err(Refusal::DigestMissing);
    }
    match claimed_strictly(value.as_bytes()) {
        Some(digest) => Ok(digest.into()),
        None => claimed_in(value.as_bytes()),
    }
}

/// The one digest of our own clients, spelled as they do.
fn claimed_strictly(field: &[u8]) -> Option<BodyDigest> {
    let digest = strict::byte_sequence(field.strip_prefix(b"sha-256=")?)?;
    digest.as_slice().try_into().ok().map(BodyDigest)
}

fn claimed_in(field: &[u8]) -> Result<Claimed, Refusal> {
    let fields = super::parse::byte_sequences(field).ok_or(Refusal::DigestMissing)?;
    let is_double =
        |(index, (name, _)): (usize, &(&str, _))| fields[..index].iter().any(|(earlier, _)| earlier == name);
    if fields.len() > MOST_DIGESTS || fields.iter().enumerate().any(is_double) {
        return Err(Refusal::DigestMissing);
    }
    let claimed = Claimed {
        sha256: named(&fields, "sha-256")?,
        sha512: named(&fields, "sha-512")?.map(Box::new),
    };
    if claimed.sha256.is_none() && claimed.sha512.is_none() {
        return Err(Refusal::DigestMissing);
    }
    Ok(claimed)
}

/// The digest of one algorithm; an error if it is there and has not its length.
fn named<const N: usize>(fields: &[(&str, Option<Vec<u8>>)], name: &str) -> Result<Option<[u8; N]>, Refusal> {
    let Some((_, bytes)) = fields.iter().find(|(algorithm, _)| *algorithm == name) else {
        return Ok(None);
    };
    let bytes = bytes.as_deref().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Some).ok_or(Refusal::DigestMissing)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = b"{\"hello\": \"world\"}\n";
    /// RFC 9530 appendix B.1: the representation {"hello": "world"} and a line feed.
    const SHA_256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    /// RFC 9530 section 5, the same.
    const SHA_512: &str =
        "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

    fn read(value: &str) -> Result<Claimed, Refusal> {
        let value = HeaderValue::from_str(value).unwrap();
        claimed(&HeaderMap::from_iter([(CONTENT_DIGEST, value)]))
    }

    #[test]
    fn rfc_9530_examples() {
        for field in [
            SHA_256,
            SHA_512,
            &format!("{SHA_256}, {SHA_512}"),
            &format!("md5=:AA==:, {SHA_512};q=1"),
        ] {
            let claim = read(field).unwrap();
            assert_eq!(claim.check(BODY), Ok(()), "{field}");
            assert_eq!(
                claim.check(b"{\"hello\": \"w0rld\"}\n"),
                Err(Refusal::DigestMismatch),
                "{field}"
            );
            let mut hasher = claim.hasher();
            BODY.chunks(3).for_each(|chunk| hasher.update(chunk));
            assert_eq!(hasher.finish(), Ok(()), "{field}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_reads_what_the_long_one_does(
            bytes in prop::collection::vec(any::<u8>(), 31..34),
            change in prop::option::of((0usize..60, ".{0,2}")),
        ) {
            let mut field = format!("sha-256=:{}:", STANDARD.encode(&bytes));
            if let Some((at, text)) = change {
                let at = field.floor_char_boundary(at.min(field.len()));
                field.insert_str(at, &text);
            }
            let strict = claimed_strictly(field.as_bytes());
            prop_assert_eq!(strict.is_some(), bytes.len() == 32 && field == format!("sha-256=:{}:", STANDARD.encode(&bytes)));
            if let Some(digest) = strict {
                prop_assert_eq!(Ok(digest.into()), claimed_in(field.as_bytes()));
            }
        }
    }

    #[test]
    fn every_digest_must_be_right() {
        let wrong = SHA_512.replace("YMAa", "YMAb");
        let claim = read(&format!("{SHA_256}, {wrong}")).unwrap();
        assert_eq!(claim.check(BODY), Err(Refusal::DigestMismatch));
        let wrong = SHA_256.replace("RK/0", "RK/1");
        let claim = read(&format!("{SHA_512}, {wrong}")).unwrap();
        assert_eq!(claim.check(BODY), Err(Refusal::DigestMismatch));
    }

    #[test]
    fn defects() {
        let many = (0..20).map(|n| format!("a{n}=:AA==:")).collect::<Vec<_>>().join(", ");
        for field in [
            "",
            "sha-256",
            "sha-256=abc",
            "sha-256=\"RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=\"",
            "sha-256=:AA==:",
            "sha-512=:AA==:",
            "md5=:AA==:",
            "SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            &format!("{SHA_256}, {SHA_256}"),
            &format!("{SHA_256}, sha-512=:AA==:"),
            &format!("{SHA_256}, sha-512=7"),
            &format!("{SHA_256}, ("),
            &format!("{SHA_256}, {many}"),
        ] {
            assert_eq!(read(field), Err(Refusal::DigestMissing), "{field}");
        }
        assert_eq!(claimed(&HeaderMap::new()), Err(Refusal::DigestMissing));
        let value = HeaderValue::from_static(SHA_256);
        let mut twice = HeaderMap::from_iter([(CONTENT_DIGEST, value.clone())]);
        twice.append(CONTENT_DIGEST, value);
        assert_eq!(claimed(&twice), Err(Refusal::DigestMissing));
    }
}
