//! Stops and restarts: sockets that somebody else holds lose no connection, and what is open has time to finish.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, Wire};
use portcullis_tests::daemon::{Daemon, Home, Wanted};
use portcullis_tests::load::Load;

/// What systemd does: the socket becomes descriptor 3 of the daemon.
const HAND_OVER: [&str; 4] = [
    "sh",
    "-c",
    "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$; exec \"$@\"",
    "sh",
];
const EXTRA: &str = "[protect]\npaths = [\"/api/**\"]\n";
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n";

fn start(home: &Home, socket: impl AsFd, listen: SocketAddr, backend: &Backend, extra: &str) -> Result<Daemon> {
    let wanted = Wanted {
        listen,
        wrapper: &HAND_OVER,
        input: Some(socket.as_fd().try_clone_to_owned()?),
        ..Wanted::enforcing(backend.address(), extra)
    };
    Daemon::start_in(home.clone(), &wanted)
}

#[test]
fn a_restart_loses_no_connection() -> Result<()> {
    let (backend, home) = (Backend::start()?, Home::new()?);
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let mut daemon = start(&home, &socket, address, &backend, EXTRA)?;
    ensure!(daemon.address() == address);
    let mut client = Client::open(address)?;
    ensure!(client.call("GET", "/api/a", "")?.status == 200);
    let load = Load::start(address, "/public", 3);
    for _ in 0..3 {
        load.await_answers(100)?;
        daemon.stop()?;
        daemon = start(&home, &socket, address, &backend, EXTRA)?;
    }
    load.await_answers(100)?;
    let answered = load.stop()?;
    ensure!(answered >= 400, "{answered}");
    let answer = client.call("GET", "/api/a", "")?;
    ensure!(answer.problem() == "fresh-nonce-required", "{}", answer.body);
    client.adopt(&answer)?;
    ensure!(client.call("GET", "/api/a", "")?.status == 200, "sessions outlive it");
    Ok(())
}

#[test]
fn a_unix_socket_is_handed_over_too() -> Result<()> {
    let (backend, home) = (Backend::start()?, Home::new()?);
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("http.sock");
    let socket = UnixListener::bind(&path)?;
    let extra = format!("{EXTRA}[[listener]]\naddress = \"unix:{}\"\n", path.display());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for _ in 0..2 {
        let daemon = start(&home, &socket, any, &backend, &extra)?;
        let mut wire = Wire::of(UnixStream::connect(&path)?);
        ensure!(wire.exchange(GET)?.status == 200);
        drop(wire);
        daemon.stop()?;
    }
    Ok(())
}

#[test]
fn a_listener_takes_the_socket_of_its_name() -> Result<()> {
    let (backend, home) = (Backend::start()?, Home::new()?);
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let extra = |name: &str| format!("{EXTRA}[[listener]]\naddress = \"fd:{name}\"\nhttp2 = true\n");
    let daemon = start(&home, &socket, any, &backend, &extra("web"))?;
    ensure!(daemon.listener(1)? == socket.local_addr()?);
    ensure!(Wire::connect(socket.local_addr()?)?.exchange(GET)?.status == 200);
    daemon.stop()?;
    let Err(error) = start(&home, &socket, any, &backend, &extra("other")) else {
        return Err(anyhow!("it started"));
    };
    ensure!(
        format!("{error:#}").contains("no socket of the name `other` was handed over"),
        "{error:#}"
    );
    Ok(())
}

#[test]
fn a_socket_that_no_listener_wants_is_a_mistake() -> Result<()> {
    let (backend, home) = (Backend::start()?, Home::new()?);
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let other = SocketAddr::from(([127, 0, 0, 1], 0));
    let Err(error) = start(&home, &socket, other, &backend, EXTRA) else {
        return Err(anyhow!("it started"));
    };
    let expected = format!(
        "a socket at {} was handed over, and no listener is there",
        socket.local_addr()?
    );
    ensure!(format!("{error:#}").contains(&expected), "{error:#}");
    let (file, _) = UnixStream::pair()?;
    let Err(error) = start(&home, OwnedFd::from(file), other, &backend, EXTRA) else {
        return Err(anyhow!("it started"));
    };
    ensure!(format!("{error:#}").contains("it does not listen"), "{error:#}");
    Ok(())
}

/// An application that tells when a request has come, and answers when it is told to.
fn patient() -> Result<(SocketAddr, Receiver<()>, Sender<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let ((came, has_come), (go, may_go)) = (channel(), channel());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // What is left unread would reset the connection, and the answer with it.
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let _ = (came.send(()), may_go.recv());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    Ok((address, has_come, go))
}

/// A daemon that was told to stop while a request is open, and the end of that request.
fn stopping(deadline: &str) -> Result<(Daemon, Wire, Sender<()>)> {
    let (application, has_come, go) = patient()?;
    let http = format!("drain_timeout = \"{deadline}\"");
    let daemon = Daemon::start(&Wanted {
        http: &http,
        ..Wanted::enforcing(application, EXTRA)
    })?;
    let wire = Wire::connect(daemon.address())?;
    wire.stream().write_all(GET)?;
    has_come.recv_timeout(Duration::from_secs(10))?;
    daemon.signal(Signal::SIGTERM)?;
    daemon.await_logged("stopping", "message", 1)?;
    Ok((daemon, wire, go))
}

#[test]
fn what_is_open_has_time_to_finish() -> Result<()> {
    let (daemon, mut wire, go) = stopping("1h")?;
    go.send(())?;
    let answer = wire.answer()?;
    ensure!(
        answer.status == 200 && answer.headers["connection"] == "close",
        "{answer:?}"
    );
    daemon.stop()?;
    Ok(())
}

#[test]
fn what_does_not_finish_is_cut_off_at_the_deadline() -> Result<()> {
    let (daemon, mut wire, _go) = stopping("100ms")?;
    daemon.stop()?;
    ensure!(wire.answer().is_err());
    Ok(())
}

const STATUS: &[u8] = b"GET /v1/status HTTP/1.1\r\nhost: portcullis\r\n\r\n";

/// [`HAND_OVER`] under another name.
fn hand_over(name: &str) -> String {
    format!("exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_FDNAMES={name} LISTEN_PID=$$; exec \"$@\"")
}

/// A daemon that gets one socket under this name.
fn start_with(home: &Home, name: &str, socket: impl AsFd, backend: &Backend, extra: &str) -> Result<Daemon> {
    let script = hand_over(name);
    let wanted = Wanted {
        wrapper: &["sh", "-c", &script, "sh"],
        input: Some(socket.as_fd().try_clone_to_owned()?),
        ..Wanted::enforcing(backend.address(), extra)
    };
    Daemon::start_in(home.clone(), &wanted)
}

fn refused(started: Result<Daemon>, reason: &str) -> Result<()> {
    let Err(error) = started else {
        return Err(anyhow!("it started"));
    };
    ensure!(format!("{error:#}").contains(reason), "{error:#}");
    Ok(())
}

#[test]
fn the_control_socket_is_handed_over_and_its_questions_wait() -> Result<()> {
    let (backend, home) = (Backend::start()?, Home::new()?);
    let path = home.path().join("control.sock");
    let socket = UnixListener::bind(&path)?;
    set_mode(&path, 0o660)?;
    for name in ["control", "of-the-same-file", "control"] {
        let mut early = UnixStream::connect(&path)?;
        early.write_all(STATUS)?;
        let daemon = start_with(&home, name, &socket, &backend, EXTRA)?;
        let answer = Wire::of(early).answer()?;
        ensure!(answer.status == 200, "{answer:?}");
        daemon.cli(&["ban", "add", "192.0.2.9", "--for", "1h"])?;
        ensure!(daemon.cli(&["ban", "list"])?.contains("192.0.2.9"));
        daemon.stop()?;
        ensure!(path.exists(), "it is not the daemon's to remove");
    }
    Ok(())
}

#[test]
fn what_an_operator_asked_is_answered_before_the_end() -> Result<()> {
    const BODY: &[u8] = br#"{"network":"192.0.2.9/32","for_seconds":3600,"reason":"late"}"#;
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), EXTRA))?;
    let mut silent = Wire::of(UnixStream::connect(daemon.control())?);
    let mut asking = Wire::of(UnixStream::connect(daemon.control())?);
    let length = BODY.len();
    let head = format!(
        "POST /v1/bans HTTP/1.1\r\nhost: portcullis\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    let more = asking.exchange(head.as_bytes())?;
    ensure!(more.status == 100, "{more:?}");
    let mut following = Wire::of(UnixStream::connect(daemon.control())?);
    following
        .line()
        .write_all(b"GET /v1/events HTTP/1.1\r\nhost: portcullis\r\n\r\n")?;
    ensure!(following.head()?.status == 200);
    daemon.signal(Signal::SIGTERM)?;
    daemon.await_logged("stopping", "message", 1)?;
    // An answer that was being written at that very moment says nothing of it; the connection ends all the same.
    let answer = silent.exchange(STATUS)?;
    let says_so = answer.headers.get("connection").is_some_and(|value| value == "close");
    ensure!(answer.status == 200, "{answer:?}");
    ensure!(says_so || silent.exchange(STATUS).is_err(), "{answer:?}");
    asking.line().write_all(BODY)?;
    let answer = asking.answer()?;
    ensure!(
        answer.status == 201 && answer.headers["connection"] == "close",
        "{answer:?}"
    );
    let rest = following.rest()?;
    ensure!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    let home = daemon.stop()?;
    let daemon = Daemon::start_in(home, &Wanted::enforcing(backend.address(), EXTRA))?;
    ensure!(daemon.cli(&["ban", "list"])?.contains("192.0.2.9"), "it was kept");
    Ok(())
}

#[test]
fn a_control_socket_that_is_open_to_others_is_not_served() -> Result<()> {
    let (backend, home) = (Backend::start()?, Home::new()?);
    let path = home.path().join("control.sock");
    let socket = UnixListener::bind(&path)?;
    set_mode(&path, 0o666)?;
    refused(
        start_with(&home, "control", &socket, &backend, EXTRA),
        "is open to others (mode 666",
    )?;
    set_mode(&path, 0o660)?;
    let elsewhere = home.path().join("other.sock");
    refused(
        start_with(&home, "control", UnixListener::bind(&elsewhere)?, &backend, EXTRA),
        "and control.socket says unix:",
    )?;
    refused(
        start_with(&home, "control", TcpListener::bind("127.0.0.1:0")?, &backend, EXTRA),
        "and control.socket says unix:",
    )?;
    let extra = format!("{EXTRA}[[listener]]\naddress = \"fd:control\"\n");
    refused(
        start_with(&home, "control", &socket, &backend, &extra),
        "`fd:control` is not for clients",
    )
}

#[test]
fn the_admin_listener_is_handed_over() -> Result<()> {
    const READY: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (backend, home) = (Backend::start()?, Home::new()?);
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let with_address = format!("{EXTRA}[admin]\nlisten = \"{address}\"\n");
    for (name, extra) in [("admin", EXTRA), ("admin", &with_address), ("other", &with_address)] {
        let mut early = Wire::connect(address)?;
        early.stream().write_all(READY)?;
        let daemon = start_with(&home, name, &socket, &backend, extra)?;
        ensure!(early.answer()?.status == 200);
        daemon.stop()?;
    }
    let other = format!("{EXTRA}[admin]\nlisten = \"127.0.0.1:1\"\n");
    refused(
        start_with(&home, "admin", &socket, &backend, &other),
        "and admin.listen says 127.0.0.1:1",
    )?;
    refused(
        start_with(
            &home,
            "admin",
            UnixListener::bind(home.path().join("a.sock"))?,
            &backend,
            EXTRA,
        ),
        "has no address",
    )
}

#[test]
fn it_tells_where_it_listens_and_what_was_handed_over() -> Result<()> {
    let (backend, home) = (Backend::start()?, Home::new()?);
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let extra = format!("{EXTRA}[[listener]]\naddress = \"fd:web\"\n");
    let daemon = start(&home, &socket, any, &backend, &extra)?;
    let status = daemon.cli(&["status"])?;
    ensure!(
        status.contains(&format!("listening: {}\n", daemon.address())),
        "{status}"
    );
    ensure!(
        status.contains(&format!("listening: {}, handed over\n", socket.local_addr()?)),
        "{status}"
    );
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(std::fs::set_permissions(path, Permissions::from_mode(mode))?)
}
