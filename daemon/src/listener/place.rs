//! Sockets to listen on: for each worker one on the same port (`SO_REUSEPORT`), so that a connection stays on its core;
//! a unix socket has one queue that all workers take from.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpListener, UnixListener};

use super::socket::Transport;
use crate::config::{Listener, Place};

/// Connections that may wait to be accepted, per worker.
const BACKLOG: i32 = 4096;

/// A socket that listens.
pub enum Listening {
    /// On an address and port.
    Tcp(std::net::TcpListener),
    /// At a file.
    Unix(std::os::unix::net::UnixListener),
}

/// Binds one socket for each worker. With port 0 all get the port of the first.
///
/// # Errors
/// What the kernel says, with the place.
pub(super) fn bind(listener: &Listener, workers: usize) -> Result<Vec<Listening>> {
    match &listener.place {
        Place::Tcp(address) => {
            let sockets = bind_tcp(*address, workers).with_context(|| format!("failed to listen on {address}"))?;
            Ok(sockets.into_iter().map(Listening::Tcp).collect())
        }
        Place::Handed(name) => bail!(
            "no socket of the name `{name}` was handed over\n\
             hint: FileDescriptorName={name} in the .socket unit names it, and the unit must be started"
        ),
        Place::Unix(path) => {
            let first = Listening::Unix(bind_unix(path, listener.group.as_deref())?);
            share(vec![first], workers).context("failed to share a unix socket between the workers")
        }
    }
}

/// At least one socket for each worker: where there are fewer, several take from the same queue.
///
/// # Errors
/// What the kernel says.
pub(super) fn share(sockets: Vec<Listening>, workers: usize) -> io::Result<Vec<Listening>> {
    let more = workers.saturating_sub(sockets.len());
    let shared = sockets.iter().cycle().take(more).map(Listening::try_clone);
    let shared: io::Result<Vec<_>> = shared.collect();
    Ok(sockets.into_iter().chain(shared?).collect())
}

fn bind_tcp(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let first = bind_one(address)?;
    let bound = first.local_addr()?;
    std::iter::once(Ok(first))
        .chain((1..workers).map(|_| bind_one(bound)))
        .collect()
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that nobody serves any more is replaced; anything else in the way is left alone.
fn bind_unix(path: &Path, group: Option<&str>) -> Result<std::os::unix::net::UnixListener> {
    /// For the daemon's user and the group.
    const MODE: u32 = 0o660;
    let place = || format!("failed to listen on unix:{}", path.display());
    if std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path).with_context(place)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path).with_context(place)?;
    listener.set_nonblocking(true).with_context(place)?;
    if let Some(name) = group {
        let group = nix::unistd::Group::from_name(name).ok().flatten();
        let group = group.with_context(|| format!("there is no group `{name}` for unix:{}", path.display()))?;
        std::os::unix::fs::chown(path, None, Some(group.gid.as_raw())).with_context(place)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE)).with_context(place)?;
    Ok(listener)
}

impl Listening {
    /// Where it listens, with the port that the kernel chose.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn place(&self) -> io::Result<Place> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Place::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(Place::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()))
            }
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }

    /// Gives it to the runtime of this thread.
    pub(super) fn into_async(self) -> io::Result<Accepting> {
        Ok(match self {
            Self::Tcp(listener) => Accepting::Tcp(TcpListener::from_std(listener)?),
            Self::Unix(listener) => Accepting::Unix(UnixListener::from_std(listener)?),
        })
    }
}

/// A socket that listens, in a runtime.
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// The next connection, and where it comes from if it comes from anywhere.
    pub(super) async fn accept(&self) -> io::Result<(Transport, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, remote) = listener.accept().await?;
                Ok((Transport::Tcp(stream), Some(remote)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Transport::Unix(stream), None))
            }
        }
    }
}
