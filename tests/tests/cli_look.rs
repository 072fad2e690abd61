//! `status`, `session` and `why`, against a control socket with canned answers; and how output ends.

use std::io::Read;
use std::process::Stdio;

use expect_test::expect;
use portcullis_tests::cli::Cli;

const STATUS: &str = r#"{"mode":"enforce","version":"0.1.0","started":"2027-01-15T08:00:00Z","uptime_seconds":7380,
    "packet_layer":{"interfaces":[{"name":"eth0","attached":"native"},{"name":"eth1","attached":"generic"}],
      "packets":[{"reason":"passed","dropped":false,"packets":120431,"bytes":98765432,"monitored_packets":0},
        {"reason":"banned_host","dropped":true,"packets":512,"bytes":30720,"monitored_packets":3}],
      "enforcement":{"at":"2027-01-15T10:02:40Z","ratio":0.9166,"intended":12,"enforced":11,"missing":1,"wrong":0,
        "strays":0,"refused":1},
      "tables":{"hosts":11,"overflowed":0,"capacity":1000000,"grown":0,"memory_bytes":43800000},
      "monitored_origins":["list"]},
    "bans":{"intended":12,"in_kernel":11,"strays":0},"never_ban":4,"sessions":31,
    "calls":{"admitted":1234,"refused":{"navigation":0,"replay":2,"signature-missing":40}}}"#;

#[test]
fn status() {
    let cli = Cli::with(&[("GET /v1/status", 200, STATUS)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        mode:      enforce
        version:   0.1.0
        started:   2027-01-15T08:00:00Z (up 2h3m)
        interface: eth0 (native)
        interface: eth1 (generic)
        bans:      12 intended, 11 in the kernel
        enforced:  91.66 % of 12 at 2027-01-15T10:02:40Z
        tables:    11 of 1000000, 43 MB
        monitored: list
        never-ban: 4
        sessions:  31
        calls:     1234 admitted, 42 refused

        REFUSED FOR        CALLS
        signature-missing     40
        replay                 2

        PACKETS      FATE      COUNT     BYTES  WOULD-DROP
        passed       passed   120431  98765432           0
        banned_host  dropped     512     30720           3
        ----- stderr
        warning: the kernel lacks 1 of 12 bans
    "#]]
    .assert_eq(&cli.run(&["status"]).unwrap());
}

#[test]
fn status_that_was_verified_tells_what_was_repaired() {
    let cli = Cli::with(&[("POST /v1/verify", 200, STATUS)]).unwrap();
    let shown = cli.run(&["status", "--verify"]).unwrap();
    assert!(shown.starts_with("exit status: 1"), "{shown}");
    let told =
        "verified: 1 bans were missing, 0 wrong and 0 beyond; repaired, but for 1 that the kernel would not take";
    assert!(shown.contains(told), "{shown}");
}

#[test]
fn status_without_a_packet_layer() {
    let status = r#"{"mode":"monitor","version":"0.1.0","started":"2027-01-15T08:00:00Z","uptime_seconds":5,
        "packet_layer":null,"bans":{"intended":0,"in_kernel":null,"strays":null},"never_ban":4,"sessions":0,
        "calls":{"admitted":0,"refused":{}}}"#;
    let cli = Cli::with(&[("GET /v1/status", 200, status)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        mode:      monitor
        version:   0.1.0
        started:   2027-01-15T08:00:00Z (up 5s)
        interface: none: the packet layer is off
        bans:      0 intended
        never-ban: 4
        sessions:  0
        calls:     0 admitted, 0 refused
    "#]]
    .assert_eq(&cli.run(&["status"]).unwrap());
}

#[test]
fn status_of_a_daemon_that_knows_more() {
    let newer = STATUS.replacen('{', r#"{"weather":"fine","#, 1);
    let cli = Cli::with(&[("GET /v1/status", 200, newer.leak())]).unwrap();
    assert!(cli.run(&["status"]).unwrap().starts_with("exit status: 0\n"));
}

const SESSIONS: &str = r#"{"sessions":[
    {"id":"AAECAwQFBgcICQr_","opened":"2027-01-15T08:00:00Z","expires":"2027-01-15T20:00:00Z","idle_seconds":3,
     "address":"192.0.2.7","user_agent":"Mozilla/5.0 (X11; Linux x86_64)","score":12.5,"streams":2,"connections":1,
     "calls":42,"state":"active"},
    {"id":"AQECAwQFBgcICQr_","opened":"2027-01-15T08:00:00Z","expires":"2027-01-15T20:00:00Z","idle_seconds":300,
     "address":"2001:db8::7","user_agent":"evil\u001b]0;title\u0007\u202e","score":120.04,"streams":1,"connections":0,
     "calls":7,"state":"banned","banned_seconds":899}]}"#;

#[test]
fn session_list() {
    let cli = Cli::with(&[("GET /v1/sessions", 200, SESSIONS)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        AAECAwQFBgcICQr_	active	192.0.2.7	3s	12.5	42	2	1	2027-01-15T20:00:00Z	-	Mozilla/5.0 (X11; Linux x86_64)
        AQECAwQFBgcICQr_	banned 14m59s	2001:db8::7	5m	120.0	7	1	0	2027-01-15T20:00:00Z	-	evil\u{1b}]0;title\u{7}\u{202e}
    "#]]
    .assert_eq(&cli.run(&["session", "list"]).unwrap());
}

#[test]
fn json_is_safe_for_terminals_too() {
    let cli = Cli::with(&[("GET /v1/sessions", 200, SESSIONS)]).unwrap();
    let shown = cli.run(&["session", "list", "--json"]).unwrap();
    assert!(
        shown.contains(r#""user_agent": "evil\u001b]0;title\u0007\u202e""#),
        "{shown}"
    );
}

#[test]
fn session_revoke() {
    let ended = r#"{"session":"-AECAwQFBgcICQr_","connections_closed":2}"#;
    let unknown = r#"{"type":"/problems/session-unknown","status":404,"title":"Unknown session","code":"session-unknown",
        "detail":"no session AAECAwQFBgcICQr_ is in use"}"#;
    let cli = Cli::with(&[
        ("DELETE /v1/sessions/-AECAwQFBgcICQr_", 200, ended),
        ("DELETE /v1/sessions/AAECAwQFBgcICQr_", 404, unknown),
    ])
    .unwrap();
    expect![[r#"
        exit status: 0
        ----- stderr
        revoked -AECAwQFBgcICQr_, closing 2 connections
    "#]]
    .assert_eq(&cli.run(&["session", "revoke", "-AECAwQFBgcICQr_"]).unwrap());
    expect![[r#"
        exit status: 1
        ----- stderr
        error: no session AAECAwQFBgcICQr_ is in use
        hint: see `portcullis session list`; sessions idle for long are forgotten
    "#]]
    .assert_eq(&cli.run(&["session", "revoke", "AAECAwQFBgcICQr_"]).unwrap());
}

const INCIDENT: &str = r#"{"reference":"0c7f9nqk2r3ad","at":"2027-01-15T08:00:12Z","cause":"sequence",
    "problem":"sequence-violation","http_status":403,"address":"192.0.2.7","session":"AAECAwQFBgcICQr_","method":"POST",
    "path":"/api/orders/7/pay\u001b[31m","rule":"pay-after-view","explanation":"needs view-order with the same id before",
    "session_points":20.0,"address_points":0.0,"waived":false}"#;

#[test]
fn why() {
    let unknown = r#"{"type":"/problems/reference-unknown","status":404,"title":"Unknown reference",
        "code":"reference-unknown","detail":"no refusal 0000000000000 is remembered"}"#;
    let cli = Cli::with(&[
        ("GET /v1/incidents/0c7f9nqk2r3ad", 200, INCIDENT),
        ("GET /v1/incidents/0000000000000", 404, unknown),
    ])
    .unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        POST /api/orders/7/pay\u{1b}[31m: needs view-order with the same id before
        when:       2027-01-15T08:00:12Z
        cause:      sequence
        client saw: 403 sequence-violation
        address:    192.0.2.7
        session:    AAECAwQFBgcICQr_
        rule:       pay-after-view
        points:     20 session, 0 address
    "#]]
    .assert_eq(&cli.run(&["why", "0C7F9NQK2R3AD"]).unwrap());
    expect![[r#"
        exit status: 1
        ----- stderr
        error: no refusal 0000000000000 is remembered
        hint: old refusals are forgotten; `portcullis why` lists the last ones
    "#]]
    .assert_eq(&cli.run(&["why", "0000000000000"]).unwrap());
}

#[test]
fn why_of_what_only_was_watched() {
    let watched = INCIDENT.replace(r#""waived":false"#, r#""waived":true"#);
    let cli = Cli::with(&[("GET /v1/incidents/0c7f9nqk2r3ad", 200, watched.leak())]).unwrap();
    let shown = cli.run(&["why", "0c7f9nqk2r3ad"]).unwrap();
    assert!(
        shown.contains("the gate only watches (it would have been 403 sequence-violation)"),
        "{shown}"
    );
}

#[test]
fn why_the_last_ones() {
    let list = format!(r#"{{"incidents":[{INCIDENT}]}}"#);
    let cli = Cli::with(&[("GET /v1/incidents?limit=5", 200, list.leak())]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        2027-01-15T08:00:12Z	0c7f9nqk2r3ad	sequence	192.0.2.7	POST	/api/orders/7/pay\u{1b}[31m
    "#]]
    .assert_eq(&cli.run(&["why", "--last", "5"]).unwrap());
}

/// A list that is longer than a pipe holds, and a reader that leaves after its first bytes.
#[test]
fn a_broken_pipe_is_success() {
    let entry = r#"{"network":"192.0.2.0/24","reason":"a long enough reason to fill the pipe soon","fixed":false}"#;
    let list = format!(r#"{{"allowed":[{}]}}"#, vec![entry; 2_000].join(","));
    let cli = Cli::with(&[("GET /v1/allow", 200, list.leak())]).unwrap();
    let mut command = cli.command(&["allow", "list"]).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
    expect![[r#"
        exit status: 0
    "#]]
    .assert_eq(&cli.written_down(&child.wait_with_output().unwrap()));
}

#[test]
fn the_socket_may_be_named_by_option() {
    let cli = Cli::with(&[("GET /v1/bans", 200, r#"{"bans":[]}"#)]).unwrap();
    let socket = cli.socket();
    let mut command = cli
        .command(&["ban", "list", "--socket", socket.to_str().unwrap()])
        .unwrap();
    let output = command.env_remove("PORTCULLIS_SOCKET").output().unwrap();
    assert_eq!(cli.written_down(&output), "exit status: 0\n----- stderr\nno bans\n");
}

#[test]
fn help() {
    let cli = Cli::alone().unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        A gate in front of an HTTP API: signed sessions, business rules, and drops at the network card

        Usage: portcullis [OPTIONS] <COMMAND>

        Commands:
          run          Run the gate in the foreground
          check        Check a configuration and tell what it would run
          detach       Take a pinned packet layer off the interfaces, after the daemon has ended
          status       Tell what the running gate does
          ban          Ban addresses and networks
          allow        Exempt addresses and networks from every ban
          session      Look at sessions and end them
          undo         Take the last change of bans or exemptions back
          audit        Tell what operators did, the last first
          store        Look after the file that outlives the daemon
          rules        Look at rules, try them, and put them in force
          reload       Have the running gate read its whole configuration anew
          mode         Tell whether verdicts have consequences, or change it until the next start
          confirm      Let a change stand that was made with --confirm
          why          Explain a refusal, or list the last ones
          events       Tell what happened, or what happens
          top          Watch the running gate: traffic, drops, offenders, rules
          sign         Sign a request and print it as a curl command
          config       Look at the configuration
          completions  Print completions for a shell
          man          Print the man page, or write those of all commands
          openapi      Print the OpenAPI document of the control socket
          help         Print this message or the help of the given subcommand(s)

        Options:
              --socket <PATH>  The control socket of the daemon [env: PORTCULLIS_SOCKET] [default:
                               /run/portcullis/control.sock]
              --json           Print JSON, for programs
          -q, --quiet          Say nothing on standard error but errors: no notes, no progress
          -h, --help           Print help
          -V, --version        Print version

        Exit status: 0 done, or the answer is yes; 1 failed, or the answer is no; 2 wrong usage, wrong
        configuration, or the daemon cannot be reached.
    "#]]
    .assert_eq(&cli.run(&["--help"]).unwrap());
}
