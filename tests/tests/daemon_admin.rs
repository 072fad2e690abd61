//! The admin listener: what Prometheus, a load balancer and a person with a browser get from a real daemon with a real
//! packet layer. Needs root; the page needs Chromium and node.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::{Answer, Client, Wire};
use portcullis_tests::daemon::Daemon;
use portcullis_tests::netns::{Namespace, veth};

const SERVER: &str = "10.77.31.1";
const GOOD: &str = "10.77.31.2";
const BAD: &str = "10.77.31.3";

const CONFIG: &str = r#"
[admin]
listen = "127.0.0.1:0"
[protect]
paths = ["/api/**"]
[packet]
interfaces = ["pcs"]
"#;

struct World {
    clients: Namespace,
    daemon: Daemon,
    server: Namespace,
    admin: SocketAddr,
}

impl World {
    fn new() -> Result<Self> {
        let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
        veth((&server, "pcs"), (&clients, "pcc"));
        server.address("pcs", &format!("{SERVER}/24"));
        clients.address("pcc", &format!("{GOOD}/24"));
        clients.address("pcc", &format!("{BAD}/24"));
        let (_backend, daemon) = Daemon::start_within(&server, SERVER.parse()?, CONFIG)?;
        let admin = daemon.logged("admin listener", "address");
        let admin = admin.first().context("no admin listener")?.parse()?;
        Ok(Self {
            clients,
            daemon,
            server,
            admin,
        })
    }

    fn ask(&self, method: &str, path: &str, host: &str) -> Result<Answer> {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        self.server
            .run(|| Wire::connect(self.admin)?.exchange(request.as_bytes()))
    }

    fn get(&self, path: &str) -> Result<Answer> {
        self.ask("GET", path, &self.admin.to_string())
    }

    fn wire(&self, from: &str) -> Result<Wire> {
        let from: IpAddr = from.parse()?;
        Wire::over(self.clients.connect(from, self.daemon.address())?)
    }

    fn samples(&self) -> Result<BTreeMap<String, f64>> {
        let text = self.get("/metrics")?.body;
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("not a sample: {line}"))?;
            let value: f64 = value.parse().with_context(|| format!("no number: {line}"))?;
            ensure!(
                samples.insert(name.to_owned(), value).is_none(),
                "{name} is there twice"
            );
            ensure!(!name.contains("10.77.31"), "an address in a label: {name}");
            let family = name.split('{').next().unwrap_or_default();
            ensure!(text.contains(&format!("# TYPE {family} ")), "{family} has no type");
        }
        Ok(samples)
    }
}

fn offend(world: &World) -> Result<()> {
    world
        .daemon
        .cli(&["ban", "add", BAD, "--reason", "scraping <b>fast</b>", "--for", "2h"])?;
    ensure!(!world.clients.pings(BAD, SERVER), "a banned ping was answered");
    let mut wire = world.wire(GOOD)?;
    let mut client = Client::open_over(&mut wire, world.daemon.address())?;
    ensure!(wire.exchange(&client.request("GET", "/api/orders", "")?)?.status == 200);
    ensure!(wire.exchange(b"GET /api/orders HTTP/1.1\r\nhost: a\r\n\r\n")?.problem() == "signature-required");
    Ok(())
}

#[test]
fn metrics_and_health_tell_what_happened() -> Result<()> {
    let world = World::new()?;
    offend(&world)?;
    let samples = world.samples()?;
    let of = |name: &str| samples.get(&format!("portcullis_{name}")).copied().unwrap_or(-1.0);
    ensure!(
        of("enforcing") == 1.0 && of("calls_admitted_total") == 1.0 && of("sessions_active") == 1.0,
        "{samples:?}"
    );
    ensure!(of("refusals_total{cause=\"signature-missing\"}") == 1.0, "{samples:?}");
    ensure!(
        of("bans_active{kind=\"host_v4\",origin=\"operator\"}") == 1.0,
        "{samples:?}"
    );
    ensure!(
        of("xdp_packets_total{action=\"drop\",reason=\"banned_host\"}") >= 1.0,
        "{samples:?}"
    );
    ensure!(
        of("interface_guarded{interface=\"pcs\",mode=\"native\"}") == 1.0,
        "{samples:?}"
    );
    ensure!(
        of("store_healthy") == 1.0 && of("store_commits_total") >= 1.0,
        "{samples:?}"
    );
    ensure!(world.get("/healthz")?.status == 200 && world.get("/readyz")?.body == "ready\n");
    world.server.ip("link delete pcs");
    let lost = || -> Result<bool> {
        let answer = world.get("/readyz")?;
        Ok(answer.status == 503 && answer.body == "pcs is not guarded\n")
    };
    for _ in 0..100 {
        if lost()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    ensure!(lost()?, "ready without an interface");
    Ok(())
}

#[test]
fn it_only_reads_and_only_answers_to_its_address() -> Result<()> {
    let world = World::new()?;
    ensure!(world.ask("POST", "/metrics", "localhost")?.status == 405);
    ensure!(world.ask("GET", "/metrics", "localhost")?.status == 200);
    ensure!(
        world.ask("GET", "/stats.json", "gate.example")?.status == 421,
        "a name that may point anywhere"
    );
    ensure!(world.get("/v1/bans")?.status == 404);
    let page = world.get("/")?;
    let policy = page
        .headers
        .get("content-security-policy")
        .context("no policy")?
        .to_str()?;
    ensure!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    ensure!(
        !page.body.contains("http://") && !page.body.contains("https://"),
        "the page needs something from elsewhere"
    );
    Ok(())
}

#[test]
fn the_page_shows_it_in_chromium() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    ensure!(
        folder.join("node_modules").is_dir(),
        "tests/browser/node_modules is missing: run `npm ci --prefix tests/browser`, or `cargo xtask test`, which does"
    );
    let world = World::new()?;
    offend(&world)?;
    let mut wire = world.wire(GOOD)?;
    let mut client = Client::open_over(&mut wire, world.daemon.address())?;
    let done = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        // Traffic of both kinds, until the browser has seen enough of it.
        scope.spawn(|| {
            let mut round = 0_u32;
            while !done.load(Ordering::Relaxed) {
                let call = client.request("GET", "/api/orders", "").unwrap_or_default();
                let _ = wire.exchange(&call);
                if round.is_multiple_of(7) {
                    let _ = wire.exchange(b"GET /api/orders/7 HTTP/1.1\r\nhost: a\r\n\r\n");
                }
                let socket = world.clients.run(|| std::net::UdpSocket::bind((BAD, 0)));
                for _ in 0..(round % 40) {
                    let _ = socket.as_ref().map(|socket| socket.send_to(b"flood", (SERVER, 9)));
                }
                round += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let output = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", world.server.name()))
            .args(["node".as_ref(), folder.join("admin.mjs").as_os_str()])
            .env("PORTCULLIS_ADMIN", format!("http://{}/", world.admin))
            .output();
        done.store(true, Ordering::Relaxed);
        output
    })?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn every_metric_is_documented_and_on_the_dashboard_only_if_it_exists() -> Result<()> {
    let world = World::new()?;
    offend(&world)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = std::fs::read_to_string(root.join("docs/operating.md"))?;
    let dashboard = std::fs::read_to_string(root.join("packaging/grafana-dashboard.json"))?;
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard)?;
    let text = world.get("/metrics")?.body;
    let families: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    for family in &families {
        ensure!(
            guide.contains(&format!("`{family}`")),
            "docs/operating.md does not have {family}"
        );
    }
    // Reconciled half a minute after the start.
    let later = ["portcullis_enforced_ratio"];
    for word in dashboard
        .to_string()
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
    {
        if word.starts_with("portcullis_") {
            ensure!(
                families.contains(&word) || later.contains(&word),
                "the dashboard has {word}"
            );
        }
    }
    Ok(())
}
