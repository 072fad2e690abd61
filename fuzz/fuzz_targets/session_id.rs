//! Session ids: only those that were given out open.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portcullis_reference::session::Issued;

static ISSUED: LazyLock<Issued> = LazyLock::new(Issued::new);

fuzz_target!(|data: &[u8]| {
    if let Err(disagreement) = ISSUED.check_changed(data) {
        panic!("{}", disagreement.0);
    }
});
