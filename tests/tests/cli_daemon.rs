//! The command line against a real daemon. Neither privilege nor a packet layer is needed.

#![expect(clippy::unwrap_used, reason = "a helper of tests may fail as a test may")]

use std::fs;
use std::process::Command;

use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};
use serde_json::Value;

fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    serde_json::from_str(&daemon.cli(&[arguments, &["--json"]].concat()).unwrap()).unwrap()
}

#[test]
fn a_ban_comes_and_goes() {
    let backend = Backend::start().unwrap();
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), "")).unwrap();
    let added = json(
        &daemon,
        &["ban", "add", "198.51.100.0/24", "--for", "1h", "--reason", "scraping"],
    );
    assert_eq!(
        (&added["mode"], &added["packet_layer"]),
        (&"enforce".into(), &false.into())
    );
    let check = json(&daemon, &["ban", "check", "198.51.100.7"]);
    assert_eq!(
        (&check["verdict"], &check["bans"][0]["reason"]),
        (&"refused".into(), &"scraping".into())
    );
    let refused = daemon.cli(&["ban", "del", "198.51.100.7"]).unwrap_err().to_string();
    assert!(
        refused.contains("not banned by itself, but 198.51.100.0/24 is"),
        "{refused}"
    );
    daemon.cli(&["ban", "del", "198.51.100.0/24"]).unwrap();
    assert_eq!(json(&daemon, &["ban", "list"])["bans"], Value::Array(Vec::new()));
    assert_eq!(daemon.logged("operator", "action"), ["ban", "unban"]);
    assert_eq!(
        daemon.logged("operator", "object"),
        ["198.51.100.0/24 for 3600s", "198.51.100.0/24"]
    );
}

#[test]
fn nobody_locks_himself_out() {
    let backend = Backend::start().unwrap();
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), "")).unwrap();
    let refused = daemon
        .cli(&["ban", "add", "127.0.0.1", "--force"])
        .unwrap_err()
        .to_string();
    assert!(refused.contains("127.0.0.1/32 is never banned ("), "{refused}");
    let refused = daemon.cli(&["allow", "del", "127.0.0.0/8"]).unwrap_err().to_string();
    assert!(refused.contains("is fixed"), "{refused}");
}

#[test]
fn a_refusal_is_explained() {
    let backend = Backend::start().unwrap();
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), "")).unwrap();
    let mut wire = Wire::connect(daemon.address()).unwrap();
    let refused = wire
        .exchange(b"GET /api/orders HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        .unwrap();
    let incident = json(&daemon, &["why", &refused.reference()]);
    assert_eq!(
        (&incident["cause"], &incident["path"]),
        (&"signature-missing".into(), &"/api/orders".into())
    );
    assert_eq!(incident["problem"], refused.problem());
    // The list is short: what the address has its points for stands where one refusal is explained.
    let listed = json(&daemon, &["why"])["incidents"][0].clone();
    for key in ["reference", "cause", "path", "problem", "at"] {
        assert_eq!(listed[key], incident[key], "{key}");
    }
    assert_eq!(incident["address_ledger"][0]["reference"], incident["reference"]);
    assert_eq!(json(&daemon, &["status"])["calls"]["refused"]["signature-missing"], 1);
}

#[test]
fn a_session_is_listed_and_revoked() {
    let backend = Backend::start().unwrap();
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), "")).unwrap();
    let mut client = Client::open(daemon.address()).unwrap();
    assert_eq!(client.call("GET", "/api/orders", "").unwrap().status, 200);
    let session = json(&daemon, &["session", "list"])["sessions"][0].clone();
    assert_eq!((&session["state"], &session["calls"]), (&"active".into(), &1.into()));
    assert_eq!(session["user_agent"], client.user_agent);
    daemon
        .cli(&["session", "revoke", session["id"].as_str().unwrap()])
        .unwrap();
    assert_eq!(
        client.call("GET", "/api/orders", "").unwrap().problem(),
        "session-invalid"
    );
    assert_eq!(json(&daemon, &["session", "list"])["sessions"][0]["state"], "revoked");
}

/// What `sign` prints is run by a shell, as it is meant to be.
#[test]
fn a_signed_curl_command_passes_once() {
    let backend = Backend::start().unwrap();
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), "")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"two lines\nand a \0 byte").unwrap();
    let from_file = format!("@{}", file.path().display());
    let calls: [&[&str]; 6] = [
        &["GET", "/api/orders"],
        &["get", "/api/orders?a=1&b=%20c"],
        &["GET", "/api/./orders/../orders?"],
        &["POST", "/api/orders", "--data", "{\"it's\": \"$HOME `id`\\n\n\"}"],
        &[
            "PUT",
            "/api/orders/7",
            "--data",
            &from_file,
            "-H",
            "Content-Type: application/octet-stream",
        ],
        &[
            "DELETE",
            "/api/orders/7",
            "-H",
            "Accept: application/json",
            "-H",
            "User-Agent: mine",
        ],
    ];
    for ([method, path], options) in calls.iter().filter_map(|call| call.split_first_chunk()) {
        let url = format!("http://{}{path}", daemon.address());
        let command = daemon.cli(&[&["sign", method, &url], options].concat()).unwrap();
        assert_eq!(curl(&command), "200", "{command}");
        assert_eq!(curl(&command), "401", "a second time: {command}");
    }
}

fn curl(command: &str) -> String {
    let command = command.trim_end().to_owned() + " --silent --output /dev/null --write-out '%{http_code}'";
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
