//! From where the operator is logged in, so that nobody bans himself.

use std::fs;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

/// How far up the processes are looked at: a shell in a `sudo` in a shell in an `sshd`.
const GENERATIONS: usize = 16;

/// The SSH peer of this process or of one that started it: `sudo` does not pass the variable on.
pub(super) fn address() -> Option<IpAddr> {
    if let Some(own) = std::env::var_os("SSH_CONNECTION") {
        return peer(own.as_bytes());
    }
    let mut process = std::os::unix::process::parent_id();
    for _ in 0..GENERATIONS {
        if process <= 1 {
            return None;
        }
        // Others' environments are for root alone.
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let found = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"SSH_CONNECTION="));
        if let Some(found) = found {
            return peer(found);
        }
        process = parent_of(process)?;
    }
    None
}

/// `SSH_CONNECTION` is the client's address and port, then ours.
fn peer(value: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(value).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// The second field behind the name, which may have anything in it.
fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_comes_first() {
        assert_eq!(peer(b"192.0.2.7 50022 10.0.0.1 22"), Some(IpAddr::from([192, 0, 2, 7])));
        assert_eq!(peer(b""), None);
        assert_eq!(parent_of(std::process::id()), Some(std::os::unix::process::parent_id()));
    }
}
