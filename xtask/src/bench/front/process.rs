//! What processes use, by proc(5).

use std::fs;

use anyhow::{Context as _, Result};

/// A process and all that it has started.
fn family(root: u32) -> Vec<u32> {
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&process) = family.get(next) {
        next += 1;
        let tasks = fs::read_dir(format!("/proc/{process}/task"))
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    family
}

/// CPU microseconds, user and system, of all threads (`schedstat`: nanoseconds on the processor).
pub(super) fn cpu_micros(root: u32) -> Result<f64> {
    let mut total = 0.0;
    for process in family(root) {
        for task in fs::read_dir(format!("/proc/{process}/task")).context("a process ended")? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanos: f64 = text.split_whitespace().next().unwrap_or_default().parse()?;
            total += nanos / 1000.0;
        }
    }
    Ok(total)
}

/// Resident memory in KB, without what is shared with other processes.
pub(super) fn resident_kb(root: u32) -> Result<f64> {
    let mut total = 0.0;
    for process in family(root) {
        let status = fs::read_to_string(format!("/proc/{process}/status")).context("a process ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        total += kilobytes.unwrap_or_default();
    }
    Ok(total)
}
