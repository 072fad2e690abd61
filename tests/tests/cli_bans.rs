//! `ban` and `allow`, against a control socket with canned answers.

use expect_test::expect;
use portcullis_tests::cli::Cli;

const BAN: &str = r#"{"network":"192.0.2.7/32","reason":"scraping","origin":"operator","since":"2027-01-15T08:00:00Z",
    "until":"2027-01-15T09:30:00Z","remaining_seconds":5400,"mode":"enforce","packet_layer":true}"#;

#[test]
fn add() {
    let cli = Cli::with(&[("POST /v1/bans", 201, BAN)]).unwrap();
    let arguments = [
        "ban",
        "add",
        "::ffff:192.0.2.7",
        "--for",
        "1h30m",
        "--reason",
        "scraping",
    ];
    expect![[r#"
        exit status: 0
        ----- stderr
        banned 192.0.2.7/32 for 1h30m, until 2027-01-15T09:30:00Z
    "#]]
    .assert_eq(&cli.run(&arguments).unwrap());
    expect![[r#"
        [
            "POST /v1/bans {\"network\":\"192.0.2.7/32\",\"for_seconds\":5400,\"reason\":\"scraping\",\"force\":false}",
        ]
    "#]]
    .assert_debug_eq(&cli.asked());
}

#[test]
fn add_lasts_a_day_unless_told() {
    let cli = Cli::with(&[("POST /v1/bans", 201, BAN)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        {
          "network": "192.0.2.7/32",
          "reason": "scraping",
          "origin": "operator",
          "since": "2027-01-15T08:00:00Z",
          "until": "2027-01-15T09:30:00Z",
          "remaining_seconds": 5400,
          "mode": "enforce",
          "packet_layer": true
        }
    "#]]
    .assert_eq(&cli.run(&["ban", "add", "192.0.2.7", "--force", "--json"]).unwrap());
    expect![[r#"
        [
            "POST /v1/bans {\"network\":\"192.0.2.7/32\",\"for_seconds\":86400,\"reason\":\"\",\"force\":true}",
        ]
    "#]]
    .assert_debug_eq(&cli.asked());
}

#[test]
fn add_tells_when_it_has_no_effect_yet() {
    let watching = r#"{"network":"192.0.2.7/32","reason":"","origin":"operator","since":"2027-01-15T08:00:00Z",
        "until":"2027-01-16T08:00:00Z","remaining_seconds":86400,"mode":"monitor","packet_layer":true}"#;
    let cli = Cli::with(&[("POST /v1/bans", 201, watching)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stderr
        banned 192.0.2.7/32 for 1d, until 2027-01-16T08:00:00Z
        note: the gate only watches (mode monitor): nothing is kept out yet
    "#]]
    .assert_eq(&cli.run(&["ban", "add", "192.0.2.7"]).unwrap());
}

#[test]
fn add_refused() {
    let problem = r#"{"type":"/problems/never-ban","status":409,"title":"In the never-ban set","code":"never-ban",
        "detail":"192.0.2.7/32 overlaps 192.0.2.0/24 in the never-ban set (office)"}"#;
    let cli = Cli::with(&[("POST /v1/bans", 409, problem)]).unwrap();
    expect![[r#"
        exit status: 1
        ----- stderr
        error: 192.0.2.7/32 overlaps 192.0.2.0/24 in the never-ban set (office)
        hint: the never-ban set wins over every ban: see `portcullis allow list`
    "#]]
    .assert_eq(&cli.run(&["ban", "add", "192.0.2.7"]).unwrap());
    expect![[r#"
        exit status: 1
        ----- stderr
        {"error":{"code":"never-ban","hints":["the never-ban set wins over every ban: see `portcullis allow list`"],"message":"192.0.2.7/32 overlaps 192.0.2.0/24 in the never-ban set (office)"}}
    "#]].assert_eq(&cli.run(&["ban", "add", "192.0.2.7", "--json"]).unwrap());
}

#[test]
fn add_refused_by_a_newer_daemon() {
    let problem = r#"{"type":"/problems/moon","status":409,"title":"Moon","code":"moon","detail":"the moon is full"}"#;
    let cli = Cli::with(&[("POST /v1/bans", 409, problem)]).unwrap();
    expect![[r#"
        exit status: 1
        ----- stderr
        error: the moon is full
    "#]]
    .assert_eq(&cli.run(&["ban", "add", "192.0.2.7"]).unwrap());
}

#[test]
fn del() {
    let cli = Cli::with(&[("DELETE /v1/bans?network=192.0.2.7%2F32", 200, BAN)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stderr
        unbanned 192.0.2.7/32, 1h30m before its end
    "#]]
    .assert_eq(&cli.run(&["ban", "del", "192.0.2.7"]).unwrap());
}

#[test]
fn del_of_what_is_not_banned() {
    let problem = r#"{"type":"/problems/not-banned","status":404,"title":"Not banned","code":"not-banned",
        "detail":"192.0.2.7/32 is not banned by itself, but 192.0.2.0/24 is, and covers it"}"#;
    let cli = Cli::with(&[("DELETE /v1/bans?network=192.0.2.7%2F32", 404, problem)]).unwrap();
    expect![[r#"
        exit status: 1
        ----- stderr
        error: 192.0.2.7/32 is not banned by itself, but 192.0.2.0/24 is, and covers it
        hint: see `portcullis ban list`, or ask with `portcullis ban check ADDRESS`
    "#]]
    .assert_eq(&cli.run(&["ban", "del", "192.0.2.7"]).unwrap());
}

#[test]
fn list() {
    let bans = r#"{"bans":[
        {"network":"192.0.2.7/32","reason":"scraping\u001b[2J\tfast","origin":"operator","since":"2027-01-15T08:00:00Z",
         "until":"2027-01-15T09:30:00Z","remaining_seconds":5400,
         "hits":{"packets":512,"bytes":30720,"last_seen":"2027-01-15T08:20:00Z"}},
        {"network":"2001:db8::/48","reason":"replays","origin":"score","since":"2027-01-15T08:00:00Z",
         "until":"2027-01-15T08:15:00Z","remaining_seconds":59,"reference":"0000000000001"}]}"#;
    let cli = Cli::with(&[("GET /v1/bans", 200, bans)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        192.0.2.7/32	1h30m	2027-01-15T09:30:00Z	operator	512	30720	2027-01-15T08:20:00Z	scraping\u{1b}[2J\u{9}fast
        2001:db8::/48	59s	2027-01-15T08:15:00Z	score	-	-	-	replays
    "#]]
    .assert_eq(&cli.run(&["ban", "list"]).unwrap());
    expect![[r#"
        exit status: 0
        ----- stdout
        {
          "bans": [
            {
              "network": "192.0.2.7/32",
              "reason": "scraping\u001b[2J\tfast",
              "origin": "operator",
              "since": "2027-01-15T08:00:00Z",
              "until": "2027-01-15T09:30:00Z",
              "remaining_seconds": 5400,
              "hits": {
                "packets": 512,
                "bytes": 30720,
                "last_seen": "2027-01-15T08:20:00Z"
              }
            },
            {
              "network": "2001:db8::/48",
              "reason": "replays",
              "origin": "score",
              "since": "2027-01-15T08:00:00Z",
              "until": "2027-01-15T08:15:00Z",
              "remaining_seconds": 59,
              "reference": "0000000000001"
            }
          ],
          "total": 0
        }
    "#]]
    .assert_eq(&cli.run(&["ban", "list", "--json"]).unwrap());
}

#[test]
fn list_of_nothing() {
    let cli = Cli::with(&[
        ("GET /v1/bans", 200, r#"{"bans":[]}"#),
        ("GET /v1/allow", 200, r#"{"allowed":[]}"#),
    ])
    .unwrap();
    expect![[r#"
        exit status: 0
        ----- stderr
        no bans
    "#]]
    .assert_eq(&cli.run(&["ban", "list"]).unwrap());
    expect![[r#"
        exit status: 0
        ----- stderr
        the never-ban set is empty
    "#]]
    .assert_eq(&cli.run(&["allow", "list"]).unwrap());
}

const DROPPED: &str = r#"{"address":"192.0.2.7","verdict":"dropped","mode":"enforce","allowed":null,"bans":[
    {"network":"192.0.2.7/32","reason":"scraping","origin":"score","since":"2027-01-15T08:00:00Z",
     "until":"2027-01-15T09:30:00Z","remaining_seconds":5400,"reference":"0000000000001",
     "hits":{"packets":512,"bytes":30720,"last_seen":"2027-01-15T08:20:00Z"},
     "kernel":{"network":"192.0.2.7/32","remaining_seconds":5399}},
    {"network":"192.0.2.0/24","reason":"","origin":"operator","since":"2027-01-15T08:00:00Z",
     "until":"2027-01-15T09:30:00Z","remaining_seconds":5400,"kernel":null}],
    "strays":[{"network":"192.0.0.0/16","remaining_seconds":7}],"packet_layer":true}"#;

#[test]
fn check_dropped() {
    let cli = Cli::with(&[("GET /v1/bans/check?address=192.0.2.7", 200, DROPPED)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        192.0.2.7 is dropped at the network card
        ban:    192.0.2.7/32
        reason: scraping
        by:     score
        since:  2027-01-15T08:00:00Z
        until:  2027-01-15T09:30:00Z (1h30m left)
        kernel: has it, for 1h29m more
        hits:   512 packets, 30720 bytes, the last at 2027-01-15T08:20:00Z
        see:    portcullis why 0000000000001

        ban:    192.0.2.0/24
        reason: -
        by:     operator
        since:  2027-01-15T08:00:00Z
        until:  2027-01-15T09:30:00Z (1h30m left)
        kernel: does not have it
        stray:  the kernel has 192.0.0.0/16 for 7s, and the daemon did not ask for it
    "#]]
    .assert_eq(&cli.run(&["ban", "check", "192.0.2.7"]).unwrap());
}

#[test]
fn check_passes() {
    let passes = r#"{"address":"2001:db8::7","verdict":"passes","mode":"enforce","allowed":null,"bans":[],"strays":[],
        "packet_layer":true}"#;
    let cli = Cli::with(&[("GET /v1/bans/check?address=2001%3Adb8%3A%3A7", 200, passes)]).unwrap();
    expect![[r#"
        exit status: 1
        ----- stdout
        2001:db8::7 passes: no ban covers it
    "#]]
    .assert_eq(&cli.run(&["ban", "check", "2001:db8::7"]).unwrap());
    expect![[r#"
        exit status: 1
        ----- stdout
        {
          "address": "2001:db8::7",
          "verdict": "passes",
          "mode": "enforce",
          "allowed": null,
          "bans": [],
          "strays": [],
          "packet_layer": true
        }
    "#]]
    .assert_eq(&cli.run(&["ban", "check", "2001:db8::7", "--json"]).unwrap());
}

#[test]
fn check_never_banned() {
    let exempt = r#"{"address":"192.0.2.7","verdict":"never-banned","mode":"enforce","packet_layer":false,
        "allowed":{"network":"192.0.2.0/24","reason":"office","fixed":true},"bans":[],"strays":[]}"#;
    let cli = Cli::with(&[("GET /v1/bans/check?address=192.0.2.7", 200, exempt)]).unwrap();
    expect![[r#"
        exit status: 1
        ----- stdout
        192.0.2.7 passes: it is in the never-ban set, which wins over every ban
        never-ban: 192.0.2.0/24 (office)
    "#]]
    .assert_eq(&cli.run(&["ban", "check", "192.0.2.7"]).unwrap());
}

#[test]
fn allow_add() {
    let added = r#"{"allowed":{"network":"192.0.2.0/24","reason":"office","fixed":false},"lifted":["192.0.2.7/32"]}"#;
    let cli = Cli::with(&[("POST /v1/allow", 201, added)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stderr
        192.0.2.0/24 is never banned from now on
        its ban of 192.0.2.7/32 has ended
    "#]]
    .assert_eq(
        &cli.run(&["allow", "add", "192.0.2.0/24", "--reason", "office"])
            .unwrap(),
    );
    expect![[r#"
        [
            "POST /v1/allow {\"network\":\"192.0.2.0/24\",\"reason\":\"office\"}",
        ]
    "#]]
    .assert_debug_eq(&cli.asked());
}

#[test]
fn allow_del() {
    let entry = r#"{"network":"192.0.2.0/24","reason":"office","fixed":false}"#;
    let cli = Cli::with(&[("DELETE /v1/allow?network=192.0.2.0%2F24", 200, entry)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stderr
        192.0.2.0/24 can be banned again
    "#]]
    .assert_eq(&cli.run(&["allow", "del", "192.0.2.0/24"]).unwrap());
}

#[test]
fn allow_del_of_a_fixed_entry() {
    let problem = r#"{"type":"/problems/allow-fixed","status":409,"title":"Fixed by the configuration","code":"allow-fixed",
        "detail":"127.0.0.0/8 is fixed by the configuration (loopback); change it there"}"#;
    let cli = Cli::with(&[("DELETE /v1/allow?network=127.0.0.0%2F8", 409, problem)]).unwrap();
    expect![[r#"
        exit status: 1
        ----- stderr
        error: 127.0.0.0/8 is fixed by the configuration (loopback); change it there
        hint: see `portcullis allow list`
    "#]]
    .assert_eq(&cli.run(&["allow", "del", "127.0.0.0/8"]).unwrap());
}

#[test]
fn allow_list() {
    let allowed = r#"{"allowed":[{"network":"127.0.0.0/8","reason":"loopback","fixed":true},
        {"network":"192.0.2.0/24","reason":"office","fixed":false}]}"#;
    let cli = Cli::with(&[("GET /v1/allow", 200, allowed)]).unwrap();
    expect![[r#"
        exit status: 0
        ----- stdout
        127.0.0.0/8	fixed	-	loopback
        192.0.2.0/24	operator	-	office
    "#]]
    .assert_eq(&cli.run(&["allow", "list"]).unwrap());
}
