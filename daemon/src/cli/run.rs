//! `portcullis run`: the gate itself.

use super::answer::Answer;
use super::args::{ConfigArgs, HelperArgs};
use super::check::load;
use super::failure::Failure;
use crate::config::{Log, LogFormat};

pub(super) fn run(args: &ConfigArgs) -> Result<Answer, Failure> {
    match crate::run::run(load(&args.config)?) {
        Ok(()) => Ok(Answer::nothing()),
        Err(error) => Err(Failure::failed("run", format!("{error:#}"))),
    }
}

/// What `run` starts for itself: the process that keeps the privilege to attach.
pub(super) fn helper(args: &HelperArgs) -> Result<Answer, Failure> {
    let format = match args.log_format.as_str() {
        "json" => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let level = args.log_level;
    match crate::helper::run(&Log { format, level }) {
        Ok(()) => Ok(Answer::nothing()),
        Err(error) => Err(Failure::failed("helper", format!("{error:#}"))),
    }
}
