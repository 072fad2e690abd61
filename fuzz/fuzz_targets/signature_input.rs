//! `Signature-Input`: what the guard reads, the reference reads as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_reference::property;

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = property::signature_input(data) {
        panic!("{}", disagreement.0);
    }
});
