//! How the process ends.

use std::process::{ExitCode, Termination};

/// What the exit status of a command says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done; or the answer to the question is yes.
    Success,
    /// It failed; or the answer is no.
    Failure,
    /// Wrong usage or configuration, or the daemon cannot be reached.
    Error,
}

impl ExitStatus {
    /// The number.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Error => 2,
        }
    }
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
