//! `portcullis rules learn` and `promote`: from recorded calls to rules that watch, and from those to rules that enforce.

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis_guard::learn::{Evidence, Learner, Seen, Unlearnable};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::answer::Answer;
use super::args::{RulesLearnArgs, RulesPromoteArgs, TrialArgs};
use super::failure::Failure;
use super::mode;
use crate::control::api::{RecordingRequest, ReloadRequest};
use crate::control::client::Client;
use crate::span;

/// Incidents that are asked for; the daemon remembers no more.
const INCIDENTS: usize = 10_000;

/// One recorded call. What else a line has is not looked at.
#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    at: f64,
    #[serde(default)]
    session: String,
    method: String,
    path: String,
    #[serde(default = "ok")]
    status: u16,
    /// Points of the session.
    #[serde(default)]
    score: f64,
    /// The gate refused it, or would have.
    #[serde(default)]
    refused: bool,
}

fn ok() -> u16 {
    200
}

/// What was learned, for programs.
#[derive(Serialize)]
struct Learned {
    rules: String,
    calls: usize,
    left_out: usize,
}

pub(super) fn learn(args: &RulesLearnArgs, client: &Client) -> Result<Answer, Failure> {
    let evidence = Evidence {
        sessions: args.sessions,
        certainty: f64::from(args.certainty) / 100.0,
    };
    let mut pupil = Pupil::default();
    match (&args.live, &args.file) {
        (Some(span), _) => pupil.listen(span, client)?,
        (None, Some(file)) => pupil.read(file)?,
        (None, None) => return Err(Failure::error("usage", "there is nothing to learn from")),
    }
    let learned = Learned {
        rules: pupil.learner.propose(&evidence),
        calls: pupil.calls,
        left_out: pupil.left_out,
    };
    let (calls, left_out) = (learned.calls, learned.left_out);
    let told = format!("{calls} calls read, {left_out} left out that the gate would not understand");
    Ok(Answer::of(&learned)?.verbatim(learned.rules.trim_end()).say(told))
}

/// Who learns.
#[derive(Default)]
struct Pupil {
    learner: Learner,
    calls: usize,
    left_out: usize,
}

impl Pupil {
    /// Learns from a file.
    fn read(&mut self, file: &Path) -> Result<(), Failure> {
        let record = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
        for (number, line) in (1..).zip(record.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let call: Recorded = serde_json::from_str(line).map_err(|error| {
                let message = format!("{}: line {number}: {error}", file.display());
                Failure::error("record-invalid", message)
                    .hint("a line is an object with at (seconds), session, method, path, status, and score or refused")
            })?;
            let learned = self.see(&call);
            learned.map_err(|full| Failure::error("record-invalid", format!("{}: {full}", file.display())))?;
        }
        Ok(())
    }

    /// Has the gate record calls, waits, and learns from them.
    fn listen(&mut self, span: &str, client: &Client) -> Result<(), Failure> {
        let for_seconds = span::parse(span)?.as_secs();
        if !(1..=86_400).contains(&for_seconds) {
            let message = format!("'{span}' is no time to record for");
            return Err(Failure::error("duration-invalid", message).hint("it is from 1s to 1d"));
        }
        let mut state = client.record(RecordingRequest { for_seconds })?;
        while state.left_seconds > 0 {
            std::thread::sleep(Duration::from_secs(state.left_seconds));
            state = client.recording()?;
        }
        let mut from = Some(0);
        while let Some(place) = from {
            let page = client.recorded(place)?;
            for call in page.calls {
                let call = Recorded {
                    at: call.at,
                    session: call.session,
                    method: call.method,
                    path: call.path,
                    status: call.status,
                    score: 0.0,
                    refused: call.refused,
                };
                let learned = self.see(&call);
                learned.map_err(|full| Failure::failed("record-invalid", full.to_string()))?;
            }
            from = page.next;
        }
        self.left_out += usize::try_from(state.left_out).unwrap_or(usize::MAX);
        Ok(client.forget_recording()?)
    }

    fn see(&mut self, call: &Recorded) -> Result<(), Unlearnable> {
        let path = call.path.split('?').next().unwrap_or_default();
        let seen = Seen {
            at: (call.at.max(0.0) * 1000.0) as u64,
            session: &call.session,
            method: &call.method,
            path,
            status: call.status,
            is_suspect: call.refused || call.score > 0.0,
        };
        match self.learner.see(&seen) {
            Ok(()) => self.calls += 1,
            Err(Unlearnable::Path | Unlearnable::Method) => self.left_out += 1,
            Err(full @ Unlearnable::Full) => return Err(full),
        }
        Ok(())
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::error("file-unreadable", format!("{} cannot be read: {error}", file.display()))
}

/// What was promoted, for programs.
#[derive(Serialize)]
struct Promoted {
    file: String,
    rules: Vec<String>,
}

pub(super) fn promote(args: &RulesPromoteArgs, client: &Client) -> Result<Answer, Failure> {
    let trial = TrialArgs {
        confirm: args.confirm.clone(),
    };
    let confirm_seconds = mode::seconds(&trial)?;
    if !args.force {
        check_quiet(args, client)?;
    }
    let mut text = fs::read_to_string(&args.file).map_err(|error| unreadable(&args.file, &error))?;
    for rule in &args.rules {
        text = enforced(&text, rule)
            .map_err(|message| Failure::error("rule-unknown", format!("{}: {message}", args.file.display())))?;
    }
    let beside = args.file.with_extension("toml.new");
    let written = fs::write(&beside, &text).and_then(|()| fs::rename(&beside, &args.file));
    written.map_err(|error| Failure::failed("file-unwritable", format!("{}: {error}", args.file.display())))?;
    let promoted = Promoted {
        file: args.file.display().to_string(),
        rules: args.rules.clone(),
    };
    let told = format!("{} rules enforce in {}", args.rules.len(), args.file.display());
    let answer = Answer::of(&promoted)?.say(told);
    if confirm_seconds.is_none() {
        return Ok(answer.say("`portcullis reload --confirm 60s` puts them in force, for a minute to begin with"));
    }
    client.reload_rules(&ReloadRequest { confirm_seconds })?;
    Ok(mode::on_trial(answer.say("the rules are in force"), &trial))
}

/// A rule that would have refused somebody lately is not ready; neither is one that nobody watched for long enough.
fn check_quiet(args: &RulesPromoteArgs, client: &Client) -> Result<(), Failure> {
    let force = "`--force` promotes it all the same";
    let after = span::parse(&args.after)
        .map_err(|error| Failure::error("duration-invalid", error.to_string()).hint(error.hint()))?;
    let up = Duration::from_secs(client.status()?.uptime_seconds);
    if up < after {
        let message = format!("the gate has watched for less than {}", args.after);
        return Err(Failure::failed("too-early", message).hint(force));
    }
    let incidents = client.incidents(INCIDENTS)?.incidents;
    for rule in &args.rules {
        let mut broke = incidents.iter().filter(|incident| incident.rule.as_ref() == Some(rule));
        if let Some(last) = broke.next() {
            let count = 1 + broke.count();
            let message = format!(
                "rule {rule} would have refused {count} calls, the last one at {}",
                last.at
            );
            let look = format!("`portcullis why {}` tells whose it was; {force}", last.reference);
            return Err(Failure::failed("rule-not-quiet", message).hint(look));
        }
    }
    Ok(())
}

/// The text with one rule in mode enforce. Nothing else of it changes.
fn enforced(text: &str, id: &str) -> Result<String, String> {
    let document = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
    let rules = document
        .get_ref()
        .get("rule")
        .and_then(|rules| rules.get_ref().as_array());
    let named = |rule: &&Spanned<DeValue<'_>>| {
        let name = rule.get_ref().as_table().and_then(|table| table.get("id"));
        name.and_then(|name| name.get_ref().as_str()) == Some(id)
    };
    let rule = rules.and_then(|rules| rules.iter().find(named));
    let table = rule.and_then(|rule| rule.get_ref().as_table());
    let table = table.ok_or_else(|| format!("there is no rule {id}"))?;
    let (place, insert) = match (table.get("mode"), table.get("id")) {
        (Some(mode), _) => (mode.span(), "\"enforce\"".to_owned()),
        (None, Some(name)) => {
            let end = name.span().end;
            (end..end, "\nmode = \"enforce\"".to_owned())
        }
        (None, None) => return Err(format!("there is no rule {id}")),
    };
    let mut changed = text.to_owned();
    changed.replace_range(place, &insert);
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mode_of_one_rule_changes() {
        let text = "# a\n[[rule]]\nid = \"a\" # first\non = [\"x\"]\n\n[[rule]]\nmode = 'monitor' # b\nid = \"b\"\n";
        let a = enforced(text, "a").unwrap();
        assert_eq!(a, text.replace("id = \"a\"", "id = \"a\"\nmode = \"enforce\""));
        assert_eq!(enforced(text, "b").unwrap(), text.replace("'monitor'", "\"enforce\""));
        assert_eq!(enforced(text, "c").unwrap_err(), "there is no rule c");
        assert!(enforced("[[rule", "a").is_err());
    }
}
