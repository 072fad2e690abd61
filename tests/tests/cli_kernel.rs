//! What the command line says of the packet layer, with a real one: the daemon in a network namespace. Needs root.

#![expect(clippy::unwrap_used, reason = "a helper of tests may fail as a test may")]

use std::net::SocketAddr;
use std::process::Command;

use portcullis_tests::binary;
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::netns::{Namespace, veth};
use serde_json::Value;

/// Whatever the exit status: `ban check` ends with 1 if the answer is no.
fn json(daemon: &Daemon, arguments: &[&str]) -> Value {
    let mut command = Command::new(binary::portcullis().unwrap());
    let output = command
        .arg("--json")
        .arg("--socket")
        .arg(daemon.control())
        .args(arguments)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_kernel_is_asked() {
    let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
    veth((&server, "gate"), (&clients, "out"));
    server.address("gate", "10.77.0.1/24");
    let entered = format!("--net=/run/netns/{}", server.name());
    let wanted = Wanted {
        listen: SocketAddr::from(([10, 77, 0, 1], 0)),
        wrapper: &["nsenter", &entered],
        ..Wanted::enforcing(
            SocketAddr::from(([127, 0, 0, 1], 1)),
            "[packet]\ninterfaces = [\"gate\"]\n",
        )
    };
    let daemon = Daemon::start(&wanted).unwrap();

    let added = json(&daemon, &["ban", "add", "10.77.0.2", "--for", "1h"]);
    assert_eq!(
        (&added["mode"], &added["packet_layer"]),
        (&"enforce".into(), &true.into())
    );
    let check = json(&daemon, &["ban", "check", "10.77.0.2"]);
    assert_eq!(check["verdict"], "dropped");
    let left = check["bans"][0]["kernel"]["remaining_seconds"].as_u64().unwrap();
    assert!((3590..=3600).contains(&left), "{check}");

    let status = json(&daemon, &["status"]);
    assert_eq!(status["packet_layer"]["interfaces"][0]["name"], "gate");
    assert_eq!(
        status["bans"],
        serde_json::json!({ "intended": 1, "in_kernel": 1, "strays": 0 })
    );

    daemon.cli(&["ban", "add", "10.78.0.0/16"]).unwrap();
    assert_eq!(json(&daemon, &["ban", "check", "10.78.1.1"])["verdict"], "dropped");
    daemon.cli(&["allow", "add", "10.78.1.1"]).unwrap();
    assert_eq!(json(&daemon, &["ban", "check", "10.78.1.1"])["verdict"], "never-banned");
    assert_eq!(json(&daemon, &["ban", "check", "10.78.1.2"])["verdict"], "dropped");

    daemon.cli(&["ban", "del", "10.77.0.2"]).unwrap();
    let check = json(&daemon, &["ban", "check", "2001:db8::1"]);
    assert_eq!(
        (&check["verdict"], &check["packet_layer"]),
        (&"passes".into(), &true.into())
    );
    assert_eq!(json(&daemon, &["status"])["bans"]["in_kernel"], 1);
}
