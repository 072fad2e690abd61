//! `portcullis top`: the running gate, drawn anew every second in the terminal, through the control socket alone.

mod ask;
mod history;
mod panel;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event;
use ratatui::crossterm::terminal::window_size;

use super::answer::Answer;
use super::args::TopArgs;
use super::ending;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::printer;
use crate::control::client::Client;
use crate::span;
use ask::News;
use history::History;
use screen::Picture;
use terminal::Screen;
use view::{Next, View};

/// Looking more often shows nothing more, and costs the gate.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long a key or an answer may lie before it is noticed.
const TICK: Duration = Duration::from_millis(50);
/// A daemon that takes longer for an answer is said to be slow.
const SLOW: Duration = Duration::from_secs(3);
/// How long it may take to put the terminal in order.
const GRACE: Duration = Duration::from_secs(1);
/// The size of what `--once` prints, where no terminal says how large it is.
const PAPER: (u16, u16) = (100, 40);

pub(super) fn run(args: &TopArgs, client: &Client, json: bool) -> Result<Answer, Failure> {
    let every = span::parse(&args.every)?.max(SHORTEST);
    if json {
        return Answer::of(&client.stats()?);
    }
    if args.once {
        return once(client, every);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let failure = Failure::error("not-a-terminal", "`top` needs a terminal to draw on");
        return Err(otherwise(
            failure.hint("over ssh, ask for one: `ssh -t HOST portcullis top`"),
        ));
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        let failure = Failure::error(
            "not-a-terminal",
            "`top` cannot draw on this terminal: TERM=dumb says that its cursor does not move",
        );
        return Err(otherwise(failure));
    }
    // A daemon that is not there is told without a screen.
    let mut history = History::default();
    history.take(client.stats()?);
    // Threads inherit which signals are left to whom: this comes before them.
    let (teller, news) = channel();
    let tell = teller.clone();
    let told = ending::when_told(move |signal| {
        drop(tell.send(News::Told(signal)));
        thread::sleep(GRACE);
        // Whoever reads a terminal that is gone may never hear of it.
        ExitStatus::Failure
    });
    told.map_err(|error| unusable(&error))?;
    ask::start(client.clone(), every, teller);
    let mut screen = Screen::enter().map_err(|error| unusable(&error))?;
    let outcome = watch(&mut screen, &news, every, &mut history);
    screen.leave();
    let last_word = outcome.map_err(|error| unusable(&error))?;
    Ok(last_word.map_or_else(Answer::nothing, |word| Answer::nothing().say(word)))
}

fn otherwise(failure: Failure) -> Failure {
    failure
        .hint("`portcullis top --once` prints what it would draw, and `top --json` the numbers")
        .hint("`portcullis events --follow` tells what happens")
}

fn unusable(error: &io::Error) -> Failure {
    Failure::failed("terminal", format!("the terminal cannot be used: {error}"))
}

/// Two looks, as rates are the difference.
fn once(client: &Client, every: Duration) -> Result<Answer, Failure> {
    let mut history = History::default();
    history.take(client.stats()?);
    thread::sleep(every);
    history.take(client.stats()?);
    let size = window_size()
        .ok()
        .filter(|size| io::stdout().is_terminal() && size.columns > 0);
    let (width, height) = size.map_or(PAPER, |size| (size.columns, size.rows.max(PAPER.1)));
    let picture = Picture {
        history: &history,
        view: &View::default(),
        trouble: None,
        colored: false,
        has_keys: false,
    };
    let lines = screen::lines(&picture, width, height);
    Ok(lines.into_iter().fold(Answer::nothing(), Answer::line))
}

/// Until somebody has seen enough; returns what is left to say. A daemon that goes is told on the screen, and looked for
/// again.
fn watch(
    screen: &mut Screen,
    news: &Receiver<News>,
    every: Duration,
    history: &mut History,
) -> io::Result<Option<String>> {
    let (mut view, mut heard) = (View::default(), Instant::now());
    let colored = printer::color_wanted();
    let mut stale = true;
    loop {
        let silent = heard.elapsed() > every + SLOW;
        let trouble = match history.missed() {
            Some(why) => Some(why.to_owned()),
            None => silent.then(|| format!("portcullis has not answered for {}s", heard.elapsed().as_secs())),
        };
        if stale || silent {
            let picture = Picture {
                history: view.frozen().unwrap_or(history),
                view: &view,
                trouble: trouble.as_deref(),
                colored,
                has_keys: true,
            };
            screen.draw(&picture)?;
            stale = false;
        }
        if event::poll(TICK)? {
            stale = true;
            // A new size is drawn at once, whatever else is ignored.
            if let Some(key) = event::read()?.as_key_press_event() {
                match view.key(key, history) {
                    Next::Draw => {}
                    Next::End => return Ok(trouble.map(|why| format!("note: at the end, {why}"))),
                    Next::Suspend => screen.suspend()?,
                }
            }
        }
        for told in news.try_iter() {
            (stale, heard) = (true, Instant::now());
            match told {
                News::Looked(stats) => history.take(*stats),
                News::Missed(why) => history.miss(why),
                News::Told(signal) => return Ok(Some(format!("ended by {signal}"))),
            }
        }
    }
}
