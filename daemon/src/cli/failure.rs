//! Why a command did not do what it was asked, and what the operator can do about it.

use serde::Serialize;

use super::exit::ExitStatus;
use crate::span::SpanError;

/// A command that ends without an answer.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    /// What programs go by.
    pub(super) code: String,
    /// What happened. May have several lines.
    pub(super) message: String,
    /// What to do about it, one each.
    pub(super) hints: Vec<String>,
    #[serde(skip)]
    pub(super) status: ExitStatus,
}

impl Failure {
    /// The command was understood, and failed.
    pub(super) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hints: Vec::new(),
            status: ExitStatus::Failure,
        }
    }

    /// Wrong usage or configuration, or nobody to ask.
    pub(super) fn error(code: &str, message: impl Into<String>) -> Self {
        Self {
            status: ExitStatus::Error,
            ..Self::failed(code, message)
        }
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<SpanError> for Failure {
    fn from(error: SpanError) -> Self {
        Self::error("duration-invalid", error.to_string()).hint(error.hint())
    }
}
