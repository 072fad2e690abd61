//! Nobody locks himself out: what is never banned, whatever the operator or a score says (invariant I7).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use portcullis_guard::blacklist::Allowed;

use crate::config::Config;

/// The networks that this machine needs, with the reason for each.
#[must_use]
pub fn never_ban() -> Vec<Allowed> {
    let mut entries = vec![
        Allowed::fixed(IpNet::new_assert(Ipv4Addr::new(127, 0, 0, 0).into(), 8), "loopback"),
        Allowed::fixed(IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)), "loopback"),
    ];
    entries.extend(own_addresses().map(|address| Allowed::fixed(address.into(), "an address of this machine")));
    entries.extend(
        gateways()
            .into_iter()
            .map(|address| Allowed::fixed(address.into(), "a gateway of this machine")),
    );
    entries.extend(ssh_peer().map(|address| Allowed::fixed(address.into(), "the SSH peer that started the daemon")));
    entries
}

/// The same with those that a configuration names.
#[must_use]
pub fn never_ban_of(config: &Config) -> Vec<Allowed> {
    let named = |networks: &[IpNet], key: &str| -> Vec<Allowed> {
        let reason = format!("configuration: {key}");
        networks
            .iter()
            .map(|&network| Allowed::fixed(network, &reason))
            .collect()
    };
    let own = never_ban().into_iter();
    own.chain(named(&config.policy.never_ban, "never_ban"))
        .chain(named(&config.http.trusted_proxies, "http.trusted_proxies"))
        .collect()
}

fn own_addresses() -> impl Iterator<Item = IpAddr> {
    let interfaces = getifaddrs().into_iter().flatten();
    interfaces
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        })
}

fn gateways() -> Vec<IpAddr> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let v4 = v4_gateways(&read("/proc/net/route"));
    v4.into_iter()
        .chain(v6_gateways(&read("/proc/net/ipv6_route")))
        .collect()
}

/// `/proc/net/route`: interface, destination, gateway as the hexadecimal of the address in host byte order.
fn v4_gateways(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok();
    let set = table
        .lines()
        .skip(1)
        .filter_map(gateway)
        .filter(|&gateway| gateway != 0);
    set.map(|gateway| Ipv4Addr::from(gateway.to_ne_bytes()).into())
        .collect()
}

/// `/proc/net/ipv6_route`: destination, length, source, length, next hop.
fn v6_gateways(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| u128::from_str_radix(line.split_whitespace().nth(4)?, 16).ok();
    let set = table.lines().filter_map(gateway).filter(|&gateway| gateway != 0);
    set.map(|gateway| Ipv6Addr::from(gateway).into()).collect()
}

fn ssh_peer() -> Option<IpAddr> {
    std::env::var("SSH_CONNECTION")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_read_from_the_kernels_tables() {
        let v4 = "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0100A8C0\t0003\neth0\t0000A8C0\t00000000\t0001\n";
        assert_eq!(v4_gateways(v4), [IpAddr::from([192, 168, 0, 1])]);
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400\n";
        assert_eq!(v6_gateways(v6), ["fe80::1".parse::<IpAddr>().unwrap()]);
        assert!(v4_gateways("nonsense").is_empty() && v6_gateways("").is_empty());
    }

    #[test]
    fn loopback_and_own_addresses_are_there() {
        let entries = never_ban();
        let covers = |ip: &str| {
            entries
                .iter()
                .any(|entry| entry.network.contains(&ip.parse::<IpAddr>().unwrap()))
        };
        assert!(covers("127.0.0.53") && covers("::1"));
        assert!(entries.iter().all(|entry| entry.fixed));
    }
}
