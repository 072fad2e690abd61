//! The loads, and what they cost whoever carries them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use portcullis_tests::tls;

use super::calls::Calls;
use super::process::{cpu_micros, resident_kb};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) rounds: usize,
    pub(super) requests: usize,
    pub(super) handshakes: usize,
    pub(super) connections: usize,
    /// Connections that are idle.
    pub(super) idle: usize,
    /// Connections that send a byte now and then.
    pub(super) slow: usize,
    /// How long a legitimate client is watched.
    pub(super) moment: Duration,
}

/// Requests a second of a moderate load: a fraction of what any of the proxies can do here.
const MODERATE: u32 = 2_000;
/// How long connections are idle before memory is looked at.
const SETTLING: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);

/// What a load cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// CPU microseconds of the proxy for each request.
    pub(super) cpu: f64,
    /// Microseconds of wall clock for each request, over all connections.
    pub(super) wall: f64,
    /// The 99th percentile, in microseconds.
    pub(super) p99: f64,
}

/// Each connection sends its next request when the last was answered.
pub(super) fn closed(effort: &Effort, root: u32, address: SocketAddr, calls: &Calls<'_>) -> Result<Load> {
    run(effort, root, address, calls, None, || connect(address))
}

/// The same with TLS.
pub(super) fn closed_tls(effort: &Effort, root: u32, address: SocketAddr, calls: &Calls<'_>) -> Result<Load> {
    let config = tls::client(&[&rustls::version::TLS13], &[b"http/1.1"])?;
    run(effort, root, address, calls, None, || {
        tls::connect(address, "localhost", &config)
    })
}

/// Requests at fixed times, whether the last was answered or not: a slow answer makes those behind it late.
pub(super) fn paced(effort: &Effort, root: u32, address: SocketAddr, calls: &Calls<'_>) -> Result<Load> {
    let connections = u32::try_from(effort.connections)?;
    let pace = Duration::from_secs(1) * connections / MODERATE;
    let few = Effort {
        requests: effort.requests / 4,
        ..*effort
    };
    run(&few, root, address, calls, Some(pace), || connect(address))
}

fn run<L: Read + Write + Send>(
    effort: &Effort,
    root: u32,
    address: SocketAddr,
    calls: &Calls<'_>,
    pace: Option<Duration>,
    connect: impl Fn() -> Result<L>,
) -> Result<Load> {
    let each = effort.requests / effort.connections;
    let prepare = |_| Ok((connect()?, calls.prepare(address, each)?));
    let mut work = (0..effort.connections).map(prepare).collect::<Result<Vec<_>>>()?;
    // Connections and their buffers are there before the clock starts.
    for (line, _) in &mut work {
        exchange(
            line,
            format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes(),
            &mut [0; 8192],
        )?;
    }
    let (cpu, start) = (cpu_micros(root)?, Instant::now());
    let mut times = std::thread::scope(|scope| {
        let senders: Vec<_> = work
            .iter_mut()
            .map(|(line, requests)| scope.spawn(move || send(line, requests, pace)))
            .collect();
        let done = senders
            .into_iter()
            .map(|sender| sender.join().map_err(|_| anyhow!("a sender panicked"))?);
        Ok::<_, anyhow::Error>(done.collect::<Result<Vec<_>>>()?.concat())
    })?;
    let (wall, cpu) = (start.elapsed(), cpu_micros(root)? - cpu);
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    let count = count(times.len());
    Ok(Load {
        cpu: cpu / count,
        wall: micros(wall) / count,
        p99: micros(p99),
    })
}

fn send(line: &mut (impl Read + Write), requests: &[Vec<u8>], pace: Option<Duration>) -> Result<Vec<Duration>> {
    let mut buffer = [0; 8192];
    let mut due = Instant::now();
    let mut times = Vec::with_capacity(requests.len());
    for request in requests {
        if let Some(pace) = pace {
            due += pace;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        } else {
            due = Instant::now();
        }
        exchange(line, request, &mut buffer)?;
        times.push(due.elapsed());
    }
    Ok(times)
}

/// Sends a request and reads its answer, which must be a 200 with a length.
pub(super) fn exchange(line: &mut (impl Read + Write), request: &[u8], buffer: &mut [u8; 8192]) -> Result<()> {
    line.write_all(request)?;
    line.flush()?;
    let mut filled = 0;
    loop {
        let read = line.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the connection ended");
        filled += read;
        let answer = &buffer[..filled];
        let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&answer[..head])?;
        ensure!(text.starts_with("HTTP/1.1 200"), "{text}");
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        if filled >= head + 4 + length.context("an answer without a length")? {
            return Ok(());
        }
    }
}

pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// CPU microseconds of a full handshake of TLS 1.3.
pub(super) fn handshakes(effort: &Effort, root: u32, address: SocketAddr) -> Result<f64> {
    let before = cpu_micros(root)?;
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| shake(effort.handshakes / 4, address)))
            .collect();
        let done = hands
            .into_iter()
            .map(|hand| hand.join().map_err(|_| anyhow!("a client panicked"))?);
        done.collect::<Result<Vec<()>>>()
    })?;
    Ok((cpu_micros(root)? - before) / count(effort.handshakes / 4 * 4))
}

fn shake(times: usize, address: SocketAddr) -> Result<()> {
    for _ in 0..times {
        // A new one each time has nothing to resume.
        let config = tls::client(&[&rustls::version::TLS13], &[b"http/1.1"])?;
        tls::connect(address, "localhost", &config)?;
    }
    Ok(())
}

/// CPU microseconds of a request over HTTP/2 and TLS, ten at a time on each connection.
pub(super) fn http2(effort: &Effort, root: u32, address: SocketAddr) -> Result<f64> {
    let before = cpu_micros(root)?;
    let output = Command::new("h2load")
        .args(["--requests", &effort.requests.to_string()])
        .args(["--clients", &effort.connections.to_string()])
        .args(["--max-concurrent-streams", "10"])
        .arg(format!("https://{address}/public/orders/7"))
        .stderr(Stdio::null())
        .output()
        .context("failed to start h2load")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains(&format!("{} succeeded", effort.requests)), "{said}");
    Ok((cpu_micros(root)? - before) / count(effort.requests))
}

/// Kilobytes for each connection that is kept open after one request.
pub(super) fn idle(effort: &Effort, root: u32, address: SocketAddr) -> Result<f64> {
    let request = format!("GET /public HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let before = resident_kb(root)?;
    let mut open = Vec::with_capacity(effort.idle);
    for _ in 0..effort.idle {
        let mut line = connect(address)?;
        exchange(&mut line, request.as_bytes(), &mut [0; 8192])?;
        open.push(line);
    }
    // What they needed for the request may go.
    std::thread::sleep(SETTLING);
    Ok((resident_kb(root)? - before) / count(open.len()))
}

pub(super) fn count(of: usize) -> f64 {
    f64::from(u32::try_from(of).unwrap_or(u32::MAX))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
