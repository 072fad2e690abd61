//! Reads tables of a TOML document with their places, and collects every mistake instead of stopping at the first.

use std::cell::RefCell;
use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Located, Mistake, Span};
use super::value::describe;

/// A value, read, or what is wrong with it.
pub(super) type Parsed<T> = Result<T, Mistake>;

/// Where mistakes go.
#[derive(Debug, Default)]
pub(super) struct Sink {
    mistakes: RefCell<Vec<Located>>,
    warnings: RefCell<Vec<Located>>,
    keys: RefCell<Vec<String>>,
}

impl Sink {
    pub(super) fn push(&self, span: Span, key: String, mistake: Mistake) {
        self.mistakes.borrow_mut().push(Located { span, key, mistake });
    }

    /// Notes what is right and yet does nothing.
    pub(super) fn warn(&self, span: Span, key: String, warning: Mistake) {
        let mistake = warning;
        self.warnings.borrow_mut().push(Located { span, key, mistake });
    }

    /// What was noted so.
    pub(super) fn take_warnings(&self) -> Vec<Located> {
        self.warnings.take()
    }

    /// Whether something was said already about a key, about what it is in, or about what is in it.
    fn knows(&self, key: &str) -> bool {
        let inside = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let mistakes = self.mistakes.borrow();
        mistakes
            .iter()
            .any(|known| !known.key.is_empty() && (inside(&known.key, key) || inside(key, &known.key)))
    }

    /// Reports a mistake anywhere, unless it may follow from one that was reported.
    pub(super) fn report(&self, span: Span, key: String, mistake: Mistake) {
        if !self.knows(&key) {
            self.push(span, key, mistake);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.mistakes.borrow().len()
    }

    /// The mistakes, and all keys that were asked for.
    pub(super) fn into_parts(self) -> (Vec<Located>, Vec<String>) {
        (self.mistakes.into_inner(), self.keys.into_inner())
    }
}

/// One table. A table that is missing reads like an empty one.
pub(super) struct Section<'a> {
    sink: &'a Sink,
    /// The key of the table; empty for the whole document.
    key: String,
    table: Option<&'a DeTable<'a>>,
    /// The table, or the place where it is missing.
    span: Span,
    asked: RefCell<Vec<&'static str>>,
    /// Whether nothing is said about keys that are missing.
    lenient: bool,
}

impl<'a> Section<'a> {
    /// Reads the whole document.
    pub(super) fn root<R>(sink: &'a Sink, table: &'a DeTable<'a>, read: impl FnOnce(&Self) -> R) -> R {
        Self::new(sink, String::new(), Some(table), 0..0).visit(read)
    }

    fn new(sink: &'a Sink, key: String, table: Option<&'a DeTable<'a>>, span: Span) -> Self {
        Self {
            sink,
            key,
            table,
            span,
            asked: RefCell::default(),
            lenient: false,
        }
    }

    /// A key that is right elsewhere or was looked at before: it is not unknown.
    pub(super) fn known(&self, key: &'static str) {
        self.asked.borrow_mut().push(key);
    }

    /// Whether a key is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// A value, or its default if it is missing or wrong.
    pub(super) fn read<T>(&self, key: &'static str, default: T, parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>) -> T {
        self.optional(key, parse).unwrap_or(default)
    }

    /// A value, if it is there and right.
    pub(super) fn optional<T>(&self, key: &'static str, parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>) -> Option<T> {
        let value = self.get(key)?;
        self.parse(value, self.path(key), parse)
    }

    /// A value that must be there; `like` shows one.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        like: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(value) => self.parse(value, self.path(key), parse),
            None if self.lenient => None,
            None => {
                self.error(key, Mistake::new("missing").hint(format!("add `{key} = {like}`")));
                None
            }
        }
    }

    /// An array, without the elements that are wrong.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        default: impl FnOnce() -> Vec<T>,
        parse: impl Fn(&DeValue<'_>) -> Parsed<T>,
    ) -> Vec<T> {
        match self.elements(key, parse) {
            Some(elements) => elements.into_iter().flatten().collect(),
            None => default(),
        }
    }

    /// The elements of an array, `None` where one is wrong; `None` if there is no array.
    pub(super) fn elements<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&DeValue<'_>) -> Parsed<T>,
    ) -> Option<Vec<Option<T>>> {
        let value = self.get(key)?;
        let Some(elements) = value.get_ref().as_array() else {
            let mistake = Mistake::new(format!("expected an array, got {}", describe(value.get_ref())));
            self.error(key, mistake.hint("put it into `[` and `]`"));
            return None;
        };
        let element = |(index, element)| self.parse(element, format!("{}[{index}]", self.path(key)), &parse);
        Some(elements.iter().enumerate().map(element).collect())
    }

    /// Reports the elements of an array that are there twice.
    pub(super) fn reject_twice<T: PartialEq + Display>(&self, key: &'static str, elements: &[Option<T>]) {
        for (index, element) in elements.iter().enumerate() {
            if let Some(value) = element
                && elements.iter().take(index).any(|earlier| earlier == element)
            {
                self.element_error(key, index, Mistake::new(format!("{value} is there twice")));
            }
        }
    }

    /// A table inside this one.
    pub(super) fn section<R>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> R) -> R {
        let value = self.get(key);
        let span = value.map_or(self.span.clone(), Spanned::span);
        let table = value.and_then(|value| self.table_of(value, self.path(key)));
        let mut section = Section::new(self.sink, self.path(key), table, span);
        // What is no table has been reported; what is missing in it need not be.
        section.lenient = self.lenient || (value.is_some() && table.is_none());
        section.visit(read)
    }

    /// A table inside this one, if it is there.
    pub(super) fn optional_section<R>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> R) -> Option<R> {
        let value = self.get(key)?;
        let table = self.table_of(value, self.path(key))?;
        Some(Section::new(self.sink, self.path(key), Some(table), value.span()).visit(read))
    }

    /// The tables of an array. What is no table is left out.
    pub(super) fn sections<R>(&self, key: &'static str, mut read: impl FnMut(usize, &Section<'a>) -> R) -> Vec<R> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(elements) = value.get_ref() else {
            let mistake = Mistake::new(format!(
                "expected an array of tables, got {}",
                describe(value.get_ref())
            ));
            self.error(
                key,
                mistake.hint(format!("write `[[{key}]]`, or put the table into `[` and `]`")),
            );
            return Vec::new();
        };
        let mut results = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let path = format!("{}[{index}]", self.path(key));
            if let Some(table) = self.table_of(element, path.clone()) {
                let section = Section::new(self.sink, path, Some(table), element.span());
                results.push(section.visit(|section| read(index, section)));
            }
        }
        results
    }

    /// Reads a table whose keys the file chooses, in the order of the file.
    pub(super) fn entries(&self, mut read: impl FnMut(Entry<'_, 'a>)) {
        let mut entries: Vec<_> = self.table.into_iter().flat_map(DeTable::iter).collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            read(Entry {
                section: self,
                name: key.get_ref(),
                value,
            });
        }
    }

    /// Reports a mistake at a key, or at the table if the key is missing.
    pub(super) fn error(&self, key: &str, mistake: Mistake) {
        let value = self.table.and_then(|table| table.get(key));
        let span = value.map_or(self.span.clone(), Spanned::span);
        self.sink.push(span, self.path(key), mistake);
    }

    /// Reports a mistake at an element of an array.
    pub(super) fn element_error(&self, key: &str, index: usize, mistake: Mistake) {
        let value = self.table.and_then(|table| table.get(key));
        let element = value.and_then(|value| value.get_ref().as_array()?.get(index));
        let span = element.or(value).map_or(self.span.clone(), Spanned::span);
        self.sink.push(span, format!("{}[{index}]", self.path(key)), mistake);
    }

    /// Reports a mistake anywhere, unless it may follow from one that was reported.
    pub(super) fn report(&self, span: Span, key: String, mistake: Mistake) {
        self.sink.report(span, key, mistake);
    }

    /// Notes what is right and yet does nothing.
    pub(super) fn warn(&self, span: Span, key: String, warning: Mistake) {
        self.sink.warn(span, key, warning);
    }

    /// How many mistakes there are so far.
    pub(super) fn mistakes(&self) -> usize {
        self.sink.len()
    }

    fn visit<R>(self, read: impl FnOnce(&Section<'a>) -> R) -> R {
        let result = read(&self);
        self.reject_unknown();
        result
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.sink.keys.borrow_mut().push(self.path(key));
        self.table.and_then(|table| table.get(key))
    }

    fn path(&self, key: &str) -> String {
        if self.key.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.key)
        }
    }

    fn parse<T>(
        &self,
        value: &Spanned<DeValue<'_>>,
        path: String,
        parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>,
    ) -> Option<T> {
        let parsed = parse(value.get_ref());
        parsed
            .map_err(|mistake| self.sink.push(value.span(), path, mistake))
            .ok()
    }

    fn table_of(&self, value: &'a Spanned<DeValue<'a>>, path: String) -> Option<&'a DeTable<'a>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            let mistake = Mistake::new(format!("expected a table, got {}", describe(value.get_ref())));
            self.sink.push(value.span(), path, mistake);
        }
        table
    }

    /// A key that nothing asked for would silently do nothing.
    fn reject_unknown(&self) {
        let asked = self.asked.borrow();
        if asked.is_empty() {
            return;
        }
        for key in self.table.into_iter().flat_map(DeTable::keys) {
            if !asked.iter().any(|known| key.get_ref() == known) {
                let mistake = Mistake::new("unknown key").hint_from(key.get_ref(), asked.iter().copied());
                self.sink.push(key.span(), self.path(key.get_ref()), mistake);
            }
        }
    }
}

/// One entry of a table whose keys the file chooses.
pub(super) struct Entry<'s, 'a> {
    section: &'s Section<'a>,
    pub(super) name: &'a str,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Entry<'_, 'a> {
    /// The value as text, or what is wrong with it.
    pub(super) fn value<T>(&self, parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>) -> Option<T> {
        self.section.parse(self.value, self.section.path(self.name), parse)
    }

    /// The value as a table, if it is one.
    pub(super) fn table<R>(&self, read: impl FnOnce(&Section<'a>) -> R) -> Option<R> {
        let table = self.value.get_ref().as_table()?;
        let path = self.section.path(self.name);
        Some(Section::new(self.section.sink, path, Some(table), self.value.span()).visit(read))
    }
}
