//! What is written from the program itself: `cargo xtask papers` writes `docs/control-api.json`; man pages and
//! completions lie in `target/assets` after each build, for packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{paths, process};

const SHELLS: [(&str, &str); 3] = [
    ("bash", "portcullis.bash"),
    ("zsh", "_portcullis"),
    ("fish", "portcullis.fish"),
];

/// Builds the program and writes all of them.
pub(crate) fn run() -> Result<()> {
    process::run(process::cargo().args(["build", "--quiet", "--package", "portcullis"]))?;
    let program = paths::target().join("debug/portcullis");
    let document = process::output(Command::new(&program).arg("openapi"))?;
    write(&paths::root().join("docs/control-api.json"), &document)?;
    assets(&program)
}

/// Man pages and completions of a program that was built.
pub(crate) fn assets(program: &Path) -> Result<()> {
    let folder = paths::target().join("assets");
    process::output(Command::new(program).arg("man").arg(folder.join("man")))?;
    for (shell, file) in SHELLS {
        let script = process::output(Command::new(program).args(["completions", shell]))?;
        write(&folder.join("completions").join(file), &script)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("failed to write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(failed)?;
    fs::write(path, text).with_context(failed)
}
