//! The units of systemd, and the files for containers. What they do is proved in a booted Debian by
//! `cargo xtask test --packages`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use portcullis_tests::binary;
use serde_json::Value;

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(file)
}

fn unit() -> PathBuf {
    packaging("systemd/portcullis.service")
}

#[test]
fn the_service_is_exposed_as_little_as_it_is_said_to_be() -> Result<()> {
    let output = Command::new("systemd-analyze")
        .args(["--offline=true", "security", "--threshold=20"])
        .arg(unit())
        .output()
        .context("systemd-analyze is missing")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() -> Result<()> {
    let units = tempfile::tempdir()?;
    let folder = unit().with_file_name("");
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|kind| kind == "service" || kind == "socket" || kind == "mount")
        {
            // What it starts must be there.
            let program = binary::portcullis()?;
            let text = std::fs::read_to_string(&path)?.replace("/usr/bin/portcullis", &program.display().to_string());
            let copy = units.path().join(path.file_name().context("a unit without a name")?);
            std::fs::write(&copy, text)?;
            paths.push(copy);
        }
    }
    ensure!(paths.len() == 4, "{paths:?}");
    let output = Command::new("systemd-analyze")
        .args(["--man=no", "verify"])
        .args(paths)
        .output()
        .context("systemd-analyze is missing")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.trim().is_empty(), "{said}");
    Ok(())
}

/// The filter that takes `@privileged` away takes bpf(2) away as well.
#[test]
fn bpf_is_allowed_after_what_takes_it_away() -> Result<()> {
    let unit = std::fs::read_to_string(unit())?;
    let filters: Vec<_> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    ensure!(filters.last() == Some(&"bpf"), "{filters:?}");
    Ok(())
}

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Result<Vec<String>> {
    let file = std::fs::read_to_string(packaging("docker/Dockerfile"))?;
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    Ok(joined
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Whether a name is what a pattern with `*` means.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name
            .strip_prefix(start)
            .is_some_and(|name| (0..=name.len()).any(|at| matches(rest, &name[at..]))),
    }
}

#[test]
fn what_the_dockerfile_copies_is_what_is_packaged() -> Result<()> {
    let name = format!(
        "portcullis-{}-{}-linux",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    );
    // The build is told the folder of packages, and unpacks the tarball.
    let mut sources = 0;
    for line in instructions()? {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["ADD" | "COPY", first, ..] if !first.starts_with("--from=") => {
                let from = words.get(1..words.len() - 1).unwrap_or_default();
                sources += from.len();
                let is_made = |pattern: &&str| matches(pattern, &format!("{name}.tar.gz"));
                ensure!(from.iter().all(is_made), "{line}");
            }
            _ => {}
        }
        // What is taken out of it is in the list of the tarball, or the program.
        for file in words.iter().filter_map(|word| word.strip_prefix("/unpacked/*/")) {
            let list = std::fs::read_to_string(packaging("../xtask/src/package/tarball.rs"))?;
            let listed = list.contains(&format!("/{file}\",")) && packaging(file).is_file();
            ensure!(file == "portcullis" || listed, "{file} is not in the tarball");
        }
    }
    ensure!(sources == 1);
    Ok(())
}

#[test]
fn what_the_container_executes_is_understood() -> Result<()> {
    let lists = instructions()?;
    let list = |keyword: &str| -> Result<Vec<String>> {
        let line = lists
            .iter()
            .find(|line| line.starts_with(keyword))
            .context(keyword.to_owned())?;
        let at = line.find('[').context("no list of words")?;
        Ok(serde_json::from_str(&line[at..])?)
    };
    ensure!(list("ENTRYPOINT")? == ["/usr/bin/portcullis"]);
    for command in [list("CMD")?, list("HEALTHCHECK")?] {
        let words = command.iter().filter(|word| *word != "/usr/bin/portcullis");
        let output = Command::new(binary::portcullis()?).args(words).arg("--help").output()?;
        ensure!(output.status.success(), "{command:?}");
    }
    Ok(())
}

#[test]
fn the_compose_file_gives_what_the_start_takes() -> Result<()> {
    let file = std::fs::read_to_string(packaging("docker/compose.yaml"))?;
    let compose: Value = serde_saphyr::from_str(&file)?;
    let gate = &compose["services"]["portcullis"];
    ensure!(gate["network_mode"] == "host" && gate["read_only"] == true, "{gate}");
    ensure!(gate["cap_drop"] == serde_json::json!(["ALL"]), "{gate}");
    let given = gate["cap_add"].as_array().context("cap_add")?;
    let unit = std::fs::read_to_string(unit())?;
    let taken = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    for capability in taken.context("no capabilities in the unit")?.split_whitespace() {
        let name = capability.trim_start_matches("CAP_");
        ensure!(given.iter().any(|given| given == name), "{capability} is missing");
    }
    let volumes: Vec<_> = gate["volumes"].as_array().context("volumes")?.iter().collect();
    for place in ["/etc/portcullis", "/var/lib/portcullis", "/run/portcullis-bpf"] {
        let is_there = |volume: &&Value| {
            volume
                .as_str()
                .is_some_and(|volume| volume.split(':').nth(1) == Some(place))
        };
        ensure!(volumes.iter().any(is_there), "no volume at {place}");
    }
    ensure!(compose["volumes"].get("portcullis-state").is_some(), "the named volume");
    Ok(())
}
