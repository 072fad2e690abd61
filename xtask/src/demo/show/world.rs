//! The network of the demo. Nothing in it leads out, and nothing outside is touched.
//!
//! Visitor and neighbour are behind the same NAT address; the attacker is routed. [`super::NETWORK`] is a picture of it.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::place::Place;
use crate::process;

/// Where the gate listens.
pub(super) const GATE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(SERVER, 8080));
/// What visitor and neighbour look like from outside.
pub(super) const NAT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 77);
/// The router as the server knows it: a gateway, which is never banned. So the NAT needs an address of its own.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The server's interface, where the XDP program goes.
pub(super) const INTERFACE: &str = "eth0";

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const NAT_RULES: &str = "add table ip home; \
    add chain ip home out { type nat hook postrouting priority 100; }; \
    add rule ip home out oifname server ip saddr { 10.77.1.0/24, 10.77.2.0/24 } snat to 10.77.0.77";

/// The places, gone when dropped.
pub(super) struct World {
    pub(super) visitor: Place,
    pub(super) neighbour: Place,
    pub(super) attacker: Place,
    pub(super) server: Place,
    router: Place,
    _namespaces: Namespaces,
}

impl World {
    /// Makes all of it.
    pub(super) fn make() -> Result<Self> {
        let mut namespaces = Namespaces::default();
        let mut place = |who, address| -> Result<Place> {
            let namespace = namespaces.add(who)?;
            Ok(Place {
                who,
                namespace,
                address,
            })
        };
        let world = Self {
            router: place("router", GATEWAY)?,
            server: place("server", SERVER)?,
            visitor: place("visitor", Ipv4Addr::new(10, 77, 1, 2))?,
            neighbour: place("neighbour", Ipv4Addr::new(10, 77, 2, 2))?,
            attacker: place("attacker", Ipv4Addr::new(10, 77, 3, 2))?,
            _namespaces: namespaces,
        };
        for place in [&world.server, &world.visitor, &world.neighbour, &world.attacker] {
            world.link(place)?;
        }
        world.route()?;
        Ok(world)
    }

    /// Everyone is linked to the router, which has the first address of each network.
    fn link(&self, place: &Place) -> Result<()> {
        let [a, b, c, _] = place.address.octets();
        let gateway = Ipv4Addr::new(a, b, c, 1);
        let (address, here, there) = (place.address, &place.namespace, &self.router.namespace);
        ip(&format!(
            "-n {here} link add {INTERFACE} type veth peer name {} netns {there}",
            place.who
        ))?;
        ip(&format!("-n {there} address add {gateway}/24 dev {}", place.who))?;
        ip(&format!("-n {there} link set {} up", place.who))?;
        ip(&format!("-n {here} address add {address}/24 dev {INTERFACE}"))?;
        ip(&format!("-n {here} link set {INTERFACE} up"))?;
        ip(&format!("-n {here} route add default via {gateway}"))
    }

    fn route(&self) -> Result<()> {
        let router = &self.router;
        ip(&format!("-n {} address add {NAT}/24 dev server", router.namespace))?;
        router
            .run(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))
            .context("the router cannot forward")?;
        process::output(router.command("nft").arg(NAT_RULES)).context("the router cannot translate addresses")?;
        Ok(())
    }
}

#[derive(Default)]
struct Namespaces(Vec<String>);

impl Namespaces {
    fn add(&mut self, who: &str) -> Result<String> {
        let name = format!("portcullis-{}-{who}", std::process::id());
        ip(&format!("netns add {name}"))?;
        self.0.push(name.clone());
        ip(&format!("-n {name} link set lo up"))?;
        Ok(name)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // Their interfaces, addresses and rules go with them.
        for name in &self.0 {
            if let Err(error) = ip(&format!("netns delete {name}")) {
                eprintln!("warning: {error:#}");
            }
        }
    }
}

fn ip(arguments: &str) -> Result<()> {
    process::output(Command::new("ip").args(arguments.split(' '))).map(drop)
}
