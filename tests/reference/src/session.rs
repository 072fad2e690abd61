//! Session ids and whole sessions: the reference remembers everything that the guard ever gave out or accepted.

use portcullis_guard::session::SessionId;
use portcullis_guard::session::token::{
    Epoch, MasterKey, MasterKeys, SessionGrant, SessionKey, SigningKey, TokenRefused, name_of,
};
use portcullis_guard::time::WallMillis;
use zeroize::Zeroizing;

use super::{Agreed, Disagreement, same};

/// A gate's keys and the session ids that were sealed under them.
pub struct Issued {
    keys: MasterKeys,
    tokens: Vec<(String, SessionId)>,
}

impl Issued {
    /// Some of each kind: under the current and an earlier key, and of each algorithm.
    #[must_use]
    pub fn new() -> Self {
        let key = |number: u8| MasterKey::of_secret(&Zeroizing::new([number; 32]));
        let old = MasterKeys::new(key(1), vec![]);
        let keys = MasterKeys::new(key(2), vec![key(1)]);
        let kinds = [
            SessionKey::Hmac(SigningKey([3; 32])),
            SessionKey::EcdsaP256([2; 33]),
            SessionKey::Ed25519([4; 32]),
        ];
        let mut tokens = Vec::new();
        for (number, key) in (0u8..).zip(kinds) {
            for (place, keys) in [&old, &keys].into_iter().enumerate() {
                let id = SessionId([number * 2 + u8::from(place == 1); 12]);
                let grant = SessionGrant {
                    id,
                    opened: WallMillis(1_800_000_000_000),
                    expires: WallMillis(1_800_003_600_000),
                    epoch: Epoch([7; 8]),
                    key: key.clone(),
                };
                tokens.extend(keys.seal(&grant).map(|token| (token, id)));
            }
        }
        Self { keys, tokens }
    }

    /// All of them.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|(token, _)| token.as_str())
    }

    /// A text that may be a session id. Only those that were given out open, each in one spelling, and the name that is
    /// looked up is the one inside.
    ///
    /// # Errors
    /// [`Disagreement`].
    pub fn check(&self, text: &[u8]) -> Agreed {
        let Ok(text) = std::str::from_utf8(text) else {
            return Ok(false);
        };
        let known = self.tokens.iter().find(|(token, _)| token == text);
        match (self.keys.open(text), known) {
            (Ok(grant), Some((_, id))) => {
                same("the name", &grant.id, id)?;
                same("the name that is looked up", &name_of(text), &Ok(*id))?;
                Ok(true)
            }
            (Ok(grant), None) => Err(Disagreement(format!("{text:?} opened as {}", grant.id))),
            (Err(refused), Some(_)) => Err(Disagreement(format!("{text:?} was given out and is {refused:?}"))),
            (Err(TokenRefused::Unknown | TokenRefused::Foreign | TokenRefused::Forged), None) => Ok(false),
        }
    }
}

impl Issued {
    /// The same for a fuzzer, which guesses no session id: `$` and a digit stand for one of those that were given out,
    /// and pairs of bytes behind it (a place, counted from the space character, and what to put there) change it.
    ///
    /// # Errors
    /// [`Disagreement`].
    pub fn check_changed(&self, data: &[u8]) -> Agreed {
        let [b'$', number, changes @ ..] = data else {
            return self.check(data);
        };
        let Some((token, _)) = self.tokens.get(usize::from(number.wrapping_sub(b'0'))) else {
            return Ok(false);
        };
        let mut text = token.clone().into_bytes();
        for change in changes.chunks_exact(2) {
            if let Some(place) = text.get_mut(usize::from(change[0].wrapping_sub(b' '))) {
                *place = change[1];
            }
        }
        self.check(&text)
    }
}

impl Default for Issued {
    fn default() -> Self {
        Self::new()
    }
}
