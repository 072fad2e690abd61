//! The session id on the wire: an AEAD-sealed token, so that the gate remembers nothing of sessions that are opened
//! and never used.
//!
//! ```text
//! version(1) key-number(4) id(12) seal{ algorithm(1) opened-ms(6) seconds(4) run(8) key(33) } tag(16)
//! ```
//! as 114 characters of base64url. ChaCha20-Poly1305 (RFC 8439); the id is the nonce: random, so that after 2^36 tokens
//! under one master key (20,000 a second for a month) two have met with a chance of 2^-25.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hmac::Hmac;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::SessionId;
use crate::sextets;
use crate::signature::algorithm::Algorithm;
use crate::signature::verify::{COMPRESSED_POINT, ED25519_KEY};
use crate::time::WallMillis;

const VERSION: u8 = 2;
/// What is sealed under it is no token.
const SECRET_VERSION: u8 = 0x81;
const HEADER: usize = 1 + 4 + SessionId::BYTES;
/// Algorithm, milliseconds of the opening, seconds to live, run, key.
const SEALED: usize = 1 + 6 + 4 + 8 + KEY_ROOM;
/// The longest key; shorter ones end in zeros.
const KEY_ROOM: usize = COMPRESSED_POINT;
const TAG: usize = 16;
const TOKEN: usize = HEADER + SEALED + TAG;

/// Characters of a token on the wire.
pub const TOKEN_CHARACTERS: usize = TOKEN.div_ceil(3) * 4 - (3 - TOKEN % 3) % 3;

/// The key that a symmetric session signs with.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SigningKey(pub [u8; Self::BYTES]);

impl SigningKey {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// HMAC-SHA256 under this key, ready for messages.
    #[must_use]
    pub fn hmac(&self) -> Hmac<Sha256> {
        // RFC 2104 pads a key with zeros to the block of the hash. Doing it here leaves no error to handle.
        let mut block = Zeroizing::new([0; 64]);
        block[..Self::BYTES].copy_from_slice(&self.0);
        Hmac::new(&(*block).into())
    }
}

/// What the gate checks a session's signatures with.
#[derive(Clone, PartialEq, Eq)]
pub enum SessionKey {
    /// A secret.
    Hmac(SigningKey),
    /// A compressed point.
    EcdsaP256([u8; COMPRESSED_POINT]),
    /// A public key of RFC 8032.
    Ed25519([u8; ED25519_KEY]),
}

impl SessionKey {
    /// How the session signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hmac(_) => Algorithm::HmacSha256,
            Self::EcdsaP256(_) => Algorithm::EcdsaP256Sha256,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Hmac(key) => &key.0,
            Self::EcdsaP256(point) => point,
            Self::Ed25519(key) => key,
        }
    }

    /// Reads what was sealed. The room behind a short key must be empty.
    fn unseal(algorithm: u8, room: &[u8; KEY_ROOM]) -> Option<Self> {
        let short = || {
            room.split_last_chunk::<1>()
                .filter(|(_, rest)| **rest == [0])?
                .0
                .try_into()
                .ok()
        };
        match algorithm {
            1 => short().map(|key| Self::Hmac(SigningKey(key))),
            2 => Some(Self::EcdsaP256(*room)),
            3 => short().map(Self::Ed25519),
            _ => None,
        }
    }
}

/// The number that stands for an algorithm in a token.
fn sealed_algorithm(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::HmacSha256 => 1,
        Algorithm::EcdsaP256Sha256 => 2,
        Algorithm::Ed25519 => 3,
    }
}

/// One run of the daemon. A session that was opened in another run may have been used before, unseen by this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub [u8; 8]);

/// What a token seals.
#[derive(Clone)]
pub struct SessionGrant {
    /// The name.
    pub id: SessionId,
    /// When it was opened.
    pub opened: WallMillis,
    /// When it ends: whole seconds after it was opened.
    pub expires: WallMillis,
    /// In which run of the daemon it was opened.
    pub epoch: Epoch,
    /// What it signs with.
    pub key: SessionKey,
}

/// A key that seals tokens, with the number that tokens name it by.
#[derive(Clone)]
pub struct MasterKey {
    number: u32,
    cipher: ChaCha20Poly1305,
}

impl MasterKey {
    /// Length of the secret in bytes.
    pub const BYTES: usize = 32;

    /// Wraps a secret under a number of one's own choice.
    #[must_use]
    pub fn new(number: u32, secret: &Zeroizing<[u8; Self::BYTES]>) -> Self {
        Self {
            number,
            cipher: ChaCha20Poly1305::new(&Key::from(**secret)),
        }
    }

    /// Wraps a secret under the number that follows from it, which tells it from the keys of other gates.
    #[must_use]
    pub fn of_secret(secret: &Zeroizing<[u8; Self::BYTES]>) -> Self {
        Self::new(key_number(secret), secret)
    }

    /// The number that tokens name it by.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// The number of a secret. It is on the wire in every token and says nothing of the secret.
#[must_use]
pub fn key_number(secret: &Zeroizing<[u8; MasterKey::BYTES]>) -> u32 {
    let digest = Sha256::new()
        .chain_update(b"portcullis master key number\0")
        .chain_update(**secret)
        .finalize();
    digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The master keys: new tokens are sealed under the first, and those of the others still open.
#[derive(Clone)]
pub struct MasterKeys {
    current: MasterKey,
    previous: Vec<MasterKey>,
}

/// Why a text opens no session. The client is told the same in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Not the form of a session id.
    #[error("not a session id")]
    Unknown,
    /// Sealed under a key that this gate does not have: another gate's, or one whose time is over.
    #[error("sealed under another key")]
    Foreign,
    /// It names a key of this gate, which did not seal it.
    #[error("not sealed by this gate")]
    Forged,
}

impl MasterKeys {
    /// Seals under `current`, opens under all.
    #[must_use]
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Self {
        Self { current, previous }
    }

    /// The key that new tokens are sealed under.
    #[must_use]
    pub fn current(&self) -> &MasterKey {
        &self.current
    }

    /// Seals a grant into the session id that the client gets. `None` only if the cipher fails, which it cannot for
    /// a message of this length.
    #[must_use]
    pub fn seal(&self, grant: &SessionGrant) -> Option<String> {
        let lifetime = grant.expires.0.saturating_sub(grant.opened.0) / 1000;
        let mut plain = Zeroizing::new(Vec::with_capacity(SEALED));
        plain.push(sealed_algorithm(grant.key.algorithm()));
        plain.extend_from_slice(grant.opened.0.to_be_bytes().last_chunk::<6>()?);
        plain.extend_from_slice(&u32::try_from(lifetime).unwrap_or(u32::MAX).to_be_bytes());
        plain.extend_from_slice(&grant.epoch.0);
        plain.extend_from_slice(grant.key.bytes());
        plain.resize(SEALED, 0);
        let header = header(self.current.number);
        let payload = Payload {
            msg: &plain,
            aad: &header,
        };
        let sealed = self.current.cipher.encrypt(&Nonce::from(grant.id.0), payload).ok()?;
        let token = [&header[..], &grant.id.0, &sealed].concat();
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens a session id. Costs one decryption of 52 bytes.
    ///
    /// # Errors
    /// [`TokenRefused`] for whatever this gate did not seal under a key it still has.
    pub fn open(&self, text: &str) -> Result<SessionGrant, TokenRefused> {
        let token = decode(text)?;
        let (head, sealed) = token.split_at_checked(HEADER).ok_or(TokenRefused::Unknown)?;
        let (start, id) = head.split_first_chunk::<5>().ok_or(TokenRefused::Unknown)?;
        let id = SessionId(id.try_into().map_err(|_| TokenRefused::Unknown)?);
        let [version, number @ ..] = *start;
        let known = self
            .by_number(u32::from_be_bytes(number))
            .filter(|_| version == VERSION);
        let key = known.ok_or(TokenRefused::Foreign)?;
        let payload = Payload {
            msg: sealed,
            aad: start,
        };
        let plain = key.cipher.decrypt(&Nonce::from(id.0), payload).map(Zeroizing::new);
        plain
            .ok()
            .and_then(|plain| unseal(id, &plain))
            .ok_or(TokenRefused::Forged)
    }

    /// Seals a secret that is to lie beside the tokens' keys, under a nonce that is used once. `None` only if the cipher
    /// fails, which it cannot for a message of this length.
    #[must_use]
    pub fn seal_secret(&self, nonce: [u8; SessionId::BYTES], secret: &Zeroizing<[u8; 32]>) -> Option<Vec<u8>> {
        let head = [&[SECRET_VERSION][..], &self.current.number.to_be_bytes()].concat();
        let payload = Payload {
            msg: &secret[..],
            aad: &head,
        };
        let sealed = self.current.cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
        Some([&head[..], &nonce, &sealed].concat())
    }

    /// Opens a secret, and tells whether the current key sealed it. `None` if no key of this gate did.
    #[must_use]
    pub fn open_secret(&self, sealed: &[u8]) -> Option<(Zeroizing<[u8; 32]>, bool)> {
        let (head, rest) = sealed.split_first_chunk::<5>()?;
        let (nonce, sealed) = rest.split_first_chunk::<{ SessionId::BYTES }>()?;
        let [version, number @ ..] = *head;
        let number = u32::from_be_bytes(number);
        let key = self.by_number(number).filter(|_| version == SECRET_VERSION)?;
        let payload = Payload { msg: sealed, aad: head };
        let plain = key.cipher.decrypt(&Nonce::from(*nonce), payload).map(Zeroizing::new);
        let secret = plain.ok()?.as_slice().try_into().ok()?;
        Some((Zeroizing::new(secret), number == self.current.number))
    }

    fn by_number(&self, number: u32) -> Option<&MasterKey> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.number == number)
    }
}

fn header(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [VERSION, a, b, c, d]
}

fn unseal(id: SessionId, plain: &[u8]) -> Option<SessionGrant> {
    let (algorithm, rest) = plain.split_first()?;
    let ([a, b, c, d, e, f], rest) = rest.split_first_chunk()?;
    let (lifetime, rest) = rest.split_first_chunk()?;
    let (epoch, room) = rest.split_first_chunk()?;
    let opened = u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]);
    Some(SessionGrant {
        id,
        opened: WallMillis(opened),
        expires: WallMillis(opened + u64::from(u32::from_be_bytes(*lifetime)) * 1000),
        epoch: Epoch(*epoch),
        key: SessionKey::unseal(*algorithm, room.try_into().ok()?)?,
    })
}

/// The name inside a session id, without opening it: enough to look it up, proves nothing.
///
/// # Errors
/// [`TokenRefused::Unknown`] if the text has not the form of a token.
pub fn name_of(text: &str) -> Result<SessionId, TokenRefused> {
    /// As many groups as the header needs, and one byte more.
    const GROUPS: usize = HEADER.div_ceil(3);
    let head = Some(text).filter(|text| text.len() == TOKEN_CHARACTERS);
    let start = head.and_then(|text| sextets::decode::<GROUPS>(text.as_bytes()));
    let start = start.ok_or(TokenRefused::Unknown)?;
    let id = start.as_flattened().get(5..HEADER).and_then(|id| id.try_into().ok());
    id.map(SessionId).ok_or(TokenRefused::Unknown)
}

fn decode(text: &str) -> Result<[u8; TOKEN], TokenRefused> {
    let mut token = [0; TOKEN];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut token) {
        Ok(TOKEN) => Ok(token),
        Ok(_) | Err(_) => Err(TokenRefused::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32, fill: u8) -> MasterKey {
        MasterKey::new(number, &Zeroizing::new([fill; 32]))
    }

    fn grant() -> SessionGrant {
        SessionGrant {
            id: SessionId([7; 12]),
            opened: WallMillis(1_800_000_000_123),
            expires: WallMillis(1_800_003_600_123),
            epoch: Epoch([9; 8]),
            key: SessionKey::Hmac(SigningKey([3; 32])),
        }
    }

    #[test]
    fn a_token_opens_to_what_was_sealed() {
        let keys = MasterKeys::new(key(1, 1), vec![]);
        let mut point = [4; 33];
        point[0] = 2;
        for session_key in [grant().key, SessionKey::EcdsaP256(point), SessionKey::Ed25519([5; 32])] {
            let sealed = SessionGrant {
                key: session_key.clone(),
                ..grant()
            };
            let token = keys.seal(&sealed).unwrap();
            assert_eq!(token.len(), TOKEN_CHARACTERS);
            let opened = keys.open(&token).ok().unwrap();
            assert_eq!(
                (opened.id, opened.opened, opened.expires, opened.epoch),
                (sealed.id, sealed.opened, sealed.expires, sealed.epoch)
            );
            assert!(opened.key == session_key);
            assert_eq!(name_of(&token), Ok(grant().id));
        }
    }

    #[test]
    fn any_change_is_noticed() {
        let keys = MasterKeys::new(key(1, 1), vec![]);
        let token = keys.seal(&grant()).unwrap();
        for position in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character carries unused bits; the decoder refuses those too.
            assert!(keys.open(&changed).is_err(), "position {position}");
        }
        for broken in ["", "AAAA", "!!!", &token[..token.len() - 1], &format!("{token}A")] {
            assert_eq!(keys.open(broken).err(), Some(TokenRefused::Unknown), "{broken:?}");
            assert!(name_of(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_sealed_secret_opens_under_the_keys_that_are_left() {
        let secret = Zeroizing::new([6; 32]);
        let sealed = MasterKeys::new(key(1, 1), vec![])
            .seal_secret([5; 12], &secret)
            .unwrap();
        assert!(!sealed.windows(8).any(|bytes| bytes == [6; 8]), "it is in clear");
        let open = |current, previous| MasterKeys::new(current, previous).open_secret(&sealed);
        assert_eq!(open(key(1, 1), vec![]), Some((secret.clone(), true)));
        assert_eq!(open(key(2, 2), vec![key(1, 1)]), Some((secret, false)));
        assert_eq!(open(key(2, 2), vec![]), None);
        assert_eq!(open(key(1, 9), vec![]), None);
        for length in 0..sealed.len() {
            assert!(
                MasterKeys::new(key(1, 1), vec![])
                    .open_secret(&sealed[..length])
                    .is_none()
            );
        }
        // One is never taken for the other.
        let token = URL_SAFE_NO_PAD.encode(&sealed);
        assert!(MasterKeys::new(key(1, 1), vec![]).open(&token).is_err());
    }

    #[test]
    fn rotation_keeps_old_tokens_and_other_keys_are_told_apart() {
        let old = MasterKeys::new(key(1, 1), vec![]).seal(&grant()).unwrap();
        let refused = |current, previous| MasterKeys::new(current, previous).open(&old).err();
        assert_eq!(refused(key(2, 2), vec![key(1, 1)]), None);
        assert_eq!(refused(key(2, 2), vec![]), Some(TokenRefused::Foreign));
        assert_eq!(refused(key(1, 9), vec![]), Some(TokenRefused::Forged));
    }

    #[test]
    fn the_number_of_a_key_follows_from_its_secret() {
        let number = |fill| MasterKey::of_secret(&Zeroizing::new([fill; 32])).number();
        assert_eq!(number(1), number(1));
        assert_ne!(number(1), number(2));
    }

    #[test]
    fn a_short_key_leaves_no_room_for_anything_else() {
        let mut room = [1; KEY_ROOM];
        assert!(SessionKey::unseal(1, &room).is_none() && SessionKey::unseal(3, &room).is_none());
        room[KEY_ROOM - 1] = 0;
        assert!(SessionKey::unseal(1, &room).is_some() && SessionKey::unseal(3, &room).is_some());
        assert!(SessionKey::unseal(0, &room).is_none() && SessionKey::unseal(4, &room).is_none());
    }
}
