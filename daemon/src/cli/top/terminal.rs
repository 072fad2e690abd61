//! The terminal while it is drawn on, and as it was before and after.

use std::io;

use nix::sys::signal::{Signal, raise};
use ratatui::DefaultTerminal;
use ratatui::backend::Backend;
use ratatui::layout::Position;

use super::screen::{self, Picture};

/// The terminal, drawn on: raw, on its alternate screen.
pub(super) struct Screen(Option<DefaultTerminal>);

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(mut terminal) => {
                // A console without an alternate screen still shows what was there. (Its own `clear` would ask the
                // terminal for the cursor first, and wait.)
                terminal.backend_mut().clear()?;
                Ok(Self(Some(terminal)))
            }
            Err(error) => {
                drop(ratatui::try_restore());
                Err(error)
            }
        }
    }

    pub(super) fn draw(&mut self, picture: &Picture<'_>) -> io::Result<()> {
        if let Some(terminal) = &mut self.0 {
            terminal.draw(|frame| screen::draw(frame, picture))?;
        }
        Ok(())
    }

    /// Lets the shell have the terminal until it says `fg`.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        self.leave();
        raise(Signal::SIGTSTP)?;
        *self = Self::enter()?;
        Ok(())
    }

    /// Puts the terminal in order: cursor, screen, echo. One that is gone cannot be told so.
    pub(super) fn leave(&mut self) {
        let Some(mut terminal) = self.0.take() else { return };
        drop(terminal.backend_mut().clear());
        drop(terminal.set_cursor_position(Position::ORIGIN));
        let is_gone = terminal.show_cursor().is_err();
        drop(ratatui::try_restore());
        if is_gone {
            // Its end would complain to standard error, which is gone too.
            std::mem::forget(terminal);
        }
    }
}
