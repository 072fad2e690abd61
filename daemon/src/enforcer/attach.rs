//! Loads the program and attaches it.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::MapError,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::{XdpLink, XdpLinkId},
    },
    util::KernelVersion,
};
use nix::net::if_::{if_nameindex, if_nametoindex};
use portcullis_common::{Geometry, Slot, filter::FINE_AT, maps};

use super::{
    AttachMode, AttachOptions, EnforcerError, InterfaceStatus, geometry, netlink, object,
    pins::{self, Pins},
    privilege, sys,
};

/// The name of aya-log's level in the object, and the levels that we set.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";
const LOG_OFF: u8 = 0;
const LOG_DEBUG: u8 = 4;

const OLDEST_KERNEL: KernelVersion = KernelVersion::new(5, 15, 0);

/// Creates the maps and has the program verified.
///
/// With `pinned`, the maps that are pinned there are taken, and the others are pinned there.
pub(super) fn load(options: &AttachOptions, geometry: &Geometry, pinned: Option<&Path>) -> Result<Ebpf, EnforcerError> {
    let object = object::bytes()?;
    check_kernel()?;
    let level = if options.debug { LOG_DEBUG } else { LOG_OFF };
    let capacities = options.capacities;
    let constants = sys::bytes(geometry);
    let constants = constants.as_slice();
    let rate_limits = u32::from(options.rate_limits.is_some());
    let shuffle = u32::from(options.shuffle);
    let mut loader = EbpfLoader::new();
    if let Some(path) = pinned {
        for name in pins::MAPS {
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
    xdp(&mut program)?.load().map_err(program_error)?;
    Ok(program)
}

/// Attaches to every interface. When one refuses, the others are detached again, but for those
/// that an earlier process had attached.
pub(super) fn attach_all(
    program: &mut Ebpf,
    options: &AttachOptions,
    pins: Option<&Pins>,
) -> Result<Vec<InterfaceStatus>, EnforcerError> {
    let xdp = xdp(program)?;
    let mut attached: Vec<InterfaceStatus> = Vec::new();
    let mut made = Vec::new();
    for name in &options.interfaces {
        let outcome = index_of(name).and_then(|index| {
            if attached.iter().any(|other| other.index == index) {
                return Ok(None);
            }
            made.extend(attach_one(xdp, name, index, options.attach_mode, pins)?);
            let attach_mode = mode_in_use(name, index)?;
            let name = name.clone();
            Ok(Some(InterfaceStatus {
                name,
                index,
                attach_mode,
            }))
        });
        match outcome {
            Ok(status) => attached.extend(status),
            Err(error) => {
                for path in made {
                    pins::remove_file(&path)?;
                }
                return Err(error);
            }
        }
    }
    Ok(attached)
}

/// Attaches again where an interface went and came back, which has another index then; tells
/// where the program is now.
pub(super) fn attach_again(
    program: &mut Ebpf,
    options: &AttachOptions,
    pins: Option<&Pins>,
    before: &[InterfaceStatus],
) -> Result<Vec<InterfaceStatus>, EnforcerError> {
    let xdp = xdp(program)?;
    let mut attached: Vec<InterfaceStatus> = Vec::new();
    for name in &options.interfaces {
        let known = before.iter().find(|status| status.name == *name);
        let now = if_nametoindex(name.as_str()).ok();
        let renamed = known.filter(|status| now.is_none() && netlink::xdp_of(status.index).is_ok());
        let status = match (now, known) {
            (Some(index), Some(status)) if status.index == index && is_ours(xdp, index) => status.clone(),
            (Some(index), _) => {
                if let Some(pins) = pins {
                    pins::remove_file(&pins.link(index))?;
                }
                attach_one(xdp, name, index, options.attach_mode, pins)?;
                let attach_mode = mode_in_use(name, index)?;
                tracing::info!(interface = name, mode = %attach_mode, "attached again");
                InterfaceStatus {
                    name: name.clone(),
                    index,
                    attach_mode,
                }
            }
            (None, _) => match renamed {
                Some(status) => status.clone(),
                None => continue,
            },
        };
        if attached.iter().all(|other| other.index != status.index) {
            attached.push(status);
        }
    }
    Ok(attached)
}

/// The id of a loaded program.
fn program_id(xdp: &Xdp) -> Option<u32> {
    xdp.info().ok().map(|info| info.id())
}

fn is_ours(xdp: &Xdp, index: u32) -> bool {
    let attached = netlink::xdp_of(index).ok().flatten();
    attached.is_some_and(|attached| Some(attached.program_id) == program_id(xdp))
}

/// Puts the program in the place of that of an earlier process, between two packets.
fn take_over(xdp: &mut Xdp, index: u32, path: &Path) -> Result<bool, EnforcerError> {
    let swapped = PinnedLink::from_pin(path)
        .ok()
        .and_then(|link| XdpLink::try_from(FdLink::from(link)).ok())
        .is_some_and(|link| xdp.attach_to_link(link).is_ok());
    if swapped && is_ours(xdp, index) {
        return Ok(true);
    }
    // Of an interface that is gone, maybe one that had the same index.
    pins::remove_file(path)?;
    Ok(false)
}

/// Returns the pin that was made.
fn attach_one(
    xdp: &mut Xdp,
    name: &str,
    index: u32,
    mode: AttachMode,
    pins: Option<&Pins>,
) -> Result<Option<PathBuf>, EnforcerError> {
    let path = pins.map(|pins| pins.link(index));
    if let Some(path) = &path
        && path.exists()
        && take_over(xdp, index, path)?
    {
        return Ok(None);
    }
    // The kernel would refuse later anyway, but not tell whose program it is.
    if let Some(other) = netlink::xdp_of(index).map_err(|error| attach_failed(name, &error))? {
        return Err(EnforcerError::OtherProgram {
            interface: name.to_owned(),
            program: other.describe(),
        });
    }
    let link = attach_in_mode(xdp, name, index, mode)?;
    if let Some(path) = &path {
        let link = xdp.take_link(link).map_err(|error| attach_failed(name, &error))?;
        let link = FdLink::try_from(link).map_err(|error| attach_failed(name, &error))?;
        link.pin(path).map_err(|error| attach_failed(name, &error))?;
    }
    Ok(path)
}

fn attach_in_mode(xdp: &mut Xdp, name: &str, index: u32, mode: AttachMode) -> Result<XdpLinkId, EnforcerError> {
    let generic = |xdp: &mut Xdp| xdp.attach_to_if_index(index, XdpMode::Skb);
    let native = |xdp: &mut Xdp| xdp.attach_to_if_index(index, XdpMode::Driver);
    match mode {
        AttachMode::Generic => generic(xdp).map_err(|error| attach_failed(name, &error)),
        AttachMode::Native => native(xdp).map_err(|error| native_failed(name, &error)),
        AttachMode::Auto => match native(xdp) {
            Ok(link) => Ok(link),
            Err(error) => {
                tracing::info!(
                    interface = name,
                    reason = chain(&error),
                    "no native XDP, falling back to generic"
                );
                generic(xdp).map_err(|error| attach_failed(name, &error))
            }
        },
    }
}

fn mode_in_use(name: &str, index: u32) -> Result<AttachMode, EnforcerError> {
    match netlink::xdp_of(index) {
        Ok(Some(attached)) => Ok(attached.mode),
        Ok(None) => Err(EnforcerError::Attach {
            interface: name.to_owned(),
            reason: "the kernel reports no program after attaching one".to_owned(),
        }),
        Err(error) => Err(attach_failed(name, &error)),
    }
}

fn index_of(name: &str) -> Result<u32, EnforcerError> {
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

fn check_kernel() -> Result<(), EnforcerError> {
    match KernelVersion::current() {
        Ok(found) if found < OLDEST_KERNEL => Err(EnforcerError::KernelTooOld {
            found: found.to_string(),
        }),
        // A version that we cannot read is no reason to refuse: loading will tell.
        Ok(_) | Err(_) => Ok(()),
    }
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

fn native_failed(name: &str, error: &ProgramError) -> EnforcerError {
    match os_error(error) {
        Some(source) if source.raw_os_error() != Some(libc::EPERM) => EnforcerError::NativeUnsupported {
            interface: name.to_owned(),
            source,
        },
        Some(_) | None => attach_failed(name, error),
    }
}

fn attach_failed(name: &str, error: &(dyn Error + 'static)) -> EnforcerError {
    let explained = os_error(error).and_then(|source| privilege::explain(&source));
    explained.unwrap_or_else(|| EnforcerError::Attach {
        interface: name.to_owned(),
        reason: chain(error),
    })
}

/// The first error of the system in a chain of causes.
fn os_error(error: &(dyn Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(code) = current.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(io::Error::from_raw_os_error(code));
        }
        cause = current.source();
    }
    None
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
