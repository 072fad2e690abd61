//! The key of the flow table.

use crate::{Address, Plain};

/// One TCP connection, as seen by the machine that the packets arrive at.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Who sends the packets.
    pub remote: Address,
    /// Who receives them.
    pub local: Address,
    /// Source port, network byte order.
    pub remote_port: u16,
    /// Destination port, network byte order.
    pub local_port: u16,
}

const _: () = assert!(size_of::<FlowKey>() == 36 && align_of::<FlowKey>() == 4);

// SAFETY: 16 + 16 + 2 + 2 bytes fill the 36, every pattern is a value.
unsafe impl Plain for FlowKey {}
