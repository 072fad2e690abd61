//! What the command line says to input that makes no sense, and to a daemon that cannot be reached.

#![expect(clippy::unwrap_used, reason = "a helper of tests may fail as a test may")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;

use expect_test::{Expect, expect};
use portcullis_tests::binary;
use portcullis_tests::cli::Cli;

fn says(arguments: &[&str], expected: &Expect) {
    let cli = Cli::alone().unwrap();
    expected.assert_eq(&cli.run(arguments).unwrap());
}

#[test]
fn no_address() {
    says(
        &["ban", "add", "10.0.0"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: '10.0.0' is not an IP address or network
        hint: write it like 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48
    "#]],
    );
    says(
        &["ban", "check", "shop.example"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: 'shop.example' is not an IP address or network
        hint: write it like 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48
    "#]],
    );
    says(
        &["allow", "add", ""],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: '' is not an IP address or network
        hint: write it like 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48
    "#]],
    );
    says(
        &["ban", "del", "\u{1b}[2J"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: '\u{1b}[2J' is not an IP address or network
        hint: write it like 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48
    "#]],
    );
}

#[test]
fn host_bits() {
    says(
        &["ban", "add", "10.0.0.7/24"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: 10.0.0.7/24 has host bits: did you mean 10.0.0.0/24 or 10.0.0.7/32?
    "#]],
    );
    says(
        &["allow", "del", "2001:db8::7/64"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: 2001:db8::7/64 has host bits: did you mean 2001:db8::/64 or 2001:db8::7/128?
    "#]],
    );
}

#[test]
fn prefix_length_and_port() {
    says(
        &["ban", "add", "10.0.0.0/33"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: '10.0.0.0/33' has no valid prefix length: it goes from 0 to 32 for 10.0.0.0
    "#]],
    );
    says(
        &["ban", "add", "10.0.0.7:443"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: '10.0.0.7:443' has a port: did you mean 10.0.0.7?
    "#]],
    );
    says(
        &["ban", "check", "10.0.0.0/24"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: '10.0.0.0/24' is a network, but one address is asked for: for example 10.0.0.0
    "#]],
    );
}

#[test]
fn durations() {
    says(
        &["ban", "add", "10.0.0.7", "--for", "soon"],
        &expect![[r#"
            exit status: 2
            ----- stderr
            error: 'soon' is not a duration
            hint: write whole numbers with ms, s, m, h, d or w, alone or joined, the largest first: 90s, 1h30m, 2d
        "#]],
    );
    says(
        &["ban", "add", "10.0.0.7", "--for", "90"],
        &expect![[r#"
            exit status: 2
            ----- stderr
            error: '90' is not a duration
            hint: a duration has a unit: did you mean 90s?
        "#]],
    );
    says(
        &["ban", "add", "10.0.0.7", "--for", "0s"],
        &expect![[r#"
            exit status: 2
            ----- stderr
            error: '0s' is too short: a ban lasts at least one second
            hint: `portcullis ban del` ends a ban
        "#]],
    );
}

#[test]
fn sessions_and_references() {
    says(
        &["session", "revoke", "nobody"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: 'nobody' is not a session name: it has 16 characters of A-Z a-z 0-9 - _
        hint: `portcullis session list` shows the names
    "#]],
    );
    says(
        &["why", "7"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: '7' is not a reference: it has 13 letters and digits, as in the `ref` of a problem document
    "#]],
    );
}

#[test]
fn usage() {
    says(
        &["ban", "add"],
        &expect![[r#"
            exit status: 2
            ----- stderr
            error: the following required arguments were not provided:
              <ADDRESS|NETWORK>

            Usage: portcullis ban add <ADDRESS|NETWORK>

            For more information, try '--help'.
        "#]],
    );
    says(
        &["bann"],
        &expect![[r#"
            exit status: 2
            ----- stderr
            error: unrecognized subcommand 'bann'

              tip: some similar subcommands exist: 'man', 'ban'

            Usage: portcullis [OPTIONS] <COMMAND>

            For more information, try '--help'.
        "#]],
    );
}

#[test]
fn programs_get_a_code() {
    says(
        &["ban", "add", "10.0.0.7/24", "--json"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        {"error":{"code":"address-invalid","hints":[],"message":"10.0.0.7/24 has host bits: did you mean 10.0.0.0/24 or 10.0.0.7/32?"}}
    "#]],
    );
}

#[test]
fn the_daemon_does_not_run() {
    says(
        &["status"],
        &expect![[r#"
        exit status: 2
        ----- stderr
        error: portcullis is not running: there is no socket [HOME]/control.sock
        hint: start it with `systemctl start portcullis`
        hint: or in the foreground with `portcullis run --config /etc/portcullis/portcullis.toml`
        hint: if it listens elsewhere, say so with --socket PATH or PORTCULLIS_SOCKET
    "#]],
    );
}

#[test]
fn nobody_serves_the_socket() {
    let cli = Cli::alone().unwrap();
    drop(UnixListener::bind(cli.socket()).unwrap());
    expect![[r#"
        exit status: 2
        ----- stderr
        error: portcullis is not running: nobody serves [HOME]/control.sock
        hint: start it with `systemctl start portcullis`
        hint: or in the foreground with `portcullis run --config /etc/portcullis/portcullis.toml`
        hint: if it listens elsewhere, say so with --socket PATH or PORTCULLIS_SOCKET
    "#]]
    .assert_eq(&cli.run(&["ban", "list"]).unwrap());
}

#[test]
fn something_else_serves_the_socket() {
    let cli = Cli::with(&[("GET /v1/bans", 200, "[]"), ("GET /v1/sessions", 500, "oops")]).unwrap();
    expect![[r#"
        exit status: 2
        ----- stderr
        error: [HOME]/control.sock gave an answer that this version does not understand: invalid length 0, expected struct BanList with 3 elements at line 1 column 2
        hint: is it the socket of a portcullis of the same version? `portcullis --version` tells ours
    "#]].assert_eq(&cli.run(&["ban", "list"]).unwrap());
    expect![[r#"
        exit status: 2
        ----- stderr
        error: [HOME]/control.sock gave an answer that this version does not understand: status 500 Internal Server Error without a problem document
        hint: is it the socket of a portcullis of the same version? `portcullis --version` tells ours
    "#]].assert_eq(&cli.run(&["session", "list"]).unwrap());
}

/// Root may use every socket, so root becomes somebody else first.
#[test]
fn no_permission_on_the_socket() {
    let cli = Cli::alone().unwrap();
    let _listener = UnixListener::bind(cli.socket()).unwrap();
    let copy = cli.home().join("portcullis");
    link_or_copy(&binary::portcullis().unwrap(), &copy);
    fs::set_permissions(cli.home(), Permissions::from_mode(0o755)).unwrap();
    let root = fs::metadata(cli.home()).unwrap().uid() == 0;
    let mut command = cli.command(&["status"]).unwrap();
    if root {
        command = std::process::Command::new(&copy);
        command
            .arg("status")
            .env_clear()
            .env("PORTCULLIS_SOCKET", cli.socket())
            .uid(65_534)
            .gid(65_534);
        chown(cli.socket(), None, Some(1)).unwrap();
    }
    fs::set_permissions(cli.socket(), Permissions::from_mode(if root { 0o660 } else { 0 })).unwrap();
    let gid = fs::metadata(cli.socket()).unwrap().gid();
    let group = group_name(gid);
    let said = cli.written_down(&command.output().unwrap()).replace(&group, "[GROUP]");
    expect![[r#"
        exit status: 2
        ----- stderr
        error: no permission to use [HOME]/control.sock
        hint: it is for the group [GROUP]: join it with `sudo usermod -aG [GROUP] $USER` and log in again
        hint: or use sudo this once
    "#]]
    .assert_eq(&said);
}

/// The directory of the binary may be closed to others. A link also spares the race of a copy that a process forked by
/// another test still holds open for writing.
fn link_or_copy(binary: &Path, copy: &Path) {
    if fs::hard_link(binary, copy).is_err() {
        fs::copy(binary, copy).unwrap();
    }
}

fn group_name(gid: u32) -> String {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let named = groups
        .lines()
        .find(|line| line.split(':').nth(2) == Some(&gid.to_string()));
    named
        .and_then(|line| line.split(':').next())
        .map_or_else(|| gid.to_string(), str::to_owned)
}
