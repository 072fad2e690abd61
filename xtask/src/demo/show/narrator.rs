//! Tells the story: who does what, what the answer is, what that shows.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
};

use portcullis_tests::client::Answer;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "1;32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// Longer lines are cut: nobody reads a signature.
const WIDTH: usize = 110;
/// Room for the longest name.
const NAME: usize = 9;

/// Writes to standard output. Nobody listening is no reason to stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Narrator {
    colored: bool,
}

impl Narrator {
    /// Colours for a person at a terminal who did not ask for none (<https://no-color.org>).
    pub(super) fn for_process() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colored: io::stdout().is_terminal() && !unwanted && !dumb,
        }
    }

    /// Without colours.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { colored: false }
    }

    pub(super) fn is_colored(self) -> bool {
        self.colored
    }

    pub(super) fn title(self, text: &str) {
        self.line(&format!("\n{}\n", self.paint(BOLD, text)));
    }

    /// What happens next, in a sentence.
    pub(super) fn say(self, text: &str) {
        self.line(&format!("  {text}"));
    }

    /// What somebody types.
    pub(super) fn types(self, who: &str, command: &str) {
        self.speak(who, CYAN, &format!("$ {command}"));
    }

    /// A request in one line, with what is special about it.
    pub(super) fn sends(self, who: &str, request: &[u8], note: &str) {
        let text = String::from_utf8_lossy(request);
        let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let note = self.paint(DIM, note);
        self.speak(who, CYAN, format!("{line} {body} {note}").trim_end());
    }

    /// The fields of a request that prove who sent it.
    pub(super) fn shows_signature(self, request: &[u8]) {
        let text = String::from_utf8_lossy(request);
        let fields = text.lines().filter(|line| line.starts_with("signature"));
        fields.for_each(|field| self.detail(field));
    }

    /// An answer in one line.
    pub(super) fn answers(self, answer: &Answer) {
        let problem = answer.problem();
        let essence = if problem.is_empty() {
            answer.body.trim().to_owned()
        } else {
            format!("{problem}  {}", self.paint(DIM, &format!("ref {}", answer.reference())))
        };
        self.speak("gate", YELLOW, &format!("{} {essence}", answer.status));
    }

    /// What only the curious read.
    pub(super) fn detail(self, text: &str) {
        let indent = NAME + 2;
        for line in text.lines() {
            self.line(&format!("{:indent$}{}", "", self.paint(DIM, &cut(line))));
        }
    }

    /// What a program showed, as it stands.
    pub(super) fn shows(self, text: &str) {
        let indent = NAME + 2;
        text.lines()
            .for_each(|line| self.line(&format!("{:indent$}{line}", "")));
    }

    /// The last word.
    pub(super) fn table(self, text: &str) {
        text.lines().for_each(|line| self.line(&format!("  {line}")));
    }

    /// What that shows.
    pub(super) fn claims(self, claim: &str, held: bool, figure: &str) {
        self.line(&format!("  {} {claim}: {figure}", self.mark(held)));
    }

    pub(super) fn mark(self, held: bool) -> String {
        if held {
            self.paint(GREEN, "✓")
        } else {
            self.paint(RED, "✗")
        }
    }

    fn speak(self, who: &str, color: &str, text: &str) {
        let who = self.paint(color, &format!("{who:>NAME$}"));
        self.line(&format!("{who}  {text}"));
    }

    fn paint(self, color: &str, text: &str) -> String {
        if self.colored && !text.is_empty() {
            format!("\u{1b}[{color}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn line(self, text: &str) {
        let _ = writeln!(io::stdout().lock(), "{text}");
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ü".repeat(WIDTH + 1)), format!("{}…", "ü".repeat(WIDTH)));
    }

    #[test]
    fn colours_can_be_off() {
        assert_eq!(Narrator::plain().mark(true), "✓");
        assert_eq!(Narrator { colored: true }.mark(false), "\u{1b}[1;31m✗\u{1b}[0m");
    }
}
