//! What goes wrong between the command line and the daemon, in words that help.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group};

use super::args::DEFAULT_CONFIG;
use super::exit::ExitStatus;
use super::failure::Failure;
use crate::control::api::{AddressError, Code, Problem};
use crate::control::client::ClientError;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::NotRunning { .. } => Self::error("not-running", message)
                .hint("start it with `systemctl start portcullis`")
                .hint(format!(
                    "or in the foreground with `portcullis run --config {DEFAULT_CONFIG}`"
                ))
                .hint("if it listens elsewhere, say so with --socket PATH or PORTCULLIS_SOCKET"),
            ClientError::NoPermission { path } => how_to_join(Self::error("no-permission", message), &path),
            ClientError::Connect { .. } => Self::error("connect", message),
            ClientError::Stalled { .. } => {
                Self::error("stalled", message).hint("look into its log: `journalctl -u portcullis`")
            }
            ClientError::NotUnderstood { .. } => Self::error("not-understood", message)
                .hint("is it the socket of a portcullis of the same version? `portcullis --version` tells ours"),
            ClientError::Refused(problem) => refused(&problem),
        }
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        let failure = Self::error("address-invalid", error.to_string());
        match error {
            AddressError::NotAnAddress { .. } => {
                failure.hint("write it like 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48")
            }
            AddressError::Port { .. }
            | AddressError::PrefixLength { .. }
            | AddressError::HostBits { .. }
            | AddressError::Network { .. } => failure,
        }
    }
}

fn refused(problem: &Problem) -> Failure {
    let code = serde_json::to_value(problem.code).ok();
    let code = code.as_ref().and_then(|code| code.as_str()).unwrap_or("unknown");
    let (status, hint) = advice(problem.code);
    let failure = Failure {
        status,
        ..Failure::failed(code, &problem.detail)
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn advice(code: Code) -> (ExitStatus, Option<&'static str>) {
    let (usage, no) = (ExitStatus::Error, ExitStatus::Failure);
    match code {
        Code::NeverBan => (
            no,
            Some("the never-ban set wins over every ban: see `portcullis allow list`"),
        ),
        Code::PrefixTooWide => (no, Some("if you mean it, add --force")),
        Code::BansFull => (no, Some("see `portcullis ban list`")),
        Code::NotBanned => (
            no,
            Some("see `portcullis ban list`, or ask with `portcullis ban check ADDRESS`"),
        ),
        Code::AllowFixed | Code::NotAllowed | Code::AllowFull => (no, Some("see `portcullis allow list`")),
        Code::SessionNotEnded => (
            no,
            Some("see `portcullis session list`: it takes back what was revoked or banned"),
        ),
        Code::SessionUnknown => (
            no,
            Some("see `portcullis session list`; sessions idle for long are forgotten"),
        ),
        Code::ReferenceUnknown => (
            no,
            Some("old refusals are forgotten; `portcullis why` lists the last ones"),
        ),
        Code::KernelRefused => (no, Some("`portcullis status` tells how many bans the kernel has")),
        Code::KeysFixed => (
            no,
            Some("put a new key before the old one in the credential, and restart the daemon"),
        ),
        Code::KeysNotStored => (
            no,
            Some("is the state directory full, or read-only? the old key stays in use"),
        ),
        Code::OnTrial => (
            no,
            Some("`portcullis confirm` lets it stand, `portcullis confirm --take-back` ends it"),
        ),
        Code::NothingOnTrial => (no, Some("`portcullis mode` tells what is in force")),
        Code::ConfigInvalid => (
            usage,
            Some("`portcullis check` looks at files with your own rights, which may be more than those of the daemon"),
        ),
        Code::NothingRecorded => (
            no,
            Some("was the daemon restarted, or did somebody else fetch it? `portcullis audit` tells"),
        ),
        Code::RulesInvalid => (usage, Some("`portcullis rules check` tells it in full")),
        Code::WouldLockOut => (no, Some("if you mean it, add --force")),
        Code::ListEmpty => (
            no,
            Some("to end the bans of a list: `portcullis ban flush --list NAME --yes`"),
        ),
        Code::ListShrunk => (
            no,
            Some("the list of before stays in force; if it is meant to be that short, add --force"),
        ),
        Code::NothingToUndo => (no, Some("`portcullis audit` tells what was done")),
        Code::TooLargeToUndo => (
            no,
            Some("import the list of before again, or end a list by `portcullis ban flush --list NAME --yes`"),
        ),
        Code::StoreUnusable => (no, Some("`journalctl -u portcullis` tells more")),
        Code::NotStored => (
            no,
            Some("it is tried again until it works; is the disk full? `journalctl -u portcullis` tells"),
        ),
        Code::TooManyFollowers => (no, Some("end a `portcullis events --follow` first")),
        Code::TimedOut | Code::Internal | Code::Unknown => (no, None),
        Code::DurationInvalid => (usage, Some("write the time like 90s, 1h, 1h30m or 2d")),
        Code::NotFound | Code::MethodNotAllowed => (usage, Some("is the running portcullis older than this command?")),
        Code::BodyInvalid
        | Code::BodyTooLarge
        | Code::ParameterInvalid
        | Code::AddressInvalid
        | Code::SessionIdInvalid
        | Code::ReferenceInvalid => (usage, None),
    }
}

fn how_to_join(failure: Failure, socket: &Path) -> Failure {
    match group_of(socket) {
        Some((gid, name)) if gid.as_raw() != 0 => failure
            .hint(format!(
                "it is for the group {name}: join it with `sudo usermod -aG {name} $USER` and log in again"
            ))
            .hint("or use sudo this once"),
        Some(_) | None => failure.hint("it is for root alone: use sudo"),
    }
}

/// The group that may use the socket. When its directory keeps us from looking, it is the group of the directory.
fn group_of(socket: &Path) -> Option<(Gid, String)> {
    let seen = socket.ancestors().find_map(|path| fs::metadata(path).ok())?;
    let gid = Gid::from_raw(seen.gid());
    let name = match Group::from_gid(gid) {
        Ok(Some(group)) => group.name,
        Ok(None) | Err(_) => gid.to_string(),
    };
    Some((gid, name))
}
