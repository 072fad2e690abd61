//! An ordered map for millions of entries, in full leaves. A B-tree that is filled in order, as lists are, leaves
//! nearly half of its room empty, and has the room of the widest network for each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Bound;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Entries of a leaf.
const LEAF: usize = 256;

#[derive(Debug)]
struct Leaf<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

/// A map by keys of one family.
#[derive(Debug)]
struct Shelf<K, V> {
    /// The first key of each leaf: what is searched.
    firsts: Vec<K>,
    /// None of them is empty.
    leaves: Vec<Leaf<K, V>>,
    len: usize,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self {
            firsts: Vec::new(),
            leaves: Vec::new(),
            len: 0,
        }
    }
}

impl<K: Ord + Copy, V> Leaf<K, V> {
    fn of(key: K, value: V) -> Self {
        let mut leaf = Self {
            keys: Vec::with_capacity(LEAF),
            values: Vec::with_capacity(LEAF),
        };
        leaf.keys.push(key);
        leaf.values.push(value);
        leaf
    }

    fn split(&mut self, at: usize) -> Self {
        let mut right = Self {
            keys: Vec::with_capacity(LEAF),
            values: Vec::with_capacity(LEAF),
        };
        right.keys.extend(self.keys.drain(at..));
        right.values.extend(self.values.drain(at..));
        right
    }
}

impl<K: Ord + Copy, V> Shelf<K, V> {
    /// The leaf that has a key, or would.
    fn leaf_of(&self, key: &K) -> usize {
        self.firsts.partition_point(|first| first <= key).saturating_sub(1)
    }

    fn get(&self, key: &K) -> Option<&V> {
        let leaf = self.leaves.get(self.leaf_of(key))?;
        let place = leaf.keys.binary_search(key).ok()?;
        leaf.values.get(place)
    }

    fn insert(&mut self, key: K, value: V) -> Option<V> {
        let mut number = self.leaf_of(&key);
        let Some(leaf) = self.leaves.get_mut(number) else {
            self.add_leaf(0, Leaf::of(key, value));
            self.len = 1;
            return None;
        };
        let mut place = match leaf.keys.binary_search(&key) {
            Ok(place) => return leaf.values.get_mut(place).map(|old| std::mem::replace(old, value)),
            Err(place) => place,
        };
        self.len += 1;
        if leaf.keys.len() >= LEAF {
            if place == LEAF {
                // Filled in order: this leaf stays full.
                self.add_leaf(number + 1, Leaf::of(key, value));
                return None;
            }
            let right = leaf.split(LEAF / 2);
            self.add_leaf(number + 1, right);
            if place > LEAF / 2 {
                (number, place) = (number + 1, place - LEAF / 2);
            }
        }
        let leaf = &mut self.leaves[number];
        leaf.keys.insert(place, key);
        leaf.values.insert(place, value);
        self.firsts[number] = leaf.keys[0];
        None
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let number = self.leaf_of(key);
        let leaf = self.leaves.get_mut(number)?;
        let place = leaf.keys.binary_search(key).ok()?;
        leaf.keys.remove(place);
        let value = leaf.values.remove(place);
        self.len -= 1;
        match leaf.keys.first() {
            Some(first) => {
                self.firsts[number] = *first;
                self.join(number);
            }
            None => {
                self.firsts.remove(number);
                self.leaves.remove(number);
            }
        }
        Some(value)
    }

    fn add_leaf(&mut self, number: usize, leaf: Leaf<K, V>) {
        self.firsts.insert(number, leaf.keys[0]);
        self.leaves.insert(number, leaf);
    }

    /// Puts a leaf that has become small together with the next, if both fit well.
    fn join(&mut self, number: usize) {
        let small = |leaf: &Leaf<K, V>| leaf.keys.len() < LEAF / 4;
        let (Some(leaf), Some(next)) = (self.leaves.get(number), self.leaves.get(number + 1)) else {
            return;
        };
        if !small(leaf) || leaf.keys.len() + next.keys.len() > LEAF / 2 {
            return;
        }
        let next = self.leaves.remove(number + 1);
        self.firsts.remove(number + 1);
        self.leaves[number].keys.extend(next.keys);
        self.leaves[number].values.extend(next.values);
    }

    fn from(&self, from: Bound<K>) -> impl Iterator<Item = (K, &V)> {
        let (number, place) = match &from {
            Bound::Unbounded => (0, 0),
            Bound::Included(key) | Bound::Excluded(key) => {
                let number = self.leaf_of(key);
                let place = self.leaves.get(number).map_or(0, |leaf| {
                    leaf.keys.partition_point(|other| match from {
                        Bound::Excluded(_) => other <= key,
                        Bound::Included(_) | Bound::Unbounded => other < key,
                    })
                });
                (number, place)
            }
        };
        let leaves = self.leaves.get(number..).unwrap_or_default().iter();
        leaves
            .flat_map(|leaf| leaf.keys.iter().copied().zip(&leaf.values))
            .skip(place)
    }
}

/// An IPv4 network in one word, in the order of [`Ipv4Net`].
type KeyV4 = u64;
/// An IPv6 network, in the order of [`Ipv6Net`].
type KeyV6 = ([u8; 16], u8);

fn key_v4(network: Ipv4Net) -> KeyV4 {
    u64::from(network.addr().to_bits()) << 8 | u64::from(network.prefix_len())
}

fn network_v4(key: KeyV4) -> IpNet {
    let [_, _, _, address @ .., bits] = key.to_be_bytes();
    net(Ipv4Addr::from(address).into(), bits)
}

fn key_v6(network: Ipv6Net) -> KeyV6 {
    (network.addr().octets(), network.prefix_len())
}

fn network_v6((address, bits): KeyV6) -> IpNet {
    net(Ipv6Addr::from(address).into(), bits)
}

/// Keys are made of networks, so the length fits.
fn net(address: IpAddr, bits: u8) -> IpNet {
    IpNet::new(address, bits).unwrap_or_else(|_| address.into())
}

/// A map by network, in their order.
#[derive(Debug)]
pub(super) struct Shelves<V> {
    v4: Shelf<KeyV4, V>,
    v6: Shelf<KeyV6, V>,
}

impl<V> Default for Shelves<V> {
    fn default() -> Self {
        Self {
            v4: Shelf::default(),
            v6: Shelf::default(),
        }
    }
}

impl<V> Shelves<V> {
    pub(super) fn len(&self) -> usize {
        self.v4.len + self.v6.len
    }

    pub(super) fn get(&self, network: IpNet) -> Option<&V> {
        match network {
            IpNet::V4(v4) => self.v4.get(&key_v4(v4)),
            IpNet::V6(v6) => self.v6.get(&key_v6(v6)),
        }
    }

    /// Returns what was there.
    pub(super) fn insert(&mut self, network: IpNet, value: V) -> Option<V> {
        match network {
            IpNet::V4(v4) => self.v4.insert(key_v4(v4), value),
            IpNet::V6(v6) => self.v6.insert(key_v6(v6), value),
        }
    }

    pub(super) fn remove(&mut self, network: IpNet) -> Option<V> {
        match network {
            IpNet::V4(v4) => self.v4.remove(&key_v4(v4)),
            IpNet::V6(v6) => self.v6.remove(&key_v6(v6)),
        }
    }

    /// From a network on: IPv4 first.
    pub(super) fn from(&self, from: Bound<IpNet>) -> impl Iterator<Item = (IpNet, &V)> {
        let (v4, v6) = match from {
            Bound::Unbounded => (Some(Bound::Unbounded), Bound::Unbounded),
            Bound::Included(IpNet::V4(net)) => (Some(Bound::Included(key_v4(net))), Bound::Unbounded),
            Bound::Excluded(IpNet::V4(net)) => (Some(Bound::Excluded(key_v4(net))), Bound::Unbounded),
            Bound::Included(IpNet::V6(net)) => (None, Bound::Included(key_v6(net))),
            Bound::Excluded(IpNet::V6(net)) => (None, Bound::Excluded(key_v6(net))),
        };
        let v4 = v4.into_iter().flat_map(|from| self.v4.from(from));
        let v4 = v4.map(|(key, value)| (network_v4(key), value));
        v4.chain(self.v6.from(v6).map(|(key, value)| (network_v6(key), value)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Few enough for collisions and neighbours, of all lengths.
    fn network() -> impl Strategy<Value = IpNet> {
        let v4 = (0..2000u32, 16..=32u8).prop_map(|(address, bits)| net(Ipv4Addr::from(address << 4).into(), bits));
        let v6 = (0..50u128, 48..=128u8).prop_map(|(address, bits)| net(Ipv6Addr::from(address << 60).into(), bits));
        prop_oneof![4 => v4, 1 => v6]
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(IpNet, u32),
        /// In order, as lists come.
        Fill(u32, u16),
        Remove(IpNet),
        /// Empties what lies from there on.
        Clear(IpNet, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (network(), any::<u32>()).prop_map(|(network, value)| Step::Insert(network, value)),
            (0..32_000u32, 1..700u16).prop_map(|(first, count)| Step::Fill(first, count)),
            network().prop_map(Step::Remove),
            (network(), 0..600usize).prop_map(|(from, count)| Step::Clear(from, count)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_a_map_in_order(steps in prop::collection::vec(step(), 1..60), asked in network()) {
            let (mut shelves, mut map) = (Shelves::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Insert(network, value) => {
                        prop_assert_eq!(shelves.insert(network, value), map.insert(network, value));
                    }
                    Step::Fill(first, count) => {
                        for number in first..first + u32::from(count) {
                            let host = IpNet::from(IpAddr::from(Ipv4Addr::from(number)));
                            prop_assert_eq!(shelves.insert(host, number), map.insert(host, number));
                        }
                    }
                    Step::Remove(network) => prop_assert_eq!(shelves.remove(network), map.remove(&network)),
                    Step::Clear(from, count) => {
                        let some: Vec<IpNet> = map.range(from..).take(count).map(|(network, _)| *network).collect();
                        for network in some {
                            prop_assert_eq!(shelves.remove(network), map.remove(&network));
                        }
                    }
                }
                prop_assert_eq!(shelves.len(), map.len());
            }
            for from in [Bound::Unbounded, Bound::Included(asked), Bound::Excluded(asked)] {
                let found = shelves.from(from).map(|(network, value)| (network, *value));
                let expected = map.range((from, Bound::Unbounded)).map(|(network, value)| (*network, *value));
                prop_assert!(found.eq(expected));
            }
            prop_assert_eq!(shelves.get(asked), map.get(&asked));
        }
    }

    #[test]
    fn what_is_filled_in_order_leaves_no_room_empty() {
        let mut shelf = Shelf::default();
        for key in 0..100 * LEAF {
            shelf.insert(key, ());
        }
        assert_eq!((shelf.leaves.len(), shelf.len), (100, 100 * LEAF));
        for key in 0..100 * LEAF - 1 {
            shelf.remove(&key);
        }
        assert_eq!((shelf.leaves.len(), shelf.len), (1, 1));
    }
}
