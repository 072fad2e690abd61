//! The part of the never-ban set that nobody can delete by command: it is replaced as a whole.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{AllowRefused, Allowed, Blacklist, NEVER_BAN_CAPACITY, canonical};

/// What another fixed part changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Networks that are never banned from here on.
    pub added: Vec<IpNet>,
    /// Networks that may be banned again.
    pub removed: Vec<IpNet>,
    /// Bans that this lifts.
    pub lifted: Vec<IpNet>,
}

impl Blacklist {
    /// Makes these entries, and no others, the fixed ones. What operators added by command stays.
    ///
    /// # Errors
    /// [`AllowRefused::Full`]; nothing was changed then.
    pub fn fix(&mut self, entries: impl IntoIterator<Item = Allowed>) -> Result<Fixed, AllowRefused> {
        let entries = entries.into_iter();
        let wanted: BTreeMap<IpNet, Allowed> = entries.map(|entry| (canonical(entry.network), entry)).collect();
        let by_command = self
            .allowed
            .values()
            .filter(|entry| !entry.fixed && !wanted.contains_key(&entry.network));
        if by_command.count() + wanted.len() > NEVER_BAN_CAPACITY {
            return Err(AllowRefused::Full(NEVER_BAN_CAPACITY));
        }
        let is_gone = |entry: &&Allowed| entry.fixed && !wanted.contains_key(&entry.network);
        let gone = self.allowed.values().filter(is_gone);
        let mut fixed = Fixed {
            removed: gone.map(|entry| entry.network).collect(),
            ..Fixed::default()
        };
        for network in &fixed.removed {
            self.allowed.remove(network);
        }
        for (network, entry) in wanted {
            if !self.allowed.contains_key(&network) {
                fixed.added.push(network);
            }
            let entry = Allowed { fixed: true, ..entry };
            fixed.lifted.extend(self.allow(entry)?);
        }
        Ok(fixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn the_fixed_part_is_replaced_and_the_rest_stays() {
        let mut blacklist = Blacklist::new(10);
        let fixed = |network: &str| Allowed::fixed(net(network), "configuration");
        let by_command = Allowed {
            fixed: false,
            ..fixed("10.0.0.9/32")
        };
        blacklist.allow(by_command).unwrap();
        let first = blacklist.fix([fixed("127.0.0.0/8"), fixed("192.0.2.0/24")]).unwrap();
        assert_eq!(first.added, [net("127.0.0.0/8"), net("192.0.2.0/24")]);
        let second = blacklist.fix([fixed("127.0.0.0/8"), fixed("10.0.0.9/32")]).unwrap();
        assert_eq!(second.removed, [net("192.0.2.0/24")]);
        assert!(second.added.is_empty() && second.lifted.is_empty());
        assert!(blacklist.allowed_entry(net("10.0.0.9/32")).unwrap().fixed);
        assert!(blacklist.allowed_entry(net("192.0.2.0/24")).is_none());
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut blacklist = Blacklist::new(10);
        blacklist.fix([Allowed::fixed(net("127.0.0.0/8"), "loopback")]).unwrap();
        let host = |number: usize| net(&format!("10.{}.{}.0/24", number / 256, number % 256));
        let many = (0..=NEVER_BAN_CAPACITY).map(|number| Allowed::fixed(host(number), "too many"));
        assert_eq!(blacklist.fix(many), Err(AllowRefused::Full(NEVER_BAN_CAPACITY)));
        assert_eq!(blacklist.allowed().count(), 1);
    }
}
