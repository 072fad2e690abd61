//! A second reading of the profile `portcullis-1`, written from docs/protocol.md and the RFCs and not from the guard:
//! slow, simple, over whole syntax trees. And the [`property`]s that hold the guard to it: whatever the guard accepts,
//! this accepts too, and reads as the same.
//!
//! The fuzz targets (`fuzz/`) and the tests of this package run the same properties.

#![forbid(unsafe_code)]

pub mod base64;
pub mod digest;
pub mod fields;
pub mod profile;
pub mod property;
pub mod seed;
pub mod serialise;
pub mod session;
pub mod ticket;
pub mod work;

/// The guard accepted what it should not have, or read it as something else.
#[derive(Debug, PartialEq, Eq)]
pub struct Disagreement(pub String);

/// Whether the guard accepted an input. Either is fine; tests look that their inputs bring both.
pub type Agreed = Result<bool, Disagreement>;

/// A disagreement unless both are the same.
///
/// # Errors
/// [`Disagreement`].
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, guard: &T, reference: &T) -> Result<(), Disagreement> {
    if guard == reference {
        Ok(())
    } else {
        Err(Disagreement(format!(
            "{what}: the guard reads {guard:?}, the reference {reference:?}"
        )))
    }
}
