//! Spans of time as people write them: `250ms`, `90s`, `1h30m`, `2d`. One reader for the configuration and the command
//! line, so that both know the same spans and say the same words about others.

use std::fmt;
use std::time::Duration;

const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A text that is no span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not a duration")]
pub struct SpanError {
    given: String,
}

impl SpanError {
    /// About this text.
    #[must_use]
    pub fn of(given: impl Into<String>) -> Self {
        Self { given: given.into() }
    }

    /// How it could be put right.
    #[must_use]
    pub fn hint(&self) -> String {
        let given = &self.given;
        if !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit()) {
            return format!("a duration has a unit: did you mean {given}s?");
        }
        "write whole numbers with ms, s, m, h, d or w, alone or joined, the largest first: 90s, 1h30m, 2d".to_owned()
    }
}

/// Reads numbers with units, the larger units first; each is added.
///
/// # Errors
/// [`SpanError`]. Zero is a span.
pub fn parse(text: &str) -> Result<Duration, SpanError> {
    millis(text)
        .map(Duration::from_millis)
        .ok_or_else(|| SpanError::of(text))
}

fn millis(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let &(_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
        if length >= last {
            return None;
        }
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(length)?)?;
        (rest, last) = (after, length);
    }
    (last != u64::MAX).then_some(total)
}

/// A span of whole seconds in its two largest units, in a form that [`parse`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut text = String::new();
        let mut shown = 0;
        for (name, millis) in UNITS.into_iter().filter(|(name, _)| !matches!(*name, "w" | "ms")) {
            let length = millis / 1000;
            let count = rest / length;
            rest %= length;
            if count > 0 && shown < 2 {
                text.push_str(&format!("{count}{name}"));
            }
            // A gap ends it: `1d` rather than `1d5s`.
            shown += usize::from(count > 0 || shown > 0);
        }
        f.pad(if shown == 0 { "0s" } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_forms() {
        for (text, millis) in [
            ("250ms", 250),
            ("0s", 0),
            ("90s", 90_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w1d", 691_200_000),
            ("1m1ms", 60_001),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
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
            "30m1h",
            "1h1h",
            "1h\u{661}m",
            "99999999999999999w",
        ] {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("'{text}' is not a duration")
            );
        }
        let hint = |text| parse(text).unwrap_err().hint();
        assert_eq!(hint("90"), "a duration has a unit: did you mean 90s?");
        assert!(hint("soon").ends_with("1h30m, 2d"));
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
            assert!(parse(text).is_ok(), "{text}");
        }
    }
}
