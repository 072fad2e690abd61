//! `Content-Digest`, a line feed, a body: no digest passes that is not right.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_reference::property;

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = property::content_digest(data) {
        panic!("{}", disagreement.0);
    }
});
