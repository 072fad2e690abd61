//! Queries with tickets: nobody who decodes names finds another ticket than the guard.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = portcullis_reference::ticket::query(data) {
        panic!("{}", disagreement.0);
    }
});
