//! Randomness: from the kernel for whatever must be secret, from a small generator for what must only be different.

use std::cell::Cell;
use std::io;

use portcullis_guard::request::Reference;
use portcullis_guard::session::agreement::SessionEntropy;
use zeroize::Zeroizing;

/// The kernel gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the kernel gave no random bytes: {0}")]
pub struct NoRandomness(#[from] io::Error);

/// Fills all of `bytes` by the system call itself (getrandom(2)): what looks it up among shared libraries finds none in the
/// static program, and reads a device instead, which a bare root does not have.
///
/// # Errors
/// [`NoRandomness`].
pub fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: the kernel writes at most `rest.len()` bytes to where `rest` is.
        let filled = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(filled) {
            Ok(filled) => rest = std::mem::take(&mut rest).get_mut(filled..).unwrap_or_default(),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error.into()),
            },
        }
    }
    Ok(())
}

/// Secret random bytes.
///
/// # Errors
/// [`NoRandomness`]; nothing can be opened or sealed then.
pub fn secret() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(&mut *bytes)?;
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
    fill(&mut entropy.id)?;
    fill(&mut entropy.salt)?;
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
    let mut bytes = [0; 8];
    fill(&mut bytes).map_or_else(|_| crate::clock::monotonic().0, |()| u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_filled() {
        // More than the kernel gives at once to whoever may be interrupted, and nothing.
        let mut bytes = vec![0; 1000];
        fill(&mut bytes).unwrap();
        assert!(bytes.chunks(50).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
        fill(&mut []).unwrap();
    }

    #[test]
    fn references_differ() {
        let many: std::collections::HashSet<_> = (0..10_000).map(|_| reference()).collect();
        assert_eq!(many.len(), 10_000);
    }
}
