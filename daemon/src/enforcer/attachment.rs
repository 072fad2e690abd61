//! What is attached: the owner of the program and its links, which follows the interfaces.
//!
//! A link belongs to a device: it stays over a rename and while the device is down. The configuration names interfaces:
//! whatever device has such a name is guarded. So of a device that was renamed, and another that took its name, both are.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use aya::{
    Ebpf,
    maps::MapInfo,
    programs::{Program, ProgramError, TestRun as _, TestRunOptions, Xdp},
};
use nix::net::if_::if_nametoindex;
use portcullis_common::maps;
use serde::{Deserialize, Serialize};

use super::{
    AttachMode, AttachOptions, EnforcerError, attach, links, netlink,
    pins::{self, Pins},
    table,
};

/// Where the program runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name now.
    pub name: String,
    /// Its index, which a rename does not change.
    pub index: u32,
    /// `Native` or `Generic`, as the kernel reports it.
    pub attach_mode: AttachMode,
    /// Whether it is generic although native was asked for first: the driver cannot do it.
    pub fallback: bool,
    /// Whether it is up. The program stays while it is down.
    pub up: bool,
}

/// What the program did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// `XDP_DROP` or `XDP_PASS`.
    pub dropped: bool,
    /// The raw action, should it be neither.
    pub action: u32,
}

/// An interface with the program on it.
pub(super) struct Guarded {
    pub(super) status: InterfaceStatus,
    pub(super) link: OwnedFd,
    /// Whether an earlier process had attached it.
    pub(super) adopted: bool,
}

/// The program, its links, and where they are.
pub(super) struct Attachment {
    program: Ebpf,
    /// The maps that do not depend on the size of the tables.
    lasting: Vec<(&'static str, OwnedFd)>,
    guarded: Vec<Guarded>,
}

/// Maps that larger tables go on with; of the hits only if there are as many cells.
const LASTING: [&str; 8] = [
    maps::PREFIXES,
    maps::FLOWS,
    maps::NEVER_BAN,
    maps::COUNTERS,
    maps::SCRATCH,
    maps::EVENTS,
    maps::RATES,
    maps::HITS,
];

impl Attachment {
    /// Owns a program that is attached nowhere yet.
    pub(super) fn new(program: Ebpf) -> Result<Self, EnforcerError> {
        let open = |name| Ok((name, table::fd_of(&program, name)?));
        let lasting = LASTING.into_iter().map(open).collect::<Result<_, EnforcerError>>()?;
        Ok(Self {
            program,
            lasting,
            guarded: Vec::new(),
        })
    }

    /// Attaches to every interface of the options, or, if one refuses, to none but those that an earlier process had
    /// attached.
    pub(super) fn attach(&mut self, options: &AttachOptions, pins: Option<&Pins>) -> Result<(), EnforcerError> {
        for name in &options.interfaces {
            let outcome = attach::index_of(name).and_then(|index| self.guard(name, index, options, pins));
            if let Err(error) = outcome {
                let made = self.guarded.drain(..).filter(|guarded| !guarded.adopted);
                for guarded in made {
                    pins.map_or(Ok(()), |pins| pins::remove_file(&pins.link(guarded.status.index)))?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Looks at all interfaces, guards those that came, and lets go of those that went. One that refuses does not keep
    /// the others from it; the first refusal is returned.
    pub(super) fn refresh(&mut self, options: &AttachOptions, pins: Option<&Pins>) -> Result<(), EnforcerError> {
        let mut outcome = self.look_at_guarded(pins);
        for name in &options.interfaces {
            let Ok(index) = if_nametoindex(name.as_str()) else {
                continue;
            };
            if self.is_guarded(index) {
                continue;
            }
            match self.guard(name, index, options, pins) {
                Ok(()) => tracing::warn!(interface = name, index, "an interface came, and is guarded"),
                Err(error) => {
                    tracing::error!(interface = name, %error, "an interface came, and is not guarded");
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }

    fn look_at_guarded(&mut self, pins: Option<&Pins>) -> Result<(), EnforcerError> {
        let ours = links::program_id(self.fd()?).ok();
        let mut outcome = Ok(());
        for mut guarded in std::mem::take(&mut self.guarded) {
            let name = guarded.status.name.clone();
            let link = links::info(guarded.link.as_fd()).ok().flatten();
            let Some(link) = link.filter(|link| link.interface == guarded.status.index) else {
                tracing::error!(
                    interface = name,
                    "an interface went, or somebody detached the program from it"
                );
                let forgotten = pins.map_or(Ok(()), |pins| pins::remove_file(&pins.link(guarded.status.index)));
                outcome = outcome.and(forgotten);
                continue;
            };
            if Some(link.program) != ours {
                tracing::error!(interface = name, "somebody put another program in the place of ours");
                let back = links::update(guarded.link.as_fd(), self.fd()?);
                outcome = outcome.and(back.map_err(|error| attach::attach_failed(&name, &error)));
            }
            if let Ok(now) = netlink::interface(guarded.status.index) {
                guarded.status.note(now);
            }
            self.guarded.push(guarded);
        }
        outcome
    }

    /// Puts this program in the place of another one, on every interface or, after an error, on none.
    pub(super) fn take_links(&mut self, from: &mut Self) -> Result<(), EnforcerError> {
        for (number, guarded) in from.guarded.iter().enumerate() {
            let Err(error) = links::update(guarded.link.as_fd(), self.fd()?) else {
                continue;
            };
            // The interface may have gone a moment ago.
            if error.raw_os_error() != Some(libc::ENOLINK) {
                for swapped in &from.guarded[..number] {
                    let _ = links::update(swapped.link.as_fd(), from.fd()?);
                }
                return Err(attach::attach_failed(&guarded.status.name, &error));
            }
        }
        self.guarded = std::mem::take(&mut from.guarded);
        Ok(())
    }

    fn guard(
        &mut self,
        name: &str,
        index: u32,
        options: &AttachOptions,
        pins: Option<&Pins>,
    ) -> Result<(), EnforcerError> {
        if !self.is_guarded(index) {
            let guarded = attach::attach_one(self.fd()?, name, index, options.attach_mode, pins)?;
            self.guarded.push(guarded);
        }
        Ok(())
    }

    fn is_guarded(&self, index: u32) -> bool {
        self.guarded.iter().any(|guarded| guarded.status.index == index)
    }

    pub(super) const fn program(&self) -> &Ebpf {
        &self.program
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceStatus> {
        self.guarded.iter().map(|guarded| guarded.status.clone()).collect()
    }

    /// Names the maps that another program on tables of another size shall go on with.
    pub(super) fn share(&self, to: &Path, hits_too: bool) -> Result<(), EnforcerError> {
        let shared = self.lasting.iter().filter(|(name, _)| hits_too || *name != maps::HITS);
        for (name, map) in shared {
            let path = to.join(name);
            links::pin(map.as_fd(), &path).map_err(|source| pins::failed(&path, "pin", source))?;
        }
        Ok(())
    }

    pub(super) fn test_run(&self, frame: &[u8], repeat: u32) -> Result<TestRun, EnforcerError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::default()
        };
        let result = self.xdp()?.test_run(options).map_err(|error| failed(&error))?;
        Ok(TestRun {
            dropped: result.return_value == XDP_DROP,
            action: result.return_value,
        })
    }

    pub(super) fn instructions(&self) -> Result<u32, EnforcerError> {
        let info = self.xdp()?.info().map_err(|error| failed(&error))?;
        Ok(info.size_translated().unwrap_or(0) / INSTRUCTION_BYTES)
    }

    /// The memory of the maps that the program uses.
    pub(super) fn memory(&self) -> Result<u64, EnforcerError> {
        let info = self.xdp()?.info().map_err(|error| failed(&error))?;
        let ids = info.map_ids().map_err(|error| failed(&error))?.unwrap_or_default();
        Ok(ids.into_iter().filter_map(memory_of).sum())
    }

    pub(super) fn fd(&self) -> Result<BorrowedFd<'_>, EnforcerError> {
        Ok(self.xdp()?.fd().map_err(|error| failed(&error))?.as_fd())
    }

    fn xdp(&self) -> Result<&Xdp, EnforcerError> {
        match self.program.program(maps::PROGRAM) {
            Some(Program::Xdp(xdp)) => Ok(xdp),
            _ => Err(EnforcerError::BadObject {
                reason: format!("it has no XDP program {}", maps::PROGRAM),
            }),
        }
    }
}

impl InterfaceStatus {
    /// Takes over what became of the interface, and says so.
    fn note(&mut self, now: netlink::Interface) {
        if self.name != now.name {
            tracing::warn!(
                from = self.name,
                to = now.name,
                "an interface was renamed, and stays guarded"
            );
        }
        if self.up != now.up {
            let state = if now.up { "up" } else { "down" };
            tracing::info!(interface = now.name, state, "an interface changed, and stays guarded");
        }
        self.name = now.name;
        self.up = now.up;
    }
}

const XDP_DROP: u32 = 1;
const INSTRUCTION_BYTES: u32 = 8;

fn memory_of(map: u32) -> Option<u64> {
    let info = MapInfo::from_id(map).ok()?;
    let fd = info.fd().ok()?;
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"))?;
    line.trim().parse().ok()
}

fn failed(error: &ProgramError) -> EnforcerError {
    EnforcerError::Load {
        reason: attach::chain(error),
    }
}
