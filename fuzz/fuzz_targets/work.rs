//! Histories of answers to proof of work: each challenge once, in time, from its source, solved.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = portcullis_reference::work::answers(data) {
        panic!("{}", disagreement.0);
    }
});
