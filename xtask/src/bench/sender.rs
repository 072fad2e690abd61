//! Frames pushed into one end of a veth pair as a driver would, before there is any socket buffer: the kernel's live test
//! run. Whoever takes them at the other end works on the same processor.

use std::net::IpAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use nix::{
    errno::Errno,
    libc,
    net::if_::if_nametoindex,
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use portcullis_tests::netns::{self, Namespace};

use crate::paths;

/// Who receives them.
pub(super) const OUR_ADDRESS: [u8; 4] = [192, 0, 2, 1];
const OUR_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ETHERNET: usize = 14;
/// Where the program finds the sum of the header: see `flood` in ebpf/src/bin/floor.rs.
const SUM_AT: usize = 6;
/// Frames that the kernel sends together.
const BATCH: u32 = 64;
/// Frames by which it is found how many are taken.
const PROBE: u32 = 500_000;
/// How long a sender waits for the next frames to be due: each call of the kernel's test run has a cost of its own.
const MOMENT: Duration = Duration::from_millis(100);

/// A sender's namespace with `out`, and a receiver's with `in`, which has [`OUR_ADDRESS`].
pub(super) fn pair() -> (Namespace, Namespace) {
    let (sender, receiver) = (Namespace::new("out"), Namespace::new("in"));
    netns::veth((&sender, "out"), (&receiver, "in"));
    receiver.ip("link set in address 02:00:00:00:00:02");
    receiver.address("in", "192.0.2.1/24");
    (sender, receiver)
}

/// Lets the calling thread, and those that it starts, run on the last processor only.
pub(super) fn stay_on_last_processor() -> Result<()> {
    let mut processors = CpuSet::new();
    processors.set(last_processor())?;
    sched_setaffinity(Pid::from_raw(0), &processors).context("failed to stay on one processor")
}

/// The number of the last processor.
pub(super) fn last_processor() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) - 1
}

/// Sends frames from random ones of the first `sources` hosts, and tells how many seconds it took until they were
/// received.
pub(super) fn send(sender: &Namespace, sources: u32, frames: u32) -> Result<f64> {
    sender.run(move || {
        let flood = Flood::load(sources)?;
        let start = Instant::now();
        flood.push(frames)?;
        Ok(start.elapsed().as_secs_f64())
    })
}

/// Whom [`keep_on`] sends from.
pub(super) fn source() -> IpAddr {
    IpAddr::from([10, 0, 0, 0])
}

/// How many frames a second from [`source`] the other end takes at most, before whatever else the processor has to do.
pub(super) fn most_taken(sender: &Namespace) -> Result<u32> {
    sender.run(move || {
        let flood = Flood::load(1)?;
        come_first()?;
        flood.push(PROBE / 10)?;
        let start = Instant::now();
        flood.push(PROBE)?;
        Ok((f64::from(PROBE) / start.elapsed().as_secs_f64()) as u32)
    })
}

/// Sends so many frames a second from [`source`], in bursts, until it is told to stop, before whatever else its processor has to do.
/// Returns how many a second there were. Waits for whoever else waits at `ready`, once it can send.
pub(super) fn keep_on(sender: &Namespace, rate: u32, ready: &Barrier, stop: &AtomicBool) -> Result<f64> {
    sender.run(move || {
        let flood = Flood::load(1).and_then(|flood| come_first().map(|()| flood));
        ready.wait();
        let flood = flood?;
        let (start, mut sent) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            flood.push((f64::from(rate) * MOMENT.as_secs_f64()) as u32)?;
            sent += 1;
            let next = start + MOMENT * sent;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let share = MOMENT.as_secs_f64() * f64::from(sent) / start.elapsed().as_secs_f64();
        Ok(f64::from(rate) * share)
    })
}

/// Before everything else on its processor.
fn come_first() -> Result<()> {
    let priority = libc::sched_param { sched_priority: 10 };
    // SAFETY: the parameters live through the call, which concerns the calling thread only.
    let outcome = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    Errno::result(outcome)
        .map(drop)
        .context("failed to come before other processes")
}

/// The loaded program, on the thread that may use it.
struct Flood(Ebpf);

impl Flood {
    fn load(sources: u32) -> Result<Self> {
        stay_on_last_processor()?;
        let to = if_nametoindex("out")?;
        let object = paths::objects().join("floor");
        let mut ebpf = EbpfLoader::new()
            .override_global("FLOOD_TO", &to, true)
            .override_global("FLOOD_SOURCES", &sources, true)
            .load_file(object)?;
        let xdp: &mut Xdp = ebpf.program_mut("flood").context("no flood program")?.try_into()?;
        xdp.load()?;
        Ok(Self(ebpf))
    }

    fn push(&self, frames: u32) -> Result<()> {
        let xdp: &Xdp = self.0.program("flood").context("no flood program")?.try_into()?;
        let frame = frame();
        let mut options = TestRunOptions {
            data_in: Some(&frame),
            repeat: frames,
            ..TestRunOptions::default()
        };
        options.attrs = options.attrs.xdp_live_frames(BATCH);
        xdp.test_run(options)?;
        Ok(())
    }
}

/// A UDP datagram of 64 bytes to us, without a source and without a checksum: the sender makes both.
fn frame() -> Vec<u8> {
    let mut frame = vec![0; 64];
    frame[..6].copy_from_slice(&OUR_HARDWARE);
    frame[12] = 0x08;
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17]);
    frame[30..34].copy_from_slice(&OUR_ADDRESS);
    frame[34..42].copy_from_slice(&[0x27, 0x17, 0, 9, 0, 30, 0, 0]);
    let sum = frame[ETHERNET..ETHERNET + 20]
        .as_chunks::<2>()
        .0
        .iter()
        .fold(0_u32, |sum, word| sum + u32::from(u16::from_ne_bytes(*word)));
    let folded = (sum & 0xffff) + (sum >> 16);
    frame[SUM_AT..SUM_AT + 2].copy_from_slice(&(folded as u16).to_ne_bytes());
    frame
}
