//! Sessions that are used from several networks and browsers, from outside: real sockets from many addresses, in a network
//! namespace of our own. Needs root.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, Wire};
use portcullis_tests::daemon::Daemon;
use portcullis_tests::netns::Namespace;

const PROTECT: &str = "[protect]\npaths = [\"/api/**\"]\n";
const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

const HOME: &str = "192.0.2.10";
const HOME_V6: &str = "2001:db8:1:1::1";
const CELL: &str = "198.51.100.20";
const CELL_V6: &str = "2001:db8:2:1::1";
const OFFICE: &str = "203.0.113.30";
const SERVER_V4: &str = "10.0.0.1";
const SERVER_V6: &str = "2001:db8:ffff::1";

struct World {
    daemon: Daemon,
    backend: Backend,
    network: Namespace,
}

/// A browser with a session, wherever it is.
struct Visitor<'a> {
    world: &'a World,
    client: Client,
    /// Fields beside those of the client.
    fields: String,
}

impl World {
    fn new(config: &str) -> Result<Self> {
        let network = Namespace::new("bind");
        for address in [SERVER_V4, HOME, "192.0.2.77", CELL, OFFICE] {
            network.address("lo", &format!("{address}/32"));
        }
        let privacy = ["2001:db8:1:1:dead:beef:1:2", "2001:db8:1:1:feed:cafe:3:4"];
        for address in [SERVER_V6, HOME_V6, CELL_V6].iter().chain(&privacy) {
            network.address("lo", &format!("{address}/128"));
        }
        let (backend, daemon) = Daemon::start_within(&network, "::".parse()?, config)?;
        Ok(Self {
            daemon,
            backend,
            network,
        })
    }

    /// The gate as clients of IPv4 know it. All sign for this authority, like the one name of a real site.
    fn authority(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::new(SERVER_V4.parse()?, self.daemon.address().port()))
    }

    fn connect(&self, from: &str) -> Result<Wire> {
        let from: IpAddr = from.parse()?;
        let server = if from.is_ipv4() { SERVER_V4 } else { SERVER_V6 };
        let server = SocketAddr::new(server.parse()?, self.daemon.address().port());
        Wire::over(self.network.connect(from, server)?)
    }

    fn visitor(&self, from: &str) -> Result<Visitor<'_>> {
        let mut client = Client::open_over(&mut self.connect(from)?, self.authority()?)?;
        client.user_agent = CHROME.into();
        Ok(Visitor {
            world: self,
            client,
            fields: String::new(),
        })
    }

    /// The only session, as the operator sees it.
    fn session(&self) -> Result<serde_json::Value> {
        let list: serde_json::Value = serde_json::from_str(&self.daemon.cli(&["--json", "session", "list"])?)?;
        let sessions = list.as_array().or_else(|| list["sessions"].as_array());
        let sessions = sessions.with_context(|| format!("no list in {list}"))?;
        ensure!(sessions.len() == 1, "{list}");
        Ok(sessions[0].clone())
    }
}

impl Visitor<'_> {
    fn request(&mut self, method: &str, target: &str) -> Result<Vec<u8>> {
        let request = self.client.request(method, target, "")?;
        let line = request.windows(2).position(|pair| pair == b"\r\n").unwrap_or(0) + 2;
        Ok([&request[..line], self.fields.as_bytes(), &request[line..]].concat())
    }

    fn call(&mut self, from: &str) -> Result<Answer> {
        let request = self.request("GET", "/api/orders")?;
        self.world.connect(from)?.exchange(&request)
    }

    /// What the SDK does: signs again when it is asked to. Whether that was needed.
    fn go_on(&mut self, from: &str) -> Result<bool> {
        let answer = self.call(from)?;
        if answer.status == 200 {
            return Ok(false);
        }
        refused(&answer, "fresh-nonce-required")?;
        self.client.adopt(&answer)?;
        let answer = self.call(from)?;
        ensure!(answer.status == 200, "from {from}: {} {}", answer.status, answer.body);
        Ok(true)
    }
}

fn refused(answer: &Answer, problem: &str) -> Result<()> {
    ensure!(
        answer.problem() == problem,
        "{} {}, not {problem}",
        answer.status,
        answer.body
    );
    Ok(())
}

#[test]
fn a_phone_that_changes_networks_never_loses_its_session() -> Result<()> {
    let world = World::new(PROTECT)?;
    let mut phone = world.visitor(HOME)?;
    let way = [HOME, CELL, HOME, CELL, OFFICE, OFFICE];
    let asked = way.map(|place| phone.go_on(place));
    let asked = asked.into_iter().collect::<Result<Vec<_>>>()?;
    ensure!(asked == [false, true, false, false, true, false], "{asked:?}");
    ensure!(world.backend.requests() == 6, "each call reached the application once");
    Ok(())
}

#[test]
fn happy_eyeballs_and_privacy_addresses_go_unnoticed() -> Result<()> {
    let world = World::new(PROTECT)?;
    let mut browser = world.visitor(HOME)?;
    let page = [
        HOME,
        HOME_V6,
        HOME,
        "2001:db8:1:1:dead:beef:1:2",
        HOME_V6,
        HOME,
        "2001:db8:1:1:feed:cafe:3:4",
    ];
    for place in page {
        ensure!(!browser.go_on(place)?, "asked at {place}");
    }
    ensure!(browser.go_on(CELL_V6)?, "the other family is learned once");
    Ok(())
}

#[test]
fn neighbours_behind_a_nat_and_its_pool_do_not_disturb_each_other() -> Result<()> {
    let world = World::new(PROTECT)?;
    let (mut one, mut other) = (world.visitor(HOME)?, world.visitor(HOME)?);
    other.client.user_agent = "Firefox/153".into();
    for place in [HOME, "192.0.2.77", HOME, "192.0.2.77"] {
        ensure!(!one.go_on(place)? && !other.go_on(place)?, "asked at {place}");
    }
    Ok(())
}

#[test]
fn a_browser_update_goes_unnoticed_and_another_browser_does_not() -> Result<()> {
    let world = World::new(PROTECT)?;
    let mut browser = world.visitor(HOME)?;
    browser.fields =
        "accept-language: de\r\nsec-ch-ua: \"Chromium\";v=\"120\"\r\nsec-ch-ua-platform: \"Linux\"\r\n".into();
    ensure!(!browser.go_on(HOME)?);
    browser.client.user_agent = CHROME.replace("120", "121");
    browser.fields = browser.fields.replace("120", "121");
    ensure!(!browser.go_on(HOME)?, "asked after an update");
    browser.fields = browser.fields.replace("de", "fr");
    ensure!(!browser.go_on(HOME)?, "asked for a language");
    browser.fields = browser.fields.replace("Linux", "Windows");
    ensure!(browser.go_on(HOME)?, "not asked for another device");
    browser.client.user_agent = "curl/8.9".into();
    refused(&browser.call(HOME)?, "reauthentication-required")?;
    Ok(())
}

#[test]
fn a_copy_is_refused_from_everywhere() -> Result<()> {
    let world = World::new(PROTECT)?;
    let mut browser = world.visitor(HOME)?;
    ensure!(!browser.go_on(HOME)?);
    let call = browser.request("GET", "/api/orders")?;
    ensure!(world.connect(HOME)?.exchange(&call)?.status == 200);
    for place in [HOME, "192.0.2.77", HOME_V6, CELL] {
        refused(&world.connect(place)?.exchange(&call)?, "nonce-reused")?;
    }
    ensure!(world.backend.requests() == 2);
    Ok(())
}

#[test]
fn a_route_may_be_strict_or_unbound() -> Result<()> {
    let routes = "[[route]]\npaths = [\"/api/admin/**\"]\nbinding = \"strict\"\n\
                  [[route]]\npaths = [\"/api/feed\"]\nbinding = \"off\"\n";
    let world = World::new(&format!("{PROTECT}{routes}"))?;
    let mut browser = world.visitor(HOME)?;
    let mut call = |from: &str, target: &str| {
        let request = browser.request("GET", target)?;
        world.connect(from)?.exchange(&request)
    };
    ensure!(call(HOME, "/api/admin/users")?.status == 200);
    ensure!(call(CELL, "/api/feed")?.status == 200);
    refused(&call(CELL, "/api/orders")?, "fresh-nonce-required")?;
    refused(&call("192.0.2.77", "/api/admin/users")?, "reauthentication-required")?;
    Ok(())
}

#[test]
fn one_key_in_three_networks_at_once_is_not_one_person() -> Result<()> {
    let world = World::new(PROTECT)?;
    let mut key = world.visitor(HOME)?;
    let mut ended = false;
    // Calls take less than a tenth of a second, in which nothing can be told to be at the same time.
    for place in [HOME, CELL, OFFICE].into_iter().cycle().take(300) {
        let mut answer = key.call(place)?;
        if answer.fresh_nonce().is_some() {
            key.client.adopt(&answer)?;
            answer = key.call(place)?;
        }
        match answer.problem().as_str() {
            "" => {}
            "reauthentication-required" => {
                ended = true;
                break;
            }
            other => anyhow::bail!("{other}"),
        }
    }
    ensure!(ended, "nobody noticed");
    ensure!(world.session()?["score"].as_f64().is_some_and(|score| score > 30.0));
    Ok(())
}
