//! What others use to drop packets, each in a network namespace of its own.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::{Map, MapData, MapInfo, PerCpuHashMap},
    programs::{ProgramInfo, Xdp, loaded_programs, xdp::XdpMode},
};
use aya_obj::programs::XdpAttachType;
use portcullis_tests::netns::Namespace;

use super::frames::v4_host;
use crate::{paths, process};

/// As many addresses as xdp-filter's tables take.
pub(super) const XDP_FILTER_MOST: u32 = 9_900;

/// The first of these programs that is not there.
pub(in crate::bench) fn missing(programs: &[&'static str]) -> Option<&'static str> {
    programs.iter().copied().find(|program| !process::exists(program))
}

/// Attaches a floor natively to `in`, as long as the result lives.
pub(in crate::bench) fn floor(receiver: &Namespace, program: &str) -> Result<Ebpf> {
    let mut ebpf = Ebpf::load_file(paths::objects().join("floor")).context("failed to load the floor program")?;
    let xdp: &mut Xdp = ebpf.program_mut(program).context("no floor program")?.try_into()?;
    xdp.load()?;
    receiver.run(|| xdp.attach("in", XdpMode::Driver))?;
    Ok(ebpf)
}

/// Addresses as a set for nft, in a table of `family` that drops those packets at a hook.
pub(in crate::bench) fn nft_file(folder: &tempfile::TempDir, family: &str, hook: &str, bans: u32) -> Result<PathBuf> {
    let path = folder.path().join(format!("{family}.nft"));
    let mut text = format!("table {family} bench {{\n  set banned {{\n    type ipv4_addr\n    elements = {{\n");
    for number in 0..bans {
        let _ = writeln!(text, "{},", v4_host(number));
    }
    text.push_str("} }\n");
    let _ = writeln!(
        text,
        "  chain drops {{\n    type filter {hook}; policy accept;\n    ip saddr @banned counter drop\n  }}\n}}"
    );
    std::fs::write(&path, text).context("failed to write a file for nft")?;
    Ok(path)
}

/// Addresses as ipset wants them.
pub(super) fn ipset_file(folder: &tempfile::TempDir, bans: u32) -> Result<PathBuf> {
    let path = folder.path().join("banned.ipset");
    let mut file = BufWriter::new(File::create(&path).context("failed to make a file for ipset")?);
    writeln!(
        file,
        "create banned hash:ip family inet hashsize {} maxelem {}",
        bans.next_power_of_two(),
        bans.max(1)
    )?;
    for number in 0..bans {
        writeln!(file, "add banned {}", v4_host(number))?;
    }
    file.flush().context("failed to write a file for ipset")?;
    Ok(path)
}

/// Puts xdp-filter onto an interface, with so many addresses denied; returns its program.
pub(super) fn xdp_filter(namespace: &Namespace, interface: &str, bans: u32) -> Result<Xdp> {
    // It keeps its tables in a bpffs, which goes with a mount namespace of its own.
    let script = format!(
        "mount -t bpf bpf /sys/fs/bpf && xdp-filter load -m native {interface} && xdp-filter ip -m src {}",
        v4_host(0)
    );
    let said = namespace.run(|| process::output(Command::new("unshare").args(["--mount", "sh", "-c", &script])));
    said.context("failed to start xdp-filter")?;
    let info = attached(namespace, interface)?;
    deny_more(&info, bans)?;
    Xdp::from_program_info(info, "xdp-filter".into(), XdpAttachType::Interface).context("failed to take xdp-filter")
}

/// The program of an interface.
fn attached(namespace: &Namespace, interface: &str) -> Result<ProgramInfo> {
    let link = process::output(Command::new("ip").args(["-n", namespace.name(), "-j", "link", "show", interface]))?;
    let link: serde_json::Value = serde_json::from_str(&link).context("failed to read what ip says")?;
    let id = link[0]["xdp"]["prog"]["id"]
        .as_u64()
        .context("there is no program on the interface")?;
    let found = loaded_programs()
        .flatten()
        .find(|program| u64::from(program.id()) == id);
    found.context("the program of the interface is gone")
}

/// Its command line adds one address in four milliseconds: the others are copies of the first entry.
fn deny_more(program: &ProgramInfo, bans: u32) -> Result<()> {
    let ids = program.map_ids()?.context("the kernel does not tell the maps")?;
    for id in ids {
        if MapInfo::from_id(id)?.name_as_str() != Some("filter_ipv4") {
            continue;
        }
        let map = Map::from_map_data(MapData::from_id(id)?)?;
        let mut denied = PerCpuHashMap::<MapData, u32, u64>::try_from(map)?;
        let key = |number| u32::from_ne_bytes(super::frames::octets(v4_host(number)));
        let first = denied.get(&key(0), 0).context("xdp-filter did not take the address")?;
        for number in 1..bans.min(XDP_FILTER_MOST) {
            let value = aya::maps::PerCpuValues::try_from(first.to_vec())?;
            denied.insert(key(number), value, 0)?;
        }
        return Ok(());
    }
    anyhow::bail!("xdp-filter has no table of addresses")
}

/// The number behind a word of what a program said.
pub(super) fn number_after(said: &str, word: &str) -> Result<u64> {
    let mut words = said.split_ascii_whitespace();
    let found = words.by_ref().any(|other| other == word);
    ensure!(found, "no {word} in: {said}");
    words
        .next()
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("no number behind {word}"))
}
