//! `portcullis ban import`, `export` and `flush`: many bans at once.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process;

use nix::sys::signal::Signal;
use serde::Serialize;

use super::answer::Answer;
use super::args::{BanExportArgs, BanFlushArgs, BanImportArgs};
use super::ban;
use super::caller;
use super::ending;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::printer::Printer;
use super::progress::{self, Progress, Step};
use crate::control::api::{Ban, BanQuery, ImportPhase, ImportUnderWay, Imported, Moment};
use crate::control::client::{Client, Sent};

/// Bans that are asked for at once.
const PAGE: usize = 20_000;

pub(super) fn import(args: &BanImportArgs, client: &Client, printer: Printer) -> Result<Answer, Failure> {
    let file = read(&args.file)?;
    let seconds = ban::seconds(args.until.as_deref(), &args.span)?.to_string();
    let flag = |wanted: bool| wanted.then_some("true");
    let caller = caller::address().map(|address| address.to_string());
    let options = [
        ("list", args.list.as_deref()),
        ("for_seconds", Some(seconds.as_str())),
        ("reason", args.reason.as_deref()),
        ("origin", args.origin.as_deref()),
        ("force", flag(args.force)),
        ("dry_run", flag(args.dry_run)),
        ("caller", caller.as_deref()),
    ];
    let sent = Sent::default();
    let (asker, whole, dry_run) = (client.clone(), sent.clone(), args.dry_run);
    told_to_end(move |signal| {
        let _line = progress::wiped();
        printer.fail(&broken_off(signal, whole.is_whole(), dry_run, &asker))
    })?;
    let look = || step(mine(client).as_ref(), dry_run);
    imported(&Progress::new(printer).during(look, || client.import(&options, file, sent))?)
}

fn told_to_end(last_word: impl FnOnce(Signal) -> ExitStatus + Send + 'static) -> Result<(), Failure> {
    ending::when_told(last_word)
        .map_err(|error| Failure::failed("internal", format!("signals cannot be waited for: {error}")))
}

/// The import of this process, if the daemon works on it. In a container, the daemon knows this process by another number.
fn mine(client: &Client) -> Option<ImportUnderWay> {
    let mut all = client.imports().ok()?.imports;
    let own = i32::try_from(process::id()).ok();
    let place = all.iter().position(|import| import.pid == own);
    let place = place.or((all.len() == 1).then_some(0))?;
    Some(all.swap_remove(place))
}

fn step(import: Option<&ImportUnderWay>, dry_run: bool) -> Step {
    let Some(import) = import else {
        return Step::Busy("sending the list".to_owned());
    };
    match import.phase {
        ImportPhase::Banning if !dry_run => Step::Part {
            done: import.done,
            all: import.entries,
            what: "entries banned".to_owned(),
        },
        ImportPhase::Reading | ImportPhase::Banning => Step::Busy("reading the list".to_owned()),
        ImportPhase::LettingGo => Step::Busy("ending what is no more on the list".to_owned()),
        ImportPhase::Writing => Step::Busy("writing to the disk".to_owned()),
    }
}

/// What became of it: the daemon does all of a list or nothing, whoever waits for it.
fn broken_off(signal: Signal, is_sent: bool, dry_run: bool, client: &Client) -> Failure {
    let failure = |what: &str| Failure::failed("interrupted", format!("{signal}: {what}"));
    if dry_run {
        return failure("nothing was changed, as nothing was to be");
    }
    if !is_sent {
        return failure("nothing was changed: the daemon did not get the whole list");
    }
    let failure = match mine(client) {
        Some(import) => failure(&format!(
            "the daemon has the whole list, and goes on without this command: {} of {} entries are banned by now",
            import.done, import.entries
        )),
        None => failure("the daemon works on no list: this one is imported as a whole, or did not arrive"),
    };
    failure
        .hint("`portcullis audit` names the import when all of it is on the disk")
        .hint("`portcullis undo` takes it back then; to import the list again does no harm")
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
pub(super) fn export(args: &BanExportArgs, client: &Client, printer: Printer) -> Result<Answer, Failure> {
    let failed = |error: io::Error| Failure::failed("output", format!("failed to write the export: {error}"));
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(failed)?)),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    if let Some(path) = args.output.clone() {
        told_to_end(move |signal| {
            let _line = progress::wiped();
            let what = format!("{signal}: only a part of the bans is in {}", path.display());
            printer.fail(&Failure::failed("interrupted", what))
        })?;
    }
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
    let mut progress = args.output.is_some().then(|| Progress::new(printer));
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
        if let Some(progress) = &mut progress {
            progress.tell(&Step::Part {
                done: count,
                all: page.total,
                what: "bans written".to_owned(),
            });
        }
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
