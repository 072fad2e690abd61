//! The least that an XDP program can do: what the packet bench compares against.

// On any other target it is an empty program with std around it, so that Clippy can read it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

use aya_ebpf::{bindings::xdp_action, helpers::generated::bpf_get_prandom_u32, macros::xdp, programs::XdpContext};

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

/// Passes everything, after asking for the random number that makes a random source.
#[xdp(frags)]
pub(crate) fn floor_random(_: XdpContext) -> u32 {
    // SAFETY: the helper takes no argument.
    let random = unsafe { bpf_get_prandom_u32() };
    if random == 0 {
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
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
