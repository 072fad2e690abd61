//! Why the kernel said "no".

use std::{fs, io, sync::OnceLock};

use super::EnforcerError;

/// What loading, attaching and full speed need, with their bits in `CapEff`.
const NEEDED: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
const CAP_SYS_ADMIN: u32 = 21;

/// The reason of a refusal for lack of privilege; `None` if it is about something else.
pub(super) fn explain(error: &io::Error) -> Option<EnforcerError> {
    if !matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) {
        return None;
    }
    if let Some(missing) = missing() {
        return Some(missing);
    }
    if let Some(level) = lockdown() {
        return Some(EnforcerError::LockedDown { level });
    }
    let source = io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EPERM));
    Some(if in_user_namespace(&read("/proc/self/uid_map")) {
        EnforcerError::UserNamespace { source }
    } else if FILTERED_BEFORE
        .get()
        .copied()
        .unwrap_or_else(|| is_filtered(&read("/proc/thread-self/status")))
    {
        EnforcerError::Filtered { source }
    } else {
        EnforcerError::Forbidden { source }
    })
}

/// Empty if it cannot be read.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The machine's own namespace maps every user to itself.
fn in_user_namespace(map: &str) -> bool {
    let fields: Vec<&str> = map.split_whitespace().collect();
    !fields.is_empty() && fields != ["0", "0", "4294967295"]
}

/// Whether somebody else had put a filter in place before this process did.
static FILTERED_BEFORE: OnceLock<bool> = OnceLock::new();

/// To be called before this process filters its own system calls: those filters are not in the way.
pub(super) fn note_filters() {
    FILTERED_BEFORE.get_or_init(|| is_filtered(&read("/proc/thread-self/status")));
}

/// Mode 2 is a filter.
fn is_filtered(status: &str) -> bool {
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

/// The capabilities that this process lacks, if any.
pub(super) fn missing() -> Option<EnforcerError> {
    let missing = missing_of(effective_capabilities());
    (!missing.is_empty()).then_some(EnforcerError::MissingCapability { missing })
}

fn missing_of(effective: u64) -> String {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let names: Vec<&str> = NEEDED
        .into_iter()
        // CAP_SYS_ADMIN was split into the other two and still includes them.
        .filter(|(name, bit)| !has(*bit) && (*name == "CAP_NET_ADMIN" || !has(CAP_SYS_ADMIN)))
        .map(|(name, _)| name)
        .collect();
    names.join(", ")
}

/// All of them if they cannot be read, so that no false hint is given.
fn effective_capabilities() -> u64 {
    fs::read_to_string("/proc/thread-self/status")
        .ok()
        .and_then(|status| parse_effective(&status))
        .unwrap_or(u64::MAX)
}

fn parse_effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn lockdown() -> Option<String> {
    let levels = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    parse_lockdown(&levels)
}

/// The chosen level stands in brackets.
fn parse_lockdown(levels: &str) -> Option<String> {
    let (_, rest) = levels.split_once('[')?;
    let (level, _) = rest.split_once(']')?;
    (level != "none").then(|| level.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        assert_eq!(missing_of(0), "CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF");
        assert_eq!(missing_of(1 << 12 | 1 << 39), "CAP_PERFMON");
        assert_eq!(missing_of(1 << 12 | 1 << 21), "");
        assert_eq!(missing_of(u64::MAX), "");
    }

    #[test]
    fn namespaces_and_filters_are_recognised() {
        assert!(!in_user_namespace("         0          0 4294967295\n"));
        assert!(in_user_namespace("         0       1000          1\n"));
        assert!(!in_user_namespace(""));
        assert!(is_filtered("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!is_filtered("Seccomp:\t0\n") && !is_filtered(""));
    }

    #[test]
    fn status_and_lockdown_are_read() {
        let status = "Name:\tx\nCapEff:\t0000000000001000\n";
        assert_eq!(parse_effective(status), Some(1 << 12));
        assert_eq!(
            parse_lockdown("none [integrity] confidentiality\n"),
            Some("integrity".into())
        );
        assert_eq!(parse_lockdown("[none] integrity confidentiality\n"), None);
    }
}
