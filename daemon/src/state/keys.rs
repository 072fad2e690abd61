//! Master keys as text, and their ages.

use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use portcullis_guard::session::token::{MasterKey, MasterKeys};
use portcullis_guard::time::WallMillis;
use zeroize::Zeroizing;

/// Keys that one file may hold.
const MOST_KEYS: usize = 64;
/// As `openssl rand -base64 32` writes it, or as URLs do.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const HEADER: &str = "# Portcullis master keys: they seal session ids. The current one first. Keep this file secret.\n";

/// What is wrong with a text of keys. It never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyDefect {
    /// Bytes that are no UTF-8.
    #[error("it is not text")]
    NoText,
    /// More than anybody needs.
    #[error("it is too long")]
    TooLong,
    /// No key at all.
    #[error("there is no key in it")]
    Empty,
    /// A line that is no key.
    #[error("line {0} is not `BASE64-OF-32-BYTES [created=SECONDS] [retired=SECONDS]`")]
    Line(usize),
    /// One key twice, or two keys that tokens would name alike.
    #[error("line {0} repeats a key")]
    Repeated(usize),
    /// The first key was retired.
    #[error("the first key is retired: the current one comes first")]
    Retired,
}

struct Kept {
    secret: Zeroizing<[u8; MasterKey::BYTES]>,
    /// Seconds since the Unix epoch.
    created: Option<u64>,
    /// The same.
    retired: Option<u64>,
}

/// All keys; the first is the current one. Never empty.
pub(super) struct Keys {
    current: Kept,
    previous: Vec<Kept>,
}

impl Keys {
    pub(super) fn first(secret: Zeroizing<[u8; MasterKey::BYTES]>, now: WallMillis) -> Self {
        Self {
            current: Kept::made(secret, now),
            previous: Vec::new(),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, KeyDefect> {
        let mut keys: Vec<Kept> = Vec::new();
        let mut numbers = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = Kept::parse(line).ok_or(KeyDefect::Line(index + 1))?;
            let number = MasterKey::of_secret(&key.secret).number();
            if numbers.contains(&number) {
                return Err(KeyDefect::Repeated(index + 1));
            }
            if keys.len() == MOST_KEYS {
                return Err(KeyDefect::TooLong);
            }
            numbers.push(number);
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(KeyDefect::Empty);
        }
        let current = keys.remove(0);
        if current.retired.is_some() {
            return Err(KeyDefect::Retired);
        }
        Ok(Self {
            current,
            previous: keys,
        })
    }

    pub(super) fn to_text(&self) -> Zeroizing<String> {
        let keys = std::iter::once(&self.current).chain(&self.previous);
        // All at once, so that no half of it stays in memory that was given back.
        let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + 128 * (1 + self.previous.len())));
        text.push_str(HEADER);
        for key in keys {
            general_purpose::STANDARD.encode_string(*key.secret, &mut text);
            let times = [("created", key.created), ("retired", key.retired)];
            for (name, seconds) in times {
                if let Some(seconds) = seconds {
                    // Writing to a String does not fail.
                    let _ = write!(text, " {name}={seconds}");
                }
            }
            text.push('\n');
        }
        text
    }

    pub(super) fn master_keys(&self) -> MasterKeys {
        let wrapped = |key: &Kept| MasterKey::of_secret(&key.secret);
        MasterKeys::new(wrapped(&self.current), self.previous.iter().map(wrapped).collect())
    }

    pub(super) fn previous(&self) -> usize {
        self.previous.len()
    }

    /// How long the current key has been in use; zero if that is not known.
    pub(super) fn age(&self, now: WallMillis) -> Duration {
        let age = self
            .current
            .created
            .map(|created| now.seconds().saturating_sub(created));
        Duration::from_secs(age.unwrap_or(0))
    }

    /// These keys under a new current one, without those that were retired `lifetime` ago.
    pub(super) fn rotated(
        &self,
        secret: Zeroizing<[u8; MasterKey::BYTES]>,
        lifetime: Duration,
        now: WallMillis,
    ) -> Self {
        let retired = Kept {
            retired: Some(now.seconds()),
            ..self.current.copy()
        };
        let is_needed = |key: &&Kept| {
            let since = key.retired.map(|retired| now.seconds().saturating_sub(retired));
            since.is_none_or(|since| since < lifetime.as_secs())
        };
        let kept = self.previous.iter().filter(is_needed).map(Kept::copy);
        Self {
            current: Kept::made(secret, now),
            previous: std::iter::once(retired).chain(kept).take(MOST_KEYS - 1).collect(),
        }
    }
}

impl Kept {
    fn made(secret: Zeroizing<[u8; MasterKey::BYTES]>, now: WallMillis) -> Self {
        Self {
            secret,
            created: Some(now.seconds()),
            retired: None,
        }
    }

    fn copy(&self) -> Self {
        Self {
            secret: self.secret.clone(),
            ..*self
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let mut key = Self {
            secret: secret(words.next()?)?,
            created: None,
            retired: None,
        };
        for word in words {
            let (name, value) = word.split_once('=')?;
            let slot = match name {
                "created" => &mut key.created,
                "retired" => &mut key.retired,
                _ => return None,
            };
            if slot.replace(value.parse().ok()?).is_some() {
                return None;
            }
        }
        Some(key)
    }
}

fn secret(text: &str) -> Option<Zeroizing<[u8; MasterKey::BYTES]>> {
    // The decoder wants room for whole groups.
    let mut bytes = Zeroizing::new([0; MasterKey::BYTES + 2]);
    let decode = |alphabet, bytes: &mut [u8]| GeneralPurpose::new(alphabet, LENIENT).decode_slice(text, bytes).ok();
    let length = decode(&STANDARD, &mut *bytes).or_else(|| decode(&URL_SAFE, &mut *bytes))?;
    let whole: &[u8; MasterKey::BYTES] = bytes.get(..length)?.try_into().ok()?;
    Some(Zeroizing::new(*whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const B: &str = "__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA";

    fn defect(text: &str) -> Option<KeyDefect> {
        Keys::parse(text).err()
    }

    #[test]
    fn keys_are_read_back() {
        let text = format!("# a comment\n\n  {A} created=1800000000\n{B} created=5 retired=7 \n");
        let keys = Keys::parse(&text).unwrap();
        assert_eq!((keys.current.created, keys.previous.len()), (Some(1_800_000_000), 1));
        let again = Keys::parse(&keys.to_text()).unwrap();
        assert!(*again.current.secret == *keys.current.secret && *again.previous[0].secret == *keys.previous[0].secret);
        assert_eq!(
            (again.previous[0].created, again.previous[0].retired),
            (Some(5), Some(7))
        );
        assert_eq!(
            again.master_keys().current().number(),
            keys.master_keys().current().number()
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let short = &A[..40];
        for (text, expected) in [
            (String::new(), KeyDefect::Empty),
            ("# only a comment\n".to_owned(), KeyDefect::Empty),
            (short.to_owned(), KeyDefect::Line(1)),
            (format!("{A}\n{A}AAAA"), KeyDefect::Line(2)),
            (format!("{A} created=x"), KeyDefect::Line(1)),
            (format!("{A} created=1 created=2"), KeyDefect::Line(1)),
            (format!("{A} other=1"), KeyDefect::Line(1)),
            (format!("{A} 7"), KeyDefect::Line(1)),
            (format!("{A}\n#\n{A}"), KeyDefect::Repeated(3)),
            (format!("{A} retired=1\n{B}"), KeyDefect::Retired),
        ] {
            assert_eq!(defect(&text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_ring_stays_small() {
        let mut keys = Keys::first(Zeroizing::new([0; 32]), WallMillis(0));
        for n in 1..=200 {
            keys = keys.rotated(Zeroizing::new([n; 32]), Duration::from_secs(3600), WallMillis(0));
        }
        assert_eq!(keys.previous(), MOST_KEYS - 1);
        assert!(Keys::parse(&keys.to_text()).is_ok());
    }
}
