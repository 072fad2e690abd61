//! Tickets: what the guard reads, the reference reads as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = portcullis_reference::ticket::ticket(data) {
        panic!("{}", disagreement.0);
    }
});
