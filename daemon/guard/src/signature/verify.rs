//! Checking a signature under a session's key, whatever its algorithm.

use std::sync::Arc;

use p256::ecdsa::signature::Verifier as _;

use super::algorithm::Algorithm;
use super::mac::MacKey;
use crate::session::token::SessionKey;

/// Length of a compressed P-256 point (SEC 1 section 2.3.3).
pub const COMPRESSED_POINT: usize = 33;
/// Length of an Ed25519 public key (RFC 8032 section 5.1.5).
pub const ED25519_KEY: usize = 32;

/// A public key that was found to be one. Checking a signature with it takes some 100 µs.
pub enum PublicKey {
    /// A point of P-256.
    EcdsaP256(p256::ecdsa::VerifyingKey),
    /// A point of Curve25519 that is not of small order.
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Reads the key that a client offers: an uncompressed point, or the 32 bytes of RFC 8032. `None` if it is none,
    /// or one under which anybody could sign.
    #[must_use]
    pub fn read(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::HmacSha256 => None,
            Algorithm::EcdsaP256Sha256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes)
                .ok()
                .map(Self::EcdsaP256),
            Algorithm::Ed25519 => {
                let bytes = bytes.try_into().ok().filter(is_canonical)?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
                (!key.is_weak()).then_some(Self::Ed25519(key))
            }
        }
    }

    /// The key as it is sealed into a token.
    #[must_use]
    pub fn to_session_key(&self) -> Option<SessionKey> {
        match self {
            Self::EcdsaP256(key) => {
                let point = key.to_sec1_point(true);
                point.as_bytes().try_into().ok().map(SessionKey::EcdsaP256)
            }
            Self::Ed25519(key) => Some(SessionKey::Ed25519(key.to_bytes())),
        }
    }

    /// Whether this is the signature of a message.
    #[must_use]
    pub fn matches(&self, message: &[u8], presented: &[u8]) -> bool {
        match self {
            // RFC 9421 section 3.3.4 asks for no low s, so a signature has a twin. It has the same nonce.
            Self::EcdsaP256(key) => p256::ecdsa::Signature::from_slice(presented)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(presented)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

/// Whether the y coordinate is below 2^255 - 19 (RFC 8032 section 5.1.3): one spelling for each key.
fn is_canonical(key: &&[u8; ED25519_KEY]) -> bool {
    let [lowest, middle @ .., highest] = *key;
    highest & 0x7f != 0x7f || *lowest < 0xed || middle.iter().any(|byte| *byte != 0xff)
}

/// What a session's signatures are checked with.
#[derive(Clone)]
pub enum Verifier {
    /// HMAC-SHA256: cheap enough to be checked while the session is locked.
    Mac(MacKey),
    /// Too slow for that, so it can be taken out.
    Public(Arc<PublicKey>),
}

impl Verifier {
    /// The verifier of a session. `None` for a public key that is none; such a key is never sealed.
    #[must_use]
    pub fn of(key: &SessionKey) -> Option<Self> {
        let public = |algorithm, bytes: &[u8]| PublicKey::read(algorithm, bytes).map(|key| Self::Public(Arc::new(key)));
        match key {
            SessionKey::Hmac(key) => Some(Self::Mac(MacKey::new(key))),
            SessionKey::EcdsaP256(point) => public(Algorithm::EcdsaP256Sha256, point),
            SessionKey::Ed25519(bytes) => public(Algorithm::Ed25519, bytes),
        }
    }

    /// The algorithm that a signature must name.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Mac(_) => Algorithm::HmacSha256,
            Self::Public(key) => match **key {
                PublicKey::EcdsaP256(_) => Algorithm::EcdsaP256Sha256,
                PublicKey::Ed25519(_) => Algorithm::Ed25519,
            },
        }
    }

    /// Whether this is the signature of a message.
    #[must_use]
    pub fn matches(&self, message: &[u8], presented: &[u8]) -> bool {
        match self {
            Self::Mac(key) => key.matches(message, presented),
            Self::Public(key) => key.matches(message, presented),
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::Signer as _;

    use super::*;

    fn ecdsa() -> (p256::ecdsa::SigningKey, PublicKey) {
        let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        let public = PublicKey::read(Algorithm::EcdsaP256Sha256, point.as_bytes()).unwrap();
        (secret, public)
    }

    #[test]
    fn an_ecdsa_signature_and_its_twin_are_of_the_same_message() {
        let (secret, public) = ecdsa();
        let signature: p256::ecdsa::Signature = secret.sign(b"message");
        assert!(public.matches(b"message", &signature.to_bytes()));
        assert!(!public.matches(b"massage", &signature.to_bytes()));
        let (r, s) = signature.split_scalars();
        let twin = p256::ecdsa::Signature::from_scalars(r, -s).unwrap();
        assert_ne!(twin, signature);
        assert!(
            public.matches(b"message", &twin.to_bytes()),
            "its nonce tells that it is a replay"
        );
    }

    #[test]
    fn bytes_that_are_no_signature_match_nothing() {
        let (secret, public) = ecdsa();
        let good = <_ as p256::ecdsa::signature::Signer<p256::ecdsa::Signature>>::sign(&secret, b"message").to_bytes();
        let der = p256::ecdsa::Signature::from_slice(&good).unwrap().to_der();
        let order = p256::ecdsa::Signature::from_slice(&[0xff; 64]);
        assert!(order.is_err(), "r and s are below the order of the group");
        let longer = [&good[..], &[0]].concat();
        let wrong: [&[u8]; 6] = [b"", &[0; 64], &[0xff; 64], &good[..63], &longer, der.as_bytes()];
        assert!(wrong.iter().all(|wrong| !public.matches(b"message", wrong)));
    }

    #[test]
    fn ed25519_is_strict() {
        let secret = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::read(Algorithm::Ed25519, secret.verifying_key().as_bytes()).unwrap();
        let good = secret.sign(b"message").to_bytes();
        assert!(public.matches(b"message", &good) && !public.matches(b"massage", &good));
        // The order of the group, little-endian (RFC 8032 section 5.1): S + L must not pass for S.
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut twin = good;
        let mut carry = 0;
        for (byte, order) in twin[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert!(!public.matches(b"message", &twin));
        assert!(!public.matches(b"message", &good[..63]) && !public.matches(b"message", b""));
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let (secret, _) = ecdsa();
        let point = secret.verifying_key().to_sec1_point(false);
        let mut off_the_curve = point.as_bytes().to_vec();
        off_the_curve[64] ^= 1;
        let bad: [&[u8]; 4] = [&off_the_curve, &point.as_bytes()[..64], &[0], b""];
        for bytes in bad {
            assert!(
                PublicKey::read(Algorithm::EcdsaP256Sha256, bytes).is_none(),
                "{bytes:?}"
            );
        }
        let mut identity = [0; 32];
        identity[0] = 1;
        let weak: [&[u8]; 4] = [&identity, &[0; 32], &[1; 31], &[0xff; 32]];
        for bytes in weak {
            assert!(PublicKey::read(Algorithm::Ed25519, bytes).is_none(), "{bytes:?}");
        }
        assert!(PublicKey::read(Algorithm::HmacSha256, &[1; 32]).is_none());
    }
}
