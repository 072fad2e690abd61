//! A virtual machine: what is in its initramfs, and how it is started and stopped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{archive::Archive, image::Image, suites::Suite};
use crate::{paths, process};

/// Programs that the suites start.
const PROGRAMS: [&str; 4] = ["ip", "ping", "setpriv", "unshare"];
/// Commands of busybox that the script of the guest uses.
const COMMANDS: [&str; 8] = ["cut", "insmod", "mkdir", "mount", "poweroff", "sh", "uname", "cat"];
const FOLDERS: [&str; 9] = ["dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "var"];
const QEMU: &str = "qemu-system-x86_64";

/// Packs everything that a guest needs. `filters` are arguments of the test programs.
pub(super) fn initramfs(image: &Image, busybox: &Path, suites: &[Suite], filters: &[String]) -> Result<PathBuf> {
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.directory(folder)?;
    }
    archive.program("bin/busybox", busybox).or_else(|_| {
        // `ldd` fails on a program without shared libraries.
        archive.file("bin/busybox", &fs::read(busybox)?)
    })?;
    for command in COMMANDS {
        let script = format!("#!/bin/busybox sh\nexec /bin/busybox {command} \"$@\"\n");
        archive.file(&format!("bin/{command}"), script.as_bytes())?;
    }
    for program in PROGRAMS {
        archive.program(&format!("bin/{program}"), &process::find(program)?)?;
    }
    for (name, content) in &image.modules {
        archive.file(&format!("modules/{name}"), content)?;
    }
    for suite in suites {
        archive.program(&format!("suites/{}", suite.name), &suite.program)?;
    }
    archive.file("init", script(image, suites, filters).as_bytes())?;
    let path = folder()?.join(format!("{}.cpio", image.release));
    fs::write(&path, archive.finish()?).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(path)
}

/// Boots, waits for the end, and returns what the guest said.
pub(super) fn boot(image: &Image, initramfs: &Path, patience: Duration) -> Result<String> {
    let log = folder()?.join(format!("{}.log", image.release));
    let _ = fs::remove_file(&log);
    let mut qemu = Command::new(QEMU);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3072"])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", log.display()))
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 panic=-1 quiet"])
        .stdin(Stdio::null());
    let child = qemu.spawn().with_context(|| format!("failed to start {QEMU}"))?;
    let ended = wait(child, patience)?;
    let said = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    if !ended {
        bail!(
            "the virtual machine with {} was stopped after {} s\n{}\nhint: its whole output is in {}",
            image.release,
            patience.as_secs(),
            last_lines(&said, 20),
            log.display()
        );
    }
    Ok(said)
}

/// Whether it ended by itself in time.
fn wait(mut child: Child, patience: Duration) -> Result<bool> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}

/// What runs as the first process of the guest.
fn script(image: &Image, suites: &[Suite], filters: &[String]) -> String {
    let mut script = String::from(
        "#!/bin/busybox sh\nexport PATH=/bin:/sbin HOME=/root RUST_BACKTRACE=1\n\
         mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
         mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; mount -t bpf bpf /sys/fs/bpf\n",
    );
    for (name, _) in &image.modules {
        script += &format!("insmod /modules/{name}\n");
    }
    let filters: String = filters.iter().map(|filter| format!(" {}", quoted(filter))).collect();
    for suite in suites {
        let name = &suite.name;
        script += &format!("echo \"@suite {name} $(cut -d' ' -f1 /proc/uptime)\"\n");
        // One at a time: a guest is slow, and the suites wait only for so long.
        script += &format!("cd /tmp; /suites/{name} --test-threads=1{filters} 2>&1 </dev/null\n");
        script += &format!("echo \"@status {name} $? $(cut -d' ' -f1 /proc/uptime)\"\n");
    }
    script + "poweroff -f\n"
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn folder() -> Result<PathBuf> {
    let folder = paths::target().join("kernels");
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    Ok(folder)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_one_word_to_the_shell() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_end_of_a_log() {
        assert_eq!(last_lines("1\n2\n3", 2), "2\n3");
        assert_eq!(last_lines("", 2), "");
    }
}
