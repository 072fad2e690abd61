//! Several servers: who gets a call, and what happens when one is gone.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;

use anyhow::{Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::{PROTECT, refused};

/// A gate with these servers, further keys of `[http]` and further sections.
fn gate(servers: &[String], http: &str, extra: &str) -> Result<Daemon> {
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let rest = format!(
        "{PROTECT}{extra}[[upstream]]\npaths = [\"/**\"]\nservers = [{}]\n{http}",
        servers.join(", ")
    );
    Daemon::start(&Wanted::enforcing(nobody, &rest))
}

fn url(address: SocketAddr) -> String {
    format!("\"http://{address}\"")
}

fn get(daemon: &Daemon, path: &str) -> Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    send(daemon.address(), request.as_bytes())
}

/// An application that closes every connection as soon as a request has come.
fn breaks_off() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1000]);
        }
    });
    Ok(address)
}

#[test]
fn a_server_that_is_gone_costs_nobody_an_answer() -> Result<()> {
    let backend = Backend::start()?;
    let gone = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let daemon = gate(&[url(gone), url(backend.address())], "", "")?;
    let mut client = Client::open(daemon.address())?;
    for _ in 0..10 {
        ensure!(client.call("POST", "/api/a", "{}")?.status == 200);
    }
    ensure!(backend.requests() == 10);
    ensure!(
        !daemon
            .await_logged("a server fails and gets no calls for a while", "server", 1)?
            .is_empty()
    );
    Ok(())
}

#[test]
fn what_was_sent_is_sent_again_only_if_it_asks_for_nothing_to_be_done() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = gate(
        &[url(breaks_off()?), url(backend.address())],
        "max_failures = 1000\n",
        "",
    )?;
    let mut client = Client::open(daemon.address())?;
    let mut seen = BTreeMap::new();
    for _ in 0..10 {
        ensure!(client.call("GET", "/api/a", "")?.status == 200);
        *seen.entry(client.call("POST", "/api/a", "{}")?.status).or_insert(0) += 1;
    }
    ensure!(seen.contains_key(&502), "every POST was answered: {seen:?}");
    ensure!(backend.requests() == 10 + seen.get(&200).copied().unwrap_or(0));
    Ok(())
}

#[test]
fn hosts_and_paths_have_servers_of_their_own() -> Result<()> {
    let [first, second, third] = [Backend::start()?, Backend::start()?, Backend::start()?];
    let more = format!(
        "[[upstream]]\npaths = [\"/reports/**\"]\nservers = [{}]\n\
         [[upstream]]\nhosts = [\"other.example\"]\nservers = [{}]\n",
        url(first.address()),
        url(second.address())
    );
    let daemon = Daemon::start(&Wanted::enforcing(third.address(), &format!("{PROTECT}{more}")))?;
    ensure!(get(&daemon, "/reports/1")?.status == 200 && get(&daemon, "/x/../reports/2")?.status == 200);
    let other = b"GET / HTTP/1.1\r\nhost: Other.Example\r\n\r\n";
    ensure!(send(daemon.address(), other)?.status == 200 && get(&daemon, "/")?.status == 200);
    ensure!([first, second, third].map(|backend| backend.requests()) == [2, 1, 1]);
    Ok(())
}

#[test]
fn a_unix_socket_is_a_server() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path)?;
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
        }
    });
    let daemon = gate(&[format!("\"unix:{}\"", path.display())], "", "")?;
    ensure!(get(&daemon, "/")?.body == "hi");
    Ok(())
}

#[test]
fn maintenance_and_too_many_calls_are_problems_with_a_time() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = gate(&[url(backend.address())], "maintenance = true\n", "")?;
    let answer = get(&daemon, "/")?;
    refused(&answer, 503, "maintenance")?;
    ensure!(answer.headers["retry-after"] == "60");
    let hangs = TcpListener::bind("127.0.0.1:0")?;
    let daemon = gate(&[url(hangs.local_addr()?)], "max_calls = 1\n", "")?;
    let first = Wire::connect(daemon.address())?;
    first.stream().write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let _held = hangs.accept()?;
    let answer = get(&daemon, "/")?;
    refused(&answer, 503, "overloaded")?;
    ensure!(answer.headers["retry-after"] == "1");
    Ok(())
}

#[test]
fn a_server_that_fails_its_checks_gets_no_calls() -> Result<()> {
    let sick = breaks_off()?;
    let backend = Backend::start()?;
    let daemon = gate(
        &[url(sick), url(backend.address())],
        "health = \"/status/204\"\nhealth_interval = \"100ms\"\n",
        "",
    )?;
    daemon.await_logged("a server does not pass its checks", "server", 1)?;
    for _ in 0..5 {
        let post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n";
        ensure!(send(daemon.address(), post)?.status == 200);
    }
    Ok(())
}
