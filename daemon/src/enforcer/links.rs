//! The commands of bpf(2) on links and pins.
//!
//! aya falls back to an attachment without a link where the kernel refuses one, and then nothing could be pinned or
//! swapped. Here a refusal is a refusal.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use super::AttachMode;

#[derive(Clone, Copy)]
enum Command {
    ProgramLoad = 5,
    ObjectPin = 6,
    ObjectGet = 7,
    InfoByFd = 15,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkFdById = 30,
    LinkNextId = 31,
    LinkDetach = 34,
}

const BPF_XDP: u32 = 37;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_LINK_TYPE_XDP: u32 = 6;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// The part of `union bpf_attr` that the commands on pins use.
#[repr(C)]
#[derive(Default)]
struct PinAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that creating a link uses.
#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that changing a link uses.
#[repr(C)]
#[derive(Default)]
struct UpdateAttr {
    link: u32,
    program: u32,
    flags: u32,
    expected: u32,
}

/// The part of `union bpf_attr` that looking for links uses: an id, and the next one as an answer.
#[repr(C)]
#[derive(Default)]
struct IdAttr {
    id: u32,
    next: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that asking about an object uses.
#[repr(C)]
#[derive(Default)]
struct InfoAttr {
    fd: u32,
    length: u32,
    info: u64,
}

/// The part of `union bpf_attr` that loading a program uses.
#[repr(C)]
#[derive(Default)]
struct LoadAttr {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The first words of `struct bpf_link_info` of an XDP link.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RawLinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    padding: u32,
    interface: u32,
    rest: [u32; 11],
}

/// What the kernel tells of an XDP link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkInfo {
    /// Its id.
    pub(super) id: u32,
    /// The program that it runs.
    pub(super) program: u32,
    /// The index of the interface; 0 when that is gone, or the link was detached.
    pub(super) interface: u32,
}

/// Attaches a program; it stays as long as the link is held or pinned.
pub(super) fn create(program: BorrowedFd<'_>, interface: u32, mode: AttachMode) -> io::Result<OwnedFd> {
    let flags = match mode {
        AttachMode::Native => XDP_FLAGS_DRV_MODE,
        AttachMode::Generic => XDP_FLAGS_SKB_MODE,
        AttachMode::Auto => 0,
    };
    let mut attr = CreateAttr {
        program: number(program),
        interface,
        attach_type: BPF_XDP,
        flags,
    };
    descriptor(call(Command::LinkCreate, &mut attr)?)
}

/// Puts another program in the place of the one that a link runs, between two packets.
pub(super) fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = UpdateAttr {
        link: number(link),
        program: number(program),
        ..UpdateAttr::default()
    };
    call(Command::LinkUpdate, &mut attr).map(drop)
}

/// Takes the program off the interface, at once: removing the last name of a link does so a moment later only.
pub(super) fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    call(Command::LinkDetach, &mut number(link)).map(drop)
}

/// What a link is; `None` if it is none of XDP.
pub(super) fn info(link: BorrowedFd<'_>) -> io::Result<Option<LinkInfo>> {
    let mut raw = RawLinkInfo::default();
    let mut attr = InfoAttr {
        fd: number(link),
        length: size_of::<RawLinkInfo>() as u32,
        info: (&raw mut raw).expose_provenance() as u64,
    };
    call(Command::InfoByFd, &mut attr)?;
    Ok((raw.kind == BPF_LINK_TYPE_XDP).then_some(LinkInfo {
        id: raw.id,
        program: raw.program,
        interface: raw.interface,
    }))
}

/// The id of a loaded program.
pub(super) fn program_id(program: BorrowedFd<'_>) -> io::Result<u32> {
    // The type, and the id.
    let mut words = [0_u32; 2];
    let mut attr = InfoAttr {
        fd: number(program),
        length: size_of_val(&words) as u32,
        info: words.as_mut_ptr().expose_provenance() as u64,
    };
    call(Command::InfoByFd, &mut attr)?;
    let [_, id] = words;
    Ok(id)
}

/// The id of the link by which a program is attached to an interface, if it is by one and we may know.
pub(super) fn of_interface(interface: u32) -> Option<u32> {
    let mut id = 0;
    loop {
        let mut attr = IdAttr {
            id,
            ..IdAttr::default()
        };
        call(Command::LinkNextId, &mut attr).ok()?;
        id = attr.next;
        let mut attr = IdAttr {
            id,
            ..IdAttr::default()
        };
        let Ok(link) = call(Command::LinkFdById, &mut attr).and_then(descriptor) else {
            continue;
        };
        if let Ok(Some(found)) = info(link.as_fd())
            && found.interface == interface
        {
            return Some(found.id);
        }
    }
}

/// Gives an object a name in a bpffs, which keeps it.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = PinAttr {
        path: path.as_ptr().expose_provenance() as u64,
        fd: number(object),
        flags: 0,
    };
    call(Command::ObjectPin, &mut attr).map(drop)
}

/// Opens an object by its name.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = PinAttr {
        path: path.as_ptr().expose_provenance() as u64,
        ..PinAttr::default()
    };
    descriptor(call(Command::ObjectGet, &mut attr)?)
}

/// Has an XDP program verified that passes everything; the flags are those of loading.
pub(super) fn load_trivial(flags: u32) -> io::Result<OwnedFd> {
    // r0 = XDP_PASS; exit
    let instructions: [u64; 2] = [u64::from_le_bytes([0xb7, 0, 0, 0, 2, 0, 0, 0]), 0x95];
    let license = c"Dual MIT/GPL";
    let mut attr = LoadAttr {
        kind: BPF_PROG_TYPE_XDP,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        flags,
        ..LoadAttr::default()
    };
    descriptor(call(Command::ProgramLoad, &mut attr)?)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn call<A>(command: Command, attr: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: `attr` is the attribute of this command, and lives through the call with all that it points to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as libc::c_long, attr, size_of::<A>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
