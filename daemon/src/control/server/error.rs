//! Why an operator gets no answer, and the one place that turns causes into problem documents.

use std::net::IpAddr;

use ipnet::IpNet;
use portcullis_guard::blacklist::list::ListRefused;
use portcullis_guard::blacklist::{AllowRefused, BanRefused};
use portcullis_guard::request::{Reference, ReferenceError};
use portcullis_guard::session::{SessionId, SessionIdError};

use crate::config::ConfigErrors;
use crate::control::api::{AddressError, Code, Problem};
use crate::gate::ChangeError;
use crate::gate::trial::{OnTrial, TakeBackError};
use crate::reload::ReloadError;
use crate::state::StateError;
use crate::store::StoreError;

/// The cause.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    #[error("there is nothing at this path")]
    NotFound,
    #[error("this path has no such method")]
    MethodNotAllowed,
    #[error("the body cannot be read: {0}")]
    BodyInvalid(String),
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the request did not arrive in time")]
    TimedOut,
    #[error("the query parameter '{0}' is missing")]
    ParameterMissing(&'static str),
    #[error("the query parameter '{name}' must be {expected}")]
    ParameterInvalid { name: &'static str, expected: &'static str },
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    SessionId(#[from] SessionIdError),
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    #[error(transparent)]
    Ban(#[from] BanRefused),
    #[error(transparent)]
    Allow(#[from] AllowRefused),
    #[error("{network} is not banned{}", covered(.covering.as_ref()))]
    NotBanned { network: IpNet, covering: Option<IpNet> },
    #[error("{network} covers {caller}, from which you are logged in")]
    LockOut { network: IpNet, caller: IpAddr },
    #[error(transparent)]
    List(#[from] ListRefused),
    #[error("{0}")]
    TooMany(String),
    #[error("there is nothing to undo")]
    NothingToUndo,
    #[error("the last change was too large to be undone: {0}")]
    TooLargeToUndo(String),
    #[error("{}", first_line(.0))]
    Store(#[from] StoreError),
    #[error("no session {0} is in use")]
    SessionUnknown(SessionId),
    #[error("session {0} was not ended, or nobody remembers it")]
    SessionNotEnded(SessionId),
    #[error("no refusal {0} is remembered")]
    ReferenceUnknown(Reference),
    #[error("the change is recorded and calls are judged by it, but {0}")]
    Change(#[from] ChangeError),
    #[error("the packet layer cannot be asked: {0}")]
    KernelSilent(#[from] crate::enforcer::EnforcerError),
    #[error("{}", first_line(.0))]
    Keys(#[from] StateError),
    #[error(transparent)]
    OnTrial(#[from] OnTrial),
    #[error("no change waits to be confirmed")]
    NothingOnTrial,
    #[error("nothing is recorded")]
    NothingRecorded,
    #[error("the rules in force stay: {0}")]
    Config(ConfigErrors),
    #[error("the running configuration stays: {0}")]
    Reload(#[from] ReloadError),
    #[error(transparent)]
    TakeBack(#[from] TakeBackError),
    #[error("{0} follow already, and no more may")]
    TooManyFollowers(usize),
    #[error("internal error: {0}")]
    Internal(String),
}

fn covered(covering: Option<&IpNet>) -> String {
    covering.map_or_else(String::new, |network| {
        format!(" by itself, but {network} is, and covers it")
    })
}

/// What to do about it is for whoever starts the daemon.
fn first_line(error: &impl ToString) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

impl ControlError {
    /// What the operator is told.
    pub(super) fn problem(&self) -> Problem {
        let (code, status, title) = self.kind();
        Problem {
            kind: format!("/problems/{}", name(code)),
            status,
            title: title.to_owned(),
            detail: self.to_string(),
            code,
        }
    }

    fn kind(&self) -> (Code, u16, &'static str) {
        match self {
            Self::NotFound => (Code::NotFound, 404, "Not found"),
            Self::MethodNotAllowed => (Code::MethodNotAllowed, 405, "Method not allowed"),
            Self::BodyInvalid(_) => (Code::BodyInvalid, 400, "The body is not the JSON that is expected"),
            Self::BodyTooLarge { .. } => (Code::BodyTooLarge, 413, "The body is too large"),
            Self::TimedOut => (Code::TimedOut, 408, "Too slow"),
            Self::ParameterMissing(_) | Self::ParameterInvalid { .. } => {
                (Code::ParameterInvalid, 400, "A query parameter is missing or wrong")
            }
            Self::Address(_) => (Code::AddressInvalid, 400, "Not an address or network"),
            Self::SessionId(_) => (Code::SessionIdInvalid, 400, "Not a session name"),
            Self::Reference(_) => (Code::ReferenceInvalid, 400, "Not a reference"),
            Self::Ban(refused) => ban_refused(refused),
            Self::Allow(refused) => allow_refused(refused),
            Self::NotBanned { .. } => (Code::NotBanned, 404, "Not banned"),
            Self::LockOut { .. } => (Code::WouldLockOut, 409, "It would lock you out"),
            Self::List(refused) => list_refused(refused),
            Self::TooMany(_) => (Code::BansFull, 507, "The list does not fit"),
            Self::NothingToUndo => (Code::NothingToUndo, 404, "Nothing to undo"),
            Self::TooLargeToUndo(_) => (Code::TooLargeToUndo, 409, "Too large to undo"),
            Self::Store(_) => (Code::StoreUnusable, 500, "The store does not answer"),
            Self::SessionUnknown(_) => (Code::SessionUnknown, 404, "Unknown session"),
            Self::SessionNotEnded(_) => (Code::SessionNotEnded, 404, "Not an ended session"),
            Self::ReferenceUnknown(_) => (Code::ReferenceUnknown, 404, "Unknown reference"),
            Self::Change(ChangeError::Kernel(_)) => {
                (Code::KernelRefused, 500, "The packet layer did not take the change")
            }
            Self::Change(ChangeError::Store(_)) => (Code::NotStored, 500, "The change is not on the disk"),
            Self::KernelSilent(_) => (Code::KernelRefused, 500, "The packet layer does not answer"),
            Self::Keys(StateError::FromCredential(_)) => {
                (Code::KeysFixed, 409, "The keys are not the daemon's to change")
            }
            Self::Keys(_) => (Code::KeysNotStored, 500, "The new key could not be stored"),
            Self::OnTrial(_) => (Code::OnTrial, 409, "Another change is on trial"),
            Self::NothingOnTrial => (Code::NothingOnTrial, 404, "Nothing to confirm"),
            Self::NothingRecorded => (Code::NothingRecorded, 404, "No recording"),
            Self::Config(_) => (Code::RulesInvalid, 422, "The rules are wrong"),
            Self::TakeBack(_) => (Code::KernelRefused, 500, "The change could not be taken back"),
            Self::Reload(ReloadError::OnTrial(_)) => (Code::OnTrial, 409, "Another change is on trial"),
            Self::Reload(_) => (Code::ConfigInvalid, 422, "The configuration cannot be put in force"),
            Self::TooManyFollowers(_) => (Code::TooManyFollowers, 503, "Too many follow"),
            Self::Internal(_) => (Code::Internal, 500, "Internal error"),
        }
    }
}

fn ban_refused(refused: &BanRefused) -> (Code, u16, &'static str) {
    match refused {
        BanRefused::NeverBan { .. } => (Code::NeverBan, 409, "In the never-ban set"),
        BanRefused::TooWide { .. } => (Code::PrefixTooWide, 409, "Too wide without force"),
        BanRefused::Duration => (Code::DurationInvalid, 400, "Not a time for a ban"),
        BanRefused::Full { .. } => (Code::BansFull, 507, "The ban list is full"),
    }
}

fn list_refused(refused: &ListRefused) -> (Code, u16, &'static str) {
    match refused {
        ListRefused::Empty => (Code::ListEmpty, 409, "Nothing to ban"),
        ListRefused::Shrunk { .. } => (Code::ListShrunk, 409, "The list lost more than half of its entries"),
        ListRefused::Full { .. } => (Code::BansFull, 507, "The list does not fit"),
    }
}

fn allow_refused(refused: &AllowRefused) -> (Code, u16, &'static str) {
    match refused {
        AllowRefused::Fixed(..) => (Code::AllowFixed, 409, "Fixed by the configuration"),
        AllowRefused::Unknown(_) => (Code::NotAllowed, 404, "Not in the never-ban set"),
        AllowRefused::Full(_) => (Code::AllowFull, 507, "The never-ban set is full"),
    }
}

fn name(code: Code) -> String {
    let name = serde_json::to_value(code).ok();
    name.as_ref()
        .and_then(|name| name.as_str())
        .unwrap_or("unknown")
        .to_owned()
}
