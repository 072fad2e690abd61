//! The set as an operator and the gate use it.

use super::*;
use crate::time::MonoMillis;

fn at(seconds: u64) -> Now {
    Now {
        wall: WallMillis(1_800_000_000_000 + seconds * 1000),
        mono: MonoMillis(seconds * 1000),
    }
}

fn order(network: &str, seconds: u64) -> BanOrder {
    BanOrder {
        network: network.parse().unwrap(),
        ttl: Duration::from_secs(seconds),
        reason: "test".into(),
        origin: Origin::Operator,
        reference: None,
        source: None,
        by: None,
        force: false,
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn allowed(network: &str, fixed: bool) -> Allowed {
    Allowed {
        fixed,
        ..Allowed::fixed(network.parse().unwrap(), "office")
    }
}

#[test]
fn a_ban_ends_by_itself() {
    let mut list = Blacklist::new(10);
    list.ban(order("10.0.0.1/32", 60), at(0)).unwrap();
    assert!(list.banned(ip("10.0.0.1"), at(59)).is_some());
    assert!(list.banned(ip("::ffff:10.0.0.1"), at(59)).is_some(), "v4-mapped is v4");
    assert!(list.banned(ip("10.0.0.2"), at(59)).is_none());
    assert!(list.banned(ip("10.0.0.1"), at(60)).is_none());
    assert_eq!(list.expire(at(60)), 1);
    assert!(list.is_empty());
}

#[test]
fn the_most_specific_entry_comes_first() {
    let mut list = Blacklist::new(10);
    for network in [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3/32",
        "2001:db8::/32",
        "2001:db8::1/128",
    ] {
        list.ban(order(network, 60), at(0)).unwrap();
    }
    let covering = |address| {
        list.standing(ip(address), at(1))
            .bans
            .iter()
            .map(|ban| ban.network.prefix_len())
            .collect::<Vec<_>>()
    };
    assert_eq!(covering("10.1.2.3"), [32, 16, 8]);
    assert_eq!(covering("10.9.9.9"), [8]);
    assert_eq!(covering("2001:db8::1"), [128, 32]);
    assert_eq!(covering("11.0.0.1"), []);
}

#[test]
fn a_second_ban_changes_the_end_and_keeps_the_beginning() {
    let mut list = Blacklist::new(10);
    list.ban(order("10.0.0.1/32", 60), at(0)).unwrap();
    let ban = list.ban(order("10.0.0.1/32", 3600), at(30)).unwrap();
    assert_eq!(
        (ban.since, ban.remaining(at(30))),
        (at(0).wall, Duration::from_secs(3600))
    );
}

#[test]
fn never_ban_wins_both_ways() {
    let mut list = Blacklist::new(10);
    list.allow(allowed("10.0.0.0/24", false)).unwrap();
    for network in ["10.0.0.7/32", "10.0.0.0/16", "10.0.0.0/24"] {
        assert!(
            matches!(list.ban(order(network, 60), at(0)), Err(BanRefused::NeverBan { .. })),
            "{network}"
        );
    }
    let forced = BanOrder {
        force: true,
        ..order("10.0.0.7/32", 60)
    };
    assert!(list.ban(forced, at(0)).is_err(), "not even by force");
    let around = BanOrder {
        force: true,
        ..order("10.0.0.0/16", 60)
    };
    list.ban(around, at(0)).unwrap();
    assert!(
        list.banned(ip("10.0.0.7"), at(1)).is_none(),
        "never-ban wins in what force bans"
    );
    assert!(list.banned(ip("10.0.9.7"), at(1)).is_some());
    list.unban("10.0.0.0/16".parse().unwrap());
    list.ban(order("10.0.1.0/24", 60), at(0)).unwrap();
    let lifted = list.allow(allowed("10.0.1.0/24", false)).unwrap();
    assert_eq!(lifted.len(), 1);
    assert!(list.banned(ip("10.0.1.5"), at(1)).is_none());
}

#[test]
fn an_allowed_host_in_a_banned_prefix_passes() {
    let mut list = Blacklist::new(10);
    list.ban(order("10.0.1.0/24", 60), at(0)).unwrap();
    list.allow(allowed("10.0.1.7/32", false)).unwrap();
    assert!(list.banned(ip("10.0.1.7"), at(1)).is_none());
    assert!(list.banned(ip("10.0.1.8"), at(1)).is_some());
    let standing = list.standing(ip("10.0.1.7"), at(1));
    assert!(standing.allowed.is_some() && standing.bans.len() == 1);
}

#[test]
fn fixed_entries_stay() {
    let mut list = Blacklist::new(10);
    list.allow(allowed("127.0.0.0/8", true)).unwrap();
    list.allow(allowed("127.0.0.0/8", false)).unwrap();
    assert!(matches!(
        list.disallow("127.0.0.0/8".parse().unwrap()),
        Err(AllowRefused::Fixed(..))
    ));
    assert!(matches!(
        list.disallow("10.0.0.0/8".parse().unwrap()),
        Err(AllowRefused::Unknown(_))
    ));
}

#[test]
fn full_is_an_error_and_the_expired_make_room() {
    let mut list = Blacklist::new(2);
    list.ban(order("10.0.0.1/32", 10), at(0)).unwrap();
    list.ban(order("10.0.0.2/32", 60), at(0)).unwrap();
    assert_eq!(
        list.ban(order("10.0.0.3/32", 60), at(0)).err(),
        Some(BanRefused::Full { capacity: 2 })
    );
    list.ban(order("10.0.0.3/32", 60), at(11)).unwrap();
    assert_eq!(list.bans(at(11)).count(), 2);
}

#[test]
fn senseless_orders_are_refused() {
    let mut list = Blacklist::new(2);
    assert_eq!(
        list.ban(order("10.0.0.1/32", 0), at(0)).err(),
        Some(BanRefused::Duration)
    );
    assert!(matches!(
        list.ban(order("10.0.0.0/7", 60), at(0)),
        Err(BanRefused::TooWide { shortest: 8, .. })
    ));
    assert!(matches!(
        list.ban(order("2000::/16", 60), at(0)),
        Err(BanRefused::TooWide { shortest: 19, .. })
    ));
    list.ban(
        BanOrder {
            force: true,
            ..order("10.0.0.0/7", 60)
        },
        at(0),
    )
    .unwrap();
}

#[test]
fn exempt_entries_around_and_inside_are_found() {
    let mut list = Blacklist::new(10);
    for network in ["10.0.0.0/24", "10.9.0.1/32", "2001:db8::/48"] {
        list.allow(allowed(network, false)).unwrap();
    }
    let exempt = |network: &str| {
        list.exempt(network.parse().unwrap())
            .map(|entry| entry.network.to_string())
    };
    assert_eq!(exempt("10.0.0.7/32").as_deref(), Some("10.0.0.0/24"));
    assert_eq!(exempt("10.0.0.0/24").as_deref(), Some("10.0.0.0/24"));
    assert_eq!(exempt("10.9.0.0/16").as_deref(), Some("10.9.0.1/32"));
    assert_eq!(exempt("2001::/16").as_deref(), Some("2001:db8::/48"));
    assert_eq!(exempt("0.0.0.0/0").as_deref(), Some("10.0.0.0/24"));
    for clean in ["10.0.1.0/24", "10.8.0.0/16", "2001:db9::/32"] {
        assert_eq!(exempt(clean), None, "{clean}");
    }
}

/// An order of a list.
fn listed(network: &str, name: &str, seconds: u64) -> BanOrder {
    BanOrder {
        origin: Origin::List,
        source: Some(name.into()),
        ..order(network, seconds)
    }
}

fn of_list(name: &str) -> Holder {
    Holder {
        origin: None,
        source: Some(name.into()),
    }
}

#[test]
fn the_longest_claim_is_the_ban_and_the_others_wait() {
    let mut list = Blacklist::new(10);
    let network: IpNet = "10.0.0.1/32".parse().unwrap();
    list.ban(order("10.0.0.1/32", 60), at(0)).unwrap();
    let ban = list.ban(listed("10.0.0.1/32", "drop", 3600), at(1)).unwrap();
    assert_eq!((ban.origin, ban.remaining(at(1)).as_secs()), (Origin::List, 3600));
    assert_eq!((list.len(), list.list_len("drop")), (1, 1));

    let shorter = list.ban(order("10.0.0.1/32", 10), at(2)).unwrap();
    assert_eq!(
        shorter.origin,
        Origin::List,
        "the operator's word does not shorten the list's"
    );

    let (released, left) = list.release(network, &of_list("drop"));
    let left = left.unwrap();
    assert_eq!(
        (released, left.origin, left.remaining(at(2)).as_secs()),
        (true, Origin::Operator, 10)
    );
    assert_eq!((list.len(), list.list_len("drop")), (1, 0));
    assert_eq!(list.tally().get(Kind::HostV4, Origin::Operator), 1);
    assert_eq!(list.tally().get(Kind::HostV4, Origin::List), 0);

    list.ban(listed("10.0.0.1/32", "drop", 3600), at(2)).unwrap();
    assert_eq!(list.unban(network).unwrap().origin, Origin::List);
    assert!(
        list.is_empty() && list.ban_of(network, at(2)).is_none(),
        "unban lifts every claim"
    );
    assert_eq!(list.tally(), Tally::default());
}

#[test]
fn a_list_whose_name_was_forgotten_is_taken_over() {
    let mut list = Blacklist::new(10);
    let nameless = BanOrder {
        source: None,
        by: None,
        ..listed("10.0.0.1/32", "", 600)
    };
    list.ban(nameless, at(0)).unwrap();
    let ban = list.ban(listed("10.0.0.1/32", "drop", 60), at(1)).unwrap();
    assert_eq!(
        (ban.source.as_deref(), ban.remaining(at(1)).as_secs()),
        (Some("drop"), 60)
    );
}

#[test]
fn expiry_goes_on_where_it_stopped() {
    let mut list = Blacklist::new(100);
    for host in 0..10 {
        let seconds = if host % 2 == 0 { 10 } else { 100 };
        list.ban(order(&format!("10.0.0.{host}/32"), seconds), at(0)).unwrap();
    }
    assert_eq!(
        list.expire_some(Bound::Unbounded, 3, at(9)),
        (0, Some(Bound::Excluded("10.0.0.2/32".parse().unwrap())))
    );
    let (mut over, mut steps, mut from) = (0, 0, Some(Bound::Unbounded));
    while let Some(start) = from {
        let (some, next) = list.expire_some(start, 3, at(10));
        // Whatever is banned meanwhile is not forgotten.
        list.ban(order("10.0.0.0/32", 40), at(10)).unwrap();
        (over, steps, from) = (over + some, steps + 1, next);
    }
    assert!(over == 5 && steps >= 3, "{over} in {steps}");
    assert_eq!(
        list.expire_some(Bound::Unbounded, 3, at(49)),
        (0, None),
        "no look before one can be over"
    );
    assert_eq!(list.expire(at(50)), 1);
    assert_eq!(list.expire(at(100)), 5);
    assert!(list.is_empty());
}
