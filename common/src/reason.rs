//! Why a packet was passed or dropped: one list for counters, events and logs.

/// The outcome of one packet. The number is the index of its counter.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing was held against it.
    Passed = 0,
    /// It would have been dropped, but its source is in the never-ban set.
    NeverBan = 1,
    /// It would have been dropped, but goes to an exempt management port.
    ExemptPort = 2,
    /// No whole IPv4 or IPv6 header where its Ethernet type promises one, and the stack may decide.
    Malformed = 3,
    /// Neither IPv4 nor IPv6 (ARP and the like): none of our business.
    NotIp = 4,
    /// Its source is a banned host.
    BannedHost = 5,
    /// Its source is in a banned prefix.
    BannedPrefix = 6,
    /// It belongs to a banned TCP connection.
    BannedFlow = 7,
    /// Its source sends more than the rate limits allow.
    RateLimited = 8,
    /// It passed without a look at its rate, as all cells for its source were busy with others.
    RateUnknown = 9,
    /// It opens a connection while all sources together open more than the SYN-flood mode allows: it
    /// passed to the kernel, and nothing was remembered of its source.
    SynFlood = 10,
    /// The same as [`Malformed`](Self::Malformed), where such packets are to be dropped.
    MalformedDropped = 11,
}

impl Reason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 12] = [
        Self::Passed,
        Self::NeverBan,
        Self::ExemptPort,
        Self::Malformed,
        Self::NotIp,
        Self::BannedHost,
        Self::BannedPrefix,
        Self::BannedFlow,
        Self::RateLimited,
        Self::RateUnknown,
        Self::SynFlood,
        Self::MalformedDropped,
    ];

    /// How many reasons there are.
    pub const COUNT: u32 = 12;

    /// How many counters there are: one per reason, and then one per reason for the packets that
    /// monitor mode let through although they would have been dropped.
    pub const COUNTERS: u32 = 2 * Self::COUNT;

    /// Whether a packet with this outcome is dropped, unless the program only monitors.
    #[inline(always)]
    #[must_use]
    pub const fn is_drop(self) -> bool {
        match self {
            Self::BannedHost | Self::BannedPrefix | Self::BannedFlow | Self::RateLimited | Self::MalformedDropped => {
                true
            }
            Self::Passed
            | Self::NeverBan
            | Self::ExemptPort
            | Self::Malformed
            | Self::NotIp
            | Self::RateUnknown
            | Self::SynFlood => false,
        }
    }

    /// The counter of packets with this outcome.
    #[inline(always)]
    #[must_use]
    pub const fn counter(self) -> u32 {
        self as u32
    }

    /// The counter of packets that would have had this outcome, had the program not only monitored.
    #[inline(always)]
    #[must_use]
    pub const fn monitor_counter(self) -> u32 {
        Self::COUNT + self as u32
    }

    /// The reason of that number, if there is one.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        let mut index = 0;
        while index < Self::ALL.len() {
            if Self::ALL[index] as u32 == number {
                return Some(Self::ALL[index]);
            }
            index += 1;
        }
        None
    }

    /// The word for people, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NeverBan => "never_ban",
            Self::ExemptPort => "exempt_port",
            Self::Malformed => "malformed",
            Self::NotIp => "not_ip",
            Self::BannedHost => "banned_host",
            Self::BannedPrefix => "banned_prefix",
            Self::BannedFlow => "banned_flow",
            Self::RateLimited => "rate_limited",
            Self::RateUnknown => "rate_unknown",
            Self::SynFlood => "syn_flood",
            Self::MalformedDropped => "malformed_dropped",
        }
    }
}

const _: () = assert!(Reason::ALL.len() == Reason::COUNT as usize);

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_reason_has_its_own_counters() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.counter() as usize, index);
            assert_eq!(Reason::from_number(reason.counter()), Some(reason));
            assert!(reason.monitor_counter() >= Reason::COUNT);
            assert!(reason.monitor_counter() < Reason::COUNTERS);
        }
        assert_eq!(Reason::from_number(Reason::COUNT), None);
    }
}
