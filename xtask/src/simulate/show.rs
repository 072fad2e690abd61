//! Runs each scenario twice: as its rules say, and watched only, to see what would have been lost.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use portcullis_guard::policy::{Mode, Policy};
use portcullis_tests::simulation::{self, Population, Report, SCENARIOS};

use super::{Arguments, figures, picture};
use crate::paths;

/// One scenario, with and without the gate.
pub(super) struct Run {
    pub(super) guarded: Report,
    pub(super) watched: Report,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut runs = Vec::new();
    for scenario in &SCENARIOS {
        let policy = scenario.policy()?;
        let only_watched = Policy {
            mode: Mode::Monitor,
            ..policy.clone()
        };
        runs.push(Run {
            guarded: simulation::run(scenario, policy, Population::FULL, arguments.seed),
            watched: simulation::run(scenario, only_watched, Population::FULL, arguments.seed),
        });
    }
    if arguments.json {
        println!("{:#}", figures::json(&runs));
    } else {
        runs.iter().for_each(|run| println!("{}", figures::table(run)));
    }
    let folder = paths::root().join(&arguments.into);
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    for run in &runs {
        let file = folder.join(format!("{}.svg", run.guarded.scenario.name));
        fs::write(&file, picture::draw(run)).with_context(|| format!("failed to write {}", file.display()))?;
        eprintln!("{}", file.display());
        photograph(&file)?;
    }
    Ok(())
}

/// The picture as pixels, by the browser that the browser test uses. Without one there is none.
fn photograph(svg: &Path) -> Result<()> {
    let png = svg.with_extension("png");
    let home = std::env::temp_dir().join(format!("portcullis-picture-{}", std::process::id()));
    let status = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .arg(format!("--window-size={},{}", picture::WIDTH, picture::HEIGHT))
        .arg(format!("--screenshot={}", png.display()))
        .arg(format!("file://{}", svg.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let _ = fs::remove_dir_all(home);
    if status.is_ok_and(|status| status.success()) {
        eprintln!("{}", png.display());
    }
    Ok(())
}
