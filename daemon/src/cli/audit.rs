//! `portcullis audit` and `undo`: what operators did, and taking the last of it back.

use super::answer::Answer;
use super::args::AuditArgs;
use super::failure::Failure;
use super::page::Table;
use crate::control::client::Client;

pub(super) fn list(args: &AuditArgs, client: &Client) -> Result<Answer, Failure> {
    let audit = client.audit(args.last)?;
    let answer = Answer::of(&audit)?;
    if audit.deeds.is_empty() {
        return Ok(answer.say("nothing was changed yet"));
    }
    let mut table = Table::new(&["WHEN", "WHO", "ACTION", "~WHAT", "~REASON"]).without(&["WHO", "WHEN"]);
    for deed in audit.deeds {
        table.row([deed.at.to_string(), deed.who, deed.action, deed.object, deed.reason]);
    }
    Ok(answer.table(table))
}

pub(super) fn undo(client: &Client) -> Result<Answer, Failure> {
    let undone = client.undo()?;
    let deed = &undone.deed;
    let answer = Answer::of(&undone)?.say(format!(
        "undone: {} of {} by {} at {}",
        deed.action, deed.object, deed.who, deed.at
    ));
    let counts = [(undone.bans.len(), "bans"), (undone.allowed.len(), "never-ban entries")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    Ok(counts.fold(answer, |answer, (count, what)| {
        answer.say(format!("{what} that are as they were: {count}"))
    }))
}
