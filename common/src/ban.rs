//! What a table knows about something banned.

use crate::Plain;

/// The value of the prefix and flow tables.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanEntry {
    /// The ban holds while `CLOCK_BOOTTIME` is below this. There is no ban without an end.
    pub expires_boot_ns: u64,
    /// Who asked for it: an [`Origin`].
    pub origin: u32,
    /// [`PrefixKey::bits`](crate::PrefixKey::bits) of the key in the prefix table, else 0. A trie
    /// answers with the longest prefix it has; this tells which one that is.
    pub prefix_bits: u32,
    /// The hash that its hits are counted under; 0 if they are not.
    pub id: u64,
}

const _: () = assert!(size_of::<BanEntry>() == 24 && align_of::<BanEntry>() == 8);

// SAFETY: 8 + 4 + 4 + 8 bytes fill the 24, every pattern is a value.
unsafe impl Plain for BanEntry {}

/// Who asked for a ban.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The operator, by the command line.
    Operator = 1,
    /// The daemon, from the score of a session or an address.
    Score = 2,
    /// A list that was imported.
    List = 3,
    /// Another member of the fleet.
    Fleet = 4,
    /// The daemon, for packets over the rate limits; and the limits themselves.
    Rate = 5,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Operator, Self::Score, Self::List, Self::Fleet, Self::Rate];

    /// The origin of that number, if there is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Operator),
            2 => Some(Self::Score),
            3 => Some(Self::List),
            4 => Some(Self::Fleet),
            5 => Some(Self::Rate),
            _ => None,
        }
    }

    /// The word for people and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Score => "score",
            Self::List => "list",
            Self::Fleet => "fleet",
            Self::Rate => "rate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn numbers_and_origins_agree() {
        for origin in Origin::ALL {
            assert_eq!(Origin::from_number(origin as u32), Some(origin));
        }
        assert_eq!(Origin::from_number(0), None);
    }
}
