//! `portcullis reload`: the running gate reads its configuration anew.

use super::answer::Answer;
use super::args::TrialArgs;
use super::failure::Failure;
use super::{mode, rules};
use crate::control::api::{Change, ReloadRequest};
use crate::control::client::Client;

pub(super) fn run(args: &TrialArgs, client: &Client) -> Result<Answer, Failure> {
    let confirm_seconds = mode::seconds(args)?;
    let reloaded = client.reload(&ReloadRequest { confirm_seconds })?;
    let (later, now): (Vec<&Change>, Vec<&Change>) =
        reloaded.changed.iter().partition(|change| change.restart.is_some());
    let answer = Answer::of(&reloaded)?;
    let answer = now.iter().fold(answer, |answer, change| answer.line(line(change)));
    let answer = rules::told(answer, &reloaded.rules);
    let waits = |change: &&&Change| {
        let why = change.restart.as_deref().unwrap_or_default();
        format!("needs a restart: {} ({why})", line(change))
    };
    let answer = later.iter().map(|change| waits(&change)).fold(answer, Answer::say);
    let answer = answer.say(if now.is_empty() && reloaded.rules.is_empty() {
        "nothing else has changed"
    } else {
        "the configuration is in force"
    });
    Ok(mode::on_trial(answer, args))
}

/// `+` for a key that is new, `-` for one that is gone, so that its default holds, `~` for another value.
fn line(change: &Change) -> String {
    let key = &change.key;
    match (&change.old, &change.new) {
        (None, Some(new)) => format!("+ {key} = {new}"),
        (Some(old), None) => format!("- {key} = {old}"),
        (Some(old), Some(new)) => format!("~ {key} = {new}, was {old}"),
        (None, None) => format!("~ {key}"),
    }
}
