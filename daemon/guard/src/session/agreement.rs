//! How a client and the gate come to share a signing key (docs/protocol.md section 1).

use hkdf::Hkdf;
use p256::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{NonZeroScalar, PublicKey};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::token::{SessionKey, SigningKey};
use crate::signature::algorithm::Algorithm;
use crate::signature::verify;

/// Length of an uncompressed P-256 point (SEC 1, section 2.3.3).
pub const POINT_BYTES: usize = 65;

const INFO: &[u8] = b"portcullis-1/ecdh-p256/hmac-sha256\0";

/// What the client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgreementRequest {
    /// Ephemeral ECDH: the client's point, as sent.
    EcdhP256(Vec<u8>),
    /// The gate sends the key.
    ServerKey,
    /// The client signs with a key that never leaves it; the public half as sent.
    PublicKey(Algorithm, Vec<u8>),
}

/// Fresh random bytes for one session. Never used twice.
pub struct SessionEntropy {
    /// The session's name.
    pub id: [u8; 12],
    /// The gate's private key, or the key that is sent.
    pub secret: Zeroizing<[u8; 32]>,
    /// The HKDF salt.
    pub salt: [u8; 32],
}

/// What the client is told to come to the same key.
#[derive(Clone)]
pub enum Agreed {
    /// The gate's point and the salt.
    EcdhP256 {
        /// Uncompressed point.
        public_key: [u8; POINT_BYTES],
        /// HKDF salt.
        salt: [u8; 32],
    },
    /// The key itself.
    ServerKey(SigningKey),
    /// Nothing: it has its key.
    PublicKey(Algorithm),
}

/// The client's key is no point of its curve, or the entropy is no private key (one chance in 2^32; ask again).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public key is not one of its algorithm")]
pub struct InvalidPoint;

/// Agrees on a key. ECDH costs two scalar multiplications; a public key, one square root.
///
/// # Errors
/// [`InvalidPoint`].
pub fn agree(
    request: &AgreementRequest,
    secret: &Zeroizing<[u8; 32]>,
    salt: [u8; 32],
) -> Result<(SessionKey, Agreed), InvalidPoint> {
    match request {
        AgreementRequest::ServerKey => {
            let key = SigningKey(**secret);
            Ok((SessionKey::Hmac(key.clone()), Agreed::ServerKey(key)))
        }
        AgreementRequest::PublicKey(algorithm, bytes) => {
            // One spelling for each key.
            let is_whole = *algorithm != Algorithm::EcdsaP256Sha256 || bytes.len() == POINT_BYTES;
            let key = verify::PublicKey::read(*algorithm, bytes).filter(|_| is_whole);
            let key = key.and_then(|key| key.to_session_key()).ok_or(InvalidPoint)?;
            Ok((key, Agreed::PublicKey(*algorithm)))
        }
        AgreementRequest::EcdhP256(point) => {
            let client: &[u8; POINT_BYTES] = point.as_slice().try_into().map_err(|_| InvalidPoint)?;
            let (key, public_key) = ecdh(client, secret, &salt)?;
            Ok((SessionKey::Hmac(key), Agreed::EcdhP256 { public_key, salt }))
        }
    }
}

fn ecdh(
    client: &[u8; POINT_BYTES],
    secret: &Zeroizing<[u8; 32]>,
    salt: &[u8; 32],
) -> Result<(SigningKey, [u8; POINT_BYTES]), InvalidPoint> {
    let theirs = PublicKey::from_sec1_bytes(client).map_err(|_| InvalidPoint)?;
    let ours = Zeroizing::new(scalar(secret).ok_or(InvalidPoint)?);
    let shared = diffie_hellman(*ours, theirs.as_affine());
    let public: [u8; POINT_BYTES] = PublicKey::from_secret_scalar(&ours)
        .to_sec1_point(false)
        .as_bytes()
        .try_into()
        .map_err(|_| InvalidPoint)?;
    let mut key = SigningKey([0; SigningKey::BYTES]);
    Hkdf::<Sha256>::new(Some(salt), shared.raw_secret_bytes())
        .expand_multi_info(&[INFO, client, &public], &mut key.0)
        .map_err(|_| InvalidPoint)?;
    Ok((key, public))
}

fn scalar(secret: &Zeroizing<[u8; 32]>) -> Option<NonZeroScalar> {
    NonZeroScalar::try_from(secret.as_slice()).ok()
}
