//! Where the kernel put a frame.

use aya_ebpf::programs::XdpContext;

use crate::parse::Frame;

/// The frame of a packet.
#[inline(always)]
pub(crate) fn frame(context: &XdpContext) -> Frame {
    // SAFETY: the kernel keeps the packet while the program runs.
    unsafe { Frame::between(context.data(), context.data_end()) }
}

/// The same frame, so that the compiler keeps nothing of what it read of it before.
#[inline(always)]
pub(crate) fn frame_again(context: &XdpContext) -> Frame {
    // SAFETY: the context is valid while the program runs.
    let start = unsafe { &raw const (*context.ctx).data };
    // SAFETY: as above.
    let end = unsafe { &raw const (*context.ctx).data_end };
    // SAFETY: as above; volatile for the sake of the compiler.
    let start = unsafe { start.read_volatile() };
    // SAFETY: as above.
    let end = unsafe { end.read_volatile() };
    // SAFETY: the kernel keeps the packet while the program runs.
    unsafe { Frame::between(start as usize, end as usize) }
}
