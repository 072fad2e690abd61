//! A reload reaches the packet layer: the running program gets other settings, and the kernel another never-ban set. Needs
//! root.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::netns::{Namespace, veth};

const GATE: &str = "10.78.0.1";
const CLIENT: &str = "10.78.0.2";

fn rewrite(daemon: &Daemon, old: &str, new: &str) -> Result<()> {
    let file = daemon.control().with_file_name("portcullis.toml");
    let text = fs::read_to_string(&file)?;
    ensure!(text.contains(old), "{old} is not in {text}");
    fs::write(&file, text.replace(old, new))?;
    daemon.cli(&["reload"]).map(drop)
}

#[test]
fn the_running_program_gets_other_settings() -> Result<()> {
    let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
    veth((&server, "gate"), (&clients, "out"));
    server.address("gate", &format!("{GATE}/24"));
    clients.address("out", &format!("{CLIENT}/24"));
    let enter = format!("--net=/run/netns/{}", server.name());
    let daemon = Daemon::start(&Wanted {
        listen: SocketAddr::new(GATE.parse()?, 0),
        wrapper: &["nsenter", &enter],
        ..Wanted::enforcing(
            SocketAddr::from(([127, 0, 0, 1], 1)),
            "never_ban = []\n[packet]\ninterfaces = [\"gate\"]\nmonitor = []\n",
        )
    })?;
    ensure!(clients.pings(CLIENT, GATE));
    daemon.cli(&["ban", "add", CLIENT, "--for", "1h"])?;
    ensure!(!clients.pings(CLIENT, GATE), "the banned are dropped");

    rewrite(&daemon, "monitor = []", "monitor = [\"operator\"]")?;
    ensure!(clients.pings(CLIENT, GATE), "bans of operators are watched only");
    rewrite(&daemon, "monitor = [\"operator\"]", "monitor = []")?;
    ensure!(!clients.pings(CLIENT, GATE), "and dropped again");

    rewrite(&daemon, "mode = \"enforce\"", "mode = \"monitor\"")?;
    ensure!(clients.pings(CLIENT, GATE), "the whole gate watches");
    rewrite(&daemon, "mode = \"monitor\"", "mode = \"enforce\"")?;
    ensure!(!clients.pings(CLIENT, GATE));

    rewrite(&daemon, "never_ban = []", &format!("never_ban = [\"{CLIENT}\"]"))?;
    ensure!(clients.pings(CLIENT, GATE), "never-ban lifts the ban");
    ensure!(daemon.cli(&["ban", "add", CLIENT, "--for", "1h"]).is_err());
    rewrite(&daemon, &format!("never_ban = [\"{CLIENT}\"]"), "never_ban = []")?;
    daemon.cli(&["ban", "add", CLIENT, "--for", "1h"])?;
    ensure!(!clients.pings(CLIENT, GATE), "it may be banned again");
    Ok(())
}
