//! The ABI between the daemon and its XDP program: what the maps hold, in which layout.
//!
//! Addresses and ports are in network byte order, everything else in the byte order of the
//! machine. This crate knows `core` only: no kernel, no aya, no clock.

#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]

#[cfg(test)]
extern crate std;

mod address;
mod ban;
mod cell;
mod counter;
mod event;
pub mod filter;
mod flow;
pub mod hash;
pub mod maps;
mod plain;
mod prefix;
mod reason;
mod settings;
mod slot;

pub use address::Address;
pub use ban::{BanEntry, Origin};
pub use cell::{HitCell, RateCell};
pub use counter::Counter;
pub use event::DropEvent;
pub use flow::FlowKey;
pub use plain::Plain;
pub use prefix::PrefixKey;
pub use reason::Reason;
pub use settings::{
    Geometry, Limit, Limits, MALFORMED_DROP, MALFORMED_PASS, MAX_EXEMPT_PORTS, MAX_FLOOD_PORTS, MODE_ENFORCE,
    MODE_MONITOR, Settings, SynFlood,
};
pub use slot::{Slot, v4_permuted, v4_tag, v6_likely, v6_tag};

/// Changes with every change of a map's name, key, value or meaning.
pub const ABI_VERSION: u32 = 4;
