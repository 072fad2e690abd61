//! The tables of banned hosts: a line of eight slots, and what found its line full.

use portcullis_common::{Address, PrefixKey, Slot};

use crate::maps::{HOSTS_V4, HOSTS_V6, KEYS_V6, Line, OVERFLOW, v4_mask, v6_mask};

/// The slot of an IPv4 address.
#[inline(always)]
pub(crate) fn v4(source: &Address, permuted: u64) -> Option<Slot> {
    let line = HOSTS_V4.get_ptr(permuted as u32 & v4_mask())?;
    let identity = Slot::identity(portcullis_common::v4_tag(permuted));
    let likely = read(line, Slot::likely(permuted));
    if likely.is(identity) {
        return Some(likely);
    }
    let mut number = 0;
    while number < Slot::PER_LINE {
        let slot = read(line, number);
        if slot.is(identity) {
            return Some(slot);
        }
        number += 1;
    }
    overflow(line, PrefixKey::ADDRESS_BITS, source)
}

/// The slot of an IPv6 address.
#[inline(always)]
pub(crate) fn v6(source: &Address, hash: u64) -> Option<Slot> {
    let identity = Slot::identity(portcullis_common::v6_tag(hash));
    found(exact(source, PrefixKey::ADDRESS_BITS, hash, identity))
}

/// The slot of the /64 of an IPv6 address.
#[inline(always)]
pub(crate) fn v6_wide(source: &Address, hash: u64) -> Option<Slot> {
    let [a, b, ..] = source.0;
    let identity = Slot::wide_identity(portcullis_common::v6_tag(hash));
    found(exact(
        &Address([a, b, 0, 0]),
        PrefixKey::ADDRESS_BITS / 2,
        hash,
        identity,
    ))
}

#[inline(always)]
fn found(slot: u64) -> Option<Slot> {
    (slot != 0).then_some(Slot(slot))
}

/// A tag of 24 bits does not tell all addresses apart: the address beside it does.
#[inline(always)]
fn exact(key: &Address, bits: u32, hash: u64, identity: u64) -> u64 {
    let index = hash as u32 & v6_mask();
    let Some(line) = HOSTS_V6.get_ptr(index) else { return 0 };
    let first = index * Slot::PER_LINE as u32;
    let number = portcullis_common::v6_likely(hash);
    let likely = read(line, number);
    if likely.is(identity) && is_key(first + number as u32, key) {
        return likely.0;
    }
    let mut number = 0;
    while number < Slot::PER_LINE {
        let slot = read(line, number);
        if slot.is(identity) {
            if is_key(first + number as u32, key) {
                return slot.0;
            }
            break;
        }
        number += 1;
    }
    overflow(line, bits, key).map_or(0, |slot| slot.0)
}

#[inline(always)]
fn is_key(index: u32, key: &Address) -> bool {
    let Some(stored) = KEYS_V6.get(index) else { return false };
    let [a, b, c, d] = stored.0;
    let [e, f, g, h] = key.0;
    (a ^ e) | (b ^ f) | (c ^ g) | (d ^ h) == 0
}

#[inline(always)]
fn overflow(line: *const Line, bits: u32, address: &Address) -> Option<Slot> {
    if read(line, Slot::LAST).is_empty() {
        return None;
    }
    let key = PrefixKey {
        bits,
        address: *address,
    };
    // SAFETY: only the daemon writes the table. An element that it deletes may be reused under our
    // eyes, and then we read another ban's slot: a verdict that is a packet late, never a fault.
    unsafe { OVERFLOW.get(key) }.map(|slot| Slot(*slot))
}

#[inline(always)]
fn read(line: *const Line, number: usize) -> Slot {
    // SAFETY: `number` is below the length of a line, which the map keeps while the program runs.
    let slot = unsafe { &raw const (*line)[number] };
    // SAFETY: as above; volatile, as the daemon writes it meanwhile, by whole words.
    Slot(unsafe { slot.read_volatile() })
}
