//! What the daemon gives up after its start, and what goes on without it: real processes in network namespaces of our
//! own. Needs root.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::User;
use portcullis_tests::backend::Backend;
use portcullis_tests::binary;
use portcullis_tests::daemon::{Daemon, Home, Wanted};
use portcullis_tests::netns::{Namespace, veth};
use portcullis_tests::patience::until;
use portcullis_tests::pins::Pins;
use portcullis_tests::tls::Certificates;

const SERVER: &str = "10.77.11.1";
const BANNED: &str = "10.77.11.2";
const OTHER: &str = "10.77.11.3";
const PATIENCE: Duration = Duration::from_secs(10);

fn connect(server: &Namespace, clients: &Namespace) {
    veth((server, "pcs"), (clients, "pcc"));
    server.address("pcs", &format!("{SERVER}/24"));
    clients.address("pcc", &format!("{BANNED}/24"));
    clients.address("pcc", &format!("{OTHER}/24"));
}

/// A line of `/proc/PROCESS/status`.
fn status(process: u32, key: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    Ok(found.with_context(|| format!("no {key}"))?.trim().to_owned())
}

fn only_child(process: u32) -> Result<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    text.trim()
        .parse()
        .with_context(|| format!("one helper, and not `{text}`"))
}

#[test]
fn a_running_daemon_has_no_privilege_and_does_all_its_work() -> Result<()> {
    let (server, clients, pins) = (Namespace::new("server"), Namespace::new("clients"), Pins::new());
    connect(&server, &clients);
    let enter = format!("--net=/run/netns/{}", server.name());
    let extra = format!(
        "[service]\nuser = \"nobody\"\n[packet]\ninterfaces = [\"pcs\"]\npins = \"{}\"\nmax_bans = 1000\nmax_bans_limit = 8000\n",
        pins.path()
    );
    let wrapper = ["nsenter", &enter];
    let wanted = Wanted {
        listen: format!("{SERVER}:0").parse()?,
        wrapper: &wrapper,
        ..Wanted::enforcing(SocketAddr::from(([127, 0, 0, 1], 1)), &extra)
    };
    let home = Home::new()?;
    fs::set_permissions(home.path(), Permissions::from_mode(0o755))?;
    let daemon = Daemon::start_in(home, &wanted)?;

    // No privilege of its own, and nothing that could be misused for it.
    let nobody = User::from_name("nobody")?.context("there is no nobody")?;
    let id = daemon.id();
    let ids = format!("{0}\t{0}\t{0}\t{0}", nobody.uid);
    ensure!(status(id, "Uid")? == ids, "{}", status(id, "Uid")?);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        ensure!(status(id, set)? == "0000000000000000", "{set}: {}", status(id, set)?);
    }
    ensure!(status(id, "NoNewPrivs")? == "1" && status(id, "Seccomp")? == "2");
    for entry in fs::read_dir(format!("/proc/{id}/task"))? {
        let thread: u32 = entry?.file_name().to_string_lossy().parse()?;
        ensure!(status(thread, "CapEff")? == "0000000000000000" && status(thread, "Seccomp")? == "2");
    }
    let open: Vec<_> = fs::read_dir(format!("/proc/{id}/fd"))?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .collect();
    let misused = |path: &&std::path::PathBuf| {
        let name = path.to_string_lossy();
        ["bpf-prog", "bpf_link", "btf"].iter().any(|kind| name.contains(kind)) || name.starts_with(pins.path())
    };
    ensure!(open.iter().find(misused).is_none(), "{open:?}");

    // Its helper keeps three capabilities and access to its directory, behind a filter as well.
    let helper = only_child(id)?;
    ensure!(
        status(helper, "CapPrm")? == "000000c000001002",
        "{}",
        status(helper, "CapPrm")?
    );
    ensure!(status(helper, "NoNewPrivs")? == "1" && status(helper, "Seccomp")? == "2");
    let said = daemon.cli(&["status"])?;
    ensure!(
        said.contains("nobody, without capabilities, system calls filtered"),
        "{said}"
    );

    // Its files are its own.
    let state = daemon.control().with_file_name("state");
    for name in ["", "master.key", "portcullis.redb"] {
        ensure!(fs::metadata(state.join(name))?.uid() == nobody.uid.as_raw(), "{name}");
    }
    daemon.cli(&["session", "rotate-key"])?;

    // Verdicts, growth and interfaces go on.
    daemon.cli(&["ban", "add", BANNED, "--for", "1h"])?;
    ensure!(!clients.pings(BANNED, SERVER) && clients.pings(OTHER, SERVER));
    let list = state.with_file_name("list.txt");
    fs::write(
        &list,
        (0..4_000)
            .map(|n| format!("10.9.{}.{}\n", n / 250, n % 250))
            .collect::<String>(),
    )?;
    daemon.cli(&["ban", "import", "--list", "many", &list.display().to_string()])?;
    ensure!(!daemon.logged("the tables grew", "to").is_empty());
    ensure!(!clients.pings(BANNED, SERVER), "growth lifted the ban");
    server.ip("link delete pcs");
    daemon.await_logged(
        "an interface went, or somebody detached the program from it",
        "interface",
        1,
    )?;
    connect(&server, &clients);
    daemon.await_logged("an interface came, and is guarded", "interface", 1)?;
    ensure!(!clients.pings(BANNED, SERVER) && clients.pings(OTHER, SERVER));
    daemon.cli(&["reload"])?;

    // Without its helper it ends, to be started again; meanwhile the pinned program goes on.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(helper)?),
        nix::sys::signal::Signal::SIGKILL,
    )?;
    until(PATIENCE, "the end without the helper", || {
        Ok(status(id, "State").map_or(true, |state| state.starts_with('Z')))
    })?;
    ensure!(!clients.pings(BANNED, SERVER) && clients.pings(OTHER, SERVER));
    let daemon = Daemon::start_in(daemon.home(), &wanted)?;
    ensure!(!clients.pings(BANNED, SERVER) && clients.pings(OTHER, SERVER));
    let helper = only_child(daemon.id())?;
    daemon.kill()?;
    until(PATIENCE, "the end of the helper", || {
        Ok(status(helper, "State").map_or(true, |state| state.starts_with('Z')))
    })
}

#[test]
fn a_daemon_that_was_taken_over_cannot_break_out() -> Result<()> {
    let (server, clients, pins) = (Namespace::new("server"), Namespace::new("clients"), Pins::new());
    connect(&server, &clients);
    let state = tempfile::tempdir()?;
    let inner = state.path().join("state");
    fs::set_permissions(state.path(), Permissions::from_mode(0o755))?;
    fs::DirBuilder::new().create(&inner)?;
    fs::set_permissions(&inner, Permissions::from_mode(0o700))?;
    let output = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", server.name()))
        .arg(env!("CARGO_BIN_EXE_captive"))
        .arg(binary::portcullis()?)
        .arg("pcs")
        .arg(&inner)
        .arg(pins.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}\n{errors}");
    let lines = |start: &str| said.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
    let (before, after) = (lines("before: "), lines("after: "));
    // Each attempt is a real one: it succeeds as long as nothing was given up.
    ensure!(
        before.len() == 16 && before.iter().all(|line| line.ends_with(": possible")),
        "{said}"
    );
    ensure!(
        after.len() == 31 && after.iter().all(|line| line.contains(": refused (")),
        "{said}"
    );
    for expected in [
        "goes on: 3000 bans held",
        "goes on: lifted Some(true)",
        "goes on: 1 interfaces guarded",
        "goes on: counters true",
        "goes on: own files possible",
    ] {
        ensure!(said.contains(expected), "no `{expected}`:\n{said}\n{errors}");
    }
    ensure!(!said.contains("goes on: 0 times grown"), "{said}\n{errors}");
    let lies = lines("lie: ");
    ensure!(
        lies.len() == 4 && lies[..3].iter().all(|line| line.contains(r#"{"Failed":"#)),
        "{said}"
    );
    // What is no request at all ends the helper, and thus the daemon.
    ensure!(lies[3].ends_with(": ") && said.contains("helper: refused"), "{said}");
    Ok(())
}

/// Files that the kernel closed to the daemon at its start cannot be taken over by a reload, which says what to do.
#[test]
fn a_reload_cannot_open_what_was_closed_and_says_so() -> Result<()> {
    let (backend, here, elsewhere) = (Backend::start()?, Certificates::new()?, Certificates::new()?);
    let pair = here.write("a", &["shop.example"], 2090)?;
    let other = elsewhere.write("a", &["shop.example"], 2090)?;
    let authorities = elsewhere.path("a.pem");
    fs::write(elsewhere.path("rules.toml"), "version = 1\n")?;
    let listener = format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{pair}] }}\n");
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), &listener))?;
    let file = daemon.control().with_file_name("portcullis.toml");
    let text = fs::read_to_string(&file)?;
    let rules = elsewhere.path("rules.toml");
    let upstream = format!(
        "{text}[[upstream]]\npaths = [\"/a\"]\nservers = [\"https://a.example:1\"]\nauthorities = \"{}\"\n",
        authorities.display()
    );
    for (key, changed) in [
        ("listener[0].tls.certificates", text.replace(&pair, &other)),
        ("rules[0]", format!("rules = [\"{}\"]\n{text}", rules.display())),
        ("upstream[0]", upstream),
    ] {
        ensure!(changed != text, "{key}: nothing has changed in {text}");
        fs::write(&file, &changed)?;
        let refused = daemon.cli(&["reload"]).unwrap_err().to_string();
        for words in [
            key,
            "Permission denied",
            "files that it had at its start",
            "restart the daemon",
        ] {
            ensure!(refused.contains(words), "{words}: {refused}");
        }
    }
    fs::write(&file, &text)?;
    daemon.cli(&["reload"])?;
    Ok(())
}
