//! `portcullis ban import`, `export` and `flush`: many bans at once.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde::Serialize;

use super::answer::Answer;
use super::args::{BanExportArgs, BanFlushArgs, BanImportArgs};
use super::ban::lasting;
use super::caller;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::progress::Progress;
use crate::control::api::{Ban, BanQuery, Imported, Moment};
use crate::control::client::Client;

/// Bans that are asked for at once.
const PAGE: usize = 20_000;

pub(super) fn import(args: &BanImportArgs, client: &Client, json: bool) -> Result<Answer, Failure> {
    let file = read(&args.file)?;
    let seconds = lasting(&args.span)?.as_secs().to_string();
    let flag = |wanted: bool| wanted.then_some("true");
    let caller = caller::address().map(|address| address.to_string());
    let options = [
        ("list", args.list.as_deref()),
        ("for_seconds", Some(seconds.as_str())),
        ("reason", args.reason.as_deref()),
        ("force", flag(args.force)),
        ("dry_run", flag(args.dry_run)),
        ("caller", caller.as_deref()),
    ];
    let progress = Progress::new(json);
    imported(&progress.during("importing", || client.import(&options, file))?)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    read.map_err(|error| Failure::error("file-unreadable", format!("cannot read {}: {error}", path.display())))
}

fn imported(done: &Imported) -> Result<Answer, Failure> {
    let would = if done.dry_run { "would be " } else { "" };
    let mut answer = Answer::of(done)?.say(format!(
        "{} entries {would}banned: {} new, {} banned already, {} of before let go",
        done.entries, done.added, done.kept, done.removed
    ));
    let counts = [
        (done.duplicates, "named again"),
        (done.exempt, "left out, as they overlap the never-ban set"),
        (done.caller, "left out, as you are logged in from there"),
        (done.too_wide, "left out, as they are too wide without --force"),
        (done.over, "left out, as their time is over"),
        (done.unreadable, "left out, as they cannot be read"),
        (
            done.refused_by_kernel,
            "not taken by the kernel; calls are judged by them",
        ),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        answer = answer.say(format!("{count} {what}"));
    }
    for left_out in &done.left_out {
        let place = left_out.line.map_or_else(String::new, |line| format!("line {line}: "));
        answer = answer.say(format!("  {place}{}", left_out.problem));
    }
    if !done.dry_run && !done.undoable {
        answer = answer.say("note: it is too large for `portcullis undo`");
    }
    let status = if done.refused_by_kernel > 0 {
        ExitStatus::Failure
    } else {
        ExitStatus::Success
    };
    Ok(answer.status(status))
}

/// A line of an export.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) network: String,
    pub(super) reason: &'a str,
    pub(super) origin: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) list: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<&'a str>,
    pub(super) since: Moment,
    pub(super) until: Moment,
}

impl<'a> Line<'a> {
    fn of(ban: &'a Ban) -> Self {
        Self {
            network: ban.network.to_string(),
            reason: &ban.reason,
            origin: &ban.origin,
            list: ban.list.as_deref(),
            reference: ban.reference.as_deref(),
            since: ban.since,
            until: ban.until,
        }
    }
}

/// Page by page, so that a million bans need no memory.
pub(super) fn export(args: &BanExportArgs, client: &Client, json: bool) -> Result<Answer, Failure> {
    let failed = |error: io::Error| Failure::failed("output", format!("failed to write the export: {error}"));
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(failed)?)),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let (mut count, mut query) = (
        0,
        BanQuery {
            origin: args.which.origin.clone(),
            list: args.which.list.clone(),
            limit: Some(PAGE),
            ..BanQuery::default()
        },
    );
    // Where the bans go to the terminal, they are what shows how far it is.
    let mut progress = Progress::new(json || args.output.is_none());
    loop {
        let page = client.bans(&query)?;
        for ban in &page.bans {
            let line = serde_json::to_string(&Line::of(ban)).map_err(|error| failed(error.into()))?;
            match writeln!(out, "{line}") {
                // Whoever reads has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Answer::nothing()),
                written => written.map_err(failed)?,
            }
        }
        count += page.bans.len();
        progress.tell(count, page.total, "bans");
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    out.flush().map_err(failed)?;
    Ok(Answer::nothing().say(format!("{count} bans written")))
}

pub(super) fn flush(args: &BanFlushArgs, client: &Client) -> Result<Answer, Failure> {
    let (origin, list) = (args.which.origin.as_deref(), args.which.list.as_deref());
    if !args.yes {
        let whose = match (origin, list) {
            (None, None) => "every ban, also those by score".to_owned(),
            (Some(origin), None) => format!("every ban by {origin}"),
            (_, Some(list)) => format!("every ban of the list {list}"),
        };
        let failure = Failure::failed("not-confirmed", format!("this would end {whose}"));
        return Err(failure
            .hint("if you mean it, add --yes")
            .hint("`portcullis ban export` keeps a copy first"));
    }
    let done = client.flush(origin, list)?;
    let answer = Answer::of(&done)?.say(format!("{} bans ended", done.ended));
    let answer = match done.left {
        0 => answer,
        left => answer.say(format!("{left} networks stay banned, as others want that too")),
    };
    Ok(if done.undoable {
        answer
    } else {
        answer.say("note: it is too large for `portcullis undo`")
    })
}
