//! Structured fields (RFC 8941 section 4.2, and the two types that RFC 9651 adds), parsed into a tree step by step as
//! the RFC writes it down.

/// A bare item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bare {
    /// A number without a fraction.
    Integer(i64),
    /// In thousandths.
    Decimal(i64),
    /// Unescaped.
    Text(String),
    /// As sent.
    Token(String),
    /// Decoded.
    Bytes(Vec<u8>),
    /// `?0` or `?1`.
    Boolean(bool),
    /// `@seconds`.
    Date(i64),
    /// `%"…"`, decoded.
    Display(String),
}

/// Parameters as they came, repetitions included.
pub type Parameters = Vec<(String, Bare)>;

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// An item.
    Item(Bare, Parameters),
    /// An inner list.
    List(Vec<(Bare, Parameters)>, Parameters),
}

/// Parses a dictionary; labels as they came, repetitions included. `None` where the RFC says *fail parsing*.
#[must_use]
pub fn dictionary(field: &[u8]) -> Option<Vec<(String, Member)>> {
    let mut input = Input(field);
    let mut members = Vec::new();
    input.skip(b" ");
    while !input.0.is_empty() {
        let label = input.key()?;
        let member = if input.take(b'=') {
            input.member()?
        } else {
            Member::Item(Bare::Boolean(true), input.parameters()?)
        };
        members.push((label, member));
        input.skip(b" \t");
        if input.0.is_empty() {
            break;
        }
        if !input.take(b',') {
            return None;
        }
        input.skip(b" \t");
        if input.0.is_empty() {
            return None;
        }
    }
    Some(members)
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.next();
        }
        is_there
    }

    fn skip(&mut self, these: &[u8]) {
        while self.peek().is_some_and(|byte| these.contains(&byte)) {
            self.next();
        }
    }

    fn collect(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let mut text = String::new();
        while let Some(byte) = self.peek().filter(|byte| wanted(*byte)) {
            text.push(char::from(byte));
            self.next();
        }
        text
    }

    fn key(&mut self) -> Option<String> {
        self.peek().filter(|byte| byte.is_ascii_lowercase() || *byte == b'*')?;
        Some(self.collect(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)))
    }

    fn member(&mut self) -> Option<Member> {
        if !self.take(b'(') {
            return Some(Member::Item(self.bare()?, self.parameters()?));
        }
        let mut items = Vec::new();
        loop {
            self.skip(b" ");
            if self.take(b')') {
                return Some(Member::List(items, self.parameters()?));
            }
            items.push((self.bare()?, self.parameters()?));
            self.peek().filter(|byte| matches!(byte, b' ' | b')'))?;
        }
    }

    fn parameters(&mut self) -> Option<Parameters> {
        let mut parameters = Vec::new();
        while self.take(b';') {
            self.skip(b" ");
            let name = self.key()?;
            let value = if self.take(b'=') {
                self.bare()?
            } else {
                Bare::Boolean(true)
            };
            parameters.push((name, value));
        }
        Some(parameters)
    }

    fn bare(&mut self) -> Option<Bare> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.text().map(Bare::Text),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                Some(Bare::Token(self.collect(|byte| {
                    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
                })))
            }
            b':' => self.bytes(),
            b'?' => {
                self.next();
                match self.next()? {
                    b'0' => Some(Bare::Boolean(false)),
                    b'1' => Some(Bare::Boolean(true)),
                    _ => None,
                }
            }
            b'@' => {
                self.next();
                let Bare::Integer(seconds) = self.number()? else {
                    return None;
                };
                Some(Bare::Date(seconds))
            }
            b'%' => self.display(),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Bare> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.collect(|byte| byte.is_ascii_digit());
        if !self.take(b'.') {
            let fits = (1..=15).contains(&whole.len());
            return fits
                .then(|| whole.parse::<i64>().ok())
                .flatten()
                .map(|value| Bare::Integer(sign * value));
        }
        let fraction = self.collect(|byte| byte.is_ascii_digit());
        if !(1..=12).contains(&whole.len()) || !(1..=3).contains(&fraction.len()) {
            return None;
        }
        let thousandths: i64 = format!("{whole}{fraction:0<3}").parse().ok()?;
        Some(Bare::Decimal(sign * thousandths))
    }

    fn text(&mut self) -> Option<String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => text.push(char::from(self.next().filter(|byte| matches!(byte, b'"' | b'\\'))?)),
                byte @ 0x20..=0x7e => text.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    fn bytes(&mut self) -> Option<Bare> {
        self.next();
        let text = self.collect(|byte| byte != b':');
        if !self.take(b':') || !text.is_ascii() {
            return None;
        }
        super::base64::decode(text.as_bytes()).map(Bare::Bytes)
    }

    fn display(&mut self) -> Option<Bare> {
        self.next();
        if !self.take(b'"') {
            return None;
        }
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => return String::from_utf8(bytes).ok().map(Bare::Display),
                b'%' => {
                    let mut digit = || self.next().filter(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                    let (high, low) = (digit()?, digit()?);
                    let value = |digit: u8| char::from(digit).to_digit(16);
                    bytes.push(u8::try_from(value(high)? * 16 + value(low)?).ok()?);
                }
                byte @ 0x20..=0x7e => bytes.push(byte),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rfc_shows() {
        // RFC 8941 sections 3.1, 3.2 and 3.3.
        for good in [
            "",
            "a=?0, b, c; foo=bar",
            "rating=1.5, feelings=(joy sadness)",
            "a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid",
            "en=\"Applepie\", da=:w4ZibGV0w6ZydGU=:",
            "a=\"say \\\"x\\\"\"",
            " a=1 ",
            "a=1\t,\tb=2",
            "a=( 1   2 )",
            "a=@1659578233",
            "a=%\"f%c3%bc\"",
        ] {
            assert!(dictionary(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "a=1,",
            ",a=1",
            "a=1 b=2",
            "A=1",
            "a=",
            "a=(1 2",
            "a=(1\t2)",
            "a=(1,2)",
            "a=1234567890123456",
            "a=1.",
            "a=1.2345",
            "a=-",
            "a=\"x",
            "a=\"\\x\"",
            "a=:AA",
            "a=?2",
            "\ta=1",
            "a=1;",
            "a=@1.0",
            "a=%\"%C3\"",
            "a=%\"%ff\"",
        ] {
            assert!(dictionary(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
