//! Words for the operator.

use std::time::Duration;

/// A time as it is written in the configuration: `1h30m`.
pub(super) fn human(time: Duration) -> String {
    let mut left = time.as_millis();
    let mut text = String::new();
    for (unit, millis) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ] {
        if left >= millis {
            text.push_str(&format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// A time to wait, rounded up to seconds.
pub(super) fn human_wait(time: Duration) -> String {
    human(Duration::from_secs(
        time.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
    ))
}

/// Names in a sentence: `a`, `b` and `c`.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lists_read_well() {
        assert_eq!(human(Duration::from_secs(5400)), "1h30m");
        assert_eq!(human(Duration::from_millis(86_400_250)), "1d250ms");
        assert_eq!(human(Duration::ZERO), "0s");
        assert_eq!(human_wait(Duration::from_millis(1200)), "2s");
        assert_eq!(listed(["a", "b", "c"].into_iter()), "`a`, `b` and `c`");
    }
}
