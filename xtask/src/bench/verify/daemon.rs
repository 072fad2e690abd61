//! The CPU time of the whole daemon process for each request, against the plain proxy path of the same process, and
//! against nginx where it is installed. Requests are signed before the clock starts, so the generator costs the same in
//! each row.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::fixture::PATH;
use super::{Effort, MINT_NANOS};
use crate::bench::report::{Rounds, Row};

const PLAIN: &str = "daemon/plain";
const NGINX: &str = "peer/nginx";
/// A verified request costs at most so many times one through nginx.
const VERIFIED_TO_NGINX: Option<f64> = Some(1.2);
const CONFIG: &str = "[session]\nmax_age = \"5m\"\n[work]\nmode = \"off\"\n[protect]\npaths = [\"/api/**\"]\n";

pub(super) fn rows(effort: &Effort) -> Result<Vec<Row>> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), CONFIG))?;
    let nginx = Nginx::start(backend.address())?;
    let (mut plain, mut verified) = (Rounds::default(), Rounds::default());
    let (mut mint, mut peer) = (Rounds::default(), Rounds::default());
    for _ in 0..effort.rounds {
        let ask = |address| get(address, "/public/orders/7");
        plain.push(load(effort, &[daemon.id()], daemon.address(), |address, count| {
            Ok(vec![ask(address); count])
        })?);
        verified.push(load(effort, &[daemon.id()], daemon.address(), sign_ahead)?);
        mint.push(load(effort, &[daemon.id()], daemon.address(), |address, count| {
            Ok(vec![opening(address); count])
        })?);
        if let Some(nginx) = &nginx {
            peer.push(load(effort, &nginx.processes()?, nginx.address, |address, count| {
                Ok(vec![ask(address); count])
            })?);
        }
    }
    let mut rows = vec![
        Row::new(PLAIN, "us", &plain),
        Row::new("daemon/verified", "us", &verified).versus(PLAIN, &plain, None),
        Row::new("daemon/mint", "us", &mint).at_most(MINT_NANOS / 1000.0),
    ];
    if nginx.is_some() {
        rows.push(Row::new(NGINX, "us", &peer));
        rows.push(Row::new("daemon/verified-to-nginx", "us", &verified).versus(NGINX, &peer, VERIFIED_TO_NGINX));
        rows.push(Row::new("daemon/plain-to-nginx", "us", &plain).versus(NGINX, &peer, None));
    } else {
        eprintln!("bench: nginx is not installed, so its rows are missing (apt-get install nginx-light)");
    }
    Ok(rows)
}

fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: bench/1\r\naccept: application/json\r\n\r\n")
        .into_bytes()
}

fn opening(address: SocketAddr) -> Vec<u8> {
    let body = r#"{"key_agreement":"server-key"}"#;
    format!(
        "POST /.well-known/portcullis/session HTTP/1.1\r\nhost: {address}\r\nuser-agent: bench/1\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn sign_ahead(address: SocketAddr, count: usize) -> Result<Vec<Vec<u8>>> {
    let mut client = Client::open(address)?;
    client.user_agent = "bench/1".into();
    (0..count).map(|_| client.request("GET", PATH, "")).collect()
}

/// Sends requests over several connections that are kept alive; CPU microseconds of the processes for each request.
fn load(
    effort: &Effort,
    processes: &[u32],
    address: SocketAddr,
    prepare: impl Fn(SocketAddr, usize) -> Result<Vec<Vec<u8>>>,
) -> Result<f64> {
    let each = usize::try_from(effort.requests)? / effort.connections;
    let work: Vec<_> = (0..effort.connections)
        .map(|_| prepare(address, each))
        .collect::<Result<_>>()?;
    let before = cpu_micros(processes)?;
    std::thread::scope(|scope| {
        let senders: Vec<_> = work
            .iter()
            .map(|requests| scope.spawn(move || send_all(address, requests)))
            .collect();
        let done = senders
            .into_iter()
            .map(|sender| sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))?);
        done.collect::<Result<Vec<()>>>()
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let total = (each * effort.connections) as f64;
    Ok((cpu_micros(processes)? - before) / total)
}

fn send_all(address: SocketAddr, requests: &[Vec<u8>]) -> Result<()> {
    let mut wire = Wire::connect(address)?;
    for request in requests {
        let answer = wire.exchange(request)?;
        ensure!(matches!(answer.status, 200 | 201), "{} {}", answer.status, answer.body);
    }
    Ok(())
}

/// User and system time of processes (proc(5), `schedstat`: nanoseconds on the processor), threads included.
fn cpu_micros(processes: &[u32]) -> Result<f64> {
    let mut total = 0.0;
    for process in processes {
        for task in fs::read_dir(format!("/proc/{process}/task")).context("a process ended")? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let nanos: f64 = text.split_whitespace().next().unwrap_or_default().parse()?;
            total += nanos / 1000.0;
        }
    }
    Ok(total)
}

/// nginx as a plain reverse proxy with kept-alive connections to the same backend.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Nginx {
    /// `None` where nginx is not installed.
    fn start(upstream: SocketAddr) -> Result<Option<Self>> {
        if !crate::process::exists("nginx") {
            return Ok(None);
        }
        let directory = tempfile::TempDir::new()?;
        let address = free_address()?;
        let home = directory.path().display();
        let config = format!(
            "daemon off; pid {home}/pid; error_log {home}/error.log; worker_processes auto;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000;\n\
             client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;\n\
             uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n\
             upstream app {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}\n\
             server {{ listen {address} reuseport; location / {{ proxy_pass http://app; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_set_header X-Forwarded-For $remote_addr; }} }} }}\n"
        );
        let path = directory.path().join("nginx.conf");
        fs::write(&path, config)?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::null())
            .spawn();
        let nginx = Self {
            child: child.context("failed to start nginx")?,
            address,
            _directory: directory,
        };
        nginx.wait_until_ready()?;
        Ok(Some(nginx))
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(self.address).is_err() {
            ensure!(Instant::now() < deadline, "nginx did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The master and its workers.
    fn processes(&self) -> Result<Vec<u32>> {
        let master = self.child.id();
        let workers = fs::read_to_string(format!("/proc/{master}/task/{master}/children"))?;
        let workers = workers
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<Vec<u32>, _>>()?;
        Ok(std::iter::once(master).chain(workers).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX)),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
