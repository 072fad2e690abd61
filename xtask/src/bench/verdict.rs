//! From the offence to the first dropped packet: a real daemon, a real connection, a stream of datagrams beside it.
//!
//! Each run has an address of its own. It sends one offence that bans it, and then datagrams without a pause, each with the
//! time when it was sent. The first one that does not arrive, and none after it, was dropped by the verdict. What the
//! figure contains: the write of the offence, the daemon's answer, the ban in the kernel's table.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::daemon::Daemon;
use portcullis_tests::netns::{Namespace, veth};
use socket2::SockRef;

use super::report::{Report, Rounds, Row};

const SERVER: &str = "10.77.9.1";
const CLIENTS: &str = "10.77.9.2";
const CONFIG: &str = r#"
[protect]
paths = ["/api/**"]
[packet]
interfaces = ["pcs"]
[score]
prefix_sources = 0
[score.weights]
malformed = 1000
"#;
/// Claims to be ours and is not even complete.
const OFFENCE: &[u8] = b"GET /api/a HTTP/1.1\r\nhost: a\r\n\
    signature-input: p=(\"@method\");tag=\"portcullis-1\"\r\nsignature: p=:AA==:\r\n\r\n";
/// How long datagrams are sent after the offence.
const WATCHED: Duration = Duration::from_millis(400);
/// The target for 99 of 100, in microseconds.
const TARGET: f64 = 1000.0;

pub(super) fn measure(quick: bool) -> Result<Report> {
    let runs: u16 = if quick { 50 } else { 500 };
    let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
    veth((&server, "pcs"), (&clients, "pcc"));
    server.address("pcs", &format!("{SERVER}/24"));
    clients.address("pcc", &format!("{CLIENTS}/24"));
    // Any address of this network is one of the clients'.
    clients.ip("route add local 10.78.0.0/16 dev lo");
    server.ip(&format!("route add 10.78.0.0/16 via {CLIENTS}"));
    let (_backend, daemon) = Daemon::start_within(&server, SERVER.parse()?, CONFIG)?;
    let sink = server.run(|| UdpSocket::bind((SERVER, 0)))?;
    sink.set_nonblocking(true)?;
    SockRef::from(&sink).set_recv_buffer_size(8 << 20)?;
    let mut latencies = Vec::new();
    for number in 0..runs {
        let [high, low] = (number + 1).to_be_bytes();
        let from = IpAddr::V4(Ipv4Addr::new(10, 78, high, low));
        latencies.push(one(&clients, from, daemon.address(), &sink)?);
    }
    latencies.sort_by(f64::total_cmp);
    let row = |name: &str, share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        let mut value = Rounds::default();
        value.push(
            latencies
                .get(place.min(latencies.len() - 1))
                .copied()
                .unwrap_or_default(),
        );
        Row::new(name, "µs", &value)
    };
    let rows = vec![
        row("verdict/address/p50", 0.5),
        row("verdict/address/p99", 0.99).at_most(TARGET),
        row("verdict/address/worst", 1.0),
    ];
    Ok(Report::new("verdict", rows))
}

/// One offence; microseconds until its first dropped datagram.
fn one(clients: &Namespace, from: IpAddr, to: SocketAddr, sink: &UdpSocket) -> Result<f64> {
    let target = sink.local_addr()?;
    let socket = clients.run(|| UdpSocket::bind((from, 0)))?;
    socket.connect(target)?;
    let mut wire = clients.connect(from, to)?;
    wire.set_nodelay(true)?;
    let mut sent = Vec::with_capacity(400_000);
    let offence = Instant::now();
    wire.write_all(OFFENCE)?;
    while offence.elapsed() < WATCHED {
        let number = u32::try_from(sent.len())?;
        sent.push(offence.elapsed());
        // A full queue is no drop by the gate: the next one is sent.
        let _ = socket.send(&number.to_be_bytes());
    }
    let mut last = None;
    let mut bytes = [0; 4];
    while let Ok(length) = sink.recv(&mut bytes) {
        ensure!(length == bytes.len(), "somebody else sends here");
        last = last.max(Some(u32::from_be_bytes(bytes)));
    }
    let first_dropped = last.map_or(0, |last| last as usize + 1);
    let at = sent.get(first_dropped).context("the address was never banned")?;
    Ok(at.as_secs_f64() * 1e6)
}
