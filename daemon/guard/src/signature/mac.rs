//! HMAC-SHA256 (RFC 2104) for verification: a key costs 64 bytes of memory, and the two blocks that depend on the key
//! alone are hashed once for a session, not once for a call.

use sha2::block_api::compress256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::are_equal;
use crate::session::token::SigningKey;

const BLOCK: usize = 64;
/// The initial state of SHA-256 (FIPS 180-4 section 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A key, with the state of both hashes after their first block.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl MacKey {
    /// Prepares a key.
    #[must_use]
    pub fn new(key: &SigningKey) -> Self {
        let after = |pad: u8| {
            let mut block = Zeroizing::new([pad; BLOCK]);
            block.iter_mut().zip(key.0).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress256(&mut state, std::slice::from_ref(&*block));
            state
        };
        Self {
            inner: after(0x36),
            outer: after(0x5c),
        }
    }

    /// The tag of a message.
    #[must_use]
    pub fn tag(&self, message: &[u8]) -> [u8; 32] {
        let inner = finish(self.inner, message);
        finish(self.outer, &inner)
    }

    /// Whether this is the tag of a message. Constant-time.
    #[must_use]
    pub fn matches(&self, message: &[u8], presented: &[u8]) -> bool {
        let presented = presented.try_into();
        presented.is_ok_and(|presented| are_equal(&self.tag(message), presented))
    }
}

/// Hashes the rest of a message of which one block was hashed, with padding (FIPS 180-4 section 5.1.1).
fn finish(mut state: [u32; 8], rest: &[u8]) -> [u8; 32] {
    const LENGTH: usize = 8;
    let (blocks, tail) = rest.as_chunks::<BLOCK>();
    compress256(&mut state, blocks);
    let mut last = [[0; BLOCK]; 2];
    let flat = last.as_flattened_mut();
    flat[..tail.len()].copy_from_slice(tail);
    flat[tail.len()] = 0x80;
    let used = if tail.len() + 1 + LENGTH <= BLOCK { 1 } else { 2 };
    let bits = (BLOCK as u64 + rest.len() as u64) * 8;
    flat[used * BLOCK - LENGTH..used * BLOCK].copy_from_slice(&bits.to_be_bytes());
    compress256(&mut state, &last[..used]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

#[cfg(test)]
mod tests {
    use hmac::Mac;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_length_around_the_blocks_is_padded_as_it_must() {
        let key = SigningKey([7; 32]);
        for length in 0..=300 {
            let message = vec![b'm'; length];
            let mut reference = key.hmac();
            reference.update(&message);
            let tag: [u8; 32] = reference.finalize().into_bytes().into();
            assert_eq!(MacKey::new(&key).tag(&message), tag, "{length}");
        }
    }

    #[test]
    fn a_tag_is_compared_whole() {
        let key = MacKey::new(&SigningKey([1; 32]));
        let tag = key.tag(b"message");
        assert!(key.matches(b"message", &tag));
        let longer = [&tag[..], &[0]].concat();
        let wrong: [&[u8]; 4] = [b"", &tag[..31], &tag[..1], &longer];
        assert!(wrong.iter().all(|wrong| !key.matches(b"message", wrong)));
        for bit in 0..256 {
            let mut changed = tag;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.matches(b"message", &changed), "{bit}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_hmac_of_the_library(key: [u8; 32], message in prop::collection::vec(any::<u8>(), 0..700)) {
            let key = SigningKey(key);
            let mut reference = key.hmac();
            reference.update(&message);
            let tag: [u8; 32] = reference.finalize().into_bytes().into();
            prop_assert_eq!(MacKey::new(&key).tag(&message), tag);
        }
    }
}
