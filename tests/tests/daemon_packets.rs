//! Verdicts of the daemon as drops in the kernel: real sockets in network namespaces of our own. Needs root.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use portcullis::enforcer::Enforcer;
use portcullis_tests::client::{Client, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::netns::{Namespace, veth};
use portcullis_tests::patience::until;
use portcullis_tests::pins::Pins;

const SERVER: &str = "10.77.9.1";
/// The attacker and a neighbour call from one address, as behind a NAT.
const SHARED: &str = "10.77.9.2";
const ALONE: &str = "10.77.9.3";
const PATIENCE: Duration = Duration::from_secs(5);

const CONFIG: &str = r#"
rules_version = 1
[protect]
paths = ["/api/**"]
[packet]
interfaces = ["pcs"]
[op]
view = "GET /api/orders/{id:int}"
pay = "POST /api/orders/{id:int}/pay"
[[rule]]
id = "pay-after-view"
mode = "enforce"
on = ["pay"]
require = [{ op = "view", within = "10m", bind = ["id"] }]
score = 40
"#;

struct World {
    clients: Namespace,
    daemon: Daemon,
    server: Namespace,
    pins: Pins,
}

/// The rules of this suite, with a place for pins or an empty one.
fn configuration(pins: &str) -> String {
    CONFIG.replace("[op]", &format!("pins = \"{pins}\"\n[op]"))
}

fn connect(server: &Namespace, clients: &Namespace) {
    veth((server, "pcs"), (clients, "pcc"));
    server.address("pcs", &format!("{SERVER}/24"));
    clients.address("pcc", &format!("{SHARED}/24"));
    clients.address("pcc", &format!("{ALONE}/24"));
}

impl World {
    fn new() -> Result<Self> {
        Self::with(CONFIG, Pins::new())
    }

    fn pinned() -> Result<Self> {
        let pins = Pins::new();
        Self::with(&configuration(pins.path()), pins)
    }

    fn with(config: &str, pins: Pins) -> Result<Self> {
        let (server, clients) = (Namespace::new("server"), Namespace::new("clients"));
        connect(&server, &clients);
        let (_backend, daemon) = Daemon::start_within(&server, SERVER.parse()?, config)?;
        Ok(Self {
            clients,
            daemon,
            server,
            pins,
        })
    }

    fn connect(&self, from: &str) -> Result<Wire> {
        let from: IpAddr = from.parse()?;
        Wire::over(self.clients.connect(from, self.daemon.address())?)
    }

    fn dropped(&self, reason: &str) -> Result<u64> {
        let status: serde_json::Value = serde_json::from_str(&self.daemon.cli(&["--json", "status"])?)?;
        let counters = status["packet_layer"]["packets"]
            .as_array()
            .with_context(|| format!("no counters in {status}"))?;
        let counter = counters.iter().find(|counter| counter["reason"] == reason);
        Ok(counter.and_then(|counter| counter["packets"].as_u64()).unwrap_or(0))
    }
}

#[test]
fn the_flow_of_a_banned_session_dies_and_its_neighbour_lives() -> Result<()> {
    let world = World::new()?;
    let address = world.daemon.address();
    let mut neighbour_wire = world.connect(SHARED)?;
    let mut neighbour = Client::open_over(&mut neighbour_wire, address)?;
    ensure!(
        neighbour_wire
            .exchange(&neighbour.request("GET", "/api/orders/1", "")?)?
            .status
            == 200
    );

    let mut wire = world.connect(SHARED)?;
    let port = wire.stream().local_addr()?.port();
    let mut abuser = Client::open_over(&mut wire, address)?;
    for _ in 0..3 {
        let answer = wire.exchange(&abuser.request("POST", "/api/orders/7/pay", "")?)?;
        ensure!(answer.problem() == "sequence-violation", "{}", answer.body);
    }
    ensure!(
        wire.exchange(b"GET / HTTP/1.1\r\n").is_err(),
        "the connection still lives"
    );
    drop(wire);

    let syn = |port: u16| world.clients.run(|| from_port(SHARED, port, address));
    until(PATIENCE, "the drop of the flow", || {
        Ok(syn(port).is_err() && world.dropped("banned_flow")? > 0)
    })?;
    for _ in 0..20 {
        ensure!(
            neighbour_wire
                .exchange(&neighbour.request("GET", "/api/orders/1", "")?)?
                .status
                == 200
        );
    }
    ensure!(world.connect(SHARED).is_ok(), "the address as a whole is banned");
    Ok(())
}

#[test]
fn an_address_is_banned_unbanned_and_never_ban_wins() -> Result<()> {
    let world = World::new()?;
    let forged = "GET /api/orders/7 HTTP/1.1\r\nhost: a\r\nsignature-input: p=(\"@method\");tag=\"portcullis-1\"\r\nsignature: p=:AA==:\r\n\r\n";
    let mut attempts = 0;
    while let Ok(mut wire) = world.connect(ALONE) {
        if wire.exchange(forged.as_bytes()).is_err() {
            break;
        }
        attempts += 1;
        ensure!(attempts < 100, "never banned");
    }
    ensure!(world.connect(ALONE).is_err(), "a SYN was answered");
    ensure!(!world.clients.pings(ALONE, SERVER), "a ping was answered");
    ensure!(world.dropped("banned_host")? > 0);
    ensure!(world.connect(SHARED).is_ok(), "another address is concerned");
    let check = world.daemon.cli(&["ban", "check", ALONE])?;
    ensure!(check.contains("score") && check.contains("hits:"), "{check}");
    let bans: serde_json::Value = serde_json::from_str(&world.daemon.cli(&["--json", "ban", "list"])?)?;
    ensure!(bans["bans"][0]["hits"]["packets"].as_u64() > Some(0), "{bans}");
    let status: serde_json::Value = serde_json::from_str(&world.daemon.cli(&["--json", "status", "--verify"])?)?;
    let found = &status["packet_layer"]["enforcement"];
    ensure!(found["ratio"] == 1.0 && found["enforced"] == 1, "{status}");

    world.daemon.cli(&["ban", "del", ALONE])?;
    ensure!(world.connect(ALONE).is_ok(), "still banned");
    ensure!(
        world.daemon.cli(&["ban", "add", SERVER, "--for", "1h"]).is_err(),
        "the server bans itself"
    );
    world.daemon.cli(&["allow", "add", ALONE, "--reason", "test"])?;
    ensure!(
        world
            .daemon
            .cli(&["ban", "add", "10.77.9.0/24", "--for", "1h"])
            .is_err(),
        "a prefix over never-ban"
    );
    world.daemon.cli(&["allow", "del", ALONE])?;
    world.daemon.cli(&["ban", "add", ALONE, "--for", "3s"])?;
    ensure!(world.connect(ALONE).is_err());
    until(PATIENCE, "the end of the ban", || Ok(world.connect(ALONE).is_ok()))?;
    drop(world.server);
    Ok(())
}

#[test]
fn bans_outlive_a_kill_and_come_back_to_the_operator() -> Result<()> {
    let world = World::pinned()?;
    world.daemon.cli(&["ban", "add", ALONE, "--for", "1h"])?;
    ensure!(world.connect(ALONE).is_err());
    let World {
        clients,
        daemon,
        server,
        pins,
    } = world;
    let (home, listen) = (daemon.kill()?, SocketAddr::from_str(&format!("{SERVER}:0"))?);
    ensure!(!clients.pings(ALONE, SERVER), "without a daemon a ping was answered");
    ensure!(clients.pings(SHARED, SERVER), "without a daemon everybody is dropped");

    let enter = format!("--net=/run/netns/{}", server.name());
    let config = configuration(pins.path());
    let wrapper = ["nsenter", &enter];
    let upstream = SocketAddr::from(([127, 0, 0, 1], 1));
    let wanted = Wanted {
        listen,
        wrapper: &wrapper,
        ..Wanted::enforcing(upstream, &config)
    };
    let daemon = Daemon::start_in(home, &wanted)?;
    ensure!(!clients.pings(ALONE, SERVER), "the restart lifted the ban");
    let list = daemon.cli(&["ban", "list"])?;
    ensure!(list.contains(ALONE) && list.contains("operator"), "{list}");

    // As after a reboot: the kernel has forgotten everything.
    let home = daemon.kill()?;
    Enforcer::detach_pinned(Path::new(pins.path()))?;
    ensure!(clients.pings(ALONE, SERVER), "the kernel still drops");
    let daemon = Daemon::start_in(home, &wanted)?;
    ensure!(!clients.pings(ALONE, SERVER), "the reboot lifted the ban");

    // A damaged store: no start, and the kernel goes on; without one, the kernel's bans are all there is.
    let store = daemon.control().with_file_name("state").join("portcullis.redb");
    let home = daemon.kill()?;
    std::fs::write(&store, [7; 20_000])?;
    let refused = Daemon::start_in(home.clone(), &wanted).err().context("it starts")?;
    ensure!(format!("{refused:#}").contains("is damaged"), "{refused:#}");
    ensure!(!clients.pings(ALONE, SERVER), "the attempt lifted the ban");
    std::fs::remove_file(&store)?;
    let daemon = Daemon::start_in(home, &wanted)?;
    let list = daemon.cli(&["ban", "list"])?;
    ensure!(list.contains(ALONE) && list.contains("kept by the kernel"), "{list}");
    daemon.cli(&["ban", "del", ALONE])?;
    ensure!(clients.pings(ALONE, SERVER), "still banned");
    Ok(())
}

#[test]
fn an_interface_that_goes_and_comes_back_is_told_of_and_guarded() -> Result<()> {
    let world = World::pinned()?;
    world.daemon.cli(&["ban", "add", ALONE, "--for", "1h"])?;
    world.server.ip("link delete pcs");
    until(PATIENCE, "the loss of the interface", || {
        Ok(warnings(&world)?
            .iter()
            .any(|warning| warning.contains("pcs is not guarded")))
    })?;
    connect(&world.server, &world.clients);
    until(PATIENCE, "the return of the interface", || {
        Ok(warnings(&world)?.is_empty())
    })?;
    ensure!(!world.clients.pings(ALONE, SERVER), "a banned ping was answered");
    ensure!(world.clients.pings(SHARED, SERVER), "everybody is dropped");
    let told = world.daemon.logged("an interface came, and is guarded", "interface");
    ensure!(told == ["pcs"], "{told:?}");
    Ok(())
}

/// Sends datagrams of no connection, as anybody could in the name of anybody.
fn flood(world: &World, from: &str) -> Result<()> {
    let (from, to) = (from.parse::<IpAddr>()?, SocketAddr::from_str(&format!("{SERVER}:9"))?);
    world.clients.run(|| {
        let socket = std::net::UdpSocket::bind((from, 0))?;
        for _ in 0..500 {
            // The server may say that nobody listens.
            let _ = socket.send_to(b"flood", to);
        }
        Ok(())
    })
}

#[test]
fn a_flood_bans_only_who_has_a_connection_and_spares_clean_neighbours() -> Result<()> {
    let limits = "[\"pcs\"]\npackets_per_second = 50\nrate_strikes = 100\nrate_ban = \"1h\"";
    let world = World::with(&CONFIG.replace("[\"pcs\"]", limits), Pins::new())?;
    let told = |address: &str| {
        let sources = world
            .daemon
            .logged("a source keeps sending more than its limits allow", "source");
        sources.iter().any(|source| source == address)
    };
    // Without a connection: it is limited, and no more.
    flood(&world, ALONE)?;
    until(PATIENCE, "the report", || Ok(told(ALONE)))?;
    ensure!(world.dropped("rate_limited")? > 100);
    std::thread::sleep(Duration::from_millis(200));
    ensure!(
        !world.daemon.cli(&["ban", "list"])?.contains(ALONE),
        "a stranger was banned"
    );

    // With one: banned, and the operator learns why. The limit must let the connection in.
    until(PATIENCE, "a connection", || Ok(world.connect(ALONE).is_ok()))?;
    let wire = world.connect(ALONE)?;
    flood(&world, ALONE)?;
    until(PATIENCE, "the ban", || {
        Ok(world.daemon.cli(&["ban", "list"])?.contains(ALONE))
    })?;
    let list: serde_json::Value = serde_json::from_str(&world.daemon.cli(&["--json", "ban", "list"])?)?;
    let text = list.to_string();
    ensure!(
        text.contains("\"rate\"") && text.contains("packets over the rate limits"),
        "{text}"
    );
    let explained = world.daemon.logged("refused", "explanation");
    ensure!(
        explained
            .iter()
            .any(|why| why.contains("again and again: 10.77.9.3 banned")),
        "{explained:?}"
    );
    ensure!(!world.clients.pings(ALONE, SERVER), "a ping was answered");
    drop(wire);

    // With a clean session: spared.
    let mut wire = world.connect(SHARED)?;
    let mut neighbour = Client::open_over(&mut wire, world.daemon.address())?;
    ensure!(wire.exchange(&neighbour.request("GET", "/api/orders/1", "")?)?.status == 200);
    flood(&world, SHARED)?;
    until(PATIENCE, "the report", || {
        let explained = world.daemon.logged("refused", "explanation");
        Ok(explained.iter().any(|why| why.contains("spared")))
    })?;
    ensure!(
        !world.daemon.cli(&["ban", "list"])?.contains(SHARED),
        "a clean address was banned"
    );
    Ok(())
}

#[test]
fn a_fall_back_to_generic_mode_is_told() -> Result<()> {
    let config = CONFIG.replace("[\"pcs\"]", "[\"pcs\", \"lo\"]");
    let world = World::with(&config, Pins::new())?;
    let told = warnings(&world)?;
    ensure!(
        told.len() == 1 && told[0].starts_with("lo fell back to generic XDP"),
        "{told:?}"
    );
    let logged = world.daemon.logged(
        "no native XDP: fell back to generic, at about half the speed; packet.attach = \"generic\" says that this is meant",
        "interface",
    );
    ensure!(logged == ["lo"], "{logged:?}");
    Ok(())
}

#[test]
fn tables_grow_for_an_operator_who_bans_many() -> Result<()> {
    let config = CONFIG.replace("[\"pcs\"]", "[\"pcs\"]\nmax_bans = 20\nmax_bans_limit = 60");
    let world = World::with(&config, Pins::new())?;
    for number in 0..60 {
        world
            .daemon
            .cli(&["ban", "add", &format!("198.51.100.{number}"), "--for", "1h"])?;
    }
    let refused = world.daemon.cli(&["ban", "add", ALONE, "--for", "1h"]);
    let refused = format!("{:#}", refused.err().context("the limit does not hold")?);
    ensure!(refused.contains("packet.max_bans_limit"), "{refused}");
    let status: serde_json::Value = serde_json::from_str(&world.daemon.cli(&["--json", "status"])?)?;
    ensure!(status["bans"]["in_kernel"] == 60, "{status}");
    Ok(())
}

fn warnings(world: &World) -> Result<Vec<String>> {
    let status: serde_json::Value = serde_json::from_str(&world.daemon.cli(&["--json", "status"])?)?;
    Ok(serde_json::from_value(status["packet_layer"]["warnings"].clone())?)
}

/// A connection attempt from a port of our choice.
fn from_port(from: &str, port: u16, to: SocketAddr) -> std::io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let from: IpAddr = from.parse().map_err(std::io::Error::other)?;
    socket.bind(&SocketAddr::new(from, port).into())?;
    socket.connect_timeout(&to.into(), Duration::from_millis(300))
}

/// Whoever compares in the middle of an import or a flush finds one side ahead of the other, and no drift.
#[test]
fn changes_of_many_bans_are_not_taken_for_drift() -> Result<()> {
    let world = World::new()?;
    let list = world.daemon.control().with_file_name("many.txt");
    let hosts = (0..20_000_u32).map(|number| std::net::Ipv4Addr::from(0x2000_0000 + number * 256).to_string() + "\n");
    std::fs::write(&list, hosts.collect::<String>())?;
    let list = list.display().to_string();
    for change in [
        &["ban", "import", &list, "--list", "many"][..],
        &["ban", "flush", "--yes"],
    ] {
        let drifted = std::thread::scope(|scope| -> Result<Vec<String>> {
            let changed = scope.spawn(|| world.daemon.cli(change));
            let mut drifted = Vec::new();
            loop {
                let is_over = changed.is_finished();
                // Its status is 1 if there was a difference.
                if let Err(error) = world.daemon.cli(&["status", "--verify"]) {
                    drifted.push(error.to_string());
                }
                if is_over {
                    break;
                }
            }
            changed.join().map_err(|_| anyhow::anyhow!("it panicked"))??;
            Ok(drifted)
        })?;
        ensure!(drifted.is_empty(), "{change:?}: {drifted:?}");
    }
    Ok(())
}
