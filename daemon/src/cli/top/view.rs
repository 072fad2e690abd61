//! What somebody at the keyboard wants to see. Pure: a key comes in, and what to do comes out.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::history::History;
use super::panel;

/// Rows that a page key goes by.
const PAGE: usize = 10;

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Offenders,
    Refusals,
    Sessions,
    Causes,
    Drops,
    Rules,
}

/// All lists at once, then each alone: in this order.
const VIEWS: [Option<Panel>; 7] = [
    None,
    Some(Panel::Offenders),
    Some(Panel::Refusals),
    Some(Panel::Sessions),
    Some(Panel::Causes),
    Some(Panel::Drops),
    Some(Panel::Rules),
];

/// What stands first in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    #[default]
    Most,
    Latest,
    Name,
}

/// What is wanted.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Which of [`VIEWS`].
    place: usize,
    pub(super) order: Order,
    /// Rows of the list that are skipped.
    pub(super) skipped: usize,
    pub(super) help: bool,
    /// What is looked at, if not what happens.
    frozen: Option<History>,
}

/// What a key wants beside another picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Draw,
    Suspend,
    End,
}

impl View {
    /// The list that is shown alone.
    pub(super) fn alone(&self) -> Option<Panel> {
        VIEWS.get(self.place).copied().flatten()
    }

    /// `2/7`
    pub(super) fn number(&self) -> String {
        format!("{}/{}", self.place + 1, VIEWS.len())
    }

    pub(super) fn frozen(&self) -> Option<&History> {
        self.frozen.as_ref()
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "there are many keys, and most of them mean nothing here"
    )]
    pub(super) fn key(&mut self, key: KeyEvent, history: &History) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'd') => Next::End,
                KeyCode::Char('z') => Next::Suspend,
                _ => Next::Draw,
            };
        }
        match key.code {
            KeyCode::Char('q') => return Next::End,
            KeyCode::Esc if !self.help => return Next::End,
            // Whoever has read the help goes on by any key.
            _ if self.help => self.help = false,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('p' | ' ') => {
                self.frozen = match self.frozen {
                    Some(_) => None,
                    None => Some(history.clone()),
                };
            }
            KeyCode::Char('s') => {
                self.order = match self.order {
                    Order::Most => Order::Latest,
                    Order::Latest => Order::Name,
                    Order::Name => Order::Most,
                };
            }
            KeyCode::Tab | KeyCode::Right => self.go((self.place + 1) % VIEWS.len()),
            KeyCode::BackTab | KeyCode::Left => self.go((self.place + VIEWS.len() - 1) % VIEWS.len()),
            KeyCode::Char(digit @ '1'..='7') => self.go(digit as usize - '1' as usize),
            KeyCode::Down => self.down(1, history),
            KeyCode::Up => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.down(PAGE, history),
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(PAGE),
            KeyCode::Home => self.skipped = 0,
            _ => {}
        }
        Next::Draw
    }

    /// Not past the last row.
    fn down(&mut self, rows: usize, history: &History) {
        let history = self.frozen.as_ref().unwrap_or(history);
        let (Some(panel), Some(stats)) = (self.alone(), history.stats()) else {
            return;
        };
        let last = panel::count(panel, stats).saturating_sub(1);
        self.skipped = (self.skipped + rows).min(last);
    }

    fn go(&mut self, place: usize) {
        (self.place, self.skipped) = (place, 0);
    }
}
