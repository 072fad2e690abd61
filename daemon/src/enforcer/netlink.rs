//! Asks the kernel about interfaces, and hears of their changes (rtnetlink, `RTM_GETLINK` and `RTNLGRP_LINK`).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use aya::programs::loaded_programs;
use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket},
};

use super::AttachMode;

const HEADER_BYTES: usize = 16;
const INTERFACE_BYTES: usize = 16;
const ATTRIBUTE_BYTES: usize = 4;
/// The answer carries statistics and names, some kilobytes.
const ANSWER_BYTES: usize = 64 * 1024;

/// `IFLA_XDP_ATTACHED` is the hook, the ids are per hook.
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const XDP_ATTACHED_NONE: u8 = 0;
const XDP_ATTACHED_SKB: u8 = 2;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// What an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) up: bool,
    pub(super) xdp: Option<AttachedXdp>,
}

/// A change that the kernel told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Of this interface.
    Of(Interface),
    /// There were too many changes to tell: look at everything.
    Lost,
}

/// Changes of interfaces. Readable (poll, epoll) when there are some.
pub struct InterfaceChanges {
    socket: OwnedFd,
}

impl InterfaceChanges {
    /// Those of the network namespace of this thread.
    pub(super) fn open() -> io::Result<Self> {
        let socket = open(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, libc::RTMGRP_LINK as u32))?;
        Ok(Self { socket })
    }

    /// The changes that were told by now; never waits.
    pub(super) fn read(&self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut buffer = vec![0; ANSWER_BYTES];
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => changes.extend(messages(&buffer[..length]).filter_map(parse_change).map(Change::Of)),
                Err(Errno::ENOBUFS) => changes.push(Change::Lost),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for InterfaceChanges {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttachedXdp {
    pub(super) mode: AttachMode,
    pub(super) program_id: u32,
}

impl AttachedXdp {
    /// The name and the id of the program, as far as we may know them.
    pub(super) fn describe(&self) -> Described {
        let id = self.program_id;
        let info = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id);
        let name = info
            .as_ref()
            .and_then(|info| info.name_as_str())
            .unwrap_or("?")
            .to_owned();
        Described {
            text: format!("`{name}` (id {id}, {})", self.mode),
            name,
        }
    }
}

/// A program as an operator knows it.
pub(super) struct Described {
    pub(super) name: String,
    pub(super) text: String,
}

/// What an interface is at this moment.
pub(super) fn interface(index: u32) -> io::Result<Interface> {
    let socket = open(SockFlag::SOCK_CLOEXEC)?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &request(index), &kernel, MsgFlags::empty())?;
    let mut answer = vec![0; ANSWER_BYTES];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    parse_answer(&answer[..length])
}

fn open(flags: SockFlag) -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkRoute,
    )?)
}

/// `struct nlmsghdr` and `struct ifinfomsg`.
fn request(index: u32) -> [u8; HEADER_BYTES + INTERFACE_BYTES] {
    let mut message = [0; HEADER_BYTES + INTERFACE_BYTES];
    let length = (HEADER_BYTES + INTERFACE_BYTES) as u32;
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message[20..24].copy_from_slice(&index.to_ne_bytes());
    message
}

fn parse_answer(answer: &[u8]) -> io::Result<Interface> {
    let kind = answer.get(4..6).and_then(to_u16).ok_or_else(cut_off)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let code = answer.get(16..20).and_then(to_u32).ok_or_else(cut_off)?;
        return Err(io::Error::from_raw_os_error(-code.cast_signed()));
    }
    parse_interface(answer).ok_or_else(cut_off)
}

/// The messages of one datagram.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = datagram.get(0..4).and_then(to_u32)? as usize;
        let message = datagram.get(..length).filter(|_| length >= HEADER_BYTES)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

fn parse_change(message: &[u8]) -> Option<Interface> {
    let kind = message.get(4..6).and_then(to_u16)?;
    if [libc::RTM_NEWLINK, libc::RTM_DELLINK].contains(&kind) {
        parse_interface(message)
    } else {
        None
    }
}

fn parse_interface(message: &[u8]) -> Option<Interface> {
    let index = message.get(20..24).and_then(to_u32)?;
    let flags = message.get(24..28).and_then(to_u32)?;
    let attributes = message.get(HEADER_BYTES + INTERFACE_BYTES..)?;
    let name = find(attributes, libc::IFLA_IFNAME)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(Interface {
        index,
        name: String::from_utf8_lossy(name).into_owned(),
        up: flags & libc::IFF_UP as u32 != 0,
        xdp: find(attributes, libc::IFLA_XDP).and_then(parse_xdp),
    })
}

fn parse_xdp(attributes: &[u8]) -> Option<AttachedXdp> {
    let hook = *find(attributes, IFLA_XDP_ATTACHED)?.first()?;
    if hook == XDP_ATTACHED_NONE {
        return None;
    }
    let program_id = find(attributes, IFLA_XDP_PROG_ID).and_then(to_u32);
    let mode = if hook == XDP_ATTACHED_SKB {
        AttachMode::Generic
    } else {
        AttachMode::Native
    };
    Some(AttachedXdp {
        mode,
        program_id: program_id.unwrap_or(0),
    })
}

/// The payload of the first attribute of that type.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(attributes.get(0..2).and_then(to_u16)?);
        let kind = attributes.get(2..4).and_then(to_u16)? & NLA_TYPE_MASK;
        let payload = attributes.get(ATTRIBUTE_BYTES..length)?;
        if kind == wanted {
            return Some(payload);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn to_u16(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

fn to_u32(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the kernel's answer is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = (ATTRIBUTE_BYTES + payload.len()) as u16;
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn answer(xdp: &[u8]) -> Vec<u8> {
        let mut bytes = request(1).to_vec();
        bytes.extend(attribute(libc::IFLA_IFNAME, b"eth0\0"));
        bytes.extend(attribute(libc::IFLA_XDP | 0x8000, xdp));
        bytes
    }

    #[test]
    fn an_attached_program_is_found() {
        let xdp = [
            attribute(IFLA_XDP_ATTACHED, &[XDP_ATTACHED_SKB]),
            attribute(IFLA_XDP_PROG_ID, &7_u32.to_ne_bytes()),
        ];
        let found = parse_answer(&answer(&xdp.concat())).unwrap();
        assert_eq!((found.index, found.name.as_str(), found.up), (1, "eth0", false));
        assert_eq!(
            found.xdp,
            Some(AttachedXdp {
                mode: AttachMode::Generic,
                program_id: 7
            })
        );
    }

    #[test]
    fn a_datagram_of_several_changes_is_taken_apart() {
        let mut change = answer(&[]);
        change[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
        change[24..28].copy_from_slice(&(libc::IFF_UP as u32).to_ne_bytes());
        let length = change.len() as u32;
        change[0..4].copy_from_slice(&length.to_ne_bytes());
        let twice = [change.clone(), change].concat();
        let found: Vec<_> = messages(&twice).filter_map(parse_change).collect();
        assert!(found.len() == 2 && found.iter().all(|change| change.up && change.name == "eth0"));
        for length in 0..twice.len() {
            let _ = messages(&twice[..length]).filter_map(parse_change).count();
        }
    }

    #[test]
    fn none_attached_and_every_truncation_are_survived() {
        let whole = answer(&attribute(IFLA_XDP_ATTACHED, &[XDP_ATTACHED_NONE]));
        assert_eq!(parse_answer(&whole).unwrap().xdp, None);
        for length in 0..whole.len() {
            let _ = parse_answer(&whole[..length]);
        }
    }
}
