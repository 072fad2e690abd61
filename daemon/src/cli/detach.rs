//! `portcullis detach`: takes the packet layer off the interfaces.

use super::answer::Answer;
use super::args::ConfigArgs;
use super::check::load;
use super::failure::Failure;

pub(super) fn run(args: &ConfigArgs) -> Result<Answer, Failure> {
    match crate::run::detach(&load(&args.config)?) {
        Ok(()) => Ok(Answer::nothing().say("detached: no packet is dropped any more, and the bans are forgotten")),
        Err(error) => Err(Failure::failed("detach", format!("{error:#}"))),
    }
}
