//! Heads of requests: both build the same signature base.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_reference::property;

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = property::base(data) {
        panic!("{}", disagreement.0);
    }
});
