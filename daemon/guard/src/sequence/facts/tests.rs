//! What goes first at capacity, and what stays.

use std::time::Duration;

use super::super::window::Limit;
use super::*;

const NOW: MonoMillis = MonoMillis(1000);
const LIMIT: Limit = Limit {
    count: 1,
    per: Some(Duration::from_secs(60)),
};

fn id(number: u64) -> FactId {
    FactId {
        slot: SlotId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        binding: Binding::NONE,
    }
}

fn ids() -> impl Iterator<Item = FactId> {
    (0..Facts::CAPACITY as u64).map(id)
}

#[test]
fn at_capacity_what_is_over_goes_first() {
    let mut facts = Facts::default();
    ids().for_each(|id| facts.allow(id, MonoMillis(2000), NOW));
    facts.allow(id(9999), MonoMillis(9000), MonoMillis(2001));
    assert_eq!((facts.len(), facts.forgotten()), (1, 0));
}

#[test]
fn at_capacity_the_oldest_that_allows_makes_room() {
    let mut facts = Facts::default();
    ids()
        .enumerate()
        .for_each(|(age, id)| facts.allow(id, MonoMillis(5000 + age as u64), NOW));
    facts.count(id(9999), LIMIT, NOW).unwrap();
    assert_eq!((facts.len(), facts.forgotten()), (Facts::CAPACITY, 1));
    assert!(!facts.allows(id(0), NOW));
    assert!(facts.allows(id(1), NOW));
}

#[test]
fn at_capacity_what_forbids_stays() {
    let mut facts = Facts::default();
    ids().for_each(|id| facts.count(id, LIMIT, NOW).unwrap());
    assert_eq!(facts.count(id(9999), LIMIT, NOW), Err(Full));
    facts.allow(id(9999), MonoMillis(9000), NOW);
    assert!(!facts.allows(id(9999), NOW));
    assert!(ids().all(|id| facts.counted(id).is_some()));
    assert_eq!((facts.len(), facts.forgotten()), (Facts::CAPACITY, 1));
    facts.count(id(9999), LIMIT, LIMIT.end(NOW)).unwrap();
    assert_eq!(facts.len(), 1, "they end by themselves");
}
