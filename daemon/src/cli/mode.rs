//! `portcullis mode` and `confirm`: whether verdicts have consequences, and changes on trial.

use super::answer::Answer;
use super::args::{ConfirmArgs, ModeArgs, TrialArgs};
use super::failure::Failure;
use crate::control::api::{ConfirmRequest, Mode, ModeRequest, ModeState};
use crate::control::client::Client;
use crate::span::{self, Span};

pub(super) fn run(args: &ModeArgs, client: &Client) -> Result<Answer, Failure> {
    let Some(word) = &args.mode else {
        if args.trial.confirm.is_some() {
            return Err(Failure::error("usage", "--confirm needs a mode")
                .hint("`portcullis mode enforce --confirm 60s`, for one"));
        }
        return shown(&client.mode()?);
    };
    let mode = match word.as_str() {
        "monitor" => Mode::Monitor,
        "enforce" => Mode::Enforce,
        _ => {
            return Err(
                Failure::error("mode-invalid", format!("'{word}' is no mode")).hint("it is `monitor` or `enforce`")
            );
        }
    };
    let share_percent = args.share.as_deref().map(percent).transpose()?;
    if mode == Mode::Monitor && share_percent.is_some() {
        return Err(Failure::error(
            "usage",
            "--share goes with `enforce`: nobody is refused in monitor mode",
        ));
    }
    let state = client.set_mode(&ModeRequest {
        mode,
        share_percent,
        confirm_seconds: seconds(&args.trial)?,
    })?;
    Ok(on_trial(shown(&state)?, &args.trial))
}

pub(super) fn confirm(args: &ConfirmArgs, client: &Client) -> Result<Answer, Failure> {
    let ended = client.confirm(&ConfirmRequest {
        take_back: args.take_back,
    })?;
    let what = if ended.stays { "confirmed" } else { "taken back" };
    Ok(Answer::of(&ended)?.say(format!("{what}: {}", ended.what)))
}

fn shown(state: &ModeState) -> Result<Answer, Failure> {
    let answer = Answer::of(state)?
        .field("mode", &named(state.mode, state.share_percent))
        .field("configured", &named(state.configured, state.configured_share_percent));
    Ok(warned(answer, state))
}

/// A mode in words.
pub(super) fn named(mode: Mode, share: f32) -> String {
    match mode {
        Mode::Enforce if share < 100.0 => format!("enforce, for {share}% of the sessions"),
        Mode::Enforce | Mode::Monitor => mode.to_string(),
    }
}

/// What is not as it stands in the files, and what will not stay as it is.
pub(super) fn warned(mut answer: Answer, state: &ModeState) -> Answer {
    if let Some(trial) = &state.trial {
        let left = Span(trial.left_seconds);
        let (what, who) = (&trial.what, &trial.who);
        answer = answer.say(format!(
            "note: {what} by {who} is taken back in {left}, unless `portcullis confirm` comes before"
        ));
    }
    if let Some(back) = &state.taken_back {
        let (what, at) = (&back.what, &back.at);
        let files = if back.in_files {
            ", but the next start goes by the files"
        } else {
            ""
        };
        answer = answer.say(format!("note: {what} was taken back at {at}{files}"));
    }
    answer
}

/// Tells how a change on trial becomes one for good.
pub(super) fn on_trial(answer: Answer, args: &TrialArgs) -> Answer {
    match &args.confirm {
        Some(span) => answer.say(format!(
            "it is taken back in {span}: let it stand by `portcullis confirm`"
        )),
        None => answer,
    }
}

/// For how many seconds a change is on trial.
pub(super) fn seconds(args: &TrialArgs) -> Result<Option<u64>, Failure> {
    let Some(text) = &args.confirm else { return Ok(None) };
    let seconds = span::parse(text)?.as_secs();
    if (1..=86_400).contains(&seconds) {
        Ok(Some(seconds))
    } else {
        Err(Failure::error(
            "duration-invalid",
            format!("'{text}' is no time to confirm something in"),
        )
        .hint("it is from 1s to 1d"))
    }
}

/// A share: `10%`, `0.5%`, `10`.
fn percent(text: &str) -> Result<f32, Failure> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let percent = number.parse().ok().filter(|percent| (0.01..=100.0).contains(percent));
    percent.ok_or_else(|| {
        Failure::error("share-invalid", format!("'{text}' is no share")).hint("it is from 0.01% to 100%")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_a_percent_sign_or_none() {
        for (text, share) in [("10%", 10.0), ("10", 10.0), ("0.5 %", 0.5), ("100%", 100.0)] {
            assert!((percent(text).unwrap() - share).abs() < 1e-6, "{text}");
        }
        for text in ["", "%", "0%", "101%", "NaN", "a tenth", "-1%"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
