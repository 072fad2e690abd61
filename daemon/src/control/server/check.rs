//! `/v1/bans/check`: what happens to one address, from both sides: what the daemon intends, and what the kernel has.

use std::net::IpAddr;

use ipnet::IpNet;
use portcullis_guard::blacklist::Standing;
use portcullis_guard::time::Now;

use super::allow;
use super::bans;
use super::dispatch::Reply;
use super::error::ControlError;
use super::status::mode;
use crate::control::api::{BanCheck, CheckedBan, KernelEntry, Mode, Verdict, parse_address};
use crate::enforcer::{Enforcer, EnforcerError, Target};
use crate::gate::Gate;

pub(super) fn check(gate: &Gate, address: &str) -> Result<Reply, ControlError> {
    let address = parse_address(address)?;
    let now = gate.now();
    let held = gate
        .kernel()
        .map(|kernel| covering_entries(kernel, address))
        .transpose()?;
    let standing = gate.guard().standing(address, now);
    let mut check = compared(address, &standing, held.as_deref(), mode(gate), now);
    if let Some(kernel) = gate.kernel() {
        for checked in &mut check.bans {
            let hits = kernel.hits([Target::Prefix(checked.ban.network)]);
            checked.ban.hits = hits
                .into_iter()
                .flatten()
                .next()
                .map(|hits| bans::shown_hits(&hits, now));
        }
    }
    Reply::ok(&check)
}

/// The kernel's entries for a host and for each prefix that covers it, the most specific first.
fn covering_entries(kernel: &Enforcer, address: IpAddr) -> Result<Vec<KernelEntry>, EnforcerError> {
    let mut entries = Vec::new();
    for network in supernets(address) {
        match kernel.lookup(Target::Prefix(network)) {
            Ok(Some(ban)) => entries.push(KernelEntry {
                network,
                remaining_seconds: bans::seconds_left(ban.remaining),
            }),
            // Such a prefix cannot be in the kernel.
            Ok(None) | Err(EnforcerError::SwallowsV4 { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(entries)
}

fn supernets(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let host = IpNet::from(address);
    (0..=host.max_prefix_len())
        .rev()
        .filter_map(move |length| IpNet::new(address, length).ok().map(|net| net.trunc()))
}

fn compared(address: IpAddr, standing: &Standing, held: Option<&[KernelEntry]>, mode: Mode, now: Now) -> BanCheck {
    let in_kernel = |network: IpNet| {
        held.unwrap_or_default()
            .iter()
            .find(|entry| entry.network == network)
            .cloned()
    };
    let checked = standing.bans.iter().map(|ban| CheckedBan {
        ban: bans::shown(ban, now),
        kernel: in_kernel(ban.network),
    });
    let intended = |entry: &&KernelEntry| standing.bans.iter().any(|ban| ban.network == entry.network);
    BanCheck {
        address,
        verdict: verdict(standing, held.unwrap_or_default(), mode),
        mode,
        allowed: standing.allowed.as_ref().map(allow::shown),
        bans: checked.collect(),
        strays: held
            .unwrap_or_default()
            .iter()
            .filter(|entry| !intended(entry))
            .cloned()
            .collect(),
        packet_layer: held.is_some(),
    }
}

fn verdict(standing: &Standing, held: &[KernelEntry], mode: Mode) -> Verdict {
    match (&standing.allowed, mode) {
        (Some(_), _) => Verdict::NeverBanned,
        (None, _) if standing.bans.is_empty() && held.is_empty() => Verdict::Passes,
        (None, Mode::Monitor) => Verdict::Watched,
        (None, Mode::Enforce) if held.is_empty() => Verdict::Refused,
        (None, Mode::Enforce) => Verdict::Dropped,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_guard::blacklist::{Allowed, BanOrder, Blacklist, Origin};
    use portcullis_guard::time::{MonoMillis, WallMillis};

    use super::*;

    const NOW: Now = Now {
        wall: WallMillis(1_800_000_000_000),
        mono: MonoMillis(0),
    };

    fn standing(banned: &[&str], allowed: &[&str]) -> Standing {
        let mut list = Blacklist::new(10);
        for network in banned {
            let order = BanOrder {
                network: network.parse().unwrap(),
                ttl: Duration::from_secs(60),
                reason: "test".into(),
                origin: Origin::Operator,
                source: None,
                by: None,
                reference: None,
                force: false,
            };
            list.ban(order, NOW).unwrap();
        }
        for network in allowed {
            let entry = Allowed {
                fixed: false,
                ..Allowed::fixed(network.parse().unwrap(), "")
            };
            list.allow(entry).unwrap();
        }
        list.standing("192.0.2.7".parse().unwrap(), NOW)
    }

    fn held(networks: &[&str]) -> Vec<KernelEntry> {
        let entry = |network: &&str| KernelEntry {
            network: network.parse().unwrap(),
            remaining_seconds: 60,
        };
        networks.iter().map(entry).collect()
    }

    fn check(standing: &Standing, held: Option<&[KernelEntry]>, mode: Mode) -> BanCheck {
        compared("192.0.2.7".parse().unwrap(), standing, held, mode, NOW)
    }

    #[test]
    fn the_verdict_is_what_happens_and_not_what_is_meant() {
        let (clean, banned) = (standing(&[], &[]), standing(&["192.0.2.0/24"], &[]));
        let kernel = held(&["192.0.2.0/24"]);
        for (standing, held, mode, verdict) in [
            (&clean, Some(&[][..]), Mode::Enforce, Verdict::Passes),
            (&clean, None, Mode::Enforce, Verdict::Passes),
            (&clean, Some(&kernel), Mode::Enforce, Verdict::Dropped),
            (&banned, Some(&kernel), Mode::Enforce, Verdict::Dropped),
            (&banned, Some(&[][..]), Mode::Enforce, Verdict::Refused),
            (&banned, None, Mode::Enforce, Verdict::Refused),
            (&banned, Some(&kernel), Mode::Monitor, Verdict::Watched),
        ] {
            assert_eq!(
                check(standing, held, mode).verdict,
                verdict,
                "{standing:?} {held:?} {mode}"
            );
        }
    }

    #[test]
    fn never_ban_wins() {
        let standing = standing(&["192.0.2.0/24"], &["192.0.2.7/32"]);
        let check = check(&standing, Some(&held(&["192.0.2.0/24"])), Mode::Enforce);
        assert_eq!(
            (check.verdict, check.bans.len(), check.strays.len()),
            (Verdict::NeverBanned, 1, 0)
        );
    }

    #[test]
    fn each_ban_stands_beside_its_kernel_entry() {
        let standing = standing(&["192.0.2.0/24", "192.0.2.7/32"], &[]);
        let check = check(&standing, Some(&held(&["192.0.2.0/24", "192.0.0.0/16"])), Mode::Enforce);
        let bans: Vec<_> = check
            .bans
            .iter()
            .map(|ban| (ban.ban.network.prefix_len(), ban.kernel.is_some()))
            .collect();
        assert_eq!(bans, [(32, false), (24, true)]);
        assert_eq!(check.strays, held(&["192.0.0.0/16"]));
    }

    #[test]
    fn every_covering_prefix_is_asked_for() {
        assert_eq!(supernets("192.0.2.7".parse().unwrap()).count(), 33);
        let first = supernets("2001:db8::1".parse().unwrap()).next().unwrap();
        assert_eq!(first.to_string(), "2001:db8::1/128");
    }
}
