//! `portcullis rules`: what rules say, before and while they are in force.

use std::fs;
use std::path::Path;

use portcullis_guard::policy::Mode;
use serde::Serialize;

use super::answer::Answer;
use super::args::{RulesTestArgs, RulesVerb, TrialArgs};
use super::check::load;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::page::Table;
use super::{learn, mode};
use crate::config::{Config, ConfigError};
use crate::control::api::{ReloadRequest, RuleList, RulesDiffer};
use crate::control::client::Client;
use crate::openapi;
use crate::rehearsal::{Rehearsal, Said};

pub(super) fn run(verb: &RulesVerb, client: &Client) -> Result<Answer, Failure> {
    match verb {
        RulesVerb::Check(args) => checked(&args.config, &load(&args.config)?),
        RulesVerb::Test(args) => test(args),
        RulesVerb::Diff(args) => {
            let rules = RuleList::from(&load(&args.config)?.policy.rules);
            differing(&rules.since(&client.rules()?))
        }
        RulesVerb::Learn(args) => learn::learn(args, client),
        RulesVerb::Promote(args) => learn::promote(args, client),
        RulesVerb::ImportOpenApi(args) => import(&args.file),
        RulesVerb::Reload(args) => reload(args, client),
    }
}

/// Has the daemon read its rules anew.
fn reload(args: &TrialArgs, client: &Client) -> Result<Answer, Failure> {
    let confirm_seconds = mode::seconds(args)?;
    let differ = client.reload_rules(&ReloadRequest { confirm_seconds })?;
    let answer = told(Answer::of(&differ)?, &differ);
    let answer = answer.say("the rules are in force; conditions that stay the same keep what they know");
    Ok(mode::on_trial(answer, args))
}

/// What is checked, for programs.
#[derive(Serialize)]
struct Checked {
    rules: usize,
    enforced: usize,
    warnings: Vec<String>,
}

fn checked(path: &Path, config: &Config) -> Result<Answer, Failure> {
    let list = config.policy.rules.list();
    let file = path.display().to_string();
    let told = |warning: &ConfigError| {
        let (line, column) = warning.place.unwrap_or((1, 1));
        let file = warning.file.as_ref().unwrap_or(&file);
        format!("{file}:{line}:{column}: {}: {}", warning.key, warning.message)
    };
    let report = Checked {
        rules: list.len(),
        enforced: list.iter().filter(|rule| rule.mode == Mode::Enforce).count(),
        warnings: config.warnings.iter().map(told).collect(),
    };
    let answer = Answer::of(&report)?.say(format!("{} rules are valid, {} enforce", report.rules, report.enforced));
    let warnings = report.warnings.iter().map(|warning| format!("warning: {warning}"));
    Ok(warnings.fold(answer, Answer::say))
}

fn test(args: &RulesTestArgs) -> Result<Answer, Failure> {
    let rules = load(&args.config.config)?.policy.rules;
    let record = read(&args.file)?;
    let said = Rehearsal::new(&rules)
        .play(&record)
        .map_err(|error| Failure::error("record-invalid", format!("{}: {error}", args.file.display())))?;
    let refused = said.iter().filter(|said| said.verdict == "refused").count();
    let answer = Answer::of(&said)?.say(format!("{} calls, {refused} would be refused", said.len()));
    let mut table = Table::new(&[">LINE", "~CALL", "VERDICT", "~RULES"]);
    for Said {
        line,
        call,
        verdict,
        rules,
    } in &said
    {
        table.row([line.to_string(), call.clone(), (*verdict).to_owned(), rules.join("; ")]);
    }
    let status = if refused == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    };
    Ok(answer.table(table).status(status))
}

/// Names and paths of a description, checked by nobody: what they say is written as comments or in quotes.
fn import(path: &Path) -> Result<Answer, Failure> {
    let text = openapi::operations(&read(path)?)
        .map_err(|error| Failure::error("openapi-invalid", format!("{}: {error}", path.display())))?;
    let answer = Answer::of(&Operations { toml: &text })?;
    Ok(text.lines().fold(answer, Answer::line))
}

/// Operations, for programs.
#[derive(Serialize)]
struct Operations<'a> {
    toml: &'a str,
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::error("file-unreadable", format!("{} cannot be read: {error}", path.display())))
}

fn differing(differ: &RulesDiffer) -> Result<Answer, Failure> {
    let status = if differ.is_empty() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    };
    Ok(told(Answer::of(differ)?, differ).status(status))
}

/// Adds what changes of rules.
pub(super) fn told(answer: Answer, differ: &RulesDiffer) -> Answer {
    let lines = [("+", &differ.added), ("~", &differ.changed), ("-", &differ.removed)];
    let lines = lines
        .iter()
        .flat_map(|(sign, ids)| ids.iter().map(move |id| format!("{sign} {id}")));
    lines
        .fold(answer, Answer::line)
        .say(format!("{} rules stay as they are", differ.unchanged))
}
