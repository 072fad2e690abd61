//! The same by ipset and nft, each in a network namespace of its own; and by `cscli`, where a CrowdSec runs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use portcullis_tests::netns::Namespace;
use tempfile::TempDir;

use super::super::report::Row;
use super::{Extent, Figures, host, list, millis, timed};
use crate::process;

/// Notes what they take; returns rows of those that are not there.
pub(super) fn measure(folder: &TempDir, extent: &Extent, figures: &mut Figures) -> Result<Vec<Row>> {
    let mut missing = Vec::new();
    for (program, file) in [
        ("ipset", ipset_file as fn(&Path, u32) -> Result<PathBuf>),
        ("nft", nft_file),
    ] {
        if !process::exists(program) {
            missing.push(Row::missing(
                format!("import/{program}/{}", extent.sizes[1]),
                "ms",
                program,
            ));
            continue;
        }
        for size in extent.sizes {
            let namespace = Namespace::new(program);
            let file = file(folder.path(), size)?.display().to_string();
            let load: &[&str] = if program == "nft" {
                &["-f"]
            } else {
                &["restore", "-file"]
            };
            let start = Instant::now();
            let loaded = namespace.run(|| process::output(Command::new(program).args(load).arg(&file)));
            loaded.with_context(|| format!("{program} does not take {size} addresses"))?;
            figures.note(format!("import/{program}/{size}"), millis(start));
            if size == extent.sizes[1] {
                single(program, &namespace, size, extent, figures)?;
            }
        }
    }
    missing.extend(crowdsec(folder, extent.sizes[0], figures)?);
    Ok(missing)
}

fn single(program: &str, namespace: &Namespace, size: u32, extent: &Extent, figures: &mut Figures) -> Result<()> {
    let nft = program == "nft";
    let (mut check, mut add, mut head) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..extent.peer_commands {
        let (known, new) = (host(number).to_string(), host(size + number).to_string());
        let element = |address: &str| format!("{{ {address} }}");
        let run = |arguments: &[&str]| namespace.run(|| timed(Command::new(program).args(arguments)));
        check.push(if nft {
            run(&["get", "element", "ip", "bench", "banned", &element(&known)])?
        } else {
            run(&["test", "banned", &known])?
        });
        add.push(if nft {
            run(&["add", "element", "ip", "bench", "banned", &element(&new)])?
        } else {
            run(&["add", "banned", &new])?
        });
        let list = if nft {
            "nft list set ip bench banned"
        } else {
            "ipset list banned"
        };
        let pipe = format!("{list} | head");
        head.push(namespace.run(|| timed(Command::new("sh").args(["-c", &pipe])))?);
    }
    figures.note_latencies(&format!("ban-check/{program}"), check);
    figures.note_latencies(&format!("ban-add/{program}"), add);
    figures.note_latencies(&format!("ban-list-head/{program}"), head);
    Ok(())
}

/// Into the database that the agent's bouncers read; what they take to have it in the kernel comes on top.
fn crowdsec(folder: &TempDir, size: u32, figures: &mut Figures) -> Result<Option<Row>> {
    let row = format!("import/cscli/{size}");
    let file = list(folder.path(), size)?;
    let arguments = [
        "decisions",
        "import",
        "--format",
        "values",
        "--duration",
        "24h",
        "-i",
        &file,
    ];
    if !process::exists("cscli") || timed(Command::new("cscli").args(["lapi", "status"])).is_err() {
        return Ok(Some(Row::missing(row, "ms", "a running CrowdSec")));
    }
    figures.note(row, timed(Command::new("cscli").args(arguments))?);
    Ok(None)
}

fn ipset_file(folder: &Path, size: u32) -> Result<PathBuf> {
    let path = folder.join(format!("{size}.ipset"));
    let room = 2 * size;
    let mut text = format!(
        "create banned hash:ip family inet hashsize {} maxelem {room}\n",
        size.next_power_of_two()
    );
    for number in 0..size {
        let _ = writeln!(text, "add banned {}", host(number));
    }
    fs::write(&path, text).context("failed to write a file for ipset")?;
    Ok(path)
}

fn nft_file(folder: &Path, size: u32) -> Result<PathBuf> {
    let path = folder.join(format!("{size}.nft"));
    let mut text = "table ip bench {\n  set banned {\n    type ipv4_addr\n    elements = {\n".to_owned();
    for number in 0..size {
        let _ = writeln!(text, "{},", host(number));
    }
    text.push_str("} }\n  chain drops {\n    type filter hook input priority 0;\n    ip saddr @banned drop\n  }\n}\n");
    fs::write(&path, text).context("failed to write a file for nft")?;
    Ok(path)
}
