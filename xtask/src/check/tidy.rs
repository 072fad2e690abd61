//! Rules about the shape of the tree. Each rule returns what breaks it, with the place and what to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{paths, process};

/// Lines that a source file may have before its tests.
const LONGEST_FILE: usize = 450;

/// What each inner crate may depend on; the others are free.
const CRATE_EDGES: [(&str, &[&str]); 3] = [
    ("portcullis-common", &[]),
    ("portcullis-ebpf", &["aya-ebpf", "aya-log-ebpf", "portcullis-common"]),
    (
        "portcullis-guard",
        &[
            "base64",
            "chacha20poly1305",
            "ed25519-dalek",
            "hashbrown",
            "hkdf",
            "hmac",
            "http",
            "ipnet",
            "lru",
            "p256",
            "serde",
            "sfv",
            "sha2",
            "siphasher",
            "subtle",
            "thiserror",
            "zeroize",
        ],
    ),
];

/// Modules of the daemon that must not know of others.
const MODULE_EDGES: [(&str, &[&str]); 7] = [
    ("admin", &["crate::proxy", "crate::listener", "crate::cli", "aya"]),
    (
        "store",
        &[
            "crate::enforcer",
            "crate::gate",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "tokio",
        ],
    ),
    (
        "proxy",
        &[
            "crate::enforcer",
            "crate::control",
            "crate::cli",
            "portcullis_common",
            "aya",
        ],
    ),
    (
        "listener",
        &["crate::control", "crate::cli", "portcullis_common", "aya"],
    ),
    (
        "enforcer",
        &[
            "portcullis_guard",
            "crate::gate",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "tokio",
        ],
    ),
    (
        "cli",
        &[
            "crate::enforcer",
            "crate::gate",
            "crate::proxy",
            "crate::listener",
            "portcullis_common",
            "aya",
        ],
    ),
    ("control", &["crate::proxy", "crate::listener", "crate::cli", "aya"]),
];

pub(super) fn run() -> Result<()> {
    let sources = sources()?;
    let mut findings = crate_edges()?;
    findings.extend(module_edges(&sources));
    findings.extend(sources.iter().filter_map(|(path, text)| module_comment(path, text)));
    findings.extend(sources.iter().filter_map(|(path, text)| length(path, text)));
    findings.extend(dependency_reasons()?);
    findings.extend(broken_links()?);
    if findings.is_empty() {
        return Ok(());
    }
    bail!("tidy:\n{}", findings.join("\n"))
}

/// Every Rust file that Git knows, with its text.
fn sources() -> Result<BTreeMap<PathBuf, String>> {
    tracked("*.rs")?
        .into_iter()
        .map(|path| Ok((path.clone(), read(&path)?)))
        .collect()
}

fn tracked(pattern: &str) -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    let listed =
        git.current_dir(paths::root())
            .args(["ls-files", "--cached", "--others", "--exclude-standard", pattern]);
    let paths = process::output(listed)?;
    Ok(paths
        .lines()
        .map(PathBuf::from)
        .filter(|path| paths::root().join(path).is_file())
        .collect())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(paths::root().join(path)).with_context(|| format!("failed to read {}", path.display()))
}

fn crate_edges() -> Result<Vec<String>> {
    let mut cargo = process::cargo();
    let metadata =
        process::output(
            cargo
                .current_dir(paths::root())
                .args(["metadata", "--no-deps", "--format-version", "1"]),
        )?;
    let metadata: Value = serde_json::from_str(&metadata).context("failed to read cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let mut findings = Vec::new();
    for (name, allowed) in CRATE_EDGES {
        let package = packages.iter().find(|package| package["name"] == name);
        let dependencies = package.and_then(|package| package["dependencies"].as_array());
        let dependencies = dependencies.with_context(|| format!("there is no crate {name}"))?;
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        let foreign = normal
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| !allowed.contains(name));
        findings.extend(
            foreign.map(|foreign| format!("{name} depends on {foreign}: not allowed (xtask/src/check/tidy.rs)")),
        );
    }
    Ok(findings)
}

fn module_edges(sources: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut findings = Vec::new();
    for (module, strangers) in MODULE_EDGES {
        let folder = Path::new("daemon/src").join(module);
        for (path, text) in sources.iter().filter(|(path, _)| path.starts_with(&folder)) {
            let code = code_before_tests(text);
            let met = strangers.iter().filter(|stranger| names(&code, stranger));
            findings.extend(met.map(|stranger| format!("{}: {module} must not know {stranger}", path.display())));
        }
    }
    findings
}

/// Whether code uses a path, not just a name that begins like it.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + path.len()..].chars().next();
        !before.is_some_and(is_word) && after == Some(':')
    })
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == ':'
}

/// The code without comments, up to the first test module.
fn code_before_tests(text: &str) -> String {
    let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
    code.filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn module_comment(path: &Path, text: &str) -> Option<String> {
    let starts_well = text
        .lines()
        .find(|line| !line.starts_with("#!"))
        .is_some_and(|line| line.starts_with("//!"));
    (!starts_well).then(|| format!("{}: says nothing of itself: begin with //!", path.display()))
}

fn length(path: &Path, text: &str) -> Option<String> {
    let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
    let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    (!is_test && lines > LONGEST_FILE).then(|| {
        format!(
            "{}: {lines} lines before the tests, more than {LONGEST_FILE}: split it",
            path.display()
        )
    })
}

/// Each dependency of the workspace has its reason in docs/dependencies.md.
fn dependency_reasons() -> Result<Vec<String>> {
    let manifest = read(Path::new("Cargo.toml"))?;
    let reasons = read(Path::new("docs/dependencies.md"))?;
    let section = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .context("no [workspace.dependencies]")?;
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let names = lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name);
    let foreign = names.filter(|name| !name.starts_with("portcullis"));
    let missing = foreign.filter(|name| !reasons.contains(&format!("| `{name}` |")));
    Ok(missing
        .map(|name| format!("docs/dependencies.md: no reason for {name}"))
        .collect())
}

/// Relative links of the documents lead somewhere.
fn broken_links() -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for path in tracked("*.md")? {
        let text = read(&path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#', ' ']).next());
        let relative =
            targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with('<'));
        let broken = relative.filter(|target| !paths::root().join(folder).join(target).exists());
        findings.extend(broken.map(|target| format!("{}: the link to {target} leads nowhere", path.display())));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_more_than_a_prefix() {
        assert!(names("use crate::enforcer::Flow;", "crate::enforcer"));
        assert!(names("aya::Ebpf", "aya"));
        assert!(!names("use crate::enforcers::Flow;", "crate::enforcer"));
        assert!(!names("use himalaya::Peak;", "aya"));
    }

    #[test]
    fn comments_and_tests_do_not_count() {
        assert_eq!(code_before_tests("a\n// tokio::x\n#[cfg(test)]\ntokio::y"), "a");
    }
}
