//! bpf-linker, which must be of the compiler's LLVM.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{compiler::Compiler, may_install, say};
use crate::process;

const VERSION: &str = "0.13.0";
/// The versions of LLVM that this version can be built for.
const LLVMS: std::ops::RangeInclusive<u32> = 21..=23;

pub(super) fn find_or_install(folder: &Path, compiler: &Compiler) -> Result<PathBuf> {
    let llvm = compiler.llvm()?;
    let own = folder.join(format!("linker-{VERSION}-llvm-{llvm}"));
    let linker = own.join("bin/bpf-linker");
    if works(&linker) {
        return Ok(linker);
    }
    // Who uses rustup's nightly for eBPF has a matching bpf-linker of his own, usually.
    if let (Compiler::Nightly { .. }, Some(linker)) = (compiler, in_path()) {
        return Ok(linker);
    }
    let library = library(llvm, compiler);
    match library {
        Some(library) if may_install() && LLVMS.contains(&llvm) => {
            build(&own, llvm, &library)?;
            Ok(linker)
        }
        Some(_) | None => bail!(
            "no bpf-linker for LLVM {llvm}, which {} has\nhint: cargo install bpf-linker",
            compiler.describe()
        ),
    }
}

fn build(own: &Path, llvm: u32, library: &Path) -> Result<()> {
    say(&format!(
        "building bpf-linker {VERSION} for LLVM {llvm} (about half a minute)"
    ));
    let prefix = own.join("llvm");
    link_library(&prefix, llvm, library)?;
    let target = own.join("build");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--quiet",
            "--force",
            "--debug",
        ])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
        .arg(own)
        .env("LLVM_PREFIX", &prefix)
        .env("CARGO_TARGET_DIR", &target)
        // Unoptimised takes half of the time to build; the work is done by LLVM in its library.
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .env("CARGO_PROFILE_DEV_STRIP", "true");
    for variable in ["RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    // Out of the checkout, whose .cargo/config.toml is not meant for it.
    process::output(cargo.current_dir(own))?;
    fs::remove_dir_all(&target).with_context(|| format!("failed to remove {}", target.display()))
}

/// The prefix that bpf-linker's build wants: a folder `lib` with the library in it.
fn link_library(prefix: &Path, llvm: u32, library: &Path) -> Result<()> {
    let folder = prefix.join("lib");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let soname = library.file_name().context("a library without a name")?.to_owned();
    for name in [soname, "libLLVM.so".into(), format!("libLLVM-{llvm}.so").into()] {
        std::os::unix::fs::symlink(library, folder.join(name)).context("failed to link the LLVM library")?;
    }
    Ok(())
}

/// LLVM as a shared library: the compiler's, or the one installed.
fn library(llvm: u32, compiler: &Compiler) -> Option<PathBuf> {
    let installed = super::debian::library_folder(Path::new("/"));
    let prefix = format!("libLLVM.so.{llvm}.");
    [compiler.libraries(), installed].iter().find_map(|folder| {
        fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            })
    })
}

fn in_path() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join("bpf-linker"))
        .find(|linker| works(linker))
}

fn works(linker: &Path) -> bool {
    linker.exists() && process::output(Command::new(linker).arg("--version")).is_ok()
}
