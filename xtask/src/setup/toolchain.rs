//! What was found or installed, and the note of it that makes the next time fast.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::compiler::Compiler;
use crate::paths;

/// Changes when an older toolchain would not do any more.
const VERSION: &str = "1";

/// A compiler and a linker that build the XDP program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    compiler: Compiler,
    linker: PathBuf,
}

impl Toolchain {
    pub(super) const fn new(compiler: Compiler, linker: PathBuf) -> Self {
        Self { compiler, linker }
    }

    /// The one that an earlier setup noted, if it is still there.
    pub(super) fn installed() -> Option<Self> {
        let note = fs::read_to_string(note()).ok()?;
        let toolchain = Self::parse(&note)?;
        toolchain.is_there().then_some(toolchain)
    }

    pub(super) fn save(&self) -> Result<()> {
        let note = note();
        let text = format!("{VERSION}\n{}\n{}\n", self.compiler.to_note(), self.linker.display());
        fs::write(&note, text).with_context(|| format!("failed to write {}", note.display()))
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        format!("{}, linked by {}", self.compiler.describe(), self.linker.display())
    }

    /// A `cargo build` for the BPF target that uses this toolchain and nothing of the caller's.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = self.compiler.cargo();
        // Whoever runs us may have set these for the host; here they would do harm.
        for variable in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOCFLAGS"] {
            cargo.env_remove(variable);
        }
        let flags = [
            format!("-Clinker={}", self.linker.display()),
            "-Clink-arg=--btf".to_owned(),
            "-Cdebuginfo=2".to_owned(),
            format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        ];
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "fallback");
        cargo
    }

    /// What a build depends on beside the sources.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{VERSION} {} {}", self.compiler.to_note(), self.linker.display())
    }

    fn parse(note: &str) -> Option<Self> {
        let mut lines = note.lines();
        if lines.next()? != VERSION {
            return None;
        }
        Some(Self {
            compiler: Compiler::from_note(lines.next()?)?,
            linker: PathBuf::from(lines.next()?),
        })
    }

    fn is_there(&self) -> bool {
        self.compiler
            .files()
            .into_iter()
            .chain([self.linker.as_path()])
            .all(Path::exists)
    }
}

fn note() -> PathBuf {
    paths::toolchain().join("ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_back() {
        let note = format!("{VERSION}\nprebuilt /opt/root\n/opt/bin/bpf-linker\n");
        let toolchain = Toolchain::parse(&note).unwrap();
        assert_eq!(toolchain.compiler.to_note(), "prebuilt /opt/root");
        assert_eq!(toolchain.linker, Path::new("/opt/bin/bpf-linker"));
        assert_eq!(Toolchain::parse("0\nprebuilt /opt/root\n/x\n"), None);
    }
}
