//! Values that tie calls together: where they come from, what spellings are the same value, and how they are hashed.
//!
//! A value of a body is read from JSON. What an application might take for another value is as good as missing: a number
//! with a fraction or an exponent, one that JavaScript cannot hold exactly, a name that is there twice.

use std::borrow::Cow;
use std::hash::Hasher;

use http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::json::{Broken, Found, Pointer, Scanner};
use crate::path::{NormalPath, decoded, hex_digit};

/// The secret that values are hashed with, so that no client can choose values that collide. One for the process.
#[derive(Clone)]
pub struct BindingKey([u8; 16]);

impl BindingKey {
    /// A key of random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl std::fmt::Debug for BindingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BindingKey(..)")
    }
}

/// What a value is, and so which spellings of it are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text; each spelling is its own value.
    #[default]
    Plain,
    /// Digits; leading zeros do not count.
    Int,
    /// The 36 characters of RFC 9562; letter case does not count.
    Uuid,
}

impl Kind {
    /// Whether a segment of a path can be this.
    pub(super) fn accepts(self, text: &[u8]) -> bool {
        match self {
            Self::Plain => true,
            Self::Int => {
                let digits = text.strip_prefix(b"-").unwrap_or(text);
                !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
            }
            Self::Uuid => {
                text.len() == 36
                    && text.iter().enumerate().all(|(position, byte)| match position {
                        8 | 13 | 18 | 23 => *byte == b'-',
                        _ => byte.is_ascii_hexdigit(),
                    })
            }
        }
    }

    /// Whether an application may take a text for one of this kind although it is none: `7abc`, `+7` and `0x7` are
    /// numbers to many parsers.
    pub(super) fn resembles(self, text: &[u8]) -> bool {
        match self {
            Self::Plain => true,
            Self::Int => {
                let begins_with_a_word = text.first().is_some_and(u8::is_ascii_alphabetic);
                !begins_with_a_word && text.iter().any(u8::is_ascii_digit)
            }
            Self::Uuid => text.iter().filter(|byte| byte.is_ascii_hexdigit()).count() == 32,
        }
    }

    /// The spelling that stands for all spellings of the value.
    fn canonical(self, text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
        if !self.accepts(&text) {
            return text;
        }
        match self {
            Self::Plain => text,
            Self::Int => canonical_int(text),
            Self::Uuid => Cow::Owned(text.to_ascii_lowercase()),
        }
    }

    /// The kind of a value that is of this kind in one operation and of `other` in another.
    pub(super) fn joined(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Plain, kind) | (kind, Self::Plain) => Some(kind),
            (Self::Int, Self::Int) => Some(Self::Int),
            (Self::Uuid, Self::Uuid) => Some(Self::Uuid),
            (Self::Int, Self::Uuid) | (Self::Uuid, Self::Int) => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "text",
            Self::Int => "int",
            Self::Uuid => "uuid",
        }
    }
}

fn canonical_int(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let negative = text.starts_with(b"-");
    let zeros = text
        .iter()
        .skip(usize::from(negative))
        .take_while(|byte| **byte == b'0')
        .count();
    match (negative, zeros) {
        (_, 0) => text,
        (_, zeros) if usize::from(negative) + zeros == text.len() => Cow::Borrowed(b"0"),
        (false, zeros) => match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[zeros..]),
            Cow::Owned(mut text) => Cow::Owned(text.split_off(zeros)),
        },
        (true, zeros) => Cow::Owned([b"-", &text[1 + zeros..]].concat()),
    }
}

/// Where an operation has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A segment of the path, counted from 0.
    Path(usize),
    /// A parameter of the query.
    Query(Box<str>),
    /// A header field.
    Header(HeaderName),
    /// A value in the body: one of the operation's pointers.
    Json(usize),
}

/// What values are read from.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) path: &'a NormalPath,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a BodyValues,
}

/// The values of a body where the pointers of an operation point to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyValues {
    /// Nobody asked for them.
    #[default]
    None,
    /// It is no JSON, too deep or too long.
    Unreadable,
    /// One for each pointer; `None` where it is missing or ambiguous.
    Read(Vec<Option<Vec<u8>>>),
}

/// The largest body that is read for its values.
const LARGEST_BODY: usize = 256 << 10;

/// The largest whole number up to which JavaScript has each one.
const LARGEST_EXACT: u64 = (1 << 53) - 1;

impl BodyValues {
    pub(super) fn read(pointers: &[Pointer], body: &[u8]) -> Self {
        if body.len() > LARGEST_BODY || std::str::from_utf8(body).is_err() {
            return Self::Unreadable;
        }
        let mut values = vec![Some(None); pointers.len()];
        let mut found = |number: usize, value: Found<'_>| {
            if let Some(slot) = values.get_mut(number) {
                // `None` stays: what was ambiguous once is not there.
                *slot = match (slot.take(), plain(value)) {
                    (Some(None), Some(value)) => Some(Some(value)),
                    (_, _) => None,
                };
            }
        };
        let mut scanner = Scanner::new(LARGEST_BODY, false);
        let read = scanner.push(pointers, body, &mut found);
        match read.and_then(|()| scanner.finish(pointers, &mut found)) {
            Ok(()) => Self::Read(values.into_iter().map(Option::flatten).collect()),
            Err(Broken) => Self::Unreadable,
        }
    }
}

/// The bytes of a value that every reader takes for the same.
pub(super) fn plain(value: Found<'_>) -> Option<Vec<u8>> {
    match value {
        Found::Text(text) => Some(text.to_vec()),
        Found::Number(digits) => {
            let magnitude = digits.strip_prefix(b"-").unwrap_or(digits);
            let magnitude: u64 = std::str::from_utf8(magnitude).ok()?.parse().ok()?;
            match magnitude {
                0 => Some(b"0".to_vec()),
                1..=LARGEST_EXACT => Some(digits.to_vec()),
                _ => None,
            }
        }
        Found::Bool(true) => Some(b"true".to_vec()),
        Found::Bool(false) => Some(b"false".to_vec()),
        Found::Null | Found::Unusable | Found::Twice => None,
    }
}

/// Why a call has no binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbound {
    /// A value is missing or ambiguous.
    Missing,
    /// The body cannot be read.
    Unreadable,
}

impl Source {
    /// The value, if the call has it exactly once. Twice is as good as not at all: the application may read the other.
    fn read<'a>(&self, parts: Parts<'a>) -> Result<Cow<'a, [u8]>, Unbound> {
        let value = match self {
            Self::Path(index) => parts.path.segments().nth(*index).map(decode_segment),
            Self::Query(name) => {
                let pairs = parts.query.unwrap_or_default().split('&');
                only(pairs.filter_map(|pair| parameter(pair, name)))
            }
            Self::Header(name) => {
                only(parts.headers.get_all(name).iter()).map(|value| Cow::Borrowed(value.as_bytes().trim_ascii()))
            }
            Self::Json(pointer) => match parts.body {
                BodyValues::Unreadable => return Err(Unbound::Unreadable),
                BodyValues::Read(values) => values
                    .get(*pointer)
                    .and_then(|value| value.as_deref())
                    .map(Cow::Borrowed),
                BodyValues::None => None,
            },
        };
        value.ok_or(Unbound::Missing)
    }
}

fn only<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

fn decode_segment(segment: &str) -> Cow<'_, [u8]> {
    if segment.contains('%') {
        Cow::Owned(decoded(segment).collect())
    } else {
        Cow::Borrowed(segment.as_bytes())
    }
}

/// The value of a `name=value` pair of a query if it has this name.
fn parameter<'a>(pair: &'a str, name: &str) -> Option<Cow<'a, [u8]>> {
    let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
    (decode_form(found).as_ref() == name.as_bytes()).then(|| decode_form(value))
}

/// Decodes what a form encodes: `+` and escapes. What is no escape stands for itself.
fn decode_form(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let escape = match tail {
            [high, low, after @ ..] if *first == b'%' => hex_digit(*high)
                .zip(hex_digit(*low))
                .map(|(high, low)| (high << 4 | low, after)),
            _ => None,
        };
        let plain = if *first == b'+' { b' ' } else { *first };
        let (byte, after) = escape.unwrap_or((plain, tail));
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(decoded)
}

/// The values of one call under the names of one `bind`, hashed under a secret key: nobody can look for two that collide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Binding(u64);

impl Binding {
    /// What calls without `bind` share.
    pub(super) const NONE: Self = Self(0);

    #[cfg(test)]
    pub(super) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// How one operation fills one `bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binder(pub(super) Vec<(Source, Kind)>);

impl Binder {
    /// The binding of a call.
    pub(super) fn bind(&self, key: &BindingKey, parts: Parts<'_>) -> Result<Binding, Unbound> {
        if let [(source, kind)] = self.0.as_slice() {
            return Ok(kind.of_one(key, source.read(parts)?));
        }
        let mut hasher = SipHasher13::new_with_key(&key.0);
        for (source, kind) in &self.0 {
            add(&mut hasher, *kind, source.read(parts)?);
        }
        Ok(Binding(hasher.finish()))
    }
}

impl Kind {
    /// The binding that a call with this one value has.
    pub(super) fn bind(self, key: &BindingKey, value: &[u8]) -> Binding {
        self.of_one(key, Cow::Borrowed(value))
    }

    fn of_one(self, key: &BindingKey, value: Cow<'_, [u8]>) -> Binding {
        Binding(SipHasher13::new_with_key(&key.0).hash(&self.canonical(value)))
    }
}

fn add(hasher: &mut SipHasher13, kind: Kind, value: Cow<'_, [u8]>) {
    let value = kind.canonical(value);
    // The length keeps ("ab", "c") and ("a", "bc") apart.
    hasher.write_usize(value.len());
    hasher.write(&value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(fields: &[(Source, Kind)], path: &str, query: Option<&str>, headers: &HeaderMap) -> Option<Binding> {
        let path = NormalPath::parse(path).unwrap();
        Binder(fields.to_vec())
            .bind(
                &BindingKey::new([7; 16]),
                Parts {
                    path: &path,
                    query,
                    headers,
                    body: &BodyValues::None,
                },
            )
            .ok()
    }

    #[test]
    fn spellings_of_a_value_bind_the_same() {
        let at = |kind, value: &str| {
            bind(
                &[(Source::Path(1), kind)],
                &format!("/a/{value}"),
                None,
                &HeaderMap::new(),
            )
        };
        for (kind, a, b, same) in [
            (Kind::Int, "7", "007", true),
            (Kind::Int, "0", "000", true),
            (Kind::Int, "-0", "0", true),
            (Kind::Int, "-07", "-7", true),
            (Kind::Int, "-7", "7", false),
            (Kind::Int, "07a", "7a", false),
            (Kind::Plain, "7", "07", false),
            (Kind::Plain, "a:b", "a%3Ab", true),
            (Kind::Plain, "a!b", "a%21b", true),
            (Kind::Plain, "abc", "ABC", false),
            (
                Kind::Uuid,
                "0190A5F2-7C3E-7BBB-8AAA-0123456789AB",
                "0190a5f2-7c3e-7bbb-8aaa-0123456789ab",
                true,
            ),
        ] {
            assert_eq!(at(kind, a) == at(kind, b), same, "{a} {b}");
        }
    }

    #[test]
    fn a_query_parameter_counts_only_once_and_decoded() {
        let field = [(Source::Query("acct".into()), Kind::Plain)];
        let at = |query: &str| bind(&field, "/", Some(query), &HeaderMap::new());
        let plain = at("acct=a b");
        assert!(plain.is_some());
        for same in ["acct=a+b", "acct=a%20b", "x=1&acct=a+b&y", "%61cct=a%20b"] {
            assert_eq!(at(same), plain, "{same}");
        }
        for missing in ["", "acc=a", "acct=a&acct=a", "acct=a&%61cct=b", "acct[]=a", "ACCT=a"] {
            assert_eq!(at(missing), None, "{missing}");
        }
        assert_eq!(bind(&field, "/", None, &HeaderMap::new()), None);
        assert!(at("acct").is_some(), "present and empty");
        assert_eq!(at("acct=%zz"), at("acct=%25zz"), "what is no escape stands for itself");
    }

    #[test]
    fn a_header_counts_only_once() {
        let field = [(Source::Header(HeaderName::from_static("x-device")), Kind::Plain)];
        let mut headers = HeaderMap::new();
        assert_eq!(bind(&field, "/", None, &headers), None);
        headers.append("x-device", "a".parse().unwrap());
        assert!(bind(&field, "/", None, &headers).is_some());
        headers.append("x-device", "a".parse().unwrap());
        assert_eq!(bind(&field, "/", None, &headers), None);
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let fields = [(Source::Path(0), Kind::Plain), (Source::Path(1), Kind::Plain)];
        let at = |path| bind(&fields, path, None, &HeaderMap::new());
        assert_ne!(at("/ab/c"), at("/a/bc"));
        assert_eq!(at("/ab"), None);
    }

    fn body(pointers: &[&str], text: &str) -> BodyValues {
        let pointers: Vec<_> = pointers.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        BodyValues::read(&pointers, text.as_bytes())
    }

    #[test]
    fn a_value_of_a_body_has_one_reading() {
        for (text, expected) in [
            (r#"{"id": 7}"#, Some("7")),
            (r#"{"id": "7"}"#, Some("7")),
            (r#"{"id": -7}"#, Some("-7")),
            (r#"{"id": -0}"#, Some("0")),
            (r#"{"id": true}"#, Some("true")),
            (r#"{"ID": 7}"#, Some("7")),
            (r#"{"id": 9007199254740991}"#, Some("9007199254740991")),
            (r#"{"id": 9007199254740993}"#, None),
            (r#"{"id": 7.0}"#, None),
            (r#"{"id": 7e0}"#, None),
            (r#"{"id": null}"#, None),
            (r#"{"id": [7]}"#, None),
            (r#"{"id": 7, "id": 7}"#, None),
            (r#"{"id": 7, "Id": 8}"#, None),
            (r#"{"id": null, "id": 8}"#, None),
            (r#"{}"#, None),
            (r#"[7]"#, None),
            (r#"7"#, None),
        ] {
            let expected = BodyValues::Read(vec![expected.map(|text| text.as_bytes().to_vec())]);
            assert_eq!(body(&["/id"], text), expected, "{text}");
        }
        for text in ["", "{", "id=7", "{\"id\": \"\u{7}\"}"] {
            assert_eq!(body(&["/id"], text), BodyValues::Unreadable, "{text}");
        }
        let large = format!("{{\"id\": 7, \"x\": \"{}\"}}", "x".repeat(LARGEST_BODY));
        assert_eq!(body(&["/id"], &large), BodyValues::Unreadable);
        let long = "x".repeat(LARGEST_BODY / 2);
        let found = body(&["/id"], &format!("{{\"id\": \"{long}\"}}"));
        assert_eq!(
            found,
            BodyValues::Read(vec![Some(long.into_bytes())]),
            "ids of any length"
        );
    }
}
