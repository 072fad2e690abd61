//! `cargo xtask test --kernels`: the XDP suites on other kernels than this machine's, in virtual machines.
//!
//! QEMU interprets the guest, so that no virtualisation of the machine is needed. A guest boots to an initramfs of
//! busybox, the test programs as `cargo test` runs them, and the few programs that they start.

mod archive;
mod image;
mod machine;
mod report;
mod suites;

use std::time::Duration;

use anyhow::{Result, bail};

use self::report::Report;
use crate::setup::{self, Purpose};

/// The kernels that Portcullis promises to run on, beside the one that its developers have.
pub(crate) const DEFAULT: &str = "6.1,6.12";

/// A guest that takes longer is stopped: all suites together take a tenth of this.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Runs the suites on each of these kernels (`6.1`, `6.12`). `filters` go to the test programs.
pub(crate) fn run(kernels: &[String], filters: &[String]) -> Result<()> {
    setup::ready(Purpose::Kernels)?;
    let suites = suites::build()?;
    let busybox = image::busybox()?;
    let mut failed = Vec::new();
    for kernel in kernels {
        let image = image::find_or_download(kernel)?;
        let initramfs = machine::initramfs(&image, &busybox, &suites, filters)?;
        eprintln!("kernels: {} boots", image.release);
        let report = Report::of(&machine::boot(&image, &initramfs, PATIENCE)?, &suites);
        report.print(&image.release);
        if !report.is_good() {
            failed.push(image.release);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("the XDP suites failed on {}", failed.join(", "))
}
