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
    with_capabilities_and_pins(capabilities, None)
}

/// The same with a place for pins.
fn with_capabilities_and_pins(capabilities: &str, pins: Option<&str>) -> String {
    let ourselves = std::env::current_exe().unwrap();
    let output = Command::new("setpriv")
        .envs(pins.map(|pins| ("PINS", pins)))
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
    let options = AttachOptions {
        pins: std::env::var_os("PINS").map(Into::into),
        ..AttachOptions::default()
    };
    match Enforcer::attach(&options) {
        Ok(_) => println!("attached"),
        Err(error) => println!("refused: {error}"),
    }
}

/// Runs `child` behind a shell line that changes what it sees, with a place for pins, and returns what it printed.
fn behind(line: &str, pins: &str) -> String {
    let ourselves = std::env::current_exe().unwrap();
    let command = format!("{line} exec \"$0\" --exact child --ignored --nocapture");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-ec", &command])
        .arg(ourselves)
        .env("PINS", pins)
        .output()
        .expect("unshare is part of util-linux");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A directory that is gone when this is dropped.
fn directory() -> tempfile::TempDir {
    tempfile::TempDir::new_in("/run").unwrap()
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

#[test]
fn the_kernels_types_are_not_needed() {
    let place = directory();
    let pins = format!("{}/bpf", place.path().display());
    let said = behind("mount -t tmpfs none /sys/kernel;", &pins);
    assert!(said.contains("attached"), "{said}");
}

#[test]
fn a_bpffs_that_may_not_be_mounted_is_told_with_the_command() {
    let place = directory();
    let pins = format!("{}/bpf", place.path().display());
    let said = with_capabilities_and_pins(",+bpf,+net_admin,+perfmon", Some(&pins));
    assert!(
        said.contains("CAP_SYS_ADMIN") && said.contains(&format!("mount -t bpf bpf {pins}")),
        "{said}"
    );
}

#[test]
fn a_bpffs_that_may_not_be_written_is_told_with_the_remedy() {
    let place = directory();
    let path = place.path().display();
    let line = format!("mount -t bpf bpf {path}; mount -o remount,ro {path};");
    let said = behind(&line, &path.to_string());
    assert!(
        said.contains("cannot write to") && said.contains("ReadWritePaths"),
        "{said}"
    );
    // A place below it that is not there yet.
    let said = behind(&line, &format!("{path}/portcullis"));
    assert!(said.contains("cannot write to") && said.contains("Read-only"), "{said}");
}

#[test]
fn capabilities_of_a_user_namespace_are_no_capabilities() {
    let ourselves = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(ourselves)
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .output()
        .expect("unshare is part of util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("user namespace only"), "{said}");
}

#[test]
fn a_kernel_that_is_locked_down_is_told_with_the_remedy() {
    // A kernel cannot be locked down for a test. A user namespace is refused as well, and what the kernel says of its
    // lockdown is looked at first.
    let ourselves = std::env::current_exe().unwrap();
    let script = "mount -t tmpfs none /sys/kernel/security; \
                  echo 'none [confidentiality] integrity' > /sys/kernel/security/lockdown; \
                  exec \"$0\" --exact child --ignored --nocapture";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", script])
        .arg(ourselves)
        .output()
        .expect("unshare is part of util-linux");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("locked down (confidentiality)") && said.contains("lockdown=integrity or less"),
        "{said}"
    );
}
