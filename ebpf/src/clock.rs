//! The clock of the bans: `CLOCK_BOOTTIME`, as a rule read once a timer tick and processor.
//!
//! Reading it costs four times what the whole program costs otherwise; the tick counter is free.

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_boot_ns};

use crate::maps::SCRATCH;

/// What a processor remembers between two packets that a ban matched.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Scratch {
    /// The timer tick in which `boot_ns` was read.
    tick: u64,
    /// `CLOCK_BOOTTIME` in that tick.
    pub(crate) boot_ns: u64,
    /// When the last event was sent.
    pub(crate) last_event_ns: u64,
    /// Drops since then.
    pub(crate) unsampled: u64,
    /// When the connections that are opened will be back at the rate of the SYN-flood mode.
    pub(crate) syns: u64,
}

/// Bans that end later than so much after the clock was read are not compared with the clock itself. A hundred times what
/// a timer tick takes: on a busy machine, above all a virtual one, ticks come late.
const NEAR_NS: u64 = 1 << 30;

impl Scratch {
    /// Whether that moment is still to come.
    #[inline(always)]
    pub(crate) fn is_before(&self, boot_ns: u64) -> bool {
        // What was read in this tick is late by as much as the next one is: only near the end it is too little.
        if self.boot_ns + NEAR_NS < boot_ns {
            return true;
        }
        // SAFETY: the helper takes no argument and reads a clock.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        now < boot_ns
    }
}

/// Lets what comes later begin only after all that came before: for benches of packets that come alone.
#[inline(always)]
pub(crate) fn wait() {
    // SAFETY: the helper takes no argument. The kernel reads the time stamp counter behind a fence.
    let _ = unsafe { bpf_ktime_get_boot_ns() };
}

/// This processor's memory with the clock in it brought up to this tick.
#[inline(always)]
pub(crate) fn read() -> Option<&'static mut Scratch> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: the slot belongs to this processor, XDP programs of one processor do not interrupt
    // each other, and each packet asks for it once.
    let scratch = unsafe { &mut *scratch };
    // SAFETY: the helper takes no argument and reads a kernel variable.
    let tick = unsafe { bpf_jiffies64() };
    if scratch.tick != tick {
        scratch.tick = tick;
        // SAFETY: the helper takes no argument and reads a clock.
        scratch.boot_ns = unsafe { bpf_ktime_get_boot_ns() };
    }
    Some(scratch)
}
