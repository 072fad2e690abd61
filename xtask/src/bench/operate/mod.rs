//! What an operator waits for, with a real daemon on a real interface: imports, single bans, questions, the start; and
//! what it all takes of memory. Beside ipset and nft in the same run.

mod peers;
mod world;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use portcullis::control::api::BanRequest;
use portcullis::control::client::Client;
use portcullis_tests::binary;
use portcullis_tests::daemon::Daemon;
use tempfile::TempDir;

use super::report::{Report, Rounds, Row};
use world::{World, memory};

/// What a million bans may take from a file until they are on the disk and enforced, in milliseconds.
const IMPORT: f64 = 2000.0;
/// What a start with a million stored bans may take until they are enforced.
const START: f64 = 1000.0;
/// What 99 of 100 single bans may take until they are on the disk and enforced.
const ADD: f64 = 5.0;
/// Megabytes of the daemon with a million bans.
const MEMORY: f64 = 150.0;

/// How much is measured.
struct Extent {
    /// Entries of the lists; the last one stays for the single commands.
    sizes: [u32; 2],
    rounds: usize,
    /// Single commands of each kind.
    commands: u32,
    /// The same for those of peers, which take their time.
    peer_commands: u32,
}

/// Figures by their row.
#[derive(Default)]
struct Figures(BTreeMap<String, Rounds>);

impl Figures {
    fn note(&mut self, row: impl Into<String>, value: f64) {
        self.0.entry(row.into()).or_default().push(value);
    }

    /// The value that so many of a hundred stay below, and the median.
    fn note_latencies(&mut self, row: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let place = (values.len() as f64 * share) as usize;
            if let Some(value) = values.get(place.min(values.len().saturating_sub(1))) {
                self.note(format!("{row}/{name}"), *value);
            }
        }
    }
}

pub(super) fn measure(quick: bool) -> Result<Report> {
    let extent = if quick {
        Extent {
            sizes: [10_000, 100_000],
            rounds: 1,
            commands: 50,
            peer_commands: 3,
        }
    } else {
        Extent {
            sizes: [100_000, 1_000_000],
            rounds: 3,
            commands: 500,
            peer_commands: 10,
        }
    };
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let world = World::new()?;
    let mut figures = Figures::default();
    for round in 0..extent.rounds {
        for size in extent.sizes {
            let alone = round + 1 == extent.rounds && size == extent.sizes[1];
            one(&world, &folder, size, alone.then_some(&extent), &mut figures)?;
        }
        let empty = Instant::now();
        let daemon = world.start(None)?;
        figures.note("start/0", millis(empty));
        figures.note("memory/rss/0", memory(daemon.id(), "VmRSS")?);
    }
    let missing = peers::measure(&folder, &extent, &mut figures)?;
    Ok(Report::new("operate", rows(&figures, &extent, missing)))
}

/// A daemon of its own: import, look whether the kernel has all of it, and start again.
fn one(world: &World, folder: &TempDir, size: u32, commands: Option<&Extent>, figures: &mut Figures) -> Result<()> {
    let list = list(folder.path(), size)?;
    let daemon = world.start(None)?;
    let start = Instant::now();
    daemon.cli(&["ban", "import", &list, "--list", "bench", "--for", "24h"])?;
    figures.note(format!("import/{size}"), millis(start));
    ensure_enforced(&daemon, size)?;
    figures.note(format!("memory/rss/{size}"), memory(daemon.id(), "VmRSS")?);
    figures.note(format!("memory/own/{size}"), memory(daemon.id(), "RssAnon")?);
    figures.note(format!("memory/peak/{size}"), memory(daemon.id(), "VmHWM")?);
    let mut added = 0;
    if let Some(extent) = commands {
        added = single(&daemon, size, extent, figures)?;
    }
    let home = daemon.kill()?;
    let start = Instant::now();
    let daemon = world.start(Some(home))?;
    figures.note(format!("start/{size}"), millis(start));
    figures.note(format!("memory/started/{size}"), memory(daemon.id(), "VmRSS")?);
    ensure_enforced(&daemon, size + added)
}

/// The kernel has every ban: compared one by one.
fn ensure_enforced(daemon: &Daemon, bans: u32) -> Result<()> {
    let status = daemon.cli(&["status", "--verify", "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&status).context("the status is no JSON")?;
    let held = status["bans"]["in_kernel"].as_u64();
    ensure!(held == Some(bans.into()), "the kernel has {held:?} of {bans} bans");
    Ok(())
}

/// Commands of one ban beside all others; tells how many bans they added.
fn single(daemon: &Daemon, size: u32, extent: &Extent, figures: &mut Figures) -> Result<u32> {
    let binary = binary::portcullis()?;
    let socket = daemon.control();
    let cli = |arguments: &[&str]| {
        let mut command = Command::new(&binary);
        command.arg("--socket").arg(&socket).args(arguments);
        timed(&mut command)
    };
    let client = Client::new(&socket);
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut note = |row, value| times.entry(row).or_default().push(value);
    let mut disk = tempfile::tempfile().context("failed to make a file")?;
    for number in 0..extent.commands {
        note("floor/process", timed(Command::new(&binary).arg("--version"))?);
        note("floor/sync", sync(&mut disk)?);
        let known = host(number * (size / extent.commands)).to_string();
        note("ban-check/cli", cli(&["ban", "check", &known])?);
        let new = host(size + 2 * number).to_string();
        note("ban-add/cli", cli(&["ban", "add", &new, "--for", "1h"])?);
        let order = BanRequest {
            network: host(size + 2 * number + 1).to_string(),
            for_seconds: 3600,
            reason: String::new(),
            force: false,
            caller: None,
        };
        let start = Instant::now();
        client.ban(&order).context("a ban was refused")?;
        note("ban-add/socket", millis(start));
        let pipe = format!("{} --socket {} ban list | head", binary.display(), socket.display());
        note("ban-list-head/cli", timed(Command::new("sh").args(["-c", &pipe]))?);
    }
    for (row, values) in times {
        figures.note_latencies(row, values);
    }
    Ok(2 * extent.commands)
}

/// Milliseconds that a command takes, of which nothing is shown.
fn timed(command: &mut Command) -> Result<f64> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().context("failed to start a command")?;
    ensure!(status.success(), "{command:?} failed");
    Ok(millis(start))
}

/// What the disk takes to have a page for good.
fn sync(file: &mut File) -> Result<f64> {
    let start = Instant::now();
    file.write_all(&[7; 4096]).context("failed to write")?;
    file.sync_data().context("failed to sync")?;
    Ok(millis(start))
}

/// Addresses as lists have them: spread, and in no order. Each number below 2^30 has its own, none is multicast.
fn host(number: u32) -> IpAddr {
    const STEP: u32 = 0x9e37_79b1;
    IpAddr::from(((number.wrapping_mul(STEP) & (u32::MAX >> 2)) | 1 << 31).to_be_bytes())
}

fn list(folder: &Path, size: u32) -> Result<String> {
    let path = folder.join(format!("{size}.txt"));
    let mut text = String::with_capacity(size as usize * 16);
    for number in 0..size {
        text.push_str(&host(number).to_string());
        text.push('\n');
    }
    std::fs::write(&path, text).context("failed to write a list")?;
    Ok(path.display().to_string())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The rows in their order, with their targets.
fn rows(figures: &Figures, extent: &Extent, missing: Vec<Row>) -> Vec<Row> {
    let [_, most] = extent.sizes;
    let targets = [
        (format!("import/{most}"), IMPORT),
        (format!("start/{most}"), START),
        (format!("memory/rss/{most}"), MEMORY),
        (format!("memory/started/{most}"), MEMORY),
        ("ban-add/cli/p99".to_owned(), ADD),
        ("ban-add/socket/p99".to_owned(), ADD),
    ];
    let row = |(name, rounds): (&String, &Rounds)| {
        let unit = if name.starts_with("memory/") { "MB" } else { "ms" };
        let row = Row::new(name, unit, rounds);
        let row = match targets.iter().find(|(target, _)| target == name) {
            Some((_, target)) => row.at_most(*target),
            None => row,
        };
        match ours(name).and_then(|ours| Some((figures.0.get(&ours)?, ours))) {
            Some((rounds, ours)) => row.versus(&ours, rounds, None),
            None => row,
        }
    };
    figures.0.iter().map(row).chain(missing).collect()
}

/// The row of ours that a peer's is compared with.
fn ours(peers: &str) -> Option<String> {
    let parts: Vec<&str> = peers.split('/').collect();
    match parts.as_slice() {
        ["import", "ipset" | "nft" | "cscli", size] => Some(format!("import/{size}")),
        [what, "ipset" | "nft", share] => Some(format!("{what}/cli/{share}")),
        _ => None,
    }
}
