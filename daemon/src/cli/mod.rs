//! The command line: one file for each noun.
//!
//! `args` reads text and nothing more; each noun turns its text into typed values, asks the daemon or reads the
//! configuration, and returns an `Answer` or a `Failure`. Only `printer` writes.
//! Nothing here knows the guard's decisions or the packet layer: those are behind the control socket.

mod allow;
mod answer;
mod args;
mod audit;
mod ban;
mod bulk;
mod caller;
mod check;
mod detach;
mod ending;
mod events;
mod exit;
mod failure;
mod fit;
mod learn;
mod mode;
mod page;
mod papers;
mod printer;
mod progress;
mod reach;
mod reload;
mod rules;
mod run;
mod session;
mod sign;
mod status;
mod store;
mod text;
mod top;
mod why;

use clap::Parser;

pub use exit::ExitStatus;

use answer::Answer;
use args::{Command, LowArgs};
use failure::Failure;
use printer::Printer;

use crate::control::client::Client;

/// Runs the command that the process was given.
#[must_use]
pub fn main() -> ExitStatus {
    match LowArgs::try_parse() {
        Ok(args) => {
            let printer = Printer::for_process(&args.global);
            match dispatch(&args) {
                Ok(answer) => printer.show(&answer),
                Err(failure) => printer.fail(&failure),
            }
        }
        Err(error) => {
            let status = if error.use_stderr() {
                ExitStatus::Error
            } else {
                ExitStatus::Success
            };
            // Whoever closed the pipe has read enough of the help.
            drop(error.print());
            status
        }
    }
}

fn dispatch(args: &LowArgs) -> Result<Answer, Failure> {
    let (client, json) = (Client::new(args.global.socket()), args.global.json);
    let printer = Printer::for_process(&args.global);
    match &args.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(args),
        Command::Detach(args) => detach::run(args),
        Command::Status(args) => status::run(args, &client),
        Command::Ban(verb) => ban::run(verb, &client, printer),
        Command::Allow(verb) => allow::run(verb, &client),
        Command::Session(verb) => session::run(verb, &client),
        Command::Undo => audit::undo(&client),
        Command::Audit(args) => audit::list(args, &client),
        Command::Store(verb) => store::run(verb, &client),
        Command::Rules(verb) => rules::run(verb, &client),
        Command::Reload(args) => reload::run(args, &client),
        Command::Mode(args) => mode::run(args, &client),
        Command::Confirm(args) => mode::confirm(args, &client),
        Command::Why(args) => why::run(args, &client),
        Command::Events(args) => events::run(args, &client, json),
        Command::Top(args) => top::run(args, &client, json),
        Command::Sign(args) => sign::run(args),
        Command::Helper(args) => run::helper(args),
        Command::Config(verb) => papers::config(verb),
        Command::Completions(args) => papers::completions(args),
        Command::Man(args) => papers::man(args),
        Command::OpenApi => papers::api(),
    }
}
