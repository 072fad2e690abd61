//! What the packet bench compares against, and what sends its traffic.

// On any other target it is an empty program with std around it, so that Clippy can read it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

use core::ptr;

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_boot_ns, bpf_redirect},
    macros::xdp,
    programs::XdpContext,
};

/// Where the flood goes: the index of an interface.
#[unsafe(no_mangle)]
static FLOOD_TO: u32 = 0;
/// From how many sources it comes, from 10.0.0.0 on.
#[unsafe(no_mangle)]
static FLOOD_SOURCES: u32 = 1;

/// The sum of the header's words without source and checksum.
const SUM_AT: usize = 6;
/// The source of an IPv4 packet below an Ethernet header, and the checksum before it.
const CHECKSUM_AT: usize = 14 + 10;
const SOURCE_AT: usize = 14 + 12;
const HEADERS: usize = 14 + 20;
/// 10.0.0.0, from where the flood comes.
const FIRST_SOURCE: u32 = 0x0a00_0000;

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

/// Drops what comes from one source, and passes the rest: no ban costs less.
#[xdp]
#[cfg_attr(
    not(target_arch = "bpf"),
    expect(clippy::needless_pass_by_value, reason = "the attribute calls it so")
)]
pub(crate) fn floor_ban(context: XdpContext) -> u32 {
    let start = context.data();
    if start + HEADERS > context.data_end() {
        return xdp_action::XDP_PASS;
    }
    // SAFETY: the end was compared with the end of the packet.
    let source = unsafe { ((start + SOURCE_AT) as *const u32).read() };
    if source == FIRST_SOURCE.to_be() {
        return xdp_action::XDP_DROP;
    }
    xdp_action::XDP_PASS
}

/// Passes everything, after asking for the random number that makes a random source.
#[xdp(frags)]
pub(crate) fn floor_random(_: XdpContext) -> u32 {
    pass_after(random())
}

/// The same after waiting for the packet before.
#[xdp(frags)]
pub(crate) fn floor_serial(_: XdpContext) -> u32 {
    // SAFETY: the helper takes no argument. The kernel reads the time stamp counter behind a fence.
    let _ = unsafe { bpf_ktime_get_boot_ns() };
    pass_after(random())
}

/// Sends the packet to an interface, from a random one of the sources.
#[xdp]
#[cfg_attr(
    not(target_arch = "bpf"),
    expect(clippy::needless_pass_by_value, reason = "the attribute calls it so")
)]
pub(crate) fn flood(context: XdpContext) -> u32 {
    let start = context.data();
    if start + HEADERS > context.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: it is initialised and aligned. Volatile, as it is replaced before the program is loaded.
    let sources = unsafe { ptr::read_volatile(&raw const FLOOD_SOURCES) };
    // SAFETY: as above.
    let to = unsafe { ptr::read_volatile(&raw const FLOOD_TO) };
    let number = if sources == 0 { 0 } else { random() % sources };
    let source = (FIRST_SOURCE + number).to_be();
    // SAFETY: the end was compared with the end of the packet.
    unsafe { ((start + SOURCE_AT) as *mut u32).write(source) };
    let checksum = (start + CHECKSUM_AT) as *mut u16;
    // SAFETY: as above. The kernel uses its packets again as they are left, so that what does not change is not in the
    // place of the checksum, but where a sender's hardware address begins.
    let others = unsafe { ((start + SUM_AT) as *const u16).read() };
    // SAFETY: as above.
    unsafe { checksum.write(checksum_with(others, source)) };
    // SAFETY: the helper takes plain numbers.
    unsafe { bpf_redirect(to, 0) as u32 }
}

/// The checksum of a header, from the sum of its other words and its source (RFC 1071).
#[inline(always)]
fn checksum_with(others: u16, source: u32) -> u16 {
    let mut sum = others as u32 + (source & 0xffff) + (source >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

#[inline(always)]
fn random() -> u32 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_get_prandom_u32() }
}

#[inline(always)]
fn pass_after(random: u32) -> u32 {
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
