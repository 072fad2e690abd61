//! The session id on the wire: an AEAD-sealed token, so that the gate remembers nothing of sessions that are opened
//! and never used.
//!
//! ```text
//! version(1) key-id(1) id(12) seal{ opened-ms(8) expires-ms(8) epoch(8) key(32) } tag(16)   base64url, 112 characters
//! ```
//! ChaCha20-Poly1305 (RFC 8439); the id is the nonce: random, so at most 2^32 tokens are sealed under one master key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hmac::Hmac;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::SessionId;
use crate::time::WallMillis;

const VERSION: u8 = 1;
const HEADER: usize = 2 + SessionId::BYTES;
const SEALED: usize = 8 + 8 + 8 + SigningKey::BYTES;
const TAG: usize = 16;
const TOKEN: usize = HEADER + SEALED + TAG;

/// Characters of a token on the wire.
pub const TOKEN_CHARACTERS: usize = TOKEN.div_ceil(3) * 4 - (3 - TOKEN % 3) % 3;

/// The key that a session signs with.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
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
    /// When it ends.
    pub expires: WallMillis,
    /// In which run of the daemon it was opened.
    pub epoch: Epoch,
    /// What it signs with.
    pub key: SigningKey,
}

/// A key that seals tokens, with the number that tokens name it by.
pub struct MasterKey {
    number: u8,
    cipher: ChaCha20Poly1305,
}

impl MasterKey {
    /// Length of the secret in bytes.
    pub const BYTES: usize = 32;

    /// Wraps a secret.
    #[must_use]
    pub fn new(number: u8, secret: &Zeroizing<[u8; Self::BYTES]>) -> Self {
        Self {
            number,
            cipher: ChaCha20Poly1305::new(&Key::from(**secret)),
        }
    }
}

/// The master keys: new tokens are sealed under the first, and those of the others still open.
pub struct MasterKeys {
    current: MasterKey,
    previous: Vec<MasterKey>,
}

/// A text that is no token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session id of this gate")]
pub struct ForgedToken;

impl MasterKeys {
    /// Seals under `current`, opens under all.
    #[must_use]
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Self {
        Self { current, previous }
    }

    /// Seals a grant into the session id that the client gets. `None` only if the cipher fails, which it cannot for
    /// a message of this length.
    #[must_use]
    pub fn seal(&self, grant: &SessionGrant) -> Option<String> {
        let mut plain = Zeroizing::new(Vec::with_capacity(SEALED));
        plain.extend_from_slice(&grant.opened.0.to_be_bytes());
        plain.extend_from_slice(&grant.expires.0.to_be_bytes());
        plain.extend_from_slice(&grant.epoch.0);
        plain.extend_from_slice(&grant.key.0);
        let header = [VERSION, self.current.number];
        let payload = Payload {
            msg: &plain,
            aad: &header,
        };
        let sealed = self.current.cipher.encrypt(&Nonce::from(grant.id.0), payload).ok()?;
        let token = [&header[..], &grant.id.0, &sealed].concat();
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens a session id. Costs one decryption of 56 bytes.
    ///
    /// # Errors
    /// [`ForgedToken`] for whatever this gate did not seal under a key it still has.
    pub fn open(&self, text: &str) -> Result<SessionGrant, ForgedToken> {
        let token = decode(text)?;
        let (header, sealed) = token.split_at_checked(HEADER).ok_or(ForgedToken)?;
        let [version, number, id @ ..] = header else {
            return Err(ForgedToken);
        };
        let id = SessionId(id.try_into().map_err(|_| ForgedToken)?);
        let key = self
            .by_number(*number)
            .filter(|_| *version == VERSION)
            .ok_or(ForgedToken)?;
        let payload = Payload {
            msg: sealed,
            aad: &[*version, *number],
        };
        let plain = key
            .cipher
            .decrypt(&Nonce::from(id.0), payload)
            .map(Zeroizing::new)
            .map_err(|_| ForgedToken)?;
        let (opened, rest) = plain.split_first_chunk().ok_or(ForgedToken)?;
        let (expires, rest) = rest.split_first_chunk().ok_or(ForgedToken)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or(ForgedToken)?;
        let secret = rest.try_into().map_err(|_| ForgedToken)?;
        Ok(SessionGrant {
            id,
            opened: WallMillis(u64::from_be_bytes(*opened)),
            expires: WallMillis(u64::from_be_bytes(*expires)),
            epoch: Epoch(*epoch),
            key: SigningKey(secret),
        })
    }

    fn by_number(&self, number: u8) -> Option<&MasterKey> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.number == number)
    }
}

/// The name inside a session id, without opening it: enough to look it up, proves nothing.
///
/// # Errors
/// [`ForgedToken`] if the text has not the form of a token.
pub fn name_of(text: &str) -> Result<SessionId, ForgedToken> {
    /// As many characters as the header needs, and one byte more.
    const CHARACTERS: usize = 20;
    let mut start = [0; CHARACTERS / 4 * 3];
    let head = text
        .get(..CHARACTERS)
        .filter(|_| text.len() == TOKEN_CHARACTERS)
        .ok_or(ForgedToken)?;
    URL_SAFE_NO_PAD
        .decode_slice(head, &mut start)
        .map_err(|_| ForgedToken)?;
    let id = start.get(2..HEADER).and_then(|id| id.try_into().ok());
    id.map(SessionId).ok_or(ForgedToken)
}

fn decode(text: &str) -> Result<[u8; TOKEN], ForgedToken> {
    let mut token = [0; TOKEN];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut token) {
        Ok(TOKEN) => Ok(token),
        Ok(_) | Err(_) => Err(ForgedToken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(number: u8, fill: u8) -> MasterKey {
        MasterKey::new(number, &Zeroizing::new([fill; 32]))
    }

    fn grant() -> SessionGrant {
        SessionGrant {
            id: SessionId([7; 12]),
            opened: WallMillis(1_800_000_000_000),
            expires: WallMillis(1_800_003_600_000),
            epoch: Epoch([9; 8]),
            key: SigningKey([3; 32]),
        }
    }

    #[test]
    fn a_token_opens_to_what_was_sealed() {
        let keys = MasterKeys::new(keys(1, 1), vec![]);
        let token = keys.seal(&grant()).unwrap();
        assert_eq!(token.len(), TOKEN_CHARACTERS);
        let opened = keys.open(&token).unwrap();
        assert_eq!(
            (opened.id, opened.opened, opened.expires),
            (grant().id, grant().opened, grant().expires)
        );
        assert_eq!((opened.epoch, opened.key.0), (grant().epoch, grant().key.0));
        assert_eq!(name_of(&token), Ok(grant().id));
    }

    #[test]
    fn any_change_is_noticed() {
        let keys = MasterKeys::new(keys(1, 1), vec![]);
        let token = keys.seal(&grant()).unwrap();
        for position in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character carries unused bits; the decoder refuses those too.
            assert!(keys.open(&changed).is_err(), "position {position}");
        }
        for broken in ["", "AAAA", "!!!", &token[..token.len() - 1], &format!("{token}A")] {
            assert!(keys.open(broken).is_err() && name_of(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn rotation_keeps_old_tokens_and_foreign_keys_open_nothing() {
        let old = MasterKeys::new(keys(1, 1), vec![]).seal(&grant()).unwrap();
        assert!(MasterKeys::new(keys(2, 2), vec![keys(1, 1)]).open(&old).is_ok());
        assert!(MasterKeys::new(keys(2, 2), vec![]).open(&old).is_err());
        assert!(MasterKeys::new(keys(1, 9), vec![]).open(&old).is_err());
    }
}
