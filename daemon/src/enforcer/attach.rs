//! Loads the program and attaches it.

use std::{
    error::Error,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{ProgramError, Xdp},
};
use nix::net::if_::{if_nameindex, if_nametoindex};
use portcullis_common::{Geometry, Slot, filter::FINE_AT, maps};

use super::{
    AttachMode, AttachOptions, EnforcerError, InterfaceStatus, Shuffle,
    attachment::Guarded,
    geometry, links,
    netlink::{self, AttachedXdp},
    object,
    pins::{self, Pins},
    privilege, sys,
};

/// The name of aya-log's level in the object, and the levels that we set.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = 4;

/// What libxdp calls the program through which several share an interface.
const DISPATCHER: &str = "xdp_dispatcher";

/// Creates the maps and has the program verified.
///
/// With a directory of a bpffs, the maps of those names that it has are taken, and the others are named there.
pub(super) fn load(
    options: &AttachOptions,
    geometry: &Geometry,
    pinned: Option<(&Path, &[&'static str])>,
) -> Result<Ebpf, EnforcerError> {
    let object = object::bytes()?;
    let level = if options.debug { LOG_DEBUG } else { LOG_OFF };
    let capacities = options.capacities;
    let constants = sys::bytes(geometry);
    let constants = constants.as_slice();
    let rate_limits = u32::from(options.rate_limits.is_some() || options.syn_flood.is_some());
    let shuffle = match options.shuffle {
        Shuffle::Off => 0_u32,
        Shuffle::Together => maps::SHUFFLE_TOGETHER,
        Shuffle::Alone => maps::SHUFFLE_ALONE,
    };
    let mut loader = EbpfLoader::new();
    if let Some((path, named)) = pinned {
        for name in named {
            loader.map_pin_path(name, path.join(name));
        }
    }
    let mut program = loader
        // The program has no relocations against the kernel's types, whose parsing takes long.
        .btf(None)
        .override_global(LOG_LEVEL, &level, true)
        .override_global(maps::GEOMETRY, constants, true)
        .override_global(maps::RATE_LIMITS, &rate_limits, true)
        .override_global(maps::SHUFFLE, &shuffle, true)
        .map_max_entries(maps::FILTER, FINE_AT + geometry.filter_words)
        .map_max_entries(maps::HOSTS_V4, geometry.v4_lines)
        .map_max_entries(maps::HOSTS_V6, geometry.v6_lines)
        .map_max_entries(maps::KEYS_V6, geometry.v6_lines * Slot::PER_LINE as u32)
        .map_max_entries(maps::HITS, geometry.hit_cells)
        .map_max_entries(maps::OVERFLOW, geometry::overflow_capacity(capacities.hosts))
        .map_max_entries(maps::RATES, if rate_limits == 0 { 1 } else { maps::RATE_LINES })
        .map_max_entries(maps::PREFIXES, capacities.prefixes.max(1))
        .map_max_entries(maps::FLOWS, capacities.flows.max(1))
        .load(object)
        .map_err(load_error)?;
    for _ in 0..INTERRUPTED {
        match xdp(&mut program)?.load() {
            Err(ProgramError::LoadError { io_error, .. }) if io_error.raw_os_error() == Some(libc::EAGAIN) => {}
            outcome => return outcome.map(|()| program).map_err(program_error),
        }
    }
    xdp(&mut program)?.load().map_err(program_error)?;
    Ok(program)
}

/// A signal interrupts the verifier; on a busy machine, where it takes seconds, more than once.
const INTERRUPTED: u32 = 10;

/// Puts the program on an interface, in the place of that of an earlier process if there is one.
pub(super) fn attach_one(
    program: BorrowedFd<'_>,
    name: &str,
    index: u32,
    mode: AttachMode,
    pins: Option<&Pins>,
) -> Result<Guarded, EnforcerError> {
    let path = pins.map(|pins| pins.link(index));
    if let Some(link) = path.as_deref().and_then(|path| take_over(program, index, path)) {
        return guarded(name, index, mode, link, true);
    }
    if let Some(path) = &path {
        // Of an interface that is gone, maybe one that had the same index.
        pins::remove_file(path)?;
    }
    // The kernel would refuse later anyway, but not tell whose program it is.
    if let Some(other) = other_program_of(name, index)? {
        return Err(other_program(name, index, other));
    }
    let link = attach_in_mode(program, name, index, mode)?;
    if let Some(path) = &path {
        links::pin(link.as_fd(), path).map_err(|error| attach_failed(name, &error))?;
    }
    guarded(name, index, mode, link, false)
}

/// The program that is attached. That of a daemon that was killed stays for the moment that its helper takes to end.
fn other_program_of(name: &str, index: u32) -> Result<Option<AttachedXdp>, EnforcerError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = netlink::interface(index).map_err(|error| attach_failed(name, &error))?;
        match now.xdp {
            Some(other) if other.describe().name == maps::PROGRAM && Instant::now() < deadline => thread::sleep(LOOK),
            other => return Ok(other),
        }
    }
}

/// How long the program of a process that has just ended may stay.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// Puts the program in the place of that of an earlier process, between two packets.
fn take_over(program: BorrowedFd<'_>, index: u32, path: &Path) -> Option<OwnedFd> {
    let link = links::open(path).ok()?;
    let info = links::info(link.as_fd()).ok()??;
    (info.interface == index && links::update(link.as_fd(), program).is_ok()).then_some(link)
}

fn guarded(name: &str, index: u32, wanted: AttachMode, link: OwnedFd, adopted: bool) -> Result<Guarded, EnforcerError> {
    let now = netlink::interface(index).map_err(|error| attach_failed(name, &error))?;
    let attached = now.xdp.ok_or_else(|| EnforcerError::Attach {
        interface: name.to_owned(),
        reason: "the kernel reports no program after attaching one".to_owned(),
    })?;
    let status = InterfaceStatus {
        name: now.name,
        index,
        attach_mode: attached.mode,
        fallback: wanted == AttachMode::Auto && attached.mode == AttachMode::Generic,
        up: now.up,
    };
    Ok(Guarded { status, link, adopted })
}

fn attach_in_mode(program: BorrowedFd<'_>, name: &str, index: u32, mode: AttachMode) -> Result<OwnedFd, EnforcerError> {
    let generic = || {
        let link = links::create(program, index, AttachMode::Generic);
        link.map_err(|error| attach_failed(name, &error))
    };
    let native = || links::create(program, index, AttachMode::Native);
    match mode {
        AttachMode::Generic => generic(),
        AttachMode::Native => native().map_err(|error| native_failed(name, error)),
        AttachMode::Auto => native().or_else(|reason| {
            tracing::warn!(
                interface = name,
                %reason,
                "no native XDP: fell back to generic, at about half the speed; packet.attach = \"generic\" says that this is meant"
            );
            generic()
        }),
    }
}

fn other_program(interface: &str, index: u32, other: AttachedXdp) -> EnforcerError {
    let found = other.describe();
    let interface = interface.to_owned();
    if found.name == DISPATCHER {
        return EnforcerError::Dispatcher {
            interface,
            program: found.text,
        };
    }
    let off = match other.mode {
        AttachMode::Generic => "xdpgeneric off",
        AttachMode::Native | AttachMode::Auto => "xdp off",
    };
    let remedy = match links::of_interface(index) {
        Some(link) => format!("bpftool link detach id {link}"),
        None => format!("ip link set dev {interface} {off}"),
    };
    EnforcerError::OtherProgram {
        interface,
        program: found.text,
        remedy,
    }
}

pub(super) fn index_of(name: &str) -> Result<u32, EnforcerError> {
    if_nametoindex(name).map_err(|_| EnforcerError::NoSuchInterface {
        name: name.to_owned(),
        available: interface_names(),
    })
}

fn interface_names() -> String {
    let Ok(interfaces) = if_nameindex() else {
        return "(unknown)".to_owned();
    };
    let names: Vec<_> = interfaces
        .iter()
        .map(|interface| interface.name().to_string_lossy().into_owned())
        .collect();
    names.join(", ")
}

fn xdp(program: &mut Ebpf) -> Result<&mut Xdp, EnforcerError> {
    program
        .program_mut(maps::PROGRAM)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| EnforcerError::BadObject {
            reason: format!("it has no XDP program {}", maps::PROGRAM),
        })
}

fn load_error(error: EbpfError) -> EnforcerError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "aya's own enum, most of which is about the object"
    )]
    match error {
        EbpfError::MapError(MapError::CreateError { ref io_error, .. }) => {
            privilege::explain(io_error).unwrap_or_else(|| EnforcerError::Load { reason: chain(&error) })
        }
        EbpfError::ProgramError(error) => program_error(error),
        EbpfError::ParseError(_) => EnforcerError::BadObject { reason: chain(&error) },
        _ => EnforcerError::Load { reason: chain(&error) },
    }
}

fn program_error(error: ProgramError) -> EnforcerError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "aya's own enum, most of which is about other program types"
    )]
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            // Without CAP_PERFMON the verifier refuses what it accepts otherwise.
            if let Some(missing) = privilege::missing() {
                return missing;
            }
            let log = verifier_log.to_string();
            match privilege::explain(&io_error) {
                Some(explained) if log.trim().is_empty() => explained,
                Some(_) | None => EnforcerError::Verifier {
                    log: format!("{io_error}\n{}", tail(&log)),
                },
            }
        }
        other => EnforcerError::Load { reason: chain(&other) },
    }
}

fn native_failed(name: &str, source: io::Error) -> EnforcerError {
    if source.raw_os_error() == Some(libc::EPERM) {
        return attach_failed(name, &source);
    }
    EnforcerError::NativeUnsupported {
        interface: name.to_owned(),
        source,
    }
}

pub(super) fn attach_failed(name: &str, error: &io::Error) -> EnforcerError {
    privilege::explain(error).unwrap_or_else(|| EnforcerError::Attach {
        interface: name.to_owned(),
        reason: error.to_string(),
    })
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let next = current.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = current.source();
    }
    text
}

/// The last lines of a verifier log, where it says what it refuses.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
