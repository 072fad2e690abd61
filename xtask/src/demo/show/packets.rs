//! Single packets: does a SYN get an answer?

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::Result;
use socket2::{Domain, SockRef, Socket, Type};

use super::{interrupt, place::Place};

/// Shorter than the second after which the kernel repeats a SYN: one attempt is one packet.
const WAIT: Duration = Duration::from_millis(300);

/// SYNs that were sent, and how many of them anybody answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Knocks {
    pub(super) sent: u64,
    pub(super) answered: u64,
}

impl Knocks {
    pub(super) fn none_answered(self) -> bool {
        self.sent > 0 && self.answered == 0
    }
}

/// Sends so many SYNs from one port, or each from another one.
pub(super) fn knock(place: &Place, port: Option<u16>, to: SocketAddr, times: u64) -> Result<Knocks> {
    let from = port.map(|port| SocketAddr::from((place.address, port)));
    let mut knocks = Knocks::default();
    for _ in 0..times {
        interrupt::check()?;
        let answered = place.run(|| answers(from, to))?;
        knocks.sent += 1;
        knocks.answered += u64::from(answered);
    }
    Ok(knocks)
}

/// Connects; from a given address and port even if an earlier connection had the same. Any other port is one that was
/// not used lately: one of a dropped connection would be dropped as well.
pub(super) fn connect(from: Option<SocketAddr>, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(from) = from {
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
    }
    socket.connect_timeout(&to.into(), patience)?;
    Ok(socket.into())
}

fn answers(from: Option<SocketAddr>, to: SocketAddr) -> io::Result<bool> {
    match connect(from, to, WAIT) {
        Ok(connection) => {
            // Closed by a reset, so that the port is free for the next.
            let _ = SockRef::from(&connection).set_linger(Some(Duration::ZERO));
            Ok(true)
        }
        // A reset is an answer too.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
        Err(error) => Err(error),
    }
}
