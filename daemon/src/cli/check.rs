//! `portcullis check`: what is wrong with a configuration, or what it would run.

use std::path::Path;

use portcullis_guard::policy::Mode;
use serde::Serialize;

use super::answer::Answer;
use super::args::ConfigArgs;
use super::exit::ExitStatus;
use super::failure::Failure;
use crate::config::{Config, ConfigError, ConfigErrors};
use crate::preflight;

/// The report, for programs.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    valid: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mistake<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

#[derive(Serialize)]
struct Mistake<'a> {
    line: Option<usize>,
    column: Option<usize>,
    key: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

/// What a configuration would run.
#[derive(Serialize)]
struct Summary {
    mode: &'static str,
    listen: Vec<String>,
    upstream: String,
    protected: Vec<String>,
    rules: usize,
    interfaces: Vec<String>,
    never_ban: Vec<String>,
    control_socket: String,
    state_directory: String,
}

pub(super) fn run(args: &ConfigArgs) -> Result<Answer, Failure> {
    match Config::load(&args.config) {
        Ok(config) => match preflight::check(&config) {
            errors if errors.is_empty() => valid(&args.config, Summary::of(&config)),
            errors => invalid(&ConfigErrors::of_files(&args.config, errors)),
        },
        Err(errors) => invalid(&errors),
    }
}

/// Reads a configuration for whoever needs a valid one.
pub(super) fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|errors| failure(&errors))
}

pub(super) fn failure(errors: &ConfigErrors) -> Failure {
    Failure::error("config-invalid", lines(errors).join("\n"))
}

fn invalid(errors: &ConfigErrors) -> Result<Answer, Failure> {
    let report = Report {
        file: errors.file().to_owned(),
        valid: false,
        errors: errors.iter().map(mistake).collect(),
        summary: None,
    };
    let mut lines = lines(errors).into_iter();
    let first = lines.next().map(|line| format!("error: {line}"));
    let answer = Answer::of(&report)?.status(ExitStatus::Error);
    Ok(first.into_iter().chain(lines).fold(answer, Answer::say))
}

/// The mistakes for people, under a headline if there are several.
fn lines(errors: &ConfigErrors) -> Vec<String> {
    let count = errors.iter().count();
    let headline = (count > 1).then(|| format!("{} has {count} mistakes", errors.file()));
    headline
        .into_iter()
        .chain(errors.to_string().lines().map(str::to_owned))
        .collect()
}

fn mistake(error: &ConfigError) -> Mistake<'_> {
    Mistake {
        line: error.place.map(|(line, _)| line),
        column: error.place.map(|(_, column)| column),
        key: &error.key,
        message: &error.message,
        hint: error.hint.as_deref(),
    }
}

fn valid(file: &Path, summary: Summary) -> Result<Answer, Failure> {
    let report = Report {
        file: file.display().to_string(),
        valid: true,
        errors: Vec::new(),
        summary: Some(summary),
    };
    let answer = Answer::of(&report)?.say(format!("{} is valid", report.file));
    Ok(report.summary.iter().fold(answer, Summary::shown))
}

impl Summary {
    fn of(config: &Config) -> Self {
        Self {
            mode: match config.mode {
                Mode::Monitor => "monitor",
                Mode::Enforce => "enforce",
            },
            listen: {
                let plain = config.http.listen.iter().map(ToString::to_string);
                plain
                    .chain(config.http.listeners.iter().map(ToString::to_string))
                    .collect()
            },
            upstream: config.http.upstream.to_string(),
            protected: config.policy.protected.iter().map(ToString::to_string).collect(),
            rules: config.policy.rules.len(),
            interfaces: config.packet.interfaces.clone(),
            never_ban: config.policy.never_ban.iter().map(ToString::to_string).collect(),
            control_socket: config.control.socket.display().to_string(),
            state_directory: config.state.directory.display().to_string(),
        }
    }

    fn shown(answer: Answer, summary: &Self) -> Answer {
        answer
            .field("mode", &summary.mode)
            .field("listen", &summary.listen.join(", "))
            .field("upstream", &&summary.upstream)
            .field("protected", &or_none(&summary.protected))
            .field("rules", &summary.rules)
            .field("interfaces", &or_none(&summary.interfaces))
            .field("never-ban", &or_none(&summary.never_ban))
            .field("control", &&summary.control_socket)
            .field("state", &&summary.state_directory)
    }
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
