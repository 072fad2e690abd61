//! Which types may be copied between the kernel and the daemon byte by byte.

/// A type whose every byte is initialised and for which every bit pattern is a value.
///
/// # Safety
///
/// The type is `repr(C)` or `repr(transparent)`, has no padding, and neither niches nor pointers.
pub unsafe trait Plain: Copy + 'static {}

// SAFETY: integers have no padding and no invalid bit pattern.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: an array has no padding of its own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}
