//! Finds values in JSON while it arrives, in constant memory: [RFC 8259], with pointers ([RFC 6901]) in which `*` stands
//! for any element or member.
//!
//! The gate and the application must not read different things out of one text. So whatever readers disagree about is
//! an error or ambiguous: members of the same name, control characters in strings, half surrogates, text after the end.
//!
//! [RFC 8259]: https://www.rfc-editor.org/rfc/rfc8259
//! [RFC 6901]: https://www.rfc-editor.org/rfc/rfc6901

mod pointer;

pub(super) use pointer::Pointer;
use pointer::{Part, is_index, is_number, part};

/// How deep arrays and objects may be in each other.
pub(super) const DEPTH: usize = 64;
/// The longest number that is read.
const LONGEST_NUMBER: usize = 400;
/// The longest string that is compared with a name; a longer one is no name of ours.
const LONGEST_NAME: usize = 256;
/// Pointers that one scan follows: each is a bit.
pub(super) const MOST_POINTERS: usize = 64;

/// A value where a pointer points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A string, decoded.
    Text(&'a [u8]),
    /// A number, as it is written.
    Number(&'a [u8]),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An array or object, or a string that is too long to keep.
    Unusable,
    /// The way to the value is there a second time.
    Twice,
}

/// It is no JSON, or too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// A text that is read piece by piece.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    stack: Vec<Frame>,
    /// The string, number or word that is being read.
    token: Vec<u8>,
    /// Whether the string is longer than what is kept.
    cut: bool,
    /// The first half of a character of a string.
    high: Option<u32>,
    /// How much of a value is kept.
    longest: usize,
    /// Whether letter case of names counts. Some applications do not care.
    exact: bool,
}

#[derive(Debug)]
struct Frame {
    is_object: bool,
    /// Pointers that lead into this.
    mask: u64,
    /// Pointers whose way goes through a member that was there already.
    hit: u64,
    /// Pointers that lead to the member or element that is being read.
    child: u64,
    index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After `{`.
    NameOrEnd,
    /// After `,` in an object.
    Name,
    Colon,
    AfterValue,
    /// In a string; whether it is a name.
    Text(bool),
    Escape(bool),
    Unicode(bool, u8, u32),
    Number,
    Word,
    Done,
}

impl Scanner {
    /// Reads values of up to `longest` bytes.
    pub(super) fn new(longest: usize, exact: bool) -> Self {
        Self {
            state: State::Value,
            stack: Vec::new(),
            token: Vec::new(),
            cut: false,
            high: None,
            longest,
            exact,
        }
    }

    /// Reads on. The same pointers must be given each time.
    pub(super) fn push(
        &mut self,
        pointers: &[Pointer],
        bytes: &[u8],
        mut found: impl FnMut(usize, Found<'_>),
    ) -> Result<(), Broken> {
        bytes.iter().try_for_each(|&byte| self.byte(pointers, byte, &mut found))
    }

    /// Whether the text is whole.
    pub(super) fn finish(
        &mut self,
        pointers: &[Pointer],
        mut found: impl FnMut(usize, Found<'_>),
    ) -> Result<(), Broken> {
        // A space ends a number.
        self.byte(pointers, b' ', &mut found)?;
        if self.state == State::Done { Ok(()) } else { Err(Broken) }
    }

    fn byte(&mut self, pointers: &[Pointer], byte: u8, found: &mut impl FnMut(usize, Found<'_>)) -> Result<(), Broken> {
        match self.state {
            State::Text(is_name) => return self.text(pointers, byte, is_name, found),
            State::Escape(is_name) => return self.escape(byte, is_name),
            State::Unicode(is_name, digits, value) => return self.unicode(byte, is_name, digits, value),
            State::Number => {
                if matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') {
                    return self.keep(byte, LONGEST_NUMBER);
                }
                if !is_number(&self.token) {
                    return Err(Broken);
                }
                self.tell(pointers, Found::Number(&self.token), found);
                self.reset_token();
                self.end_value();
            }
            State::Word => {
                if byte.is_ascii_alphanumeric() {
                    return self.keep(byte, b"false".len());
                }
                let word = match self.token.as_slice() {
                    b"true" => Found::Bool(true),
                    b"false" => Found::Bool(false),
                    b"null" => Found::Null,
                    _ => return Err(Broken),
                };
                self.tell(pointers, word, found);
                self.reset_token();
                self.end_value();
            }
            State::Value
            | State::ValueOrEnd
            | State::NameOrEnd
            | State::Name
            | State::Colon
            | State::AfterValue
            | State::Done => {}
        }
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Ok(());
        }
        self.structure(pointers, byte, found)
    }

    fn structure(
        &mut self,
        pointers: &[Pointer],
        byte: u8,
        found: &mut impl FnMut(usize, Found<'_>),
    ) -> Result<(), Broken> {
        match (self.state, byte) {
            (State::ValueOrEnd, b']') | (State::NameOrEnd, b'}') => self.close(),
            (State::Value | State::ValueOrEnd, _) => return self.begin(pointers, byte, found),
            (State::NameOrEnd | State::Name, b'"') => self.state = State::Text(true),
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, b',') => match self.stack.last_mut() {
                Some(frame) if frame.is_object => self.state = State::Name,
                Some(frame) => {
                    frame.index += 1;
                    self.state = State::Value;
                }
                None => return Err(Broken),
            },
            (State::AfterValue, b']') if self.stack.last().is_some_and(|frame| !frame.is_object) => self.close(),
            (State::AfterValue, b'}') if self.stack.last().is_some_and(|frame| frame.is_object) => self.close(),
            (_, _) => return Err(Broken),
        }
        Ok(())
    }

    /// The first byte of a value.
    fn begin(
        &mut self,
        pointers: &[Pointer],
        byte: u8,
        found: &mut impl FnMut(usize, Found<'_>),
    ) -> Result<(), Broken> {
        self.enter_element(pointers);
        match byte {
            b'{' | b'[' => {
                self.tell(pointers, Found::Unusable, found);
                if self.stack.len() == DEPTH {
                    return Err(Broken);
                }
                let mask = match self.stack.last() {
                    Some(frame) => frame.child,
                    None => all(pointers),
                };
                self.stack.push(Frame {
                    is_object: byte == b'{',
                    mask,
                    hit: 0,
                    child: 0,
                    index: 0,
                });
                self.state = if byte == b'{' {
                    State::NameOrEnd
                } else {
                    State::ValueOrEnd
                };
                Ok(())
            }
            b'"' => {
                self.state = State::Text(false);
                Ok(())
            }
            b'-' | b'0'..=b'9' => {
                self.state = State::Number;
                self.keep(byte, LONGEST_NUMBER)
            }
            b't' | b'f' | b'n' => {
                self.state = State::Word;
                self.keep(byte, LONGEST_NUMBER)
            }
            _ => Err(Broken),
        }
    }

    /// Where the pointers that lead to an element of an array go on.
    fn enter_element(&mut self, pointers: &[Pointer]) {
        let depth = self.stack.len();
        if let Some(frame) = self.stack.last_mut().filter(|frame| !frame.is_object) {
            let index = frame.index;
            frame.child = narrowed(frame.mask, |number| match part(pointers, number, depth) {
                Some(Part::Any) => true,
                Some(Part::Name(name)) => is_index(name, index),
                None => false,
            });
        }
    }

    fn enter_member(&mut self, pointers: &[Pointer], found: &mut impl FnMut(usize, Found<'_>)) {
        let depth = self.stack.len();
        let (name, cut, exact) = (&self.token, self.cut, self.exact);
        let Some(frame) = self.stack.last_mut() else { return };
        let is_name = |known: &str| match exact {
            true => known.as_bytes() == name.as_slice(),
            false => known.as_bytes().eq_ignore_ascii_case(name),
        };
        let named = narrowed(frame.mask, |number| match part(pointers, number, depth) {
            Some(Part::Name(known)) => !cut && is_name(known),
            Some(Part::Any) | None => false,
        });
        let any = narrowed(frame.mask, |number| part(pointers, number, depth) == Some(&Part::Any));
        for number in bits(frame.hit & named) {
            found(number, Found::Twice);
        }
        frame.hit |= named;
        frame.child = named | any;
    }

    /// Tells of a value to the pointers that end here.
    fn tell(&self, pointers: &[Pointer], value: Found<'_>, found: &mut impl FnMut(usize, Found<'_>)) {
        let Some(frame) = self.stack.last() else { return };
        for number in bits(frame.child) {
            if pointers
                .get(number)
                .is_some_and(|pointer| pointer.len() == self.stack.len())
            {
                found(number, value);
            }
        }
    }

    fn close(&mut self) {
        self.stack.pop();
        self.state = if self.stack.is_empty() {
            State::Done
        } else {
            State::AfterValue
        };
    }

    fn keep(&mut self, byte: u8, most: usize) -> Result<(), Broken> {
        if self.token.len() == most {
            return Err(Broken);
        }
        self.token.push(byte);
        Ok(())
    }

    fn text(
        &mut self,
        pointers: &[Pointer],
        byte: u8,
        is_name: bool,
        found: &mut impl FnMut(usize, Found<'_>),
    ) -> Result<(), Broken> {
        match byte {
            b'\\' => self.state = State::Escape(is_name),
            0..=0x1f => return Err(Broken),
            _ if self.high.is_some() => return Err(Broken),
            b'"' if is_name => {
                self.check_utf8()?;
                self.enter_member(pointers, found);
                self.reset_token();
                self.state = State::Colon;
            }
            b'"' => {
                self.check_utf8()?;
                let value = if self.cut {
                    Found::Unusable
                } else {
                    Found::Text(&self.token)
                };
                self.tell(pointers, value, found);
                self.reset_token();
                self.end_value();
            }
            _ => self.keep_text(&[byte], is_name),
        }
        Ok(())
    }

    fn escape(&mut self, byte: u8, is_name: bool) -> Result<(), Broken> {
        if byte != b'u' && self.high.is_some() {
            return Err(Broken);
        }
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.state = State::Unicode(is_name, 0, 0);
                return Ok(());
            }
            _ => return Err(Broken),
        };
        self.keep_text(&[plain], is_name);
        self.state = State::Text(is_name);
        Ok(())
    }

    fn unicode(&mut self, byte: u8, is_name: bool, digits: u8, value: u32) -> Result<(), Broken> {
        let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
        let value = value << 4 | digit;
        if digits < 3 {
            self.state = State::Unicode(is_name, digits + 1, value);
            return Ok(());
        }
        let character = match (self.high.take(), value) {
            (None, 0xd800..=0xdbff) => {
                self.high = Some(value);
                self.state = State::Text(is_name);
                return Ok(());
            }
            (Some(high), 0xdc00..=0xdfff) => 0x10000 + ((high - 0xd800) << 10 | (value - 0xdc00)),
            (Some(_), _) => return Err(Broken),
            (None, value) => value,
        };
        let character = char::from_u32(character).ok_or(Broken)?;
        self.keep_text(character.encode_utf8(&mut [0; 4]).as_bytes(), is_name);
        self.state = State::Text(is_name);
        Ok(())
    }

    /// A name is kept as far as it may be one of ours; a value as far as it is wanted.
    fn keep_text(&mut self, bytes: &[u8], is_name: bool) {
        let is_wanted = is_name || self.stack.last().is_some_and(|frame| frame.child != 0);
        let most = if is_name { LONGEST_NAME } else { self.longest };
        if !is_wanted || self.token.len() + bytes.len() > most {
            self.cut = true;
        }
        if !self.cut {
            self.token.extend_from_slice(bytes);
        }
    }

    fn check_utf8(&self) -> Result<(), Broken> {
        // What was cut may end within a character; nobody looks at it.
        if self.cut || std::str::from_utf8(&self.token).is_ok() {
            Ok(())
        } else {
            Err(Broken)
        }
    }

    fn reset_token(&mut self) {
        self.token.clear();
        self.cut = false;
    }

    fn end_value(&mut self) {
        self.state = if self.stack.is_empty() {
            State::Done
        } else {
            State::AfterValue
        };
    }
}

fn all(pointers: &[Pointer]) -> u64 {
    match pointers.len() {
        count @ 0..MOST_POINTERS => (1 << count) - 1,
        _ => u64::MAX,
    }
}

fn bits(mask: u64) -> impl Iterator<Item = usize> {
    (0..MOST_POINTERS).filter(move |number| mask & 1 << number != 0)
}

fn narrowed(mask: u64, keep: impl Fn(usize) -> bool) -> u64 {
    bits(mask)
        .filter(|&number| keep(number))
        .fold(0, |mask, number| mask | 1 << number)
}

#[cfg(test)]
mod tests;
