//! Reads single values: times, sizes, addresses, words.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::path::PathPattern;
use portcullis_guard::policy::Share;
use toml::de::{DeFloat, DeInteger, DeValue};

use super::error::Mistake;
use super::section::Parsed;
use crate::span;

/// How much of a text an error repeats.
const LONGEST_QUOTE: usize = 60;

/// A value as an error shows it.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= LONGEST_QUOTE => format!("{text:?}"),
        DeValue::String(text) => format!("{:?} and more", &text[..text.floor_char_boundary(LONGEST_QUOTE)]),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(_) => "an array".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

fn expected(what: &str, value: &DeValue<'_>) -> Mistake {
    Mistake::new(format!("expected {what}, got {}", describe(value)))
}

pub(super) fn text(value: &DeValue<'_>) -> Parsed<String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| expected("a text in quotes", value))
}

pub(super) fn boolean(value: &DeValue<'_>) -> Parsed<bool> {
    value.as_bool().ok_or_else(|| expected("true or false", value))
}

/// A whole number.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> impl Fn(&DeValue<'_>) -> Parsed<T>
where
    T: Copy + PartialOrd + TryFrom<i128> + std::fmt::Display,
{
    move |value| {
        let number = value.as_integer();
        let number = number.and_then(|number| i128::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| range.contains(number));
        number.ok_or_else(|| match (range.start(), range.end()) {
            (only, last) if only == last => expected(&only.to_string(), value),
            (first, last) => expected(&format!("a whole number from {first} to {last}"), value),
        })
    }
}

/// Points or a threshold.
pub(super) fn points(range: RangeInclusive<f32>) -> impl Fn(&DeValue<'_>) -> Parsed<f32> {
    move |value| {
        let integer = value.as_integer().filter(|number| number.radix() == 10);
        let text = integer
            .map(DeInteger::as_str)
            .or_else(|| value.as_float().map(DeFloat::as_str));
        let number = text
            .and_then(|text| text.parse().ok())
            .filter(|number| range.contains(number));
        number.ok_or_else(|| expected(&format!("a number from {} to {}", range.start(), range.end()), value))
    }
}

/// A share like `10%`.
pub(super) fn share(value: &DeValue<'_>) -> Parsed<Share> {
    let percent = value
        .as_str()
        .and_then(|text| text.strip_suffix('%'))
        .and_then(|number| number.trim_end().parse().ok())
        .filter(|percent| (0.01..=100.0).contains(percent));
    percent
        .map(Share::percent)
        .ok_or_else(|| expected("a share like \"10%\", from 0.01% to 100%", value))
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Parsed<T> {
    move |value| {
        let found = value
            .as_str()
            .and_then(|text| words.iter().find(|(word, _)| *word == text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names = words.iter().map(|(word, _)| *word);
            let all: Vec<String> = names.clone().map(|word| format!("\"{word}\"")).collect();
            let mistake = expected(&one_of(&all), value);
            let near = value
                .as_str()
                .and_then(|text| portcullis_guard::sequence::closest(text, names));
            match near {
                Some(near) => mistake.hint(format!("did you mean \"{near}\"?")),
                None => mistake,
            }
        })
    }
}

fn one_of(words: &[String]) -> String {
    match words {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        words => words.join(""),
    }
}

/// A time like `30s` or `1h30m`.
pub(super) fn duration(range: RangeInclusive<&'static str>) -> impl Fn(&DeValue<'_>) -> Parsed<Duration> {
    move |value| {
        let given = match value.as_str() {
            Some(text) => text.to_owned(),
            None => describe(value),
        };
        let time = span::parse(&given).map_err(|error| Mistake::new(error.to_string()).hint(error.hint()))?;
        let limit = |text: &str| span::parse(text).unwrap_or_default();
        if time < limit(range.start()) || time > limit(range.end()) {
            return Err(expected(
                &format!("a time from {} to {}", range.start(), range.end()),
                value,
            ));
        }
        Ok(time)
    }
}

const SIZE_UNITS: [(&str, usize); 4] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// A size like `16KiB`, or a number of bytes.
pub(super) fn size(range: RangeInclusive<&'static str>) -> impl Fn(&DeValue<'_>) -> Parsed<usize> {
    move |value| {
        let like = || expected("a size like \"512B\", \"16KiB\" or \"1MiB\"", value);
        let bytes = value.as_integer().filter(|number| number.radix() == 10);
        let bytes = bytes.and_then(|number| number.as_str().parse().ok());
        let size = bytes.or_else(|| value.as_str().and_then(parse_size));
        let size = size.ok_or_else(|| match value.as_str().and_then(decimal_unit) {
            Some(binary) => like().hint(format!("did you mean \"{binary}\"?")),
            None => like(),
        })?;
        let limit = |text: &str| parse_size(text).unwrap_or_default();
        if size < limit(range.start()) || size > limit(range.end()) {
            return Err(expected(
                &format!("a size from {} to {}", range.start(), range.end()),
                value,
            ));
        }
        Ok(size)
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<usize>().ok()?.checked_mul(*bytes)
}

/// `1MB` with the unit that is known here.
fn decimal_unit(text: &str) -> Option<String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let letter = unit.trim().chars().next()?.to_ascii_uppercase();
    (!number.is_empty() && matches!(letter, 'K' | 'M' | 'G')).then(|| format!("{number}{letter}iB"))
}

/// Address and port to listen on.
pub(super) fn socket_address(value: &DeValue<'_>) -> Parsed<SocketAddr> {
    let like = || expected("an address and port like \"127.0.0.1:8080\" or \"[::]:8080\"", value);
    let text = value.as_str().ok_or_else(like)?;
    text.parse().map_err(|_| {
        let port = text
            .strip_prefix([':', '*'])
            .unwrap_or(text)
            .trim_start_matches(':')
            .parse::<u16>();
        match (text.parse::<IpAddr>(), port) {
            (Ok(address), _) => like().hint(format!("add a port: \"{}\"", SocketAddr::new(address, 8080))),
            (_, Ok(port)) => like().hint(format!("did you mean \"0.0.0.0:{port}\" (all addresses)?")),
            _ if text.starts_with("localhost:") => {
                like().hint(format!("did you mean \"{}\"?", text.replace("localhost", "127.0.0.1")))
            }
            _ => like(),
        }
    })
}

/// A network or a single address.
pub(super) fn network(value: &DeValue<'_>) -> Parsed<IpNet> {
    let like = || expected("a network like \"10.0.0.0/8\" or an address", value);
    let text = value.as_str().ok_or_else(like)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().map_err(|_| like())?;
    if network.addr() != network.network() {
        let mistake = Mistake::new(format!("{text} has bits set behind its prefix"));
        let host = IpNet::from(network.addr());
        return Err(mistake.hint(format!(
            "did you mean \"{}\", or the one host \"{}\"?",
            network.trunc(),
            host.addr()
        )));
    }
    Ok(network)
}

/// A set of paths.
pub(super) fn pattern(value: &DeValue<'_>) -> Parsed<PathPattern> {
    let text = value
        .as_str()
        .ok_or_else(|| expected("a path like \"/api/**\"", value))?;
    path_set(text)
}

/// A set of paths within a text.
pub(super) fn path_set(text: &str) -> Parsed<PathPattern> {
    PathPattern::parse(text).map_err(|error| {
        let mistake = Mistake::new(format!("{text:?} is no set of paths: {error}"));
        match text.strip_prefix('/') {
            None if !text.is_empty() => mistake.hint(format!("did you mean \"/{text}\"?")),
            None | Some(_) => mistake,
        }
    })
}

/// A file name from the root.
pub(super) fn absolute_path(value: &DeValue<'_>) -> Parsed<PathBuf> {
    let path = value.as_str().map(PathBuf::from).filter(|path| path.is_absolute());
    path.ok_or_else(|| expected("a file name that starts with `/`", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T>(toml: &str, read: impl Fn(&DeValue<'_>) -> Parsed<T>) -> Result<T, String> {
        let value = DeValue::parse(toml).unwrap();
        read(value.get_ref()).map_err(|mistake| match mistake.hint {
            Some(hint) => format!("{} ({hint})", mistake.message),
            None => mistake.message,
        })
    }

    #[test]
    fn times_are_read() {
        assert_eq!(parse("\"1h\"", duration("1s"..="1h")), Ok(Duration::from_secs(3600)));
        let time = |toml| parse(toml, duration("1s"..="1h")).unwrap_err();
        assert_eq!(time("\"2h\""), "expected a time from 1s to 1h, got \"2h\"");
        assert_eq!(
            time("30"),
            "'30' is not a duration (a duration has a unit: did you mean 30s?)"
        );
        assert!(time("true").starts_with("'true' is not a duration"));
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(parse("\"10%\"", share), Ok(Share::percent(10.0)));
        assert_eq!(parse("\"0.5 %\"", share), Ok(Share::percent(0.5)));
        for bad in ["10", "\"10\"", "\"0%\"", "\"101%\"", "\"NaN%\"", "true"] {
            let mistake = parse(bad, share).unwrap_err();
            assert!(mistake.starts_with("expected a share like \"10%\""), "{mistake}");
        }
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [("512B", 512), ("16KiB", 16_384), ("1 MiB", 1_048_576)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        let limits = || size("1B"..="1MiB");
        assert_eq!(parse("4096", limits()), Ok(4096));
        assert_eq!(
            parse("\"1MB\"", limits()).unwrap_err(),
            "expected a size like \"512B\", \"16KiB\" or \"1MiB\", got \"1MB\" (did you mean \"1MiB\"?)"
        );
        assert_eq!(
            parse("\"2MiB\"", limits()).unwrap_err(),
            "expected a size from 1B to 1MiB, got \"2MiB\""
        );
        assert!(parse("-1", limits()).is_err());
        assert!(parse("\"99999999999999999999GiB\"", limits()).is_err());
    }

    #[test]
    fn networks_have_no_bits_behind_the_prefix() {
        assert_eq!(parse("\"10.0.0.0/8\"", network).unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(
            parse("\"::ffff:10.0.0.1\"", network).unwrap().to_string(),
            "10.0.0.1/32"
        );
        assert_eq!(
            parse("\"10.0.0.1/8\"", network).unwrap_err(),
            "10.0.0.1/8 has bits set behind its prefix (did you mean \"10.0.0.0/8\", or the one host \"10.0.0.1\"?)"
        );
    }

    #[test]
    fn addresses_to_listen_on_have_a_port() {
        let error = |toml| parse(toml, socket_address).unwrap_err();
        assert!(error("\"8080\"").ends_with("(did you mean \"0.0.0.0:8080\" (all addresses)?)"));
        assert!(error("\":8080\"").ends_with("(did you mean \"0.0.0.0:8080\" (all addresses)?)"));
        assert!(error("\"::1\"").ends_with("(add a port: \"[::1]:8080\")"));
        assert!(error("\"localhost:80\"").ends_with("(did you mean \"127.0.0.1:80\"?)"));
        assert!(parse("\"[::]:0\"", socket_address).is_ok());
    }

    #[test]
    fn numbers_and_words_say_what_is_allowed() {
        assert_eq!(
            parse("0x10000", integer(0u16..=u16::MAX)).unwrap_err(),
            "expected a whole number from 0 to 65535, got 0x10000"
        );
        assert_eq!(parse("0x10", integer(0u16..=u16::MAX)), Ok(16));
        assert_eq!(
            parse("nan", points(0.0..=10.0)).unwrap_err(),
            "expected a number from 0 to 10, got nan"
        );
        assert_eq!(parse("2", points(0.0..=10.0)), Ok(2.0));
        assert_eq!(
            parse("\"enforced\"", word(&[("monitor", 0), ("enforce", 1)])).unwrap_err(),
            "expected \"monitor\" or \"enforce\", got \"enforced\" (did you mean \"enforce\"?)"
        );
    }
}
