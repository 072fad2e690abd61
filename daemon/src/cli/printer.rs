//! The one place that writes: data to standard output, talk to standard error.

use std::io::{self, IsTerminal, Write};

use ratatui::crossterm::terminal::window_size;

use super::answer::Answer;
use super::args::GlobalArgs;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::page::Look;
use super::text::{visible, visible_json};

const RED: &str = "\u{1b}[1;31m";
const CYAN: &str = "\u{1b}[1;36m";
const RESET: &str = "\u{1b}[0m";

/// Shows answers and failures.
#[derive(Clone, Copy)]
pub(super) struct Printer {
    json: bool,
    quiet: bool,
    out: Look,
    /// Columns of the terminal.
    room: Option<usize>,
    color_of_talk: bool,
}

impl Printer {
    /// A printer for the streams of this process.
    pub(super) fn for_process(args: &GlobalArgs) -> Self {
        let color = color_wanted();
        let out = match (io::stdout().is_terminal(), color) {
            (true, true) => Look::Colored,
            (true, false) => Look::Aligned,
            (false, _) => Look::Piped,
        };
        Self {
            json: args.json,
            quiet: args.quiet,
            out,
            room: room(),
            color_of_talk: color && io::stderr().is_terminal(),
        }
    }

    /// Shows an answer.
    pub(super) fn show(&self, answer: &Answer) -> ExitStatus {
        self.talk(&answer.talk);
        let text = match (&answer.json, self.json) {
            (Some(json), true) => visible_json(json) + "\n",
            (None, true) => String::new(),
            (_, false) => answer.page.render(self.out, self.room),
        };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => answer.status,
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitStatus::Success,
            Err(error) => self.fail(&Failure::error(
                "output",
                format!("failed to write the answer: {error}"),
            )),
        }
    }

    /// Shows a failure.
    pub(super) fn fail(&self, failure: &Failure) -> ExitStatus {
        let text = if self.json {
            failure_json(failure)
        } else {
            self.failure_text(failure)
        };
        to_stderr(&text);
        failure.status
    }

    /// Whether somebody wants to read more than data and errors.
    pub(super) fn talks(&self) -> bool {
        !self.json && !self.quiet
    }

    fn talk(&self, sentences: &[String]) {
        if self.talks() {
            sentences
                .iter()
                .for_each(|sentence| to_stderr(&(visible(sentence) + "\n")));
        }
    }

    fn failure_text(&self, failure: &Failure) -> String {
        let mut lines = failure.message.lines().map(visible);
        let first = lines.next().unwrap_or_default();
        let mut text = format!("{} {first}\n", self.label("error:", RED));
        lines.for_each(|line| text.push_str(&(line + "\n")));
        for hint in &failure.hints {
            text.push_str(&format!("{} {}\n", self.label("hint:", CYAN), visible(hint)));
        }
        text
    }

    fn label(&self, label: &str, color: &str) -> String {
        if self.color_of_talk {
            format!("{color}{label}{RESET}")
        } else {
            label.to_owned()
        }
    }
}

fn failure_json(failure: &Failure) -> String {
    visible_json(&serde_json::json!({ "error": failure }).to_string()) + "\n"
}

/// With standard error closed there is nobody left to tell.
fn to_stderr(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// As wide as the terminal is that answers go to.
fn room() -> Option<usize> {
    let size = io::stdout().is_terminal().then(window_size)?.ok()?;
    (size.columns > 0).then_some(usize::from(size.columns))
}

/// <https://no-color.org>: any value but the empty one turns color off.
pub(super) fn color_wanted() -> bool {
    let off = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !off("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure::error("duration-invalid", "'\u{1b}x' is not a duration\nreally").hint("write 1h")
    }

    #[test]
    fn failures_end_with_hints() {
        let printer = Printer {
            json: false,
            quiet: false,
            out: Look::Piped,
            room: None,
            color_of_talk: false,
        };
        assert_eq!(
            printer.failure_text(&failure()),
            "error: '\\u{1b}x' is not a duration\nreally\nhint: write 1h\n"
        );
    }

    #[test]
    fn programs_get_a_code() {
        assert_eq!(
            failure_json(&failure()),
            "{\"error\":{\"code\":\"duration-invalid\",\"hints\":[\"write 1h\"],\
             \"message\":\"'\\u001bx' is not a duration\\nreally\"}}\n"
        );
    }
}
