//! What is wrong with a configuration: every mistake, with its place.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use portcullis_guard::sequence::closest;

use super::environment::{Override, blame};

/// Bytes of the file.
pub(super) type Span = Range<usize>;

/// Everything that is wrong with one file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    file: String,
    errors: Vec<ConfigError>,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, if it is another one than that of the configuration.
    pub file: Option<String>,
    /// Line and column, counted from 1; `None` if the file could not be read at all.
    pub place: Option<(usize, usize)>,
    /// The key, `http.listen[1]`; empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// How it could be put right.
    pub hint: Option<String>,
}

impl ConfigErrors {
    /// The name of the file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }

    /// What is wrong with the files that a configuration names.
    #[must_use]
    pub fn of_files(path: &Path, errors: Vec<ConfigError>) -> Self {
        let file = path.display().to_string();
        Self { file, errors }
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let error = ConfigError {
            file: None,
            place: None,
            key: String::new(),
            message: format!("cannot be read: {error}"),
            hint: (error.kind() == std::io::ErrorKind::PermissionDenied).then(|| {
                "the daemon must be able to read it after its start too, when it is another user than root (chgrp, chmod g+r)"
                    .to_owned()
            }),
        };
        Self {
            file: path.display().to_string(),
            errors: vec![error],
        }
    }

    /// Gives each mistake its line and column, and sorts them.
    pub(super) fn new(file: &str, source: &str, mistakes: Vec<Located>) -> Self {
        Self {
            file: file.to_owned(),
            errors: Vec::new(),
        }
        .and(None, source, mistakes)
    }

    /// Says which mistakes are in values of the environment, and adds variables that nobody knows.
    pub(super) fn with_environment(mut self, unknown: Vec<ConfigError>, overrides: &[Override]) -> Self {
        blame(&mut self.errors, overrides);
        self.errors.extend(unknown);
        self
    }

    /// Adds the mistakes of another file, or of the same one if it has no name.
    pub(super) fn and(mut self, file: Option<&str>, source: &str, mut mistakes: Vec<Located>) -> Self {
        mistakes.sort_by_key(|located| located.span.start);
        let error = |located: Located| ConfigError {
            file: file.map(str::to_owned),
            place: Some(place(source, located.span.start)),
            key: located.key,
            message: located.mistake.message,
            hint: located.mistake.hint,
        };
        self.errors.extend(mistakes.into_iter().map(error));
        self
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(error.file.as_deref().unwrap_or(&self.file))?;
            if let Some((line, column)) = error.place {
                write!(f, ":{line}:{column}")?;
            }
            if !error.key.is_empty() {
                write!(f, ": {}", error.key)?;
            }
            write!(f, ": {}", error.message)?;
            if let Some(hint) = &error.hint {
                write!(f, "\n    hint: {hint}")?;
            }
        }
        Ok(())
    }
}

/// Line and column of a byte, counted from 1. Columns are characters.
fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = &source[..source.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Mistake {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the nearest of the allowed words, or all of them.
    pub(super) fn hint_from<'a>(self, word: &str, allowed: impl Iterator<Item = &'a str> + Clone) -> Self {
        match closest(word, allowed.clone()) {
            Some(near) => self.hint(format!("did you mean `{near}`?")),
            None => self.hint(format!("known here: {}", allowed.collect::<Vec<_>>().join(", "))),
        }
    }
}

/// A mistake and where it is.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) span: Span,
    pub(super) key: String,
    pub(super) mistake: Mistake,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let source = "a\nbücher = 1\n";
        assert_eq!(place(source, 0), (1, 1));
        assert_eq!(place(source, 2), (2, 1));
        assert_eq!(place(source, source.find('=').unwrap()), (2, 8));
        assert_eq!(place(source, 1000), (3, 1));
    }
}
