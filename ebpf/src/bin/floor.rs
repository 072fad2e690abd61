//! The least that an XDP program can do: what the packet bench compares against.

// On any other target it is an empty program with std around it, so that Clippy can read it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Passes everything.
#[xdp(frags)]
pub(crate) fn floor_pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Drops everything.
#[xdp(frags)]
pub(crate) fn floor_drop(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
