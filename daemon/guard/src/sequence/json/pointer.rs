//! Where values are, and how names, indexes and numbers are written.

use super::{DEPTH, LONGEST_NAME};

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Pointer(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Name(Box<str>),
    Any,
}

impl Pointer {
    /// Reads `/items/*/id`; `~1` is a slash, `~0` a tilde.
    pub(in super::super) fn parse(text: &str) -> Result<Self, &'static str> {
        let parts = text
            .strip_prefix('/')
            .ok_or("a pointer starts with `/`, like `/order/id`")?;
        let part = |part: &str| match part {
            "*" => Ok(Part::Any),
            _ if part.len() > LONGEST_NAME => Err("a name has at most 256 bytes"),
            _ => Ok(Part::Name(part.replace("~1", "/").replace("~0", "~").into())),
        };
        let parts = parts.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        match parts.len() {
            0..DEPTH => Ok(Self(parts)),
            _ => Err("it is deeper than any text that is read"),
        }
    }

    /// Whether it can mean several values.
    pub(in super::super) fn is_plural(&self) -> bool {
        self.0.contains(&Part::Any)
    }

    /// How many names lead to the value.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

pub(super) fn part(pointers: &[Pointer], number: usize, depth: usize) -> Option<&Part> {
    pointers.get(number)?.0.get(depth.checked_sub(1)?)
}

/// An index is written without leading zeros.
pub(super) fn is_index(name: &str, index: u64) -> bool {
    (name == "0" || !name.starts_with('0'))
        && name.bytes().all(|byte| byte.is_ascii_digit())
        && name.parse() == Ok(index)
}

/// The grammar of RFC 8259 section 6.
pub(super) fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let [b'.', fraction @ ..] = rest {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        let count = digits(exponent);
        if count == 0 {
            return false;
        }
        rest = &exponent[count..];
    }
    rest.is_empty()
}
