//! The log as fields of the journal: a socket of ours stands in for systemd's, in a mount namespace. Needs root.

use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_tests::binary;

const PATIENCE: Duration = Duration::from_secs(20);
const INSIDE: &str =
    "mkdir -p /run/systemd/journal && mount --bind \"$1\" /run/systemd/journal && exec \"$2\" run --config \"$3\"";

/// The fields of a message in the journal's own form: `NAME=value`, or a name, a length in eight bytes and a value.
fn fields(mut message: &[u8]) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    while let Some(end) = message.iter().position(|byte| matches!(byte, b'=' | b'\n')) {
        let name = String::from_utf8_lossy(&message[..end]).into_owned();
        let rest = &message[end + 1..];
        let (value, after) = if message[end] == b'=' {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            rest.split_at(end)
        } else {
            let (length, rest) = rest.split_at(8);
            rest.split_at(u64::from_le_bytes(length.try_into().unwrap_or_default()) as usize)
        };
        fields.insert(name, String::from_utf8_lossy(value).into_owned());
        message = after.get(1..).unwrap_or_default();
    }
    fields
}

#[test]
fn each_line_of_the_log_has_its_fields() {
    let home = tempfile::tempdir().unwrap();
    let journal = home.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let socket = UnixDatagram::bind(journal.join("socket")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (config, at) = (home.path().join("portcullis.toml"), home.path().display());
    let text = format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\nupstream = \"http://127.0.0.1:1\"\n[control]\nsocket = \"{at}/control.sock\"\n\
         [service]\nuser = \"root\"\n[state]\ndirectory = \"{at}/state\"\n[log]\nformat = \"journal\"\n"
    );
    fs::write(&config, text).unwrap();
    let mut daemon = Command::new("unshare")
        .args(["--mount", "sh", "-c", INSIDE, "sh"])
        .args([&journal, &binary::portcullis().unwrap(), &config])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    while Instant::now() < deadline {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let message = fields(&buffer[..length]);
        let is_last = message.get("MESSAGE").is_some_and(|message| message == "ready");
        seen.push(message);
        if is_last {
            break;
        }
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let of = |text: &str| {
        seen.iter()
            .find(|line| line.get("MESSAGE").is_some_and(|message| message == text))
    };
    let listening = of("listening").unwrap_or_else(|| panic!("{seen:?}"));
    assert!(
        listening["PORTCULLIS_ADDRESS"].starts_with("127.0.0.1:"),
        "{listening:?}"
    );
    assert_eq!(
        (listening["SYSLOG_IDENTIFIER"].as_str(), listening["PRIORITY"].as_str()),
        ("portcullis", "5")
    );
    assert!(of("ready").is_some(), "{seen:?}");
}
