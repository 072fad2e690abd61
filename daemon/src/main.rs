//! The `portcullis` command.

use mimalloc::MiMalloc;
use portcullis::cli::{self, ExitStatus};

/// Gives pages back when connections rest; see docs/dependencies.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitStatus {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    lookups::without_modules();
    cli::main()
}

/// Names of users, groups and servers in a program without shared libraries.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
mod lookups {
    use std::ffi::{CStr, c_char, c_int};

    unsafe extern "C" {
        /// `<nss.h>` of glibc.
        safe fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    /// What is looked up, and how: by what is part of the program itself.
    const SOURCES: [(&CStr, &CStr); 4] = [
        (c"passwd", c"files"),
        (c"group", c"files"),
        (c"initgroups", c"files"),
        (c"hosts", c"files dns"),
    ];

    /// The modules that `/etc/nsswitch.conf` names are made for another libc than the one in here, and would crash it.
    pub(super) fn without_modules() {
        for (database, services) in SOURCES {
            __nss_configure_lookup(database.as_ptr(), services.as_ptr());
        }
    }
}
