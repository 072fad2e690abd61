//! The maps of a program as those get them who write verdicts and nothing else: descriptors, and how large what is in
//! them is. Neither program nor link is among them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya::Ebpf;
use portcullis_common::maps;
use serde::{Deserialize, Serialize};

use super::{EnforcerError, clone_fd, table};

/// What is handed over.
const NAMES: [&str; 12] = [
    maps::FILTER,
    maps::HOSTS_V4,
    maps::HOSTS_V6,
    maps::KEYS_V6,
    maps::OVERFLOW,
    maps::PREFIXES,
    maps::FLOWS,
    maps::NEVER_BAN,
    maps::COUNTERS,
    maps::HITS,
    maps::SETTINGS,
    maps::EVENTS,
];

/// What a map is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    name: String,
    pub(super) key_bytes: u32,
    pub(super) value_bytes: u32,
    pub(super) entries: u32,
}

/// Maps of one program.
pub(super) struct Handed(Vec<(Shape, OwnedFd)>);

impl Handed {
    /// Those of a program that is loaded.
    pub(super) fn of(program: &Ebpf) -> Result<Self, EnforcerError> {
        let hand = |name: &'static str| {
            let data = table::data_of(program, name)?;
            let info = data.info().map_err(|error| bad(error.to_string()))?;
            let shape = Shape {
                name: name.to_owned(),
                key_bytes: info.key_size(),
                value_bytes: info.value_size(),
                entries: info.max_entries(),
            };
            let fd = clone_fd(data.fd()).map_err(|source| EnforcerError::Map {
                map: name,
                action: "open",
                source,
            })?;
            Ok((shape, fd))
        };
        NAMES.into_iter().map(hand).collect::<Result<_, _>>().map(Self)
    }

    /// The same maps once more.
    pub(super) fn of_all(other: &Self) -> Result<Self, EnforcerError> {
        let hand = |(shape, fd): &(Shape, OwnedFd)| {
            let fd = fd.try_clone().map_err(|error| bad(error.to_string()))?;
            Ok((shape.clone(), fd))
        };
        other.0.iter().map(hand).collect::<Result<_, _>>().map(Self)
    }

    /// Those that came over a socket.
    pub(super) fn received(shapes: Vec<Shape>, descriptors: Vec<OwnedFd>) -> Result<Self, EnforcerError> {
        if shapes.len() != descriptors.len() {
            let (told, came) = (shapes.len(), descriptors.len());
            return Err(bad(format!("{came} maps came where {told} were told")));
        }
        Ok(Self(shapes.into_iter().zip(descriptors).collect()))
    }

    pub(super) fn shapes(&self) -> Vec<Shape> {
        self.0.iter().map(|(shape, _)| shape.clone()).collect()
    }

    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().map(|(_, fd)| fd.as_fd()).collect()
    }

    /// The map of that name.
    pub(super) fn find(&self, name: &'static str) -> Result<(&Shape, BorrowedFd<'_>), EnforcerError> {
        let found = self.0.iter().find(|(shape, _)| shape.name == name);
        let (shape, fd) = found.ok_or_else(|| bad(format!("there is no map {name}")))?;
        Ok((shape, fd.as_fd()))
    }
}

fn bad(reason: String) -> EnforcerError {
    EnforcerError::BadObject { reason }
}
