//! The sign of life that systemd is given: not without every worker. A worker is held still by ptrace, which needs root.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use portcullis_tests::daemon::{Daemon, Wanted};

const PATIENCE: Duration = Duration::from_secs(20);

fn await_sign(socket: &UnixDatagram) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 64];
    while Instant::now() < deadline {
        let length = socket.recv(&mut buffer).context("nothing more is said")?;
        if buffer[..length].starts_with(b"WATCHDOG=1") {
            return Ok(());
        }
    }
    bail!("no sign of life")
}

/// What was said and not read yet.
fn signs(socket: &UnixDatagram) -> Result<usize> {
    socket.set_nonblocking(true)?;
    let mut buffer = [0; 64];
    let mut signs = 0;
    loop {
        match socket.recv(&mut buffer) {
            Ok(_) => signs += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    socket.set_nonblocking(false)?;
    Ok(signs)
}

fn trace(request: libc::c_uint, thread: i32) -> Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests take neither address nor data.
    let result = unsafe { libc::ptrace(request, thread, nothing, nothing) };
    ensure!(result == 0, "ptrace: {}", io::Error::last_os_error());
    Ok(())
}

#[test]
fn a_worker_that_is_stuck_keeps_the_daemon_from_saying_that_it_is_alive() -> Result<()> {
    let home = tempfile::tempdir()?;
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let notify = format!("NOTIFY_SOCKET={}", path.display());
    let wanted = Wanted {
        http: "workers = 2\n",
        wrapper: &["env", &notify, "WATCHDOG_USEC=200000"],
        ..Wanted::enforcing(SocketAddr::from(([127, 0, 0, 1], 1)), "")
    };
    let daemon = Daemon::start(&wanted)?;
    await_sign(&socket)?;
    let id = daemon.id();
    let mut threads = fs::read_dir(format!("/proc/{id}/task"))?.flatten();
    let worker = threads
        .find(|thread| fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "worker"))
        .context("no worker")?;
    let worker: i32 = worker.file_name().to_string_lossy().parse()?;
    trace(libc::PTRACE_SEIZE, worker)?;
    trace(libc::PTRACE_INTERRUPT, worker)?;
    // From the first complaint on, all is silence.
    daemon.await_logged("workers do not answer", "workers", 1)?;
    signs(&socket)?;
    daemon.await_logged("workers do not answer", "workers", 5)?;
    ensure!(signs(&socket)? == 0, "a sign of life without a worker");
    trace(libc::PTRACE_DETACH, worker)?;
    await_sign(&socket)
}
