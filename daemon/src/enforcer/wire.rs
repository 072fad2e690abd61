//! What is said between the daemon and its helper: a closed set of requests, one message of a socket each, with
//! descriptors of maps beside the answers that offer some.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{AttachOptions, Capacities, InterfaceStatus, handed::Shape};

/// The longest message: options or interfaces by the hundred.
const LONGEST: usize = 128 * 1024;
/// Descriptors that come with one message at most.
const MOST_DESCRIPTORS: usize = 16;

/// What the daemon may ask for. Nothing in it but a number chooses what the helper does.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Load the program and attach it: the first request, made before the daemon speaks with anybody, and never again.
    Start(Box<AttachOptions>),
    /// Look at the interfaces of the options.
    Refresh,
    /// Make tables for so many hosts, within the limit of the options.
    Grow {
        /// How many.
        hosts: u32,
    },
    /// Put the program on them in the place of the other.
    Swap,
    /// Forget them.
    GiveUp,
    /// How much memory the maps take.
    Memory,
}

/// What the helper answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Maps to write verdicts to; they come with the message.
    Offer {
        /// What they are like.
        shapes: Vec<Shape>,
        /// How many entries they take.
        capacities: Capacities,
        /// Where the program is attached.
        interfaces: Vec<InterfaceStatus>,
    },
    /// Where the program is attached now, and the first refusal.
    Interfaces {
        /// Where.
        attached: Vec<InterfaceStatus>,
        /// In words.
        refused: Option<String>,
    },
    /// It is done.
    Done,
    /// Bytes of memory.
    Memory(u64),
    /// Nothing was changed.
    Failed(String),
}

/// Sends one message.
pub(super) fn send(socket: BorrowedFd<'_>, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > LONGEST || descriptors.len() > MOST_DESCRIPTORS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too much for one message"));
    }
    let raw: Vec<RawFd> = descriptors.iter().map(std::os::fd::AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let rights = if raw.is_empty() { &[] } else { &rights[..] };
    loop {
        match sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(&text)],
            rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Err(Errno::EINTR) => {}
            outcome => return outcome.map(drop).map_err(io::Error::from),
        }
    }
}

/// Waits for one message and the descriptors that come with it. `None`: the other side is gone.
pub(super) fn receive<M: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; LONGEST];
    let mut rights = nix::cmsg_space!([RawFd; MOST_DESCRIPTORS]);
    let (length, descriptors, cut_off) = loop {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let received = match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut rights),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            Err(Errno::EINTR) => continue,
            outcome => outcome?,
        };
        let mut descriptors = Vec::new();
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = message {
                // SAFETY: the kernel has just opened these for us, and nobody else knows them.
                descriptors.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        let cut_off = received.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
        break (received.bytes, descriptors, cut_off);
    };
    if cut_off {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was cut off"));
    }
    if length == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&buffer[..length])?;
    Ok(Some((message, descriptors)))
}
