//! `portcullis completions`, `man`, `openapi` and `config`: what belongs to an installation, made from the definitions
//! that the program itself goes by.

use std::fs;

use clap::CommandFactory;
use serde::Serialize;

use super::answer::Answer;
use super::args::{CompletionsArgs, ConfigArgs, ConfigVerb, LowArgs, ManArgs};
use super::check;
use super::failure::Failure;
use super::page::Table;
use crate::config::{self, Origin, Setting};
use crate::control::openapi;

const NAME: &str = "portcullis";

pub(super) fn completions(args: &CompletionsArgs) -> Result<Answer, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut LowArgs::command(), NAME, &mut script);
    paper(&String::from_utf8_lossy(&script))
}

/// A text that is a file.
fn paper(text: &str) -> Result<Answer, Failure> {
    Ok(Answer::of(&text)?.verbatim(text.trim_end_matches('\n')))
}

pub(super) fn man(args: &ManArgs) -> Result<Answer, Failure> {
    let failed = |error| Failure::failed("output", format!("failed to write the man pages: {error}"));
    let Some(directory) = &args.directory else {
        let mut page = Vec::new();
        let written = clap_mangen::Man::new(LowArgs::command()).render(&mut page);
        written.map_err(failed)?;
        return paper(&String::from_utf8_lossy(&page));
    };
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(LowArgs::command(), directory).map_err(failed)?;
    Ok(Answer::nothing().say(format!("man pages written to {}", directory.display())))
}

/// The document of the control API, without a daemon.
pub(super) fn api() -> Result<Answer, Failure> {
    Ok(Answer::of(&openapi::document())?.verbatim(openapi::text().trim_end()))
}

pub(super) fn config(verb: &ConfigVerb) -> Result<Answer, Failure> {
    match verb {
        ConfigVerb::Default => paper(config::PACKAGED),
        ConfigVerb::Show(args) => show(args),
    }
}

#[derive(Serialize)]
struct Shown {
    file: String,
    settings: Vec<ShownSetting>,
}

#[derive(Serialize)]
struct ShownSetting {
    key: String,
    value: String,
    /// `default`, `file` or `environment`.
    from: &'static str,
    /// The rule file, if it is from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
}

impl From<Setting> for ShownSetting {
    fn from(setting: Setting) -> Self {
        let (from, file, line, variable) = match setting.origin {
            Origin::Default => ("default", None, None, None),
            Origin::File { line, rules } => ("file", rules, Some(line), None),
            Origin::Environment(variable) => ("environment", None, None, Some(variable)),
        };
        Self {
            key: setting.key,
            value: setting.value,
            from,
            file,
            line,
            variable,
        }
    }
}

fn show(args: &ConfigArgs) -> Result<Answer, Failure> {
    let settings = config::settings(&args.config).map_err(|errors| check::failure(&errors))?;
    let shown = Shown {
        file: args.config.display().to_string(),
        settings: settings.into_iter().map(ShownSetting::from).collect(),
    };
    let mut table = Table::new(&["KEY", "~VALUE", "~FROM"]);
    for setting in &shown.settings {
        let from = match (&setting.variable, &setting.file, setting.line) {
            (Some(variable), _, _) => variable.clone(),
            (None, Some(file), Some(line)) => format!("{file}:{line}"),
            (None, None, Some(line)) => format!("line {line}"),
            (None, _, None) => setting.from.to_owned(),
        };
        // A value may have several lines in the file.
        let value = setting.value.split_whitespace().collect::<Vec<_>>().join(" ");
        table.row([setting.key.clone(), value, from]);
    }
    Ok(Answer::of(&shown)?.table(table))
}
