//! A Rust compiler with a `core` for `bpfel-unknown-none`: built by itself, or shipped with it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{debian, is_debian, may_install, say, version_line};
use crate::process;

/// What the workspace asks for, as (major, minor).
const OLDEST: (u32, u32) = (1, 95);

/// A compiler for the BPF target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// rustup's nightly with the component rust-src: builds `core` with the program.
    Nightly {
        /// The folder of the toolchain.
        sysroot: PathBuf,
    },
    /// A compiler that ships `core` for the target.
    Prebuilt {
        /// The folder that its `usr` is in: `/`, or a private one.
        root: PathBuf,
    },
}

pub(super) fn find_or_install(folder: &Path) -> Result<Compiler> {
    let private = folder.join("root");
    let candidates = [
        nightly(),
        Some(Compiler::Prebuilt { root: "/".into() }),
        Some(Compiler::Prebuilt { root: private.clone() }),
    ];
    for compiler in candidates.into_iter().flatten() {
        if compiler.works() {
            say(&format!("using {}", compiler.describe()));
            return Ok(compiler);
        }
    }
    if !is_debian() || !may_install() {
        bail!("{}", missing());
    }
    debian::unpack_compiler(&private)?;
    let compiler = Compiler::Prebuilt { root: private };
    if !compiler.works() {
        bail!("the compiler that Debian has cannot build for BPF\n{}", missing());
    }
    Ok(compiler)
}

impl Compiler {
    /// cargo with this compiler, and `build` for the BPF target as its first arguments.
    pub(super) fn cargo(&self) -> Command {
        match self {
            Self::Nightly { sysroot } => {
                let mut cargo = Command::new(sysroot.join("bin/cargo"));
                cargo
                    .env("RUSTC", sysroot.join("bin/rustc"))
                    .args(["build", "-Zbuild-std=core"])
                    .args(["--target", TARGET]);
                cargo
            }
            Self::Prebuilt { .. } => {
                // The cargo that runs us, and not rustup's proxy, which would choose the compiler.
                let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
                cargo
                    .env("RUSTC", self.rustc())
                    .env("LD_LIBRARY_PATH", self.libraries())
                    // aya's macros use what a stable compiler calls unstable for this target.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .args(["build", "--target", TARGET]);
                cargo
            }
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Nightly { sysroot } => format!("the nightly compiler in {}", sysroot.display()),
            Self::Prebuilt { .. } => format!("the compiler {}", self.rustc().display()),
        }
    }

    /// The major version of the LLVM in it.
    pub(super) fn llvm(&self) -> Result<u32> {
        let version = process::output(&mut self.version())?;
        version_line(&version, "LLVM version")
            .and_then(|llvm| llvm.split('.').next()?.parse().ok())
            .with_context(|| format!("{} does not tell its LLVM", self.rustc().display()))
    }

    /// Where it has its shared libraries.
    pub(super) fn libraries(&self) -> PathBuf {
        match self {
            Self::Nightly { sysroot } => sysroot.join("lib"),
            Self::Prebuilt { root } => debian::library_folder(root),
        }
    }

    pub(super) fn to_note(&self) -> String {
        match self {
            Self::Nightly { sysroot } => format!("nightly {}", sysroot.display()),
            Self::Prebuilt { root } => format!("prebuilt {}", root.display()),
        }
    }

    pub(super) fn from_note(note: &str) -> Option<Self> {
        match note.split_once(' ')? {
            ("nightly", sysroot) => Some(Self::Nightly {
                sysroot: sysroot.into(),
            }),
            ("prebuilt", root) => Some(Self::Prebuilt { root: root.into() }),
            _ => None,
        }
    }

    /// What must exist for it to work.
    pub(super) fn files(&self) -> Vec<&Path> {
        match self {
            Self::Nightly { sysroot } => vec![sysroot],
            Self::Prebuilt { root } => vec![root],
        }
    }

    /// Whether it starts, is new enough, and has what makes `core`.
    fn works(&self) -> bool {
        self.core().exists()
            && process::output(&mut self.version())
                .ok()
                .and_then(|version| release(&version))
                .is_some_and(|release| release >= OLDEST)
    }

    fn core(&self) -> PathBuf {
        match self {
            Self::Nightly { sysroot } => sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml"),
            Self::Prebuilt { root } => root.join("usr/lib/rustlib").join(TARGET).join("lib"),
        }
    }

    fn rustc(&self) -> PathBuf {
        match self {
            Self::Nightly { sysroot } => sysroot.join("bin/rustc"),
            Self::Prebuilt { root } => root.join("usr/bin/rustc"),
        }
    }

    fn version(&self) -> Command {
        let mut rustc = Command::new(self.rustc());
        rustc.arg("-vV").env("LD_LIBRARY_PATH", self.libraries());
        rustc
    }
}

const TARGET: &str = "bpfel-unknown-none";

fn nightly() -> Option<Compiler> {
    let mut rustc = Command::new("rustup");
    rustc.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    // Else rustup would install a nightly that is not there, from a place that may not answer.
    rustc.env("RUSTUP_AUTO_INSTALL", "0");
    let sysroot = process::output(&mut rustc).ok()?;
    Some(Compiler::Nightly {
        sysroot: sysroot.trim().into(),
    })
}

fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version_line(version, "release")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn missing() -> String {
    let mut text = format!(
        "no compiler for the XDP program: it takes Rust {}.{} or later with a `core` for {TARGET}\n\
         hint: rustup toolchain install nightly --component rust-src",
        OLDEST.0, OLDEST.1
    );
    if is_debian() {
        text.push_str(
            "\nhint: or let `cargo xtask setup` unpack Debian's compiler into a private folder \
             (do not set PORTCULLIS_NO_INSTALL)",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert_eq!(release("rustc 1.96.0\nrelease: 1.96.0-nightly\n"), Some((1, 96)));
        assert!((1, 100) > OLDEST);
    }

    #[test]
    fn notes_are_read_back() {
        for note in ["nightly /a/b", "prebuilt /c"] {
            assert_eq!(Compiler::from_note(note).unwrap().to_note(), note);
        }
        assert_eq!(Compiler::from_note("other /a"), None);
    }
}
