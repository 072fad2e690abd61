//! Nonces: one spelling each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_reference::property;

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = property::nonce(data) {
        panic!("{}", disagreement.0);
    }
});
