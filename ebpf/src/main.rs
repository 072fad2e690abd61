//! The XDP program: one packet in, one verdict out.
//!
//! `parse` is the only module that reads packets, `decide` the only one that judges them.

// On any other target it is an empty program with std around it, so that Clippy can read it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod clock;
mod context;
mod count;
mod decide;
mod event;
mod hosts;
mod maps;
mod parse;
mod rate;

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use portcullis_common::{MALFORMED_DROP, MODE_MONITOR, Reason};

use crate::{
    clock::Scratch,
    decide::{Glance, Hit, Suspect, Verdict},
    maps::{SharedSettings, setting},
    parse::Frame,
};

/// The entry. `frags`, so that it attaches natively where the MTU needs several buffers a frame.
#[xdp(frags)]
#[cfg_attr(
    not(target_arch = "bpf"),
    expect(clippy::needless_pass_by_value, reason = "the attribute calls it so")
)]
pub(crate) fn portcullis(context: XdpContext) -> u32 {
    let frame = context::frame(&context);
    match decide::glance(&frame) {
        Glance::Pass(reason) => {
            count::count(reason.counter(), frame.length());
            xdp_action::XDP_PASS
        }
        Glance::Malformed => malformed(&context, &frame),
        Glance::Suspicious(suspect) => look_closer(context.ctx, &suspect),
    }
}

/// The stack drops what has no whole header as well; whoever wants it counted and gone earlier says so.
#[inline(always)]
fn malformed(context: &XdpContext, frame: &Frame) -> u32 {
    if let (Some(settings), Some(scratch)) = (maps::settings(), clock::read())
        && setting!(settings, malformed) == MALFORMED_DROP
    {
        return refuse(context, frame, &decide::malformed(), &settings, scratch);
    }
    count::count(Reason::Malformed.counter(), frame.length());
    xdp_action::XDP_PASS
}

/// What a glance did not decide. A function of its own, so that the way of the others keeps the registers for itself.
#[inline(always)]
fn look_closer(context: *mut xdp_md, suspect: &Suspect) -> u32 {
    let context = XdpContext::new(context);
    let frame = context::frame_again(&context);
    // Both are there; the verifier wants to see that asked.
    let (Some(settings), Some(scratch)) = (maps::settings(), clock::read()) else {
        return xdp_action::XDP_PASS;
    };
    match decide::judge(&frame, suspect, &settings, scratch) {
        Verdict::Pass(reason) => {
            count::count(reason.counter(), frame.length());
            xdp_action::XDP_PASS
        }
        Verdict::Note(hit) => {
            event::sample(&context, &settings, &hit, false, scratch);
            count::count(hit.reason.counter(), frame.length());
            xdp_action::XDP_PASS
        }
        Verdict::Drop(hit) => refuse(&context, &frame, &hit, &settings, scratch),
    }
}

/// The path of packets that a ban matched; everything costly happens here.
#[inline(always)]
fn refuse(context: &XdpContext, frame: &Frame, hit: &Hit, settings: &SharedSettings, scratch: &mut Scratch) -> u32 {
    let [a, b, c, d] = hit.source.0;
    debug!(context, "{} {:x} {:x} {:x} {:x}", hit.reason.name(), a, b, c, d);
    let monitored = setting!(settings, monitored_origins) >> (hit.origin & 31) & 1 != 0;
    let monitor = monitored || setting!(settings, mode) == MODE_MONITOR;
    count::hit(hit.id, frame.length(), scratch.boot_ns);
    event::sample(context, settings, hit, !monitor, scratch);
    if monitor {
        count::count(Reason::Passed.counter(), frame.length());
        count::count(hit.reason.monitor_counter(), frame.length());
        return xdp_action::XDP_PASS;
    }
    count::count(hit.reason.counter(), frame.length());
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
