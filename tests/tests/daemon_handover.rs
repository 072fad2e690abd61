//! Stops and restarts: sockets that somebody else holds lose no connection, and what is open has time to finish.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
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
        let mut wire = Wire::of(std::os::unix::net::UnixStream::connect(&path)?);
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
    let (file, _) = std::os::unix::net::UnixStream::pair()?;
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
