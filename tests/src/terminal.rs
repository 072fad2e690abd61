//! A terminal for a command: a pseudo-terminal of some size, what is seen on it, and keys.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;

use crate::patience::until;

const PATIENCE: Duration = Duration::from_secs(20);
/// How long the reader waits before it looks whether anybody wants to see more, in milliseconds.
const LOOK: u8 = 20;

/// A command on its own terminal. Dropping it ends the command.
pub struct Terminal {
    child: Child,
    keyboard: Option<File>,
    name: String,
    seen: Arc<Mutex<Seen>>,
    hung_up: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Runs a command in the foreground of a terminal with so many columns and rows.
    ///
    /// # Errors
    /// If there is no terminal, or no `setsid` to put the command on it.
    pub fn run(command: &Command, columns: u16, rows: u16) -> Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).context("no pseudo-terminal")?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname_r(&master).context("the terminal has no name")?;
        set_size(&name, columns, rows)?;
        // Standard library files are closed in other commands, so that nobody else keeps the terminal.
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(flags.bits())
            .open(&name)?;
        let mut whole = Command::new("setsid");
        whole.arg("--ctty").arg(command.get_program()).args(command.get_args());
        whole.env_clear().env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            whole.env(name, value.context("a variable without a value")?);
        }
        whole
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave));
        let child = whole.spawn().context("failed to run setsid")?;
        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(nonzero(rows)?, nonzero(columns)?, 1000),
            bytes: Vec::new(),
        }));
        let hung_up = Arc::new(AtomicBool::new(false));
        let keyboard = File::from(OwnedFd::from(master));
        let screen = keyboard.try_clone()?;
        let reader = Some(thread::spawn({
            let seen = Arc::clone(&seen);
            let hung_up = Arc::clone(&hung_up);
            move || read(screen, &seen, &hung_up)
        }));
        Ok(Self {
            child,
            keyboard: Some(keyboard),
            name,
            seen,
            hung_up,
            reader,
        })
    }

    /// What stands on it, a line for each row.
    #[must_use]
    pub fn screen(&self) -> String {
        self.seen().parser.screen().contents()
    }

    /// All that was written to it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.seen().bytes.clone()
    }

    /// Whether a row went on in the next one.
    #[must_use]
    pub fn wraps(&self) -> bool {
        let seen = self.seen();
        let screen = seen.parser.screen();
        (0..screen.size().0.get()).any(|row| screen.row_wrapped(row))
    }

    /// Waits until the screen is as wanted, and returns it.
    ///
    /// # Errors
    /// With what stands there instead.
    pub fn shows(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let shown = until(PATIENCE, what, || {
            thread::sleep(Duration::from_millis(5));
            Ok(wanted(&self.screen()))
        });
        shown.with_context(|| format!("on the screen is:\n{}", self.screen()))?;
        Ok(self.screen())
    }

    /// Presses keys.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        let keyboard = self.keyboard.as_mut().context("the terminal is gone")?;
        keyboard.write_all(keys.as_bytes()).context("failed to press a key")
    }

    /// Makes it another size.
    ///
    /// # Errors
    /// If there is no `stty`.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let (wide, high) = (nonzero(columns)?, nonzero(rows)?);
        self.seen().parser.set_size(high, wide);
        set_size(&self.name, columns, rows)
    }

    /// Sends the command a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal).context("failed to send a signal")
    }

    /// Hangs up: what a terminal does whose window is closed.
    pub fn hang_up(&mut self) {
        self.keyboard = None;
        self.hung_up.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }

    /// Waits for the end of the command.
    ///
    /// # Errors
    /// If it does not end.
    pub fn end(&mut self) -> Result<ExitStatus> {
        self.end_within(PATIENCE)
    }

    /// Waits for the end of a command that works for long.
    ///
    /// # Errors
    /// If it does not end.
    pub fn end_within(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                bail!("the command does not end; on the screen is:\n{}", self.screen());
            }
            thread::sleep(Duration::from_millis(5));
        };
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        Ok(status)
    }

    /// Checks that the shell gets the terminal as it was: echo, cursor, screen.
    ///
    /// # Errors
    /// With what is not.
    pub fn is_in_order(&self) -> Result<()> {
        let keyboard = self.keyboard.as_ref().context("the terminal is gone")?;
        let flags = tcgetattr(keyboard)?.local_flags;
        ensure!(
            flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG),
            "keys are not echoed: {flags:?}"
        );
        let seen = self.seen();
        ensure!(!seen.parser.screen().hide_cursor(), "the cursor is hidden");
        ensure!(!seen.parser.screen().alternate_screen(), "another screen is shown");
        Ok(())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until the last one who could write is gone, or nobody looks any more.
fn read(mut screen: File, seen: &Mutex<Seen>, hung_up: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !hung_up.load(Ordering::Relaxed) {
        let mut polled = [PollFd::new(screen.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, LOOK) == Ok(0) {
            continue;
        }
        let Ok(count @ 1..) = screen.read(&mut buffer) else {
            return;
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = buffer.get(..count).unwrap_or_default();
        seen.bytes.extend_from_slice(read);
        seen.parser.process(read);
    }
}

fn set_size(terminal: &str, columns: u16, rows: u16) -> Result<()> {
    let (columns, rows) = (columns.to_string(), rows.to_string());
    let size = ["-F", terminal, "rows", &rows, "cols", &columns];
    let status = Command::new("stty").args(size).status().context("failed to run stty")?;
    ensure!(status.success(), "stty: {status}");
    Ok(())
}

fn nonzero(number: u16) -> Result<NonZeroU16> {
    NonZeroU16::new(number).context("a terminal has rows and columns")
}
