//! `cargo xtask bench front`: the daemon as a reverse proxy beside nginx, haproxy and caddy.
//!
//! Everybody has the same upstream, two workers on the same processors and kept-alive connections, and is measured in
//! turns. What counts is the CPU time of the proxy's processes per request: the load generator shares the processors, so
//! requests per second say as much of it as of the proxy.

mod calls;
mod flood;
mod load;
mod peers;
mod process;
mod scripted;
mod slow;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use portcullis_tests::client::Client;
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::tls::Certificates;

use self::calls::{Calls, Hmac};
use self::load::{Effort, Load};
use self::peers::{Peer, Peers};
use super::report::{Report, Rounds, Row};

const FULL: Effort = Effort {
    rounds: 7,
    requests: 20_000,
    handshakes: 1_000,
    connections: 16,
    idle: 9_000,
    slow: 5_000,
    moment: Duration::from_secs(3),
};
const QUICK: Effort = Effort {
    rounds: 3,
    requests: 6_000,
    handshakes: 300,
    connections: 8,
    idle: 2_000,
    slow: 1_000,
    moment: Duration::from_secs(1),
};

/// What the daemon verifies beside its signature: twenty rules, one of which speaks of the call.
fn configuration(certificate: &str) -> String {
    let mut text =
        String::from("rules_version = 1\n[session]\nmax_age = \"5m\"\n[protect]\npaths = [\"/api/**\"]\n[op]\n");
    for n in 0..20 {
        text.push_str(&format!("op{n} = \"GET /api/orders{n}/{{id:int}}\"\n"));
    }
    for n in 0..20 {
        let limit = "{ count = 1000000, per = \"1h\" }";
        text.push_str(&format!(
            "[[rule]]\nid = \"rule-{n}\"\nmode = \"enforce\"\non = [\"op{n}\"]\nmax = {limit}\n"
        ));
    }
    let tls = format!("address = \"127.0.0.1:0\"\ntls = {{ certificates = [{certificate}] }}\n");
    text.push_str(&format!("[[listener]]\n{tls}"));
    text
}

pub(super) fn measure(quick: bool) -> Result<Report> {
    let effort = if quick { QUICK } else { FULL };
    let certificates = Certificates::new()?;
    let pair = certificates.write("bench", &["localhost"], 2090)?;
    let peers = Peers::start(&certificates)?;
    let daemon = Daemon::start(&Wanted {
        http: "workers = 2\nmax_connections = 20000\nmax_connections_per_source = 20000\nheader_timeout = \"1m\"\n",
        ..Wanted::enforcing(peers.upstream(), &configuration(&pair))
    })?;
    let ours = Subject::daemon(&daemon)?;
    let mut rows = requests(&effort, &ours, &peers)?;
    rows.extend(tls(&effort, &ours, &peers)?);
    rows.extend(memory(&effort, &ours, &peers)?);
    rows.extend(slow::measure(&effort, &ours)?);
    drop(daemon);
    drop(peers);
    rows.extend(flood::measure(&effort)?);
    Ok(Report::new("front", rows))
}

/// Who is measured: where it listens, and which processes do the work.
struct Subject {
    clear: SocketAddr,
    tls: SocketAddr,
    root: u32,
}

impl Subject {
    fn daemon(daemon: &Daemon) -> Result<Self> {
        Ok(Self {
            clear: daemon.address(),
            tls: daemon.listener(1)?,
            root: daemon.id(),
        })
    }

    fn peer(peer: &Peer) -> Self {
        Self {
            clear: peer.clear,
            tls: peer.tls,
            root: peer.id(),
        }
    }
}

/// The rounds of one kind of load.
#[derive(Default)]
struct Measured {
    /// CPU microseconds per request.
    cpu: Rounds,
    /// Wall clock microseconds per request at saturation.
    wall: Rounds,
    /// The 99th percentile, in microseconds.
    p99: Rounds,
}

impl Measured {
    fn push(&mut self, load: &Load) {
        self.cpu.push(load.cpu);
        self.wall.push(load.wall);
        self.p99.push(load.p99);
    }

    fn rows(&self, name: &str) -> Vec<Row> {
        vec![
            Row::new(format!("{name}/cpu"), "us", &self.cpu),
            Row::new(format!("{name}/wall"), "us", &self.wall),
            Row::new(format!("{name}/p99"), "us", &self.p99),
        ]
    }
}

const NGINX: &str = "nginx/plain/cpu";
const HAPROXY: &str = "haproxy/plain/cpu";
const HAPROXY_WALL: &str = "haproxy/plain/wall";

fn requests(effort: &Effort, ours: &Subject, peers: &Peers) -> Result<Vec<Row>> {
    let [mut plain, mut verified, mut paced] = [(); 3].map(|()| Measured::default());
    let [
        mut nginx,
        mut haproxy,
        mut caddy,
        mut rate,
        mut nonce,
        mut nginx_paced,
        mut lua,
        mut njs,
    ] = [(); 8].map(|()| Measured::default());
    let public = Calls::plain("/public/orders/7");
    let hmac = Hmac::new(peers::KEY)?;
    for _ in 0..effort.rounds {
        let go = |subject: &Subject, calls: &Calls| load::closed(effort, subject.root, subject.clear, calls);
        plain.push(&go(ours, &public)?);
        verified.push(&go(ours, &Calls::signed(|| Client::open(ours.clear)))?);
        paced.push(&load::paced(effort, ours.root, ours.clear, &public)?);
        nginx.push(&go(&Subject::peer(&peers.nginx), &public)?);
        nginx_paced.push(&load::paced(effort, peers.nginx.id(), peers.nginx.clear, &public)?);
        haproxy.push(&go(&Subject::peer(&peers.haproxy), &public)?);
        caddy.push(&go(&Subject::peer(&peers.caddy), &public)?);
        for (script, measured) in [(&peers.scripted.lua, &mut lua), (&peers.scripted.njs, &mut njs)] {
            if let Some(peer) = script {
                measured.push(&load::closed(effort, peer.id(), peer.clear, &Calls::hmac(&hmac))?);
            }
        }
        let (with_rate, with_nonce) = (&peers.haproxy.rate, &peers.haproxy.nonce);
        let guarded = |address: &Option<SocketAddr>| address.context("haproxy has no such frontend");
        rate.push(&load::closed(
            effort,
            peers.haproxy.id(),
            guarded(with_rate)?,
            &Calls::hmac(&hmac),
        )?);
        nonce.push(&load::closed(
            effort,
            peers.haproxy.id(),
            guarded(with_nonce)?,
            &Calls::hmac(&hmac),
        )?);
    }
    let mut rows = plain.rows("portcullis/plain");
    rows.extend(verified.rows("portcullis/verified"));
    rows.extend(nginx.rows("nginx/plain"));
    rows.extend(haproxy.rows("haproxy/plain"));
    rows.extend(caddy.rows("caddy/plain"));
    rows.extend(rate.rows("haproxy/hmac-rate"));
    rows.extend(nonce.rows("haproxy/hmac-rate-nonce"));
    for (name, module, peer, measured) in [
        (
            "nginx/lua-rate-nonce",
            "libnginx-mod-http-lua",
            &peers.scripted.lua,
            &lua,
        ),
        ("nginx/njs", "libnginx-mod-http-js", &peers.scripted.njs, &njs),
    ] {
        rows.extend(match peer {
            Some(_) => measured.rows(name),
            None => vec![Row::missing(format!("{name}/cpu"), "us", module)],
        });
    }
    let cpu = |name: &str, of: &Measured| Row::new(name, "us", &of.cpu);
    rows.extend([
        cpu("plain-to-nginx", &plain).versus(NGINX, &nginx.cpu, Some(1.05)),
        cpu("plain-to-haproxy", &plain).versus(HAPROXY, &haproxy.cpu, Some(0.95)),
        cpu("verified-to-haproxy", &verified).versus(HAPROXY, &haproxy.cpu, Some(1.25)),
        cpu("verified-to-hmac-rate", &verified).versus("haproxy/hmac-rate/cpu", &rate.cpu, Some(0.65)),
        cpu("verified-to-hmac-rate-nonce", &verified).versus("haproxy/hmac-rate-nonce/cpu", &nonce.cpu, Some(0.55)),
        Row::new("verified-wall-to-haproxy", "us", &verified.wall).versus(HAPROXY_WALL, &haproxy.wall, Some(1.11)),
        Row::new("verified-wall-to-hmac-rate-nonce", "us", &verified.wall).versus(
            "haproxy/hmac-rate-nonce/wall",
            &nonce.wall,
            Some(0.67),
        ),
        Row::new("plain-p99-to-nginx", "us", &plain.p99).versus("nginx/plain/p99", &nginx.p99, Some(1.0)),
        Row::new("nginx/paced/p99", "us", &nginx_paced.p99),
        Row::new("paced-p99-to-nginx", "us", &paced.p99).versus("nginx/paced/p99", &nginx_paced.p99, Some(1.0)),
    ]);
    Ok(rows)
}

fn tls(effort: &Effort, ours: &Subject, peers: &Peers) -> Result<Vec<Row>> {
    let subjects = [
        ("portcullis", ours.root, ours.tls),
        ("nginx", peers.nginx.id(), peers.nginx.tls),
        ("haproxy", peers.haproxy.id(), peers.haproxy.tls),
        ("caddy", peers.caddy.id(), peers.caddy.tls),
    ];
    let public = Calls::plain("/public/orders/7");
    let mut measured: Vec<_> = subjects.iter().map(|_| [(); 3].map(|()| Rounds::default())).collect();
    for _ in 0..effort.rounds {
        for ((_, root, address), [handshake, keep_alive, http2]) in subjects.iter().zip(&mut measured) {
            handshake.push(load::handshakes(effort, *root, *address)?);
            keep_alive.push(load::closed_tls(effort, *root, *address, &public)?.cpu);
            http2.push(load::http2(effort, *root, *address)?);
        }
    }
    let mut rows = Vec::new();
    for ((name, _, _), [handshake, keep_alive, http2]) in subjects.iter().zip(&measured) {
        rows.push(Row::new(format!("{name}/tls-handshake/cpu"), "us", handshake));
        rows.push(Row::new(format!("{name}/tls-keep-alive/cpu"), "us", keep_alive));
        rows.push(Row::new(format!("{name}/http2/cpu"), "us", http2));
    }
    if let [ours, _, haproxy, _] = measured.as_slice() {
        let versus =
            |name, of: usize, vs, target| Row::new(name, "us", &ours[of]).versus(vs, &haproxy[of], Some(target));
        rows.push(versus("tls-handshake-to-haproxy", 0, "haproxy/tls-handshake/cpu", 0.5));
        rows.push(versus(
            "tls-keep-alive-to-haproxy",
            1,
            "haproxy/tls-keep-alive/cpu",
            0.9,
        ));
        rows.push(versus("http2-to-haproxy", 2, "haproxy/http2/cpu", 1.2));
    }
    Ok(rows)
}

/// Bytes for each connection that is idle after a request.
fn memory(effort: &Effort, ours: &Subject, peers: &Peers) -> Result<Vec<Row>> {
    let one = |name: &str, subject: &Subject| -> Result<(Rounds, Row)> {
        let mut rounds = Rounds::default();
        rounds.push(load::idle(effort, subject.root, subject.clear)?);
        let row = Row::new(format!("{name}/idle-connection"), "KB", &rounds);
        Ok((rounds, row))
    };
    let floor = {
        let mut floor = Rounds::default();
        floor.push(1.0);
        floor
    };
    let (_, row) = one("portcullis", ours)?;
    let mut rows = vec![row.versus("a kilobyte", &floor, Some(13.0))];
    for (name, peer) in [
        ("nginx", &peers.nginx),
        ("haproxy", &peers.haproxy),
        ("caddy", &peers.caddy),
    ] {
        rows.push(one(name, &Subject::peer(peer))?.1);
    }
    Ok(rows)
}
