//! Bans as operators handle them, by the real command line against a real daemon: lists, edits, sweeps, and back again.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use portcullis_tests::binary;
use portcullis_tests::daemon::{Daemon, Wanted};
use serde_json::Value;

const UPSTREAM: ([u8; 4], u16) = ([127, 0, 0, 1], 1);

fn start(extra: &str) -> Result<Daemon> {
    Daemon::start(&Wanted::enforcing(SocketAddr::from(UPSTREAM), extra))
}

fn json(daemon: &Daemon, arguments: &[&str]) -> Result<Value> {
    let arguments: Vec<&str> = ["--json"].iter().chain(arguments).copied().collect();
    Ok(serde_json::from_str(&daemon.cli(&arguments)?)?)
}

fn networks(daemon: &Daemon, arguments: &[&str]) -> Result<Vec<String>> {
    let arguments: Vec<&str> = ["ban", "list"].iter().chain(arguments).copied().collect();
    let list = json(daemon, &arguments)?;
    let bans = list["bans"].as_array().context("no bans")?;
    Ok(bans
        .iter()
        .filter_map(|ban| ban["network"].as_str().map(str::to_owned))
        .collect())
}

fn file(daemon: &Daemon, name: &str, text: &str) -> Result<String> {
    let path: PathBuf = daemon.control().with_file_name(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

fn refused(daemon: &Daemon, arguments: &[&str]) -> Result<String> {
    let error = daemon
        .cli(arguments)
        .err()
        .with_context(|| format!("{arguments:?} is accepted"))?;
    Ok(format!("{error:#}"))
}

#[test]
fn a_list_replaces_what_it_was_and_leaves_the_rest_alone() -> Result<()> {
    let daemon = start("")?;
    daemon.cli(&["allow", "add", "203.0.113.0/24"])?;
    daemon.cli(&["ban", "add", "192.0.2.11", "--reason", "mine"])?;
    let first = file(
        &daemon,
        "drop.txt",
        "192.0.2.11 ; SBL1\n192.0.2.12 ; SBL2\n203.0.113.7\n10.0.0.7/24\n192.0.2.12\n0.0.0.0/3\n",
    )?;
    let dry = json(&daemon, &["ban", "import", &first, "--list", "drop", "--dry-run"])?;
    ensure!(dry["added"] == 1 && networks(&daemon, &[])?.len() == 1, "{dry}");
    let done = json(&daemon, &["ban", "import", &first, "--list", "drop"])?;
    for (field, count) in [
        ("entries", 2),
        ("added", 1),
        ("kept", 1),
        ("exempt", 1),
        ("unreadable", 1),
        ("duplicates", 1),
        ("too_wide", 1),
    ] {
        ensure!(done[field] == count, "{field}: {done}");
    }
    ensure!(
        done["left_out"].as_array().is_some_and(|left_out| left_out.len() == 3),
        "{done}"
    );
    let second = file(&daemon, "drop2.txt", "192.0.2.12\n192.0.2.13\n")?;
    let done = json(&daemon, &["ban", "import", &second, "--list", "drop"])?;
    ensure!(done["removed"] == 1 && done["added"] == 1, "{done}");
    // The operator's own ban of 192.0.2.11 stays.
    ensure!(networks(&daemon, &[])? == ["192.0.2.11/32", "192.0.2.12/32", "192.0.2.13/32"]);
    ensure!(networks(&daemon, &["--list", "drop"])? == ["192.0.2.12/32", "192.0.2.13/32"]);

    let many: String = (0..10).map(|number| format!("198.51.100.{number}\n")).collect();
    daemon.cli(&["ban", "import", &file(&daemon, "many", &many)?, "--list", "many"])?;
    let few = file(&daemon, "few", "198.51.100.1\n")?;
    let error = refused(&daemon, &["ban", "import", &few, "--list", "many"])?;
    ensure!(
        error.contains("shrink from 10 entries to 1") && error.contains("--force"),
        "{error}"
    );
    ensure!(
        networks(&daemon, &["--list", "many"])?.len() == 10,
        "the last good list is gone"
    );
    daemon.cli(&["ban", "import", &few, "--list", "many", "--force"])?;
    ensure!(networks(&daemon, &["--list", "many"])?.len() == 1);
    daemon.cli(&["undo"])?;
    ensure!(
        networks(&daemon, &["--list", "many"])?.len() == 10,
        "undo does not bring the list back"
    );
    let error = refused(
        &daemon,
        &["ban", "import", &file(&daemon, "none", "# nothing\n")?, "--list", "new"],
    )?;
    ensure!(error.contains("no entry"), "{error}");
    Ok(())
}

#[test]
fn an_export_comes_back_as_it_was_after_everything_is_gone() -> Result<()> {
    let daemon = start("")?;
    daemon.cli(&["ban", "add", "192.0.2.11", "--for", "2h", "--reason", "one \"and\" two"])?;
    daemon
        .cli(&["ban", "add", "2001:db8::/48", "--until", "2099-01-01T00:00:00Z"])
        .err()
        .context("a ban of 70 years")?;
    let list = file(&daemon, "list", "198.51.100.0/24\n2001:db8::/48\n")?;
    daemon.cli(&["ban", "import", &list, "--list", "drop", "--for", "1d"])?;
    let key = |list: &Value| -> Vec<(Value, Value, Value, Value)> {
        let bans = list["bans"].as_array().into_iter().flatten();
        bans.map(|ban| {
            (
                ban["network"].clone(),
                ban["reason"].clone(),
                ban["list"].clone(),
                ban["since"].clone(),
            )
        })
        .collect()
    };
    let before = key(&json(&daemon, &["ban", "list"])?);
    let export = daemon.control().with_file_name("bans.jsonl").display().to_string();
    daemon.cli(&["ban", "export", "--output", &export])?;
    let error = refused(&daemon, &["ban", "flush"])?;
    ensure!(error.contains("every ban") && error.contains("--yes"), "{error}");
    daemon.cli(&["ban", "flush", "--yes"])?;
    ensure!(networks(&daemon, &[])?.is_empty());
    let done = json(&daemon, &["ban", "import", &export])?;
    ensure!(done["entries"] == 3 && done["unreadable"] == 0, "{done}");
    ensure!(key(&json(&daemon, &["ban", "list"])?) == before);
    // Back to nothing, and forth again.
    daemon.cli(&["undo"])?;
    ensure!(networks(&daemon, &[])?.is_empty());
    daemon.cli(&["undo"])?;
    ensure!(networks(&daemon, &[])?.len() == 3);
    Ok(())
}

#[test]
fn a_ban_is_edited_undone_and_told_of_over_a_restart() -> Result<()> {
    let daemon = start("")?;
    let error = refused(&daemon, &["undo"])?;
    ensure!(error.contains("nothing to undo"), "{error}");
    daemon.cli(&["ban", "add", "192.0.2.7", "--for", "2h", "--reason", "scraping"])?;
    let error = refused(&daemon, &["ban", "edit", "192.0.2.8", "--for", "1h"])?;
    ensure!(error.contains("192.0.2.8/32 is not banned"), "{error}");
    daemon.cli(&["ban", "edit", "192.0.2.7", "--for", "10m"])?;
    let home = daemon.kill()?;
    let daemon = Daemon::start_in(home, &Wanted::enforcing(SocketAddr::from(UPSTREAM), ""))?;
    let ban = json(&daemon, &["ban", "list"])?["bans"][0].clone();
    let left = ban["remaining_seconds"].as_u64().context("no end")?;
    ensure!(
        (500..=600).contains(&left) && ban["reason"] == "scraping" && ban["by"] == "root",
        "{ban}"
    );
    daemon.cli(&["undo"])?;
    let left = json(&daemon, &["ban", "list"])?["bans"][0]["remaining_seconds"].as_u64();
    ensure!(left.is_some_and(|left| left > 7000), "{left:?}");
    let audit = json(&daemon, &["audit"])?;
    let actions: Vec<_> = audit["deeds"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|deed| deed["action"].clone())
        .collect();
    ensure!(actions == ["undo", "edit", "ban"], "{audit}");
    Ok(())
}

#[test]
fn exemptions_end_and_are_undone_with_the_bans_they_lifted() -> Result<()> {
    let daemon = start("")?;
    daemon.cli(&["ban", "add", "192.0.2.7", "--for", "2h"])?;
    let entry = json(
        &daemon,
        &["allow", "add", "192.0.2.0/24", "--for", "1h", "--reason", "audit"],
    )?;
    ensure!(
        entry["allowed"]["until"].is_string() && entry["lifted"][0] == "192.0.2.7/32",
        "{entry}"
    );
    ensure!(networks(&daemon, &[])?.is_empty());
    daemon.cli(&["undo"])?;
    ensure!(networks(&daemon, &[])? == ["192.0.2.7/32"]);
    let allowed = json(&daemon, &["allow", "list"])?.to_string();
    ensure!(!allowed.contains("192.0.2.0/24"), "{allowed}");
    daemon.cli(&["allow", "add", "198.51.100.0/24", "--for", "1s"])?;
    let home = daemon.kill()?;
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let daemon = Daemon::start_in(home, &Wanted::enforcing(SocketAddr::from(UPSTREAM), ""))?;
    daemon.cli(&["ban", "add", "198.51.100.7"])?;
    Ok(())
}

#[test]
fn nobody_bans_the_address_he_comes_from() -> Result<()> {
    let daemon = start("")?;
    let run = |arguments: &[&str]| -> Result<(bool, String)> {
        let output = Command::new(binary::portcullis()?)
            .env("SSH_CONNECTION", "192.0.2.7 50022 192.0.2.9 22")
            .arg("--socket")
            .arg(daemon.control())
            .args(arguments)
            .output()?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    };
    let (done, said) = run(&["ban", "add", "192.0.2.0/24"])?;
    ensure!(
        !done && said.contains("covers 192.0.2.7, from which you are logged in") && said.contains("--force"),
        "{said}"
    );
    ensure!(run(&["ban", "add", "192.0.2.8"])?.0);
    ensure!(run(&["ban", "add", "192.0.2.0/24", "--force"])?.0);
    Ok(())
}

#[test]
fn long_lists_come_in_pages_sorted_and_sifted() -> Result<()> {
    let daemon = start("")?;
    let many: String = (0..2500_u32)
        .map(|number| format!("10.0.{}.{}\n", number / 250, number % 250))
        .collect();
    daemon.cli(&["ban", "import", &file(&daemon, "many", &many)?, "--list", "many"])?;
    daemon.cli(&["ban", "add", "192.0.2.7", "--for", "1m", "--reason", "Scraping"])?;
    let first = json(&daemon, &["ban", "list"])?;
    ensure!(
        first["bans"].as_array().is_some_and(|bans| bans.len() == 1000) && first["total"] == 2501,
        "{}",
        first["total"]
    );
    let next = first["next"].as_str().context("no next page")?;
    let second = networks(&daemon, &["--after", next, "--limit", "2000"])?;
    ensure!(second.len() == 1501 && second[0].as_str() > next, "{}", second.len());
    ensure!(networks(&daemon, &["--sort", "until", "--limit", "1"])? == ["192.0.2.7/32"]);
    ensure!(networks(&daemon, &["--text", "scrap"])? == ["192.0.2.7/32"]);
    ensure!(networks(&daemon, &["--origin", "operator"])? == ["192.0.2.7/32"]);
    ensure!(networks(&daemon, &["--within", "10.0.3.0/24", "--limit", "10000"])?.len() == 250);
    ensure!(refused(&daemon, &["ban", "list", "--sort", "beauty"])?.contains("network, until or since"));
    Ok(())
}

#[test]
fn the_store_is_looked_after_with_and_without_a_daemon() -> Result<()> {
    let daemon = start("")?;
    daemon.cli(&["ban", "add", "198.51.100.7", "--reason", "kept"])?;
    let config = daemon.control().with_file_name("portcullis.toml").display().to_string();
    for verb in ["check", "compact"] {
        ensure!(json(&daemon, &["store", verb, "--config", &config])?["bans"] == 1);
    }
    let error = refused(&daemon, &["store", "export", "--config", &config])?;
    ensure!(error.contains("ban export"), "{error}");
    let home = daemon.kill()?;
    let run = |verb: &str| -> Result<(bool, String)> {
        let output = Command::new(binary::portcullis()?)
            .args(["store", verb, "--config", &config])
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    };
    let (done, text) = run("export")?;
    ensure!(
        done && text.contains("198.51.100.7/32") && text.contains("kept"),
        "{text}"
    );
    ensure!(run("compact")?.0 && run("check")?.0);
    let store = PathBuf::from(&config).with_file_name("state").join("portcullis.redb");
    let mut bytes = fs::read(&store)?;
    let row = bytes.windows(4).position(|bytes| bytes == b"kept").context("no row")?;
    bytes[row] ^= 1;
    fs::write(&store, bytes)?;
    let (done, text) = run("check")?;
    ensure!(
        !done && text.contains("is damaged") && text.contains("hint: "),
        "{text}"
    );
    drop(home);
    Ok(())
}

#[test]
fn what_a_list_does_not_say_is_told_beside_it() -> Result<()> {
    let daemon = start("")?;
    let list = "198.51.100.1\n198.51.100.2 its own reason\n{\"network\": \"198.51.100.3\"}\n\
        {\"network\": \"198.51.100.4\", \"reason\": \"replays\", \"origin\": \"rate\", \"until\": \"2035-01-15T09:00:00Z\"}\n";
    let path = file(&daemon, "bare", list)?;
    let told = [
        "--until",
        "2036-01-15T09:00:00Z",
        "--reason",
        "by hand",
        "--origin",
        "score",
    ];
    json(&daemon, &[&["ban", "import", path.as_str()], told.as_slice()].concat())?;
    let bans = json(&daemon, &["ban", "list"])?;
    let seen = bans["bans"].as_array().context("no bans")?.iter();
    let seen: Vec<_> = seen
        .map(|ban| {
            let until = ban["until"].as_str().unwrap_or_default();
            format!(
                "{} {} {}",
                ban["reason"],
                ban["origin"],
                until.get(..4).unwrap_or_default()
            )
        })
        .collect();
    let expected = [
        "\"by hand\" \"score\" 2036",
        "\"its own reason\" \"score\" 2036",
        "\"by hand\" \"score\" 2036",
        "\"replays\" \"rate\" 2035",
    ];
    ensure!(seen == expected, "{seen:?} {bans}");

    // There and back again: nothing is lost, and nothing that was told beside it takes the place of what is there.
    let export = daemon.cli(&["ban", "export"])?;
    daemon.cli(&["ban", "flush", "--yes"])?;
    let path = file(&daemon, "export", &export)?;
    json(
        &daemon,
        &[
            "ban", "import", &path, "--reason", "other", "--origin", "operator", "--for", "1h",
        ],
    )?;
    ensure!(daemon.cli(&["ban", "export"])? == export, "{export}");

    let error = refused(&daemon, &["ban", "import", &path, "--origin", "fate"])?;
    ensure!(error.contains("operator, score, rate or list"), "{error}");
    Ok(())
}
