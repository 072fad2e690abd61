//! Whole lists on the wire.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;
use crate::gate::imports::{Phase, UnderWay};
use crate::store::Checked;

/// `POST /v1/bans/import?list=&for_seconds=&reason=&origin=&force=&dry_run=&caller=` with the file as the body; what it did, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Imported {
    /// The name under which it replaces what it banned before; `null`: entries were only added.
    pub list: Option<String>,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Entries that are banned by it.
    pub entries: usize,
    /// Of those, networks that nobody wanted banned before.
    pub added: usize,
    /// Of those, networks that were banned already.
    pub kept: usize,
    /// Networks that the list banned before and names no more.
    pub removed: usize,
    /// Entries that named a network again.
    pub duplicates: usize,
    /// Entries left out, as they overlap the never-ban set.
    pub exempt: usize,
    /// Entries left out, as the operator is logged in from there.
    #[serde(default)]
    pub caller: usize,
    /// Entries left out, as they are wider than is accepted without force.
    pub too_wide: usize,
    /// Entries left out, as their time is over.
    pub over: usize,
    /// Lines that are no entries.
    pub unreadable: usize,
    /// The first of what was left out.
    pub left_out: Vec<LeftOut>,
    /// Bans that the kernel did not take.
    pub refused_by_kernel: usize,
    /// Whether `portcullis undo` can undo it.
    pub undoable: bool,
}

/// `GET /v1/bans/import`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportsUnderWay {
    /// Imports that have not ended.
    pub imports: Vec<ImportUnderWay>,
}

/// An import that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImportUnderWay {
    /// The process that asked for it, as the daemon sees it.
    pub pid: Option<i32>,
    /// The list's name.
    pub list: Option<String>,
    /// What it is about.
    pub phase: ImportPhase,
    /// Entries that are banned.
    pub done: usize,
    /// Entries of the list; 0 while it is read.
    pub entries: usize,
}

/// What an import is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportPhase {
    /// Reading the list.
    Reading,
    /// Banning what it names.
    Banning,
    /// Ending what it names no more.
    LettingGo,
    /// Waiting for the disk.
    Writing,
}

impl From<UnderWay> for ImportUnderWay {
    fn from(import: UnderWay) -> Self {
        Self {
            pid: import.pid,
            list: import.list,
            phase: match import.phase {
                Phase::Reading => ImportPhase::Reading,
                Phase::Banning => ImportPhase::Banning,
                Phase::LettingGo => ImportPhase::LettingGo,
                Phase::Writing => ImportPhase::Writing,
            },
            done: import.done,
            entries: import.entries,
        }
    }
}

/// An entry that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// The line, or in a JSON array the element, where that is known.
    pub line: Option<usize>,
    /// Why.
    pub problem: String,
}

/// `DELETE /v1/bans/all?origin=&list=`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flushed {
    /// Bans that ended.
    pub ended: usize,
    /// Networks that somebody else wants banned all the same.
    pub left: usize,
    /// Whether `portcullis undo` can undo it.
    pub undoable: bool,
}

/// `POST /v1/undo`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undone {
    /// What is undone.
    pub deed: Deed,
    /// Bans that are again as they were.
    #[schemars(with = "Vec<String>")]
    pub bans: Vec<IpNet>,
    /// Entries of the never-ban set that are again as they were.
    #[schemars(with = "Vec<String>")]
    pub allowed: Vec<IpNet>,
}

/// What an operator did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deed {
    /// When.
    pub at: Moment,
    /// The user.
    pub who: String,
    /// The user's number, as the kernel vouches for it.
    pub uid: u32,
    /// The process.
    pub pid: Option<i32>,
    /// What.
    pub action: String,
    /// To what.
    pub object: String,
    /// Why.
    pub reason: String,
}

/// `GET /v1/audit?limit=`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audit {
    /// The newest first.
    pub deeds: Vec<Deed>,
}

/// `POST /v1/store/check` and `POST /v1/store/compact`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreReport {
    /// Networks that somebody wants banned.
    pub bans: u64,
    /// Entries of the never-ban set that operators made.
    pub allowed: u64,
    /// Sessions that were ended before their time.
    pub sessions: u64,
    /// Deeds in the audit trail.
    pub deeds: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl From<Checked> for StoreReport {
    fn from(checked: Checked) -> Self {
        let Checked {
            bans,
            allowed,
            sessions,
            deeds,
            bytes,
        } = checked;
        Self {
            bans,
            allowed,
            sessions,
            deeds,
            bytes,
        }
    }
}
