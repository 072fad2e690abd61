//! Asks the kernel which XDP program an interface has (rtnetlink, `RTM_GETLINK`).

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use aya::programs::loaded_programs;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

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

/// The XDP program of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttachedXdp {
    pub(super) mode: AttachMode,
    pub(super) program_id: u32,
}

impl AttachedXdp {
    /// The name and the id of the program, as far as we may know them.
    pub(super) fn describe(&self) -> String {
        let id = self.program_id;
        let info = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id);
        let name = info.as_ref().and_then(|info| info.name_as_str());
        format!("`{}` (id {id}, {})", name.unwrap_or("?"), self.mode)
    }
}

/// The program that is attached to an interface, if any.
pub(super) fn xdp_of(index: u32) -> io::Result<Option<AttachedXdp>> {
    let socket = open()?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &request(index), &kernel, MsgFlags::empty())?;
    let mut answer = vec![0; ANSWER_BYTES];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    parse_answer(&answer[..length])
}

fn open() -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
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

fn parse_answer(answer: &[u8]) -> io::Result<Option<AttachedXdp>> {
    let kind = answer.get(4..6).and_then(to_u16).ok_or_else(cut_off)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let code = answer.get(16..20).and_then(to_u32).ok_or_else(cut_off)?;
        return Err(io::Error::from_raw_os_error(-code.cast_signed()));
    }
    let attributes = answer.get(HEADER_BYTES + INTERFACE_BYTES..).ok_or_else(cut_off)?;
    Ok(find(attributes, libc::IFLA_XDP).and_then(parse_xdp))
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
        assert_eq!(
            found,
            Some(AttachedXdp {
                mode: AttachMode::Generic,
                program_id: 7
            })
        );
    }

    #[test]
    fn none_attached_and_every_truncation_are_survived() {
        let whole = answer(&attribute(IFLA_XDP_ATTACHED, &[XDP_ATTACHED_NONE]));
        assert_eq!(parse_answer(&whole).unwrap(), None);
        for length in 0..whole.len() {
            let _ = parse_answer(&whole[..length]);
        }
    }
}
