//! `portcullis top`: the running gate, drawn anew every second in the terminal, through the control socket alone.

mod history;
mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};

use super::answer::Answer;
use super::args::TopArgs;
use super::failure::Failure;
use crate::control::client::Client;
use crate::span;
use history::History;

/// Looking more often shows nothing more, and costs the gate.
const SHORTEST: Duration = Duration::from_millis(100);

pub(super) fn run(args: &TopArgs, client: &Client, json: bool) -> Result<Answer, Failure> {
    let every = span::parse(&args.every)?.max(SHORTEST);
    if json {
        let failure = Failure::error("not-a-terminal", "`top` draws for people, and has no JSON");
        return Err(failure
            .hint("`portcullis events --follow --json` tells programs what happens, and `status --json` how it is"));
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let failure = Failure::error("not-a-terminal", "`top` needs a terminal to draw on");
        return Err(failure
            .hint("over ssh, ask for one: `ssh -t HOST portcullis top`")
            .hint("`portcullis status` prints how it is, once"));
    }
    // A daemon that is not there is told without a screen.
    let mut history = History::default();
    history.take(client.stats()?);
    let mut terminal = ratatui::try_init().map_err(|error| unusable(&error))?;
    let outcome = watch(&mut terminal, client, every, &mut history);
    ratatui::restore();
    outcome.map(|()| Answer::nothing()).map_err(|error| unusable(&error))
}

fn unusable(error: &io::Error) -> Failure {
    Failure::failed("terminal", format!("the terminal cannot be used: {error}"))
}

/// Until somebody has seen enough. A daemon that goes is told on the screen, and looked for again.
fn watch(terminal: &mut DefaultTerminal, client: &Client, every: Duration, history: &mut History) -> io::Result<()> {
    let mut due = Instant::now() + every;
    loop {
        terminal.draw(|frame| screen::draw(frame, history))?;
        if event::poll(due.saturating_duration_since(Instant::now()))? && is_the_end(&event::read()?) {
            return Ok(());
        }
        if Instant::now() >= due {
            match client.stats() {
                Ok(stats) => history.take(stats),
                Err(error) => history.miss(error.to_string()),
            }
            due = Instant::now() + every;
        }
    }
}

fn is_the_end(event: &Event) -> bool {
    // A new size is drawn at once, whatever else is ignored.
    let Some(key) = event.as_key_press_event() else {
        return false;
    };
    let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    is_interrupt || key.code == KeyCode::Char('q') || key.code == KeyCode::Esc
}
