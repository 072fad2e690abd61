//! What is attached: the owner of the program and its links.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Ebpf,
    maps::MapInfo,
    programs::{Program, ProgramError, TestRun as _, TestRunOptions, Xdp},
};
use portcullis_common::maps;

use super::{AttachMode, AttachOptions, EnforcerError, attach, pins::Pins};

/// Where the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name when it was attached.
    pub name: String,
    /// Its index, which a rename does not change.
    pub index: u32,
    /// `Native` or `Generic`, as the kernel reports it.
    pub attach_mode: AttachMode,
}

/// What the program did with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// `XDP_DROP` or `XDP_PASS`.
    pub dropped: bool,
    /// The raw action, should it be neither.
    pub action: u32,
}

/// The program, its links, and where they are.
pub(super) struct Attachment {
    program: Ebpf,
    interfaces: Vec<InterfaceStatus>,
}

impl Attachment {
    pub(super) const fn new(program: Ebpf, interfaces: Vec<InterfaceStatus>) -> Self {
        Self { program, interfaces }
    }

    pub(super) fn interfaces(&self) -> &[InterfaceStatus] {
        &self.interfaces
    }

    /// Follows interfaces that went and came back.
    pub(super) fn refresh(&mut self, options: &AttachOptions, pins: Option<&Pins>) -> Result<(), EnforcerError> {
        self.interfaces = attach::attach_again(&mut self.program, options, pins, &self.interfaces)?;
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

    fn xdp(&self) -> Result<&Xdp, EnforcerError> {
        match self.program.program(maps::PROGRAM) {
            Some(Program::Xdp(xdp)) => Ok(xdp),
            _ => Err(EnforcerError::BadObject {
                reason: format!("it has no XDP program {}", maps::PROGRAM),
            }),
        }
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
