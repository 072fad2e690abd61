//! The User-Agent: whether a browser became newer, or is another one.

use serde::{Deserialize, Serialize};

use super::{hash, short_hash};

/// Versions that are compared one by one. Browsers of today name four to six.
const VERSIONS: usize = 7;

/// What may stand before a version. Other numbers belong to the name of a device.
const BEFORE_VERSION: [&[u8]; 5] = [b"/", b"rv:", b" OS ", b" OS X ", b"Android "];

/// A User-Agent, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Agent {
    pub(super) hash: u64,
    /// Of the text with its versions taken out: the family, the system, the device.
    skeleton: u32,
    /// The first two numbers of each version, in their order.
    versions: [(u16, u16); VERSIONS],
}

/// From one User-Agent to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AgentChange {
    /// Byte for byte the same.
    None,
    /// The same but for versions, and none went down.
    Newer,
    /// Another browser, system, device, or an older version.
    Other,
}

impl Agent {
    pub(super) fn of(field: &[u8]) -> Self {
        let mut skeleton = Vec::with_capacity(field.len());
        let mut versions = [(0, 0); VERSIONS];
        let mut free = versions.iter_mut();
        let mut rest = field;
        while let Some((&byte, after)) = rest.split_first() {
            let length = version_length(&skeleton, rest);
            if length > 0
                && let Some(version) = free.next()
            {
                *version = numbers(&rest[..length]);
                skeleton.push(0);
                rest = &rest[length..];
            } else {
                skeleton.push(byte);
                rest = after;
            }
        }
        Self {
            hash: hash(field),
            skeleton: short_hash(Some(&skeleton)),
            versions,
        }
    }

    pub(super) fn change_to(&self, other: &Self) -> AgentChange {
        if self.hash == other.hash {
            return AgentChange::None;
        }
        let mut pairs = self.versions.iter().zip(&other.versions);
        if self.skeleton == other.skeleton && pairs.all(|(old, new)| old <= new) {
            AgentChange::Newer
        } else {
            AgentChange::Other
        }
    }
}

/// How many bytes of `rest` are a version; none if what stands before says that it is something else.
fn version_length(before: &[u8], rest: &[u8]) -> usize {
    if !BEFORE_VERSION.iter().any(|beginning| before.ends_with(beginning)) {
        return 0;
    }
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'_');
    match rest.first() {
        Some(first) if first.is_ascii_digit() => rest.iter().take_while(|byte| is_part(byte)).count(),
        Some(_) | None => 0,
    }
}

fn numbers(version: &[u8]) -> (u16, u16) {
    let mut parts = version.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits.iter().fold(0u16, |value, digit| {
            value.saturating_mul(10).saturating_add(u16::from(digit - b'0'))
        })
    });
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:152.0) Gecko/20100101 Firefox/152.0";
    const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                          Version/17.2 Mobile/15E148 Safari/604.1";
    const PIXEL: &str = "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) \
                         Chrome/120.0.0.0 Mobile Safari/537.36";

    fn change(old: &str, new: &str) -> AgentChange {
        Agent::of(old.as_bytes()).change_to(&Agent::of(new.as_bytes()))
    }

    #[test]
    fn an_update_is_a_step_upwards_and_nothing_else() {
        for (old, from, to) in [
            (CHROME, "Chrome/120", "Chrome/121"),
            (FIREFOX, "152.0", "153.0"),
            (FIREFOX, "152.0", "152.10"),
            (SAFARI, "17_2", "17_3_1"),
            (SAFARI, "17.2", "18.0"),
            (PIXEL, "Android 13", "Android 14"),
            ("Shop/1.3", "1.3", "1.4"),
            (CHROME, "120.0.0.0", "120.0.6099.1"),
        ] {
            let new = old.replace(from, to);
            assert_eq!(change(old, &new), AgentChange::Newer, "{new}");
        }
        assert_eq!(change(CHROME, CHROME), AgentChange::None);
    }

    #[test]
    fn everything_else_is_another_browser() {
        let replaced = |old: &str, from, to| change(old, &old.replace(from, to));
        for (old, from, to) in [
            (CHROME, "Chrome/120", "Chrome/119"),
            (FIREFOX, "Firefox/152.0", "Firefox/151.0"),
            (CHROME, "Linux x86_64", "Windows NT 10.0; Win64; x64"),
            (PIXEL, "Pixel 7", "Pixel 8"),
            (CHROME, "Safari/537.36", "Safari/537.36 Edg/120.0.0.0"),
            (CHROME, "Chrome", "HeadlessChrome"),
        ] {
            assert_eq!(replaced(old, from, to), AgentChange::Other, "{from} {to}");
        }
        assert_eq!(change(CHROME, "curl/8.9"), AgentChange::Other);
        assert_eq!(change(CHROME, ""), AgentChange::Other);
        assert_eq!(change("", CHROME), AgentChange::Other);
    }

    #[test]
    fn a_version_beyond_those_compared_is_part_of_the_name() {
        let many = |last: u8| format!("{}z/{last}", "a/1 ".repeat(VERSIONS));
        assert_eq!(change(&many(1), &many(2)), AgentChange::Other);
        assert_eq!(
            change("a/99999999999999999999", "a/99999999999999999998"),
            AgentChange::Newer
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_none_is_newer_both_ways(old: Vec<u8>, new: Vec<u8>) {
            let (old, new) = (Agent::of(&old), Agent::of(&new));
            let both = (old.change_to(&new), new.change_to(&old));
            proptest::prop_assert!(both != (AgentChange::Newer, AgentChange::Newer) || old.versions == new.versions);
        }
    }
}
