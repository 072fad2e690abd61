//! `portcullis run`: the gate itself.

use super::answer::Answer;
use super::args::ConfigArgs;
use super::check::load;
use super::failure::Failure;

pub(super) fn run(args: &ConfigArgs) -> Result<Answer, Failure> {
    match crate::run::run(load(&args.config)?) {
        Ok(()) => Ok(Answer::nothing()),
        Err(error) => Err(Failure::failed("run", format!("{error:#}"))),
    }
}
