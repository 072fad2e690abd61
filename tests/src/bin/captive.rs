//! A daemon that somebody has taken over: it confines itself as the real one does, and then tries to break out.
//!
//! `captive HELPER INTERFACE STATE PINS`. Prints one line for each attempt, and what still works. The tests start it.

#![expect(clippy::expect_used, reason = "a part of a test may fail as a test may")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::libc::{self, c_long, c_void};
use portcullis::confine::{self, Needs};
use portcullis::enforcer::{AttachOptions, Capacities, Enforcer, Mode, Origin, Target};

const BANS: u32 = 3_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [helper, interface, state, pins] = arguments.as_slice() else {
        println!("usage: captive HELPER INTERFACE STATE PINS");
        return ExitCode::FAILURE;
    };
    let options = AttachOptions {
        interfaces: vec![interface.clone()],
        mode: Mode::Enforce,
        pins: Some(PathBuf::from(pins)),
        capacities: Capacities {
            hosts: 1_000,
            hosts_limit: 10_000,
            ..Capacities::default()
        },
        ..AttachOptions::default()
    };
    let mut command = Command::new(helper);
    command.args(["helper", "--log-format", "text", "--log-level", "info"]);
    let enforcer = Enforcer::attach_apart(&options, command).expect("the packet layer is there");
    let helper = enforcer.take_helper().expect("there is a helper").id();
    let socket = helper_socket().expect("there is a socket to the helper");
    tell("before", &attempts(helper, pins));
    confine::daemon(&Needs {
        user: Some("nobody"),
        state: Path::new(state),
        files: &[],
    })
    .expect("privileges can be given up");
    tell("after", &attempts(helper, pins));
    tell("after", &fatal_attempts(helper));
    work_on(&enforcer, Path::new(state));
    lie_to_the_helper(socket);
    // Whoever is asked now is gone.
    println!(
        "helper: {}",
        outcome(&enforcer.refresh_interfaces().map_err(io::Error::other))
    );
    ExitCode::SUCCESS
}

type Attempts = Vec<(&'static str, io::Result<()>)>;

fn tell(when: &str, attempts: &Attempts) {
    for (name, result) in attempts {
        println!("{when}: {name}: {}", outcome(result));
    }
}

fn outcome<T>(result: &io::Result<T>) -> String {
    match result {
        Ok(_) => "possible".to_owned(),
        Err(error) => format!("refused ({error})"),
    }
}

/// One system call.
fn call(number: c_long, arguments: [usize; 6]) -> io::Result<c_long> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: each caller hands over numbers, and pointers to what lives through the call and is as long as it says.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// A call that opens something, which is closed again.
fn opening(number: c_long, arguments: [usize; 6]) -> io::Result<()> {
    let fd = call(number, arguments)?;
    // SAFETY: it was just opened, and nobody else knows it.
    unsafe { libc::close(RawFd::try_from(fd).unwrap_or(-1)) };
    Ok(())
}

fn bpf(command: usize, attribute: &[u64]) -> io::Result<()> {
    opening(
        libc::SYS_bpf,
        [command, attribute.as_ptr() as usize, size_of_val(attribute), 0, 0, 0],
    )
}

/// What can be tried before as well, where it shows that the attempt is a real one.
fn attempts(helper: u32, pins: &str) -> Attempts {
    // r0 = XDP_PASS; exit
    let program: [u64; 2] = [u64::from_le_bytes([0xb7, 0, 0, 0, 2, 0, 0, 0]), 0x95];
    let license = c"GPL";
    let load = [6 | 2 << 32, program.as_ptr() as u64, license.as_ptr() as u64, 0, 0, 0];
    let map = [2 | 4 << 32, 4 | 1 << 32, 0];
    let pin = first_link(pins);
    let get = [pin.as_ptr() as u64, 0];
    let file = |path: &str| File::open(path).map(drop);
    // The kernel writes the next one there.
    let next = [0_u64; 2];
    vec![
        ("bpf(PROG_LOAD)", bpf(5, &load)),
        ("bpf(MAP_CREATE)", bpf(0, &map)),
        ("bpf(OBJ_GET) of the link", bpf(7, &get)),
        ("bpf(PROG_GET_NEXT_ID)", bpf(11, &next)),
        ("open of /etc/shadow", file("/etc/shadow")),
        ("open of a program", file("/usr/bin/env")),
        ("open of the root's directory", file("/root")),
        ("a new file in /tmp", temporary()),
        (
            "socket(AF_PACKET)",
            opening(
                libc::SYS_socket,
                [libc::AF_PACKET as usize, libc::SOCK_RAW as usize, 0, 0, 0, 0],
            ),
        ),
        (
            "a raw socket",
            opening(
                libc::SYS_socket,
                [libc::AF_INET as usize, libc::SOCK_RAW as usize, 1, 0, 0, 0],
            ),
        ),
        (
            "a socket of netfilter",
            opening(
                libc::SYS_socket,
                [
                    libc::AF_NETLINK as usize,
                    libc::SOCK_RAW as usize,
                    libc::NETLINK_NETFILTER as usize,
                    0,
                    0,
                    0,
                ],
            ),
        ),
        (
            "a TCP port to listen on",
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop),
        ),
        ("memory to execute", executable()),
        (
            "memfd_create",
            opening(libc::SYS_memfd_create, [c"x".as_ptr() as usize, 0, 0, 0, 0, 0]),
        ),
        ("a signal to the helper", signalled(helper)),
        ("the memory of the helper", file(&format!("/proc/{helper}/mem"))),
    ]
}

/// What would change too much if it were possible.
fn fatal_attempts(helper: u32) -> Attempts {
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let (program, root, kind) = (text("/bin/true"), text("/"), text("tmpfs"));
    let nothing = std::ptr::null::<c_void>() as usize;
    let arguments = [program.as_ptr() as usize, nothing];
    let plain = |number: c_long, arguments: [usize; 6]| call(number, arguments).map(drop);
    vec![
        (
            "execve",
            plain(
                libc::SYS_execve,
                [program.as_ptr() as usize, arguments.as_ptr() as usize, nothing, 0, 0, 0],
            ),
        ),
        ("fork", plain(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0])),
        (
            "ptrace of the helper",
            plain(
                libc::SYS_ptrace,
                [libc::PTRACE_SEIZE as usize, helper as usize, 0, 0, 0, 0],
            ),
        ),
        (
            "mount",
            plain(
                libc::SYS_mount,
                [
                    kind.as_ptr() as usize,
                    root.as_ptr() as usize,
                    kind.as_ptr() as usize,
                    0,
                    0,
                    0,
                ],
            ),
        ),
        (
            "chroot",
            plain(libc::SYS_chroot, [root.as_ptr() as usize, 0, 0, 0, 0, 0]),
        ),
        (
            "unshare of a user namespace",
            plain(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0]),
        ),
        ("setuid", plain(libc::SYS_setuid, [0; 6])),
        ("keyctl", plain(libc::SYS_keyctl, [0, 0, 1, 0, 0, 0])),
        ("io_uring_setup", opening(libc::SYS_io_uring_setup, [0; 6])),
        ("perf_event_open", opening(libc::SYS_perf_event_open, [0; 6])),
        ("userfaultfd", opening(libc::SYS_userfaultfd, [0; 6])),
        ("init_module", plain(libc::SYS_init_module, [0; 6])),
        (
            "readable memory",
            plain(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0, 0]),
        ),
        (
            "kill of the helper",
            plain(libc::SYS_kill, [helper as usize, libc::SIGKILL as usize, 0, 0, 0, 0]),
        ),
        (
            "kill of a thread of the helper",
            plain(
                libc::SYS_tgkill,
                [helper as usize, helper as usize, libc::SIGKILL as usize, 0, 0, 0],
            ),
        ),
    ]
}

/// Signal 0 only looks whether one might.
fn signalled(process: u32) -> io::Result<()> {
    call(libc::SYS_kill, [process as usize, 0, 0, 0, 0, 0]).map(drop)
}

fn temporary() -> io::Result<()> {
    let path = format!("/tmp/captive-{}", std::process::id());
    File::create(&path)?;
    std::fs::remove_file(&path)
}

fn executable() -> io::Result<()> {
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let start = call(
        libc::SYS_mmap,
        [0, 4096, protection as usize, kind as usize, usize::MAX, 0],
    )?;
    call(
        libc::SYS_munmap,
        [usize::try_from(start).unwrap_or(0), 4096, 0, 0, 0, 0],
    )
    .map(drop)
}

/// The pinned link of an interface.
fn first_link(pins: &str) -> CString {
    let links = (1..1_000).map(|index| format!("{pins}/link-{index}"));
    let mut found = links.filter(|path| Path::new(path).exists());
    // Once it is confined, the directory is closed and any name will do.
    let path = found.next().unwrap_or_else(|| format!("{pins}/link-2"));
    CString::new(path).unwrap_or_default()
}

/// What must go on: verdicts, growth, a look at the interfaces, and files of one's own.
fn work_on(enforcer: &Enforcer, state: &Path) {
    let host = |number: u32| Target::Host(Ipv4Addr::from(0x2d00_0000 + number).into());
    for number in 0..BANS {
        enforcer
            .ban(host(number), Duration::from_secs(600), Origin::List)
            .expect("a ban");
    }
    let held = (0..BANS).filter(|number| matches!(enforcer.lookup(host(*number)), Ok(Some(_))));
    println!("goes on: {} bans held", held.count());
    println!("goes on: {} times grown", enforcer.growth().times);
    println!("goes on: lifted {:?}", enforcer.unban(host(0)).ok());
    let guarded = enforcer.refresh_interfaces().map(|guarded| guarded.len());
    println!("goes on: {} interfaces guarded", guarded.expect("the helper answers"));
    println!("goes on: counters {}", enforcer.counters().is_ok());
    let path = state.join("own");
    let own = std::fs::write(&path, "text").and_then(|()| std::fs::remove_file(&path));
    println!("goes on: own files {}", outcome(&own));
}

/// The socket to the helper: the only one of its kind that this process has.
fn helper_socket() -> Option<RawFd> {
    (3..64).find(|fd| {
        let (mut kind, mut length) = (0_i32, size_of::<i32>() as libc::socklen_t);
        // SAFETY: there is room for what is asked, and a number that is no socket is refused.
        let result = unsafe {
            libc::getsockopt(
                *fd,
                libc::SOL_SOCKET,
                libc::SO_TYPE,
                (&raw mut kind).cast(),
                &raw mut length,
            )
        };
        result == 0 && kind == libc::SOCK_SEQPACKET
    })
}

fn lie_to_the_helper(socket: RawFd) {
    let options = r#"{"Start":{"interfaces":["lo"]}}"#;
    for lie in [
        r#"{"Grow":{"hosts":4294967295}}"#,
        r#"{"Grow":{"hosts":1}}"#,
        r#""Swap""#,
        options,
    ] {
        let sent = call(
            libc::SYS_sendto,
            [socket as usize, lie.as_ptr() as usize, lie.len(), 0, 0, 0],
        );
        let mut answer = vec![0_u8; 4096];
        let received = sent.and_then(|_| {
            call(
                libc::SYS_recvfrom,
                [socket as usize, answer.as_mut_ptr() as usize, answer.len(), 0, 0, 0],
            )
        });
        let length = received.map_or(0, |length| usize::try_from(length).unwrap_or(0));
        println!("lie: {lie}: {}", String::from_utf8_lossy(&answer[..length]));
    }
}
