//! The shape of the compiled XDP program. Needs no privilege.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a helper of tests may fail as a test may"
)]

use aya_obj::{Object, ProgramSection};
use portcullis::enforcer::{EnforcerError, object_bytes};
use portcullis_common::{
    Address, BanEntry, Counter, FlowKey, Geometry, HitCell, PrefixKey, RateCell, Reason, Settings, filter, maps,
};

fn object() -> Object {
    match object_bytes() {
        Ok(bytes) => Object::parse(bytes).expect("an eBPF object"),
        Err(error @ EnforcerError::NotBuilt) => panic!("{error}"),
        Err(error) => panic!("unexpected: {error}"),
    }
}

#[test]
fn there_is_one_program_and_it_takes_frames_in_several_buffers() {
    let object = object();
    let programs: Vec<_> = object.programs.iter().collect();
    let [(name, program)] = programs[..] else {
        panic!("{} programs", programs.len());
    };
    assert_eq!(name, maps::PROGRAM);
    assert!(matches!(program.section, ProgramSection::Xdp { frags: true, .. }));
}

#[test]
fn its_licence_lets_the_kernel_give_it_every_helper() {
    assert_eq!(object().license.to_str(), Ok("Dual MIT/GPL"));
}

#[test]
fn it_carries_btf() {
    assert!(object().btf.is_some());
}

#[test]
fn the_maps_have_the_names_and_sizes_of_the_abi() {
    let object = object();
    let ban = size_of::<BanEntry>();
    let smallest = Geometry::SMALLEST;
    let expected = [
        (maps::FILTER, 4, 8, filter::FINE_AT + smallest.filter_words),
        (maps::HOSTS_V4, 4, 64, smallest.v4_lines),
        (maps::HOSTS_V6, 4, 64, smallest.v6_lines),
        (maps::KEYS_V6, 4, size_of::<Address>(), smallest.v6_lines * 8),
        (maps::OVERFLOW, size_of::<PrefixKey>(), 8, 1024),
        (maps::HITS, 4, size_of::<HitCell>(), smallest.hit_cells),
        (maps::RATES, 4, 2 * size_of::<RateCell>(), maps::RATE_LINES),
        (maps::PREFIXES, size_of::<PrefixKey>(), ban, maps::PREFIXES_CAPACITY),
        (maps::FLOWS, size_of::<FlowKey>(), ban, maps::FLOWS_CAPACITY),
        (maps::NEVER_BAN, size_of::<PrefixKey>(), 4, maps::NEVER_BAN_CAPACITY),
        (maps::COUNTERS, 4, size_of::<Counter>(), Reason::COUNTERS),
        (maps::EVENTS, 0, 0, maps::EVENTS_BYTES),
        (maps::SETTINGS, 4, size_of::<Settings>(), 1),
    ];
    for (name, key, value, capacity) in expected {
        let map = object.maps.get(name).unwrap_or_else(|| panic!("no map {name}"));
        let found = (map.key_size() as usize, map.value_size() as usize, map.max_entries());
        assert_eq!(found, (key, value, capacity), "{name}");
    }
    for name in object.maps.keys() {
        let known = expected.iter().any(|(expected, ..)| expected == name);
        let internal = [maps::SCRATCH, "AYA_LOGS"].contains(&name.as_str());
        assert!(
            known || internal || name.starts_with(".rodata"),
            "unexpected map {name}"
        );
    }
}
