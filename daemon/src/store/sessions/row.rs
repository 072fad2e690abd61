//! How a row is written down: a version, when it was used last and opened, what it says, and a checksum over all of that
//! and the key. A row that is anything else is garbled: nothing is guessed.
//!
//! What it says has the layout of the guard's own types, by serde. Whoever changes one of those changes [`VERSION`] too; a
//! test knows a row of this one by heart.

use portcullis_guard::time::{MonoMillis, WallMillis};
use serde::Serialize;
use serde::de::DeserializeOwned;
use siphasher::sip::SipHasher13;

const VERSION: u8 = 1;
const HEAD: usize = 1 + 8 + 8;
const SUM: usize = 8;

/// What can be told of a row without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// When it mattered last.
    pub(super) used: MonoMillis,
    /// Of a session: when it was opened.
    pub(super) opened: WallMillis,
}

/// A row. `None` only for what cannot be written down, which the guard does not have.
pub(super) fn write(key: &[u8], head: Head, value: &impl Serialize) -> Option<Vec<u8>> {
    let mut row = Vec::with_capacity(256);
    row.push(VERSION);
    row.extend(head.used.0.to_be_bytes());
    row.extend(head.opened.0.to_be_bytes());
    let mut row = postcard::to_extend(value, row).ok()?;
    let sum = sum(key, &row);
    row.extend(sum);
    Some(row)
}

pub(super) fn head(row: &[u8]) -> Option<Head> {
    let (_, rest) = row.split_first().filter(|(version, _)| **version == VERSION)?;
    let (used, rest) = rest.split_first_chunk()?;
    let (opened, _) = rest.split_first_chunk()?;
    Some(Head {
        used: MonoMillis(u64::from_be_bytes(*used)),
        opened: WallMillis(u64::from_be_bytes(*opened)),
    })
}

pub(super) fn read<T: DeserializeOwned>(key: &[u8], row: &[u8]) -> Option<T> {
    let (said, stored) = row.split_last_chunk::<SUM>()?;
    head(said)?;
    if sum(key, said) != *stored {
        return None;
    }
    let (value, rest) = postcard::take_from_bytes(said.get(HEAD..)?).ok()?;
    rest.is_empty().then_some(value)
}

/// Against mistakes of disks and of our own; who can write the file can write anything.
fn sum(key: &[u8], said: &[u8]) -> [u8; SUM] {
    let words = (key.len() as u64).to_be_bytes();
    SipHasher13::new().hash(&[&words[..], key, said].concat()).to_be_bytes()
}
