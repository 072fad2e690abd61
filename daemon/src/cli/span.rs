//! Spans of time as people write them: `90s`, `1h30m`, `2d`.

use std::fmt;
use std::time::Duration;

use super::failure::Failure;

const UNITS: [(char, u64); 5] = [('w', 7 * 86_400), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads numbers with units, joined: each is added.
pub(super) fn parse(text: &str) -> Result<Duration, Failure> {
    match seconds(text) {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        Some(_) => Err(
            Failure::error("duration-invalid", format!("'{text}' is no time at all"))
                .hint("a ban lasts at least one second; `portcullis ban del` ends one"),
        ),
        None => Err(
            Failure::error("duration-invalid", format!("'{text}' is not a duration"))
                .hint("write numbers with s, m, h, d or w, alone or joined: 90s, 1h, 1h30m, 2d"),
        ),
    }
}

fn seconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|character: char| !character.is_ascii_digit())?;
        let (number, unit) = rest.split_at(end);
        let unit = unit.chars().next()?;
        let &(_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(length)?)?;
        rest = rest.get(end + unit.len_utf8()..)?;
    }
    (!text.is_empty()).then_some(total)
}

/// A span in its two largest units, in a form that [`parse`] reads.
pub(super) struct Span(pub(super) u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut shown = 0;
        for (name, length) in UNITS.into_iter().filter(|(name, _)| *name != 'w') {
            let count = rest / length;
            rest %= length;
            if count > 0 && shown < 2 {
                write!(f, "{count}{name}")?;
            }
            // A gap ends it: `1d` rather than `1d5s`.
            shown += usize::from(count > 0 || shown > 0);
        }
        if shown == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_forms() {
        for (text, seconds) in [
            ("90s", 90),
            ("1h", 3600),
            ("1h30m", 5400),
            ("2d", 172_800),
            ("1w1d", 691_200),
        ] {
            assert_eq!(parse(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "h",
            "90",
            "1h30",
            "1 h",
            "-1h",
            "1.5h",
            "1H",
            "5min",
            "soon",
            "1h\u{661}m",
            "99999999999999999w",
        ] {
            assert!(
                parse(text).unwrap_err().message.ends_with("is not a duration"),
                "{text}"
            );
        }
        assert_eq!(parse("0s").unwrap_err().message, "'0s' is no time at all");
    }

    #[test]
    fn two_units_are_shown() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m59s"),
            (3_600, "1h"),
            (3_605, "1h"),
            (5_400, "1h30m"),
            (86_399, "23h59m"),
            (176_461, "2d1h"),
            (10 * 365 * 86_400, "3650d"),
        ] {
            assert_eq!(Span(seconds).to_string(), text);
        }
    }
}
