//! What loading the XDP program takes, and what is said when it is missing. Needs root.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests may fail as a test may"
)]

use std::process::Command;

use portcullis::enforcer::{AttachOptions, Enforcer};

/// Runs `child` in a process that has only these capabilities, and returns what it printed.
fn with_capabilities(capabilities: &str) -> String {
    let ourselves = std::env::current_exe().unwrap();
    let output = Command::new("setpriv")
        .args(["--inh-caps=-all", &format!("--bounding-set=-all{capabilities}")])
        .arg(ourselves)
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .output()
        .expect("setpriv is part of util-linux");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "the other tests start it, with fewer capabilities"]
fn child() {
    match Enforcer::attach(&AttachOptions::default()) {
        Ok(_) => println!("attached"),
        Err(error) => println!("refused: {error}"),
    }
}

#[test]
fn three_capabilities_are_enough() {
    let said = with_capabilities(",+bpf,+net_admin,+perfmon");
    assert!(said.contains("attached"), "{said}");
}

#[test]
fn the_missing_capabilities_are_named() {
    let said = with_capabilities(",+bpf,+net_admin");
    assert!(said.contains("CAP_PERFMON missing"), "{said}");
    let said = with_capabilities("");
    assert!(said.contains("CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF missing"), "{said}");
    assert!(said.contains("run as root"), "{said}");
}
