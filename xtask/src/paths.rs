//! Where things are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The checkout.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        // Cargo takes a relative one from where it was started, and xtask is started there.
        Some(directory) => env::current_dir().unwrap_or_default().join(directory),
        None => root().join("target"),
    }
}

/// The eBPF objects that the daemon's build script and the benches take.
pub(crate) fn objects() -> PathBuf {
    target().join("bpf")
}

/// What `setup` downloads and builds. Outside of the target directory, so that `cargo clean` and a
/// second checkout do not cost it again; `PORTCULLIS_TOOLCHAIN_DIR` puts it elsewhere.
pub(crate) fn toolchain() -> PathBuf {
    if let Some(directory) = env::var_os("PORTCULLIS_TOOLCHAIN_DIR") {
        return env::current_dir().unwrap_or_default().join(directory);
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cache")));
    match cache {
        Some(cache) => cache.join("portcullis").join("toolchain"),
        None => target().join("toolchain"),
    }
}
