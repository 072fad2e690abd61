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

/// See `the_layout_is_that_of_version_1` of the guard's tests: here are all kinds of facts.
#[test]
fn the_layout_is_that_of_version_1() {
    let mut facts = Facts::default();
    let many = Limit { count: 9, ..LIMIT };
    facts.allow(id(1), MonoMillis(70_000), NOW);
    facts.depart(id(2), NOW);
    facts.count(id(3), LIMIT, NOW).unwrap();
    for at in [1000, 30_000, 31_000] {
        facts.count(id(4), many, MonoMillis(at)).unwrap();
    }
    facts.make(id(5), MonoMillis(70_000), NOW);
    facts.forbid(id(6), many.per, NOW);
    facts.settle(id(6), NOW, true);
    facts.forbid(id(6), many.per, MonoMillis(2000));
    facts.try_value(SlotId(7), Binding::of(1), None, NOW);
    facts.show(
        SlotId(8),
        &[Binding::of(2), Binding::of(3)],
        MonoMillis(70_000),
        10,
        NOW,
    );
    let written = postcard::to_stdvec(&facts).unwrap();
    let sum = siphasher::sip::SipHasher13::new().hash(&written);
    assert_eq!((written.len(), sum), (148, 47_702_221_772_326_684));

    let mut back: Facts = postcard::from_bytes(&written).unwrap();
    let mut revived = Revived::default();
    assert!(back.revive(|_| true, true, &mut revived));
    assert_eq!((revived, back.len()), (Revived::default(), facts.len()));
    assert!(back.used() <= facts.used(), "room that was kept free is not written");
    assert!(!back.is_awaited(id(2), NOW), "nobody comes back from there");
    assert_eq!(
        back.forbids(id(6), MonoMillis(61_500)),
        Some(Some(Duration::from_millis(500)))
    );
    back.settle(id(6), MonoMillis(2000), false);
    assert!(
        back.forbids(id(6), MonoMillis(61_500)).is_some(),
        "it is taken for a call that happened"
    );
}

#[test]
fn facts_that_are_out_of_order_were_never_written() {
    let mut facts = Facts::default();
    facts.allow(id(1), MonoMillis(70_000), NOW);
    facts.allow(id(2), MonoMillis(70_000), NOW);
    facts.entries.swap(0, 1);
    assert!(!facts.revive(|_| true, true, &mut Revived::default()));
}
