//! A million bans at once: how long it takes, and the memory that they take.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use portcullis::enforcer::{AttachOptions, Capacities, Enforcer, Origin, Target};
use portcullis_tests::netns::Namespace;

use super::{
    super::report::{Rounds, Row},
    HOUR,
    frames::v4_host,
    peers, thread_time,
};
use crate::process;

/// Rows of loading so many bans, by us and by others.
pub(super) fn rows(bans: u32, rounds: usize) -> Result<Vec<Row>> {
    let (ours, memory) = ours(bans, rounds)?;
    let name = |who: &str| format!("load/{who}/{bans}");
    let mut rows = vec![
        Row::new(name("v4"), "ms", &ours).at_most(TARGET_MS),
        Row::new(format!("memory/v4/{bans}"), "MB", &memory).at_most(TARGET_MB),
    ];
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let nft = peers::nft_file(&folder, "ip", "hook input priority 0", bans)?;
    let ipset = peers::ipset_file(&folder, bans)?;
    for (program, file, arguments) in [("nft", &nft, &["-f"][..]), ("ipset", &ipset, &["restore", "-file"])] {
        rows.push(match peers::missing(&[program]) {
            Some(missing) => Row::missing(name(program), "ms", missing),
            None => {
                let time = loaded_by(program, arguments, file, rounds.min(PEER_ROUNDS))?;
                Row::new(name(program), "ms", &time).versus(&name("v4"), &ours, None)
            }
        });
    }
    Ok(rows)
}

/// What a million bans may take at most.
const TARGET_MS: f64 = 60.0;
const TARGET_MB: f64 = 40.0;
/// They take seconds.
const PEER_ROUNDS: usize = 3;

fn ours(bans: u32, rounds: usize) -> Result<(Rounds, Rounds)> {
    let mut time = Rounds::default();
    let mut memory = Rounds::default();
    for _ in 0..rounds {
        let options = AttachOptions {
            capacities: Capacities {
                hosts: bans,
                ..Capacities::default()
            },
            ..AttachOptions::default()
        };
        let enforcer = Enforcer::attach(&options)?;
        let hosts = (0..bans).map(|number| (Target::Host(v4_host(number)), HOUR, Origin::List));
        let start = thread_time()?;
        let refused = enforcer.ban_all(hosts);
        time.push((thread_time()? - start).as_secs_f64() * 1e3);
        if !refused.is_empty() {
            bail!("{} of {bans} bans were refused", refused.len());
        }
        memory.push(enforcer.kernel_memory()? as f64 / 1e6);
    }
    Ok((time, memory))
}

/// The CPU time of a program that reads a file of bans, in milliseconds.
fn loaded_by(program: &str, arguments: &[&str], file: &Path, rounds: usize) -> Result<Rounds> {
    let mut time = Rounds::default();
    for _ in 0..rounds {
        let namespace = Namespace::new("load");
        let start = children_time()?;
        let ran = namespace.run(|| process::output(Command::new(program).args(arguments).arg(file)));
        ran.with_context(|| format!("{program} does not take {} bans", file.display()))?;
        time.push((children_time()? - start).as_secs_f64() * 1e3);
    }
    Ok(time)
}

/// CPU time of all processes that this one started and that have ended.
fn children_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("failed to read the times of children")?;
    let time = |value: nix::sys::time::TimeVal| {
        Duration::new(
            value.tv_sec().unsigned_abs(),
            value.tv_usec().unsigned_abs() as u32 * 1_000,
        )
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}
