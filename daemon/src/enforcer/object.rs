//! The XDP program as it was compiled into the daemon.

use aya::include_bytes_aligned;

use super::EnforcerError;

/// Put there by the build script; empty if it found none.
static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portcullis-ebpf"));

/// The ELF object.
pub fn bytes() -> Result<&'static [u8], EnforcerError> {
    if OBJECT.is_empty() {
        return Err(EnforcerError::NotBuilt);
    }
    Ok(OBJECT)
}

/// Whether there is one.
pub fn is_embedded() -> bool {
    !OBJECT.is_empty()
}
