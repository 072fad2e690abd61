//! The sampled drop events.

use std::{
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use aya::maps::{Map, MapData, RingBuf};
use portcullis_common::{DropEvent, Origin, Reason, maps};

use super::{EnforcerError, clone_fd, handed::Handed};

/// The source of drop events. Readable (poll, epoll, `AsyncFd`) when there is one.
pub struct Events {
    ring: RingBuf<MapData>,
}

/// One sampled drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReport {
    /// When, by `CLOCK_BOOTTIME`.
    pub since_boot: Duration,
    /// Who sent the packet.
    pub source: IpAddr,
    /// The index of the interface that it arrived at.
    pub interface: u32,
    /// Why.
    pub reason: Reason,
    /// Who asked for the ban.
    pub origin: Option<Origin>,
    /// Whether it was really dropped; not so in monitor mode.
    pub dropped: bool,
    /// Whether its source was over the rate limits so often that it should be banned; told each time again that it was so often.
    pub strikes: bool,
    /// Drops of the same processor since its last event that had none of their own.
    pub unsampled: u64,
}

impl Events {
    pub(super) fn open(handed: &Handed) -> Result<Self, EnforcerError> {
        let bad = |reason: String| EnforcerError::BadObject { reason };
        let (_, fd) = handed.find(maps::EVENTS)?;
        let fd = clone_fd(fd).map_err(|error| bad(error.to_string()))?;
        let data = MapData::from_fd(fd).map_err(|error| bad(error.to_string()))?;
        let ring = RingBuf::try_from(Map::RingBuf(data)).map_err(|error| bad(error.to_string()))?;
        Ok(Self { ring })
    }

    /// The next event, if there is one; never waits.
    pub fn next_report(&mut self) -> Option<DropReport> {
        loop {
            let item = self.ring.next()?;
            if let Some(report) = DropReport::read(&item) {
                return Some(report);
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl DropReport {
    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != size_of::<DropEvent>() {
            return None;
        }
        // SAFETY: there are as many bytes as the type has, and every pattern of them is a value.
        let event = unsafe { bytes.as_ptr().cast::<DropEvent>().read_unaligned() };
        Some(Self {
            since_boot: Duration::from_nanos(event.boot_ns),
            source: event.source.into(),
            interface: event.interface,
            reason: Reason::from_number(event.reason)?,
            origin: Origin::from_number(event.origin),
            dropped: event.outcome & DropEvent::DROPPED != 0,
            strikes: event.outcome & DropEvent::STRIKES != 0,
            unsampled: event.unsampled,
        })
    }
}
