//! Randomness: from the kernel for whatever must be secret, from a small generator for what must only be different.

use std::cell::Cell;

use portcullis_guard::request::Reference;
use portcullis_guard::session::agreement::SessionEntropy;
use zeroize::Zeroizing;

/// The kernel gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the kernel gave no random bytes: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

/// Secret random bytes.
///
/// # Errors
/// [`NoRandomness`]; nothing can be opened or sealed then.
pub fn secret() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(bytes)
}

/// What one new session needs.
///
/// # Errors
/// [`NoRandomness`].
pub fn session_entropy() -> Result<SessionEntropy, NoRandomness> {
    let mut entropy = SessionEntropy {
        id: [0; 12],
        secret: secret()?,
        salt: [0; 32],
    };
    getrandom::fill(&mut entropy.id)?;
    getrandom::fill(&mut entropy.salt)?;
    Ok(entropy)
}

thread_local! {
    static STATE: Cell<u64> = Cell::new(seed());
}

/// A reference that no other request has: SplitMix64 from a random start.
#[must_use]
pub fn reference() -> Reference {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Reference(mixed ^ (mixed >> 31))
    })
}

fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| crate::clock::monotonic().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_differ() {
        let many: std::collections::HashSet<_> = (0..10_000).map(|_| reference()).collect();
        assert_eq!(many.len(), 10_000);
    }
}
