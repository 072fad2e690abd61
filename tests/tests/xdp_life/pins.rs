//! What crashes and other versions leave behind.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use aya::maps::{Array, HashMap, LpmTrie, MapData, lpm_trie::Key};
use portcullis::enforcer::{Enforcer, Origin, Target};
use portcullis_common::ABI_VERSION;
use portcullis_tests::netns::Namespace;

use super::{ATTACKER, HOUR, NEIGHBOUR, Place, SERVER, attach, host, net, options};

/// What lies at a place for pins, but for what the kernel itself puts into a bpffs.
pub(crate) fn names(place: &Path) -> Vec<String> {
    let entries = fs::read_dir(place).unwrap().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".debug"))
        .collect()
}

fn maps_of(place: &Path) -> Vec<String> {
    names(place)
        .into_iter()
        .filter(|name| name.starts_with("maps-"))
        .collect()
}

/// Gives the maps of one directory second names in another.
fn copy_names(from: &Path, to: &Path, leave_out: &str) {
    fs::create_dir(to).unwrap();
    for name in names(from)
        .iter()
        .filter(|name| *name != leave_out && *name != "PROGRAM")
    {
        MapData::from_pin(from.join(name)).unwrap().pin(to.join(name)).unwrap();
    }
}

/// A gate with one ban that nobody owns any more.
fn left_behind(server: &Namespace, place: &Place) -> String {
    let enforcer = attach(server, &options(&place.0, 1_000));
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    drop(enforcer);
    let mut maps = maps_of(&place.0);
    assert_eq!(maps.len(), 1);
    maps.remove(0)
}

/// Maps of the present layout with another ban, that no program uses, as what was made in vain.
fn leave_others(place: &Place, name: &str, leave_out: &str) {
    let (elsewhere, other) = (Place::new(), Namespace::new("other"));
    let enforcer = other.run(|| {
        let options = portcullis::enforcer::AttachOptions {
            interfaces: Vec::new(),
            ..options(&elsewhere.0, 1_000)
        };
        Enforcer::attach(&options).unwrap()
    });
    enforcer.ban(host(NEIGHBOUR), HOUR, Origin::Operator).unwrap();
    let maps = elsewhere.0.join(maps_of(&elsewhere.0).remove(0));
    // A name of a map counts in the file system that it is in: others are opened and named again.
    copy_names(&maps, &place.0.join(name), leave_out);
    drop(enforcer);
}

fn bans_the_attacker_alone(server: &Namespace, clients: &Namespace, place: &Place) {
    let enforcer = attach(server, &options(&place.0, 1_000));
    assert_eq!(
        enforcer
            .list()
            .unwrap()
            .bans
            .iter()
            .map(|(target, _)| *target)
            .collect::<Vec<_>>(),
        [host(ATTACKER)]
    );
    assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
    assert_eq!(names(&place.0).len(), 2, "{:?}", names(&place.0));
}

#[test]
fn tables_that_a_crash_left_unused_are_not_adopted() {
    let newer = format!("maps-{ABI_VERSION}-999");
    // Whole but not in use; with a map missing; not even named; of no layout at all.
    for (name, leave_out) in [
        (newer.as_str(), ""),
        (newer.as_str(), "OVERFLOW"),
        ("next", ""),
        ("maps-x", ""),
    ] {
        let ((server, clients), place) = (net(), Place::new());
        left_behind(&server, &place);
        leave_others(&place, name, leave_out);
        bans_the_attacker_alone(&server, &clients, &place);
    }
}

#[test]
fn without_any_link_the_newest_whole_tables_are_adopted() {
    let ((server, clients), place) = (net(), Place::new());
    let named = left_behind(&server, &place);
    leave_others(&place, &format!("maps-{ABI_VERSION}-999"), "FLOWS");
    server.ip("link delete gate");
    super::connect(&server, &clients);
    assert!(clients.pings(ATTACKER, SERVER));
    assert!(maps_of(&place.0).contains(&named));
    bans_the_attacker_alone(&server, &clients, &place);
}

#[test]
fn detaching_leaves_nothing_of_all_that() {
    let newer = format!("maps-{ABI_VERSION}-999");
    for (name, leave_out) in [
        (newer.as_str(), ""),
        (newer.as_str(), "OVERFLOW"),
        ("next", ""),
        ("maps-1-0", ""),
    ] {
        let ((server, clients), place) = (net(), Place::new());
        left_behind(&server, &place);
        leave_others(&place, name, leave_out);
        Enforcer::detach_pinned(&place.0).unwrap();
        assert!(!place.0.exists());
        assert!(clients.pings(ATTACKER, SERVER));
    }
}

#[test]
fn tables_that_claim_another_layout_than_their_name_are_never_read() {
    let ((server, clients), place) = (net(), Place::new());
    let named = left_behind(&server, &place);
    for other in ["maps-1", "maps-2-3", "maps-77-0"] {
        let _ = fs::rename(place.0.join(&named), place.0.join(other));
        let second = attach(&server, &options(&place.0, 1_000));
        assert_eq!(second.list().unwrap().bans, []);
        assert!(clients.pings(ATTACKER, SERVER));
        assert!(!place.0.join(other).exists());
        assert_eq!(maps_of(&place.0).len(), 1);
    }
}

/// A ban of layout 1: when it ends, by whose word, and the length of its prefix.
fn old_entry(prefix_bits: u32, seconds: u64) -> [u8; 16] {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    let ends = Duration::from(now) + Duration::from_secs(seconds);
    let mut entry = [0; 16];
    entry[0..8].copy_from_slice(&(ends.as_nanos() as u64).to_ne_bytes());
    entry[8..12].copy_from_slice(&(Origin::Operator as u32).to_ne_bytes());
    entry[12..16].copy_from_slice(&prefix_bits.to_ne_bytes());
    entry
}

fn octets(address: &str) -> [u8; 16] {
    match address.parse().unwrap() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => Ipv6Addr::octets(&v6),
    }
}

/// The maps of layout 1: two hosts, one of them over, a prefix, a flow, and a network that is never banned.
fn leave_layout_1(place: &Place) {
    let path = place.0.join("maps-1-0");
    fs::create_dir(&path).unwrap();
    let mut settings = Array::<MapData, [u8; 32]>::create(1, 0).unwrap();
    let mut record = [0; 32];
    record[0..4].copy_from_slice(&1_u32.to_ne_bytes());
    settings.set(0, record, 0).unwrap();
    settings.pin(path.join("SETTINGS")).unwrap();
    let mut hosts = HashMap::<MapData, [u8; 16], [u8; 16]>::create(16, 0).unwrap();
    hosts.insert(octets(ATTACKER), old_entry(0, 3600), 0).unwrap();
    hosts.insert(octets("192.0.2.1"), old_entry(0, 0), 0).unwrap();
    hosts.pin(path.join("HOSTS")).unwrap();
    let mut prefixes = LpmTrie::<MapData, [u8; 16], [u8; 16]>::create(16, 1).unwrap();
    let network = Key::new(96 + 24, octets("198.51.100.0"));
    prefixes.insert(&network, old_entry(96 + 24, 3600), 0).unwrap();
    prefixes.pin(path.join("PREFIXES")).unwrap();
    let mut flows = HashMap::<MapData, [u8; 36], [u8; 16]>::create(16, 0).unwrap();
    let mut flow = [0; 36];
    flow[0..16].copy_from_slice(&octets("192.0.2.7"));
    flow[16..32].copy_from_slice(&octets("192.0.2.8"));
    flow[32..34].copy_from_slice(&4000_u16.to_be_bytes());
    flow[34..36].copy_from_slice(&80_u16.to_be_bytes());
    flows.insert(flow, old_entry(0, 3600), 0).unwrap();
    flows.pin(path.join("FLOWS")).unwrap();
    let mut allowed = LpmTrie::<MapData, [u8; 16], u32>::create(16, 1).unwrap();
    let office = Key::new(96 + 24, octets("203.0.113.0"));
    allowed.insert(&office, 96 + 24, 0).unwrap();
    allowed.pin(path.join("NEVER_BAN")).unwrap();
}

#[test]
fn bans_of_an_earlier_layout_are_taken_over() {
    let ((server, clients), place) = (net(), Place::new());
    let named = left_behind(&server, &place);
    server.ip("link delete gate");
    super::connect(&server, &clients);
    fs::remove_dir_all(place.0.join(named)).unwrap();
    leave_layout_1(&place);
    let enforcer = attach(&server, &options(&place.0, 1_000));
    let contents = enforcer.list().unwrap();
    assert_eq!(contents.bans.len(), 3, "{:?}", contents.bans);
    for target in [host(ATTACKER), Target::Prefix("198.51.100.0/24".parse().unwrap())] {
        let ban = enforcer.lookup(target).unwrap().unwrap();
        assert_eq!(ban.origin, Some(Origin::Operator));
        assert!(ban.remaining > HOUR - Duration::from_secs(60), "{ban:?}");
    }
    assert_eq!(contents.allowed, ["203.0.113.0/24".parse().unwrap()]);
    assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
    assert_eq!(names(&place.0).len(), 2, "{:?}", names(&place.0));
    drop(enforcer);
    bans_the_attacker_and_more(&server, &place, 3);
}

/// Layouts 2 and 3 had the tables of today; settings were shorter, and the filter of 2 meant something else.
#[test]
fn bans_of_layouts_with_the_tables_of_today_are_taken_over() {
    for layout in [2, 3] {
        takes_over_short_settings(layout);
    }
}

fn takes_over_short_settings(layout: u32) {
    let ((server, clients), place) = (net(), Place::new());
    let enforcer = attach(&server, &options(&place.0, 50_000));
    enforcer.ban(host(ATTACKER), HOUR, Origin::Operator).unwrap();
    enforcer.ban(host("2001:db8::7"), HOUR, Origin::List).unwrap();
    let wide = Target::Prefix("203.0.0.0/8".parse().unwrap());
    enforcer.ban(wide, HOUR, Origin::Operator).unwrap();
    enforcer.allow("198.51.100.0/24".parse().unwrap()).unwrap();
    drop(enforcer);
    let named = maps_of(&place.0).remove(0);
    let old = place.0.join(format!("maps-{layout}-0"));
    fs::rename(place.0.join(named), &old).unwrap();
    let settings = aya::maps::Map::from_map_data(MapData::from_pin(old.join("SETTINGS")).unwrap()).unwrap();
    let record = Array::<MapData, [u32; 40]>::try_from(settings)
        .unwrap()
        .get(&0, 0)
        .unwrap();
    let mut short = [0; 30];
    short.copy_from_slice(&record[..30]);
    short[0] = layout;
    fs::remove_file(old.join("SETTINGS")).unwrap();
    let mut settings = Array::<MapData, [u32; 30]>::create(1, 0).unwrap();
    settings.set(0, short, 0).unwrap();
    settings.pin(old.join("SETTINGS")).unwrap();
    // What it holds must not matter.
    let filter = aya::maps::Map::from_map_data(MapData::from_pin(old.join("FILTER")).unwrap()).unwrap();
    let mut filter = Array::<MapData, u64>::try_from(filter).unwrap();
    for word in 0..filter.len() {
        filter.set(word, 0, 0).unwrap();
    }
    let next = attach(&server, &options(&place.0, 1_000));
    let contents = next.list().unwrap();
    assert_eq!(contents.bans.len(), 3, "{:?}", contents.bans);
    assert_eq!(contents.allowed, ["198.51.100.0/24".parse().unwrap()]);
    assert!(next.usage().capacity >= 50_000, "{:?}", next.usage());
    assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
    assert_eq!(names(&place.0).len(), 2, "{:?}", names(&place.0));
}

fn bans_the_attacker_and_more(server: &Namespace, place: &Place, bans: usize) {
    let again = attach(server, &options(&place.0, 1_000));
    assert_eq!(again.list().unwrap().bans.len(), bans);
}

#[test]
#[ignore = "the next test starts it, and kills it at any moment"]
fn restless_child() {
    let Ok(place) = std::env::var("PLACE") else { return };
    let mut number = 0_u32;
    loop {
        // Taken over, made larger at the start, and grown while it runs.
        for hosts in [1_000, 4_000, 1_000] {
            let mut options = options(Path::new(&place), hosts);
            options.capacities.hosts_limit = 8_000;
            let enforcer = Enforcer::attach(&options).unwrap();
            let _ = enforcer.ban(host("192.0.2.77"), HOUR, Origin::List);
            if number.is_multiple_of(2) {
                let _ = enforcer.ban_all(
                    (0..5_000).map(|n| (host(&format!("198.18.{}.{}", n / 250, n % 250)), HOUR, Origin::List)),
                );
            }
            number += 1;
        }
    }
}

#[test]
fn whenever_it_is_killed_every_ban_is_there_for_the_next() {
    for round in 0..8_u64 {
        let ((server, clients), place) = (net(), Place::new());
        left_behind(&server, &place);
        let mut child = server.run(|| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "pins::restless_child", "--ignored", "--nocapture"])
                .env("PLACE", &place.0)
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        });
        thread::sleep(Duration::from_millis(20 + round * 53 % 230));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!clients.pings(ATTACKER, SERVER), "round {round}");
        let next = attach(&server, &options(&place.0, 1_000));
        assert!(next.lookup(host(ATTACKER)).unwrap().is_some(), "round {round}");
        assert!(!clients.pings(ATTACKER, SERVER) && clients.pings(NEIGHBOUR, SERVER));
        assert_eq!(names(&place.0).len(), 2, "{:?}", names(&place.0));
        next.detach().unwrap();
        assert!(!place.0.exists());
    }
}
