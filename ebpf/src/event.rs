//! The sampled drop events.

use aya_ebpf::programs::XdpContext;
use portcullis_common::DropEvent;

use crate::{
    clock::Scratch,
    decide::Hit,
    maps::{EVENTS, SharedSettings, setting},
};

/// Reports a hit, unless this processor reported another one a moment ago.
#[inline(always)]
pub(crate) fn sample(context: &XdpContext, settings: &SharedSettings, hit: &Hit, dropped: bool, scratch: &mut Scratch) {
    let elapsed = scratch.boot_ns.wrapping_sub(scratch.last_event_ns);
    if !hit.report && elapsed < u64::from(setting!(settings, event_interval_ns)) {
        scratch.unsampled += 1;
        return;
    }
    // A full ring buffer counts as sampled: trying again at once would cost without a reader.
    scratch.last_event_ns = scratch.boot_ns;
    let Some(mut slot) = EVENTS.reserve(0) else {
        scratch.unsampled += 1;
        return;
    };
    slot.write(DropEvent {
        boot_ns: scratch.boot_ns,
        unsampled: scratch.unsampled,
        source: hit.source,
        interface: interface(context),
        reason: hit.reason as u32,
        origin: hit.origin,
        outcome: outcome(hit, dropped),
    });
    slot.submit(0);
    scratch.unsampled = 0;
}

#[inline(always)]
fn outcome(hit: &Hit, dropped: bool) -> u32 {
    let dropped = if dropped { DropEvent::DROPPED } else { 0 };
    let report = if hit.report { DropEvent::STRIKES } else { 0 };
    dropped | report
}

#[inline(always)]
fn interface(context: &XdpContext) -> u32 {
    // SAFETY: the context is a valid `xdp_md` while the program runs.
    unsafe { (*context.ctx).ingress_ifindex }
}
