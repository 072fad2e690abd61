//! What a command answers, before anybody has decided how it is shown.

use std::fmt::Display;

use serde::Serialize;

use super::exit::ExitStatus;
use super::failure::Failure;
use super::page::{Page, Table};

/// The answer of a command.
#[derive(Debug)]
pub(super) struct Answer {
    /// For programs, on standard output; `None`: nothing.
    pub(super) json: Option<String>,
    /// For people, on standard output.
    pub(super) page: Page,
    /// For people, on standard error: what happened, one sentence a line.
    pub(super) talk: Vec<String>,
    /// How the process ends.
    pub(super) status: ExitStatus,
}

impl Answer {
    /// An answer that programs see as `data`, and people do not see yet.
    pub(super) fn of(data: &impl Serialize) -> Result<Self, Failure> {
        let json = serde_json::to_string_pretty(data)
            .map_err(|error| Failure::failed("internal", format!("the answer cannot be written as JSON: {error}")))?;
        Ok(Self {
            json: Some(json),
            ..Self::nothing()
        })
    }

    /// An answer without data.
    pub(super) fn nothing() -> Self {
        Self {
            json: None,
            page: Page::default(),
            talk: Vec::new(),
            status: ExitStatus::Success,
        }
    }

    /// Adds a sentence on standard error.
    pub(super) fn say(mut self, sentence: impl Into<String>) -> Self {
        self.talk.push(sentence.into());
        self
    }

    /// Adds a line on standard output.
    pub(super) fn line(mut self, line: impl Into<String>) -> Self {
        self.page.line(line);
        self
    }

    /// Adds text on standard output as it stands: it is for a shell, and nothing in it comes from elsewhere.
    pub(super) fn verbatim(mut self, text: impl Into<String>) -> Self {
        self.page.verbatim(text);
        self
    }

    /// Adds a `name: value` line on standard output.
    pub(super) fn field(mut self, name: &'static str, value: &(impl Display + ?Sized)) -> Self {
        self.page.field(name, value.to_string());
        self
    }

    /// Adds a table on standard output.
    pub(super) fn table(mut self, table: Table) -> Self {
        self.page.table(table);
        self
    }

    /// Sets how the process ends.
    pub(super) fn status(mut self, status: ExitStatus) -> Self {
        self.status = status;
        self
    }
}
