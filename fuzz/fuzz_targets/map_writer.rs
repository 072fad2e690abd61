//! Whoever writes the maps, and the program that reads them, in the running kernel. Needs root and the built program.

#![no_main]

#[path = "../../tests/src/plain_list.rs"]
mod plain_list;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use portcullis::enforcer::Enforcer;

static ENFORCER: LazyLock<Enforcer> = LazyLock::new(plain_list::enforcer);

fuzz_target!(|data: &[u8]| plain_list::play(&ENFORCER, data));
