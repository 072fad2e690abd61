//! Paths: one normal form, and the patterns that match it.
//!
//! A path is normalised once. The signature covers what was sent; everything else, the application included, sees
//! the normal form, so that a rule and the application cannot read two things out of one path. What has two readings
//! in the field even so is refused ([`AmbiguousPath`]).
//!
//! Matching errs to the side of matching more, because a pattern that matches protects: literal parts compare without
//! regard to ASCII case and to how a character is escaped, and a slash at the end does not count. Values of
//! parameters keep their case.

use std::cmp::Ordering;
use std::fmt;

/// A path in normal form: absolute, dot segments and empty segments removed, each character in one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalPath(Box<str>);

/// Why a path has more than one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AmbiguousPath {
    /// It does not start with a slash.
    #[error("a path starts with `/`")]
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    #[error("a `%` without two hexadecimal digits")]
    BrokenEscape,
    /// `%2f`: a separator to some, a character to others.
    #[error("an encoded slash (%2f)")]
    EncodedSlash,
    /// `\` or `%5c`: a separator to some, a character to others.
    #[error("a backslash")]
    Backslash,
    /// A control character, `%00` among them, raw or encoded.
    #[error("a control character")]
    ControlCharacter,
    /// A raw `;`: some cut the segment there, others do not.
    #[error("path parameters (`;`)")]
    Parameters,
    /// A raw `?` or `#`: the path ends there.
    #[error("a `?` or `#` inside the path")]
    Delimiter,
    /// Bytes that are not UTF-8, overlong forms among them.
    #[error("bytes that are not UTF-8")]
    NotUtf8,
    /// `..` above the root.
    #[error("dot segments that leave the root")]
    LeavesRoot,
}

impl NormalPath {
    /// `/`.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Brings a path, without its query, into normal form. A path that is normal already costs one scan and the copy.
    ///
    /// # Errors
    /// [`AmbiguousPath`] if it has more than one reading.
    pub fn parse(raw: &str) -> Result<Self, AmbiguousPath> {
        if is_plainly_normal(raw.as_bytes()) {
            Ok(Self(raw.into()))
        } else {
            normalise(raw)
        }
    }

    /// The path as the application gets it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The way through it.
    pub(crate) fn steps(&self) -> Steps<'_> {
        Steps(&self.0)
    }

    /// The segments. A slash at the end makes no segment.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        Segments(&self.0)
    }
}

impl fmt::Display for NormalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone)]
struct Segments<'a>(&'a str);

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.strip_prefix('/').unwrap_or(self.0);
        let end = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
        let (segment, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        // In normal form, only the last segment can be empty.
        (!segment.is_empty()).then_some(segment)
    }
}

/// What a raw byte of a path is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands for itself, and is decoded when it was escaped.
    Unreserved,
    /// Stands for itself when raw, and stays escaped when escaped.
    Reserved,
    /// Is escaped: browsers and clients differ in whether they do.
    Escaped,
    Percent,
    Slash,
    Refused(AmbiguousPath),
}

const fn classify(byte: u8) -> Class {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => Class::Reserved,
        b'/' => Class::Slash,
        b'%' => Class::Percent,
        b'\\' => Class::Refused(AmbiguousPath::Backslash),
        b';' => Class::Refused(AmbiguousPath::Parameters),
        b'?' | b'#' => Class::Refused(AmbiguousPath::Delimiter),
        0..=0x1f | 0x7f => Class::Refused(AmbiguousPath::ControlCharacter),
        b' ' | b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80..=0xff => Class::Escaped,
    }
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Slash; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let class = classify(byte as u8);
        classes[byte] = class;
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

/// Whether a path is certainly in normal form. Escapes and segments that begin with a dot take the long way.
fn is_plainly_normal(raw: &[u8]) -> bool {
    let mut after_slash = false;
    raw.first() == Some(&b'/')
        && raw.iter().all(|&byte| {
            let normal = match class(byte) {
                Class::Unreserved => !(after_slash && byte == b'.'),
                Class::Reserved => true,
                Class::Slash => !after_slash,
                Class::Escaped | Class::Percent | Class::Refused(_) => false,
            };
            after_slash = byte == b'/';
            normal
        })
}

fn normalise(raw: &str) -> Result<NormalPath, AmbiguousPath> {
    if raw.is_empty() {
        return Ok(NormalPath("/".into()));
    }
    let segments = raw.strip_prefix('/').ok_or(AmbiguousPath::NotAbsolute)?;
    let mut path = String::with_capacity(raw.len());
    let mut decoded = Vec::new();
    let mut open = false;
    for segment in segments.split('/') {
        let start = path.len();
        path.push('/');
        push_segment(segment, &mut path, &mut decoded)?;
        // What comes after the last slash is the last segment; if it vanishes, the slash stays.
        open = matches!(&path[start..], "/" | "/." | "/..");
        match &path[start..] {
            "/" | "/." => path.truncate(start),
            "/.." => {
                path.truncate(start);
                let parent = path.rfind('/').ok_or(AmbiguousPath::LeavesRoot)?;
                path.truncate(parent);
            }
            _ => {}
        }
    }
    if open {
        path.push('/');
    }
    Ok(NormalPath(path.into()))
}

/// Appends a segment with each character in its one spelling. `decoded` is scratch space.
fn push_segment(segment: &str, path: &mut String, decoded: &mut Vec<u8>) -> Result<(), AmbiguousPath> {
    decoded.clear();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, escaped) = match class(byte) {
            Class::Percent => (unescape(bytes.next(), bytes.next())?, true),
            Class::Unreserved | Class::Reserved | Class::Escaped | Class::Slash | Class::Refused(_) => (byte, false),
        };
        decoded.push(byte);
        match class(byte) {
            Class::Unreserved => path.push(char::from(byte)),
            Class::Reserved if !escaped => path.push(char::from(byte)),
            Class::Reserved | Class::Escaped | Class::Percent => push_escape(byte, path),
            Class::Slash => return Err(AmbiguousPath::EncodedSlash),
            // An escaped delimiter is a character like others; the rest is refused in every spelling.
            Class::Refused(AmbiguousPath::Parameters | AmbiguousPath::Delimiter) if escaped => push_escape(byte, path),
            Class::Refused(cause) => return Err(cause),
        }
    }
    let text = str::from_utf8(decoded).map_err(|_| AmbiguousPath::NotUtf8)?;
    if text.chars().any(char::is_control) {
        Err(AmbiguousPath::ControlCharacter)
    } else {
        Ok(())
    }
}

fn unescape(high: Option<u8>, low: Option<u8>) -> Result<u8, AmbiguousPath> {
    let digit = |byte: Option<u8>| byte.and_then(hex_digit).ok_or(AmbiguousPath::BrokenEscape);
    Ok(digit(high)? << 4 | digit(low)?)
}

/// The value of a hexadecimal digit.
pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn push_escape(byte: u8, path: &mut String) {
    let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value & 15)]);
    path.extend(['%', digit(byte >> 4), digit(byte)]);
}

/// The bytes of a segment of a [`NormalPath`] with the remaining escapes decoded.
pub(crate) fn decoded(segment: &str) -> impl Iterator<Item = u8> + '_ {
    let mut bytes = segment.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'%' => unescape(bytes.next(), bytes.next()).ok(),
        byte => Some(byte),
    })
}

/// A segment of a pattern that stands for itself: decoded, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Literal(Box<[u8]>);

impl Literal {
    /// A literal of a segment that may be escaped in any way.
    pub(crate) fn parse(segment: &str) -> Result<Self, AmbiguousPath> {
        let path = NormalPath::parse(&format!("/{segment}"))?;
        Ok(Self(
            decoded(path.as_str().trim_matches('/'))
                .map(|byte| byte.to_ascii_lowercase())
                .collect(),
        ))
    }

    /// Whether a segment of a normal path means the same.
    pub(crate) fn matches(&self, segment: &str) -> bool {
        self.means(segment, segment.as_bytes().contains(&b'%'))
    }

    fn means(&self, segment: &str, is_escaped: bool) -> bool {
        if is_escaped {
            self.order(segment).is_eq()
        } else {
            self.0.eq_ignore_ascii_case(segment.as_bytes())
        }
    }

    /// A number that is the same for all segments that mean the same: that of [`Step::hash`].
    pub(crate) fn hash(&self) -> u64 {
        finished(self.0.iter().fold(0, |hash, byte| stirred(hash, *byte)))
    }

    /// How this literal sorts against a segment of a normal path.
    fn order(&self, segment: &str) -> Ordering {
        let literal = self.0.iter().copied();
        literal.cmp(decoded(segment).map(|byte| byte.to_ascii_lowercase()))
    }
}

/// A segment on the way through a path.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    /// As it is in the normal path.
    pub(crate) segment: &'a str,
    /// The number by which its literal is found.
    pub(crate) hash: u64,
    is_escaped: bool,
}

impl Step<'_> {
    /// Whether a literal means the same.
    pub(crate) fn is(&self, literal: &Literal) -> bool {
        // Most are written as they are compared.
        (!self.is_escaped && *literal.0 == *self.segment.as_bytes()) || literal.means(self.segment, self.is_escaped)
    }
}

/// The way through a path: each segment with its hash, in one look at its bytes.
#[derive(Clone)]
pub(crate) struct Steps<'a>(&'a str);

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let rest = self.0.strip_prefix('/').unwrap_or(self.0);
        let (mut hash, mut end, mut is_escaped) = (0, rest.len(), false);
        for (position, byte) in rest.bytes().enumerate() {
            if byte == b'/' {
                end = position;
                break;
            }
            is_escaped |= byte == b'%';
            hash = stirred(hash, byte);
        }
        let (segment, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        if is_escaped {
            hash = decoded(segment).fold(0, stirred);
        }
        let step = Step {
            segment,
            hash: finished(hash),
            is_escaped,
        };
        // In normal form, only the last segment can be empty.
        (!segment.is_empty()).then_some(step)
    }
}

/// A hash with one byte more, without the bit that tells letter cases apart. Whoever is found by it is compared then.
fn stirred(hash: u64, byte: u8) -> u64 {
    hash.rotate_left(5) ^ u64::from(byte | 0x20)
}

fn finished(hash: u64) -> u64 {
    let spread = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread ^ (spread >> 32)
}

/// A set of paths: `/login`, `/api/**` (that path and all below it), `/users/*/avatar` (`*` is one segment).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Part]>,
    rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Literal),
    Any,
}

/// Why a text is no path pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `**` stands for all that follows, so nothing can come after it.
    #[error("`**` can only be the last segment")]
    RestNotLast,
    /// A `*` beside other characters.
    #[error("`*` stands for a whole segment")]
    PartialWildcard,
    /// `{id}` belongs to operations.
    #[error("parameters in braces belong to `[op]`; use `*` here")]
    Parameter,
    /// The text is no path that could ever match.
    #[error("this never matches a request: {0}")]
    Path(#[from] AmbiguousPath),
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').ok_or(AmbiguousPath::NotAbsolute)?;
        let mut parts = Vec::new();
        let mut rest = false;
        for segment in inner.split('/').filter(|segment| !segment.is_empty()) {
            if rest {
                return Err(PatternError::RestNotLast);
            }
            match segment {
                "**" => rest = true,
                "*" => parts.push(Part::Any),
                "." | ".." => return Err(AmbiguousPath::LeavesRoot.into()),
                _ if segment.contains('*') => return Err(PatternError::PartialWildcard),
                _ if segment.contains(['{', '}']) => return Err(PatternError::Parameter),
                _ => parts.push(Part::Literal(Literal::parse(segment)?)),
            }
        }
        Ok(Self {
            text: text.into(),
            segments: parts.into(),
            rest,
        })
    }

    /// The pattern that every path matches, `/**`.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            text: "/**".into(),
            segments: Box::new([]),
            rest: true,
        }
    }

    /// Whether a path is in the set.
    #[must_use]
    pub fn matches(&self, path: &NormalPath) -> bool {
        let mut segments = path.segments();
        let begins = self.segments.iter().all(|part| match (part, segments.next()) {
            (Part::Literal(literal), Some(segment)) => literal.matches(segment),
            (Part::Any, Some(_)) => true,
            (Part::Literal(_) | Part::Any, None) => false,
        });
        begins && (self.rest || segments.next().is_none())
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(raw: &str) -> String {
        NormalPath::parse(raw)
            .unwrap_or_else(|cause| panic!("{raw}: {cause}"))
            .as_str()
            .to_owned()
    }

    #[test]
    fn each_path_has_one_normal_form() {
        for (raw, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/api/orders/7", "/api/orders/7"),
            ("/api/", "/api/"),
            ("/%61pi/%7Ebob/%2D%2e%5F", "/api/~bob/-._"),
            ("/a%3ab/%c3%a4", "/a%3Ab/%C3%A4"),
            ("/ä b/[1]|\"", "/%C3%A4%20b/%5B1%5D%7C%22"),
            ("/a//b///c", "/a/b/c"),
            ("//a", "/a"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/../c", "/a/c"),
            ("/a/b/%2e%2E/c", "/a/c"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a//../b", "/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/...", "/a/..."),
            ("/a%3Bb%3F%23", "/a%3Bb%3F%23"),
            ("/%252e%252e/x", "/%252e%252e/x"),
        ] {
            assert_eq!(normal(raw), expected, "{raw}");
        }
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        for (raw, cause) in [
            ("*", AmbiguousPath::NotAbsolute),
            ("api", AmbiguousPath::NotAbsolute),
            ("/a%2Fb", AmbiguousPath::EncodedSlash),
            ("/a%2f..%2fb", AmbiguousPath::EncodedSlash),
            ("/a\\b", AmbiguousPath::Backslash),
            ("/a%5cb", AmbiguousPath::Backslash),
            ("/a%00", AmbiguousPath::ControlCharacter),
            ("/a\tb", AmbiguousPath::ControlCharacter),
            ("/a%0d%0ab", AmbiguousPath::ControlCharacter),
            ("/a%7f", AmbiguousPath::ControlCharacter),
            ("/a%C2%85", AmbiguousPath::ControlCharacter),
            ("/a;v=1", AmbiguousPath::Parameters),
            ("/a/..;/b", AmbiguousPath::Parameters),
            ("/a?b", AmbiguousPath::Delimiter),
            ("/a#b", AmbiguousPath::Delimiter),
            ("/a%", AmbiguousPath::BrokenEscape),
            ("/a%4", AmbiguousPath::BrokenEscape),
            ("/a%zz", AmbiguousPath::BrokenEscape),
            ("/%c0%af", AmbiguousPath::NotUtf8),
            ("/%e0%80%ae", AmbiguousPath::NotUtf8),
            ("/%ff", AmbiguousPath::NotUtf8),
            ("/%c3/%a4", AmbiguousPath::NotUtf8),
            ("/..", AmbiguousPath::LeavesRoot),
            ("/a/../../b", AmbiguousPath::LeavesRoot),
            ("/a/%2e%2e/%2e%2e/b", AmbiguousPath::LeavesRoot),
            ("//..", AmbiguousPath::LeavesRoot),
        ] {
            assert_eq!(NormalPath::parse(raw), Err(cause), "{raw}");
        }
    }

    #[test]
    fn patterns_match_what_they_should() {
        for (pattern, path, expected) in [
            ("/**", "/", true),
            ("/**", "/a/b", true),
            ("/api/**", "/api", true),
            ("/api/**", "/api/", true),
            ("/api/**", "/api/orders/7", true),
            ("/api/**", "/apix", false),
            ("/api/**", "/", false),
            ("/api/**", "/API/orders", true),
            ("/api/**", "//x/..//%61pi/orders", true),
            ("/login", "/login", true),
            ("/login", "/login/", true),
            ("/login/", "/login", true),
            ("/login", "/login/now", false),
            ("/users/*/avatar", "/users/7/avatar", true),
            ("/users/*/avatar", "/users/avatar", false),
            ("/users/*/avatar", "/users/7/8/avatar", false),
            ("/a:b", "/a%3ab", true),
            ("/b\u{fc}cher", "/b%C3%BCcher", true),
            ("/", "/", true),
            ("/", "/a", false),
        ] {
            let matches = PathPattern::parse(pattern)
                .unwrap()
                .matches(&NormalPath::parse(path).unwrap());
            assert_eq!(matches, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_that_never_match_are_refused() {
        for (pattern, error) in [
            ("api", PatternError::Path(AmbiguousPath::NotAbsolute)),
            ("/a/**/b", PatternError::RestNotLast),
            ("/a/*.json", PatternError::PartialWildcard),
            ("/a/{id}", PatternError::Parameter),
            ("/a/../b", PatternError::Path(AmbiguousPath::LeavesRoot)),
            ("/a%2fb", PatternError::Path(AmbiguousPath::EncodedSlash)),
            ("/a?b", PatternError::Path(AmbiguousPath::Delimiter)),
        ] {
            assert_eq!(PathPattern::parse(pattern).unwrap_err(), error, "{pattern}");
        }
    }

    /// Pieces that make interesting paths far more often than random characters do.
    fn raw_path() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/".to_owned()),
            Just("/".to_owned()),
            prop::sample::select(vec![
                ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", "%3b", "%00", "%", "%4", "%c3%a4", "%C3", "ä",
                "%25", "api", "%61pi", "API", "~", "%7e", ":", "%3A", "!", "%21", " ", "%20", "|", "[", "?", "#", "*",
                "\u{85}",
            ])
            .prop_map(str::to_owned),
            "[a-z0-9]{1,4}",
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(raw in raw_path()) {
            if let Ok(path) = NormalPath::parse(&raw) {
                prop_assert_eq!(&NormalPath::parse(path.as_str()).unwrap(), &path);
            }
        }

        #[test]
        fn the_normal_form_has_nothing_that_is_refused(raw in raw_path()) {
            if let Ok(path) = NormalPath::parse(&raw) {
                let text = path.as_str();
                prop_assert!(text.starts_with('/') && text.is_ascii() && !text.contains("//"));
                prop_assert!(!text.contains(['\\', ';', '?', '#', ' ']));
                let lower = text.to_ascii_lowercase();
                for escape in ["%2f", "%5c", "%00", "%7f", "%0", "%1", "%2e"] {
                    prop_assert!(!lower.contains(escape), "{}", text);
                }
                prop_assert!(path.segments().all(|segment| segment != "." && segment != ".."));
                prop_assert!(String::from_utf8(decoded(text).collect()).unwrap().chars().all(|c| !c.is_control()));
            }
        }

        #[test]
        fn the_fast_scan_agrees_with_the_long_way(raw in raw_path()) {
            if is_plainly_normal(raw.as_bytes()) {
                let path = normalise(&raw).unwrap();
                prop_assert_eq!(path.as_str(), raw.as_str());
            }
        }

        #[test]
        fn all_spellings_of_a_path_match_the_same(
            segments in prop::collection::vec("[a-zA-Z0-9._~!$&'()+,=:@ äß-]{1,6}", 1..5),
            spellings in prop::collection::vec((any::<bool>(), any::<bool>()), 40),
        ) {
            prop_assume!(segments.iter().all(|segment| segment != "." && segment != ".."));
            let plain = format!("/{}", segments.join("/"));
            let mut choice = spellings.into_iter().cycle();
            let spelled: String = plain
                .bytes()
                .map(|byte| match choice.next() {
                    _ if byte == b'/' => "/".to_owned(),
                    Some((true, true)) => format!("%{byte:02x}"),
                    Some((true, false)) => format!("%{byte:02X}"),
                    _ if byte.is_ascii() => char::from(byte).to_string(),
                    _ => format!("%{byte:02X}"),
                })
                .collect();
            let pattern = PathPattern::parse(&plain).unwrap();
            prop_assert!(pattern.matches(&NormalPath::parse(&plain).unwrap()));
            prop_assert!(pattern.matches(&NormalPath::parse(&spelled).unwrap()), "{}", spelled);
        }
    }
}
