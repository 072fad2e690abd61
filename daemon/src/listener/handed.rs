//! Sockets that somebody else has bound and hands over (sd_listen_fds(3)): systemd, or whoever restarts the daemon. What
//! connects while no daemon runs waits in them, so that a restart loses no connection.

use std::env;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{getsockopt, sockopt};
use socket2::Socket;

use super::place::Listening;
use crate::config::{OWN_SOCKETS, Place};

/// The first of them.
const FIRST: RawFd = 3;
/// More than any unit has.
const MOST: RawFd = 1024;

/// Those that no listener has taken yet.
#[derive(Default)]
pub struct Handed(Vec<Taken>);

struct Taken {
    place: Place,
    /// What it is called (`FileDescriptorName=` of systemd); the same name may stand for several.
    name: String,
    listening: Listening,
}

impl Handed {
    /// Takes what this process was handed; nothing is fine. To be called once, before anything else opens a file.
    ///
    /// # Errors
    /// If something else was handed over than sockets that listen.
    pub fn take() -> Result<Self> {
        let is_for_us = env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
        let Some(count) = env::var("LISTEN_FDS").ok().filter(|_| is_for_us) else {
            return Ok(Self::default());
        };
        let count = count.parse().ok().filter(|count| (0..=MOST).contains(count));
        let count: RawFd = count.context("LISTEN_FDS is no number of sockets")?;
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').chain(std::iter::repeat(""));
        let taken = (FIRST..FIRST + count).zip(names).map(|(descriptor, name)| {
            let number = descriptor - FIRST;
            take_one(descriptor, name).with_context(|| format!("socket {number} of LISTEN_FDS cannot be used"))
        });
        Ok(Self(taken.collect::<Result<_>>()?))
    }

    /// That of the control socket: by its name, or by the file.
    ///
    /// # Errors
    /// If there are several, or it is elsewhere than the configuration says.
    pub fn control(&mut self, path: &Path) -> Result<Option<UnixListener>> {
        let [name, _] = OWN_SOCKETS;
        let place = Place::Unix(path.to_owned());
        match self.own(name, Some(&place), "control.socket")? {
            Some(Listening::Unix(listener)) => Ok(Some(listener)),
            Some(Listening::Tcp(_)) => bail!("the socket `{name}` that was handed over has no file"),
            None => Ok(None),
        }
    }

    /// That of the admin listener: by its name, or by the address. By name also if the configuration has no address.
    ///
    /// # Errors
    /// If there are several, or it is elsewhere than the configuration says.
    pub fn admin(&mut self, address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
        let [_, name] = OWN_SOCKETS;
        let place = address.map(Place::Tcp);
        match self.own(name, place.as_ref(), "admin.listen")? {
            Some(Listening::Tcp(listener)) => Ok(Some(listener)),
            Some(Listening::Unix(_)) => bail!("the socket `{name}` that was handed over has no address"),
            None => Ok(None),
        }
    }

    /// The one that has a name of ours, or is at the place that goes with it.
    fn own(&mut self, name: &str, place: Option<&Place>, key: &str) -> Result<Option<Listening>> {
        let is_meant = |taken: &Taken| taken.name == name || place == Some(&taken.place);
        let (ours, others) = std::mem::take(&mut self.0).into_iter().partition(is_meant);
        self.0 = others;
        let ours: Vec<Taken> = ours;
        let mut ours = ours.into_iter();
        let Some(first) = ours.next() else { return Ok(None) };
        ensure!(
            ours.next().is_none(),
            "several sockets `{name}` were handed over\n\
             hint: one unit with FileDescriptorName={name} and one ListenStream= is enough"
        );
        if let Some(place) = place.filter(|place| **place != first.place) {
            bail!(
                "the socket `{name}` that was handed over is at {}, and {key} says {place}\n\
                 hint: write the same into ListenStream= of the .socket unit",
                first.place
            );
        }
        Ok(Some(first.listening))
    }

    /// Those that listen at a place, or have its name; as many as there are.
    pub(super) fn claim(&mut self, place: &Place) -> Vec<Listening> {
        let is_meant = |taken: &Taken| match place {
            Place::Handed(name) => taken.name == *name,
            Place::Tcp(_) | Place::Unix(_) => taken.place == *place,
        };
        let (ours, others) = std::mem::take(&mut self.0).into_iter().partition(is_meant);
        self.0 = others;
        let ours: Vec<Taken> = ours;
        ours.into_iter().map(|taken| taken.listening).collect()
    }

    /// Whoever connects to a socket that nobody takes waits for ever.
    ///
    /// # Errors
    /// If there is one.
    pub(super) fn nothing_is_left(&self) -> Result<()> {
        let Some(Taken { place, .. }) = self.0.first() else {
            return Ok(());
        };
        bail!(
            "a socket at {place} was handed over, and no listener is there\n\
             hint: name it in http.listen or [[listener]], or take it out of the .socket unit"
        )
    }
}

fn take_one(descriptor: RawFd, name: &str) -> Result<Taken> {
    std::fs::read_link(format!("/proc/self/fd/{descriptor}")).context("it is closed")?;
    // SAFETY: it is open, and LISTEN_PID says that it was opened for this process; `take` runs once, before anything else
    // opens a file, so nobody else owns it.
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    ensure!(
        getsockopt(&socket, sockopt::AcceptConn).context("it is no socket")?,
        "it does not listen"
    );
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    let address = socket.local_addr()?;
    let (place, listening) = match (address.as_socket(), address.as_pathname()) {
        (Some(address), _) => (Place::Tcp(address), Listening::Tcp(socket.into())),
        (None, Some(path)) => (
            Place::Unix(path.to_owned()),
            Listening::Unix(OwnedFd::from(socket).into()),
        ),
        (None, None) => bail!("it has neither address nor file"),
    };
    Ok(Taken {
        place,
        name: name.to_owned(),
        listening,
    })
}
