//! What followed from a refusal, or would have followed if the gate did more than watch.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

/// One step of the ladder that was taken, or that would have been.
#[derive(Clone, Debug, PartialEq)]
pub enum Consequence {
    /// The session was suspended until its user has authenticated again.
    Suspended,
    /// The session was ended, and its source has to work for the next one.
    Challenged,
    /// The session was ended for this long.
    SessionBanned(Duration),
    /// So many connections were reset, and what comes over them is dropped for this long.
    FlowsDropped(usize, Duration),
    /// The client is distrusted: this software at this address. Its sessions that misbehave are refused sooner, and new
    /// ones cost work.
    ClientBanned(Duration),
    /// A host or a prefix was banned.
    Banned(IpNet, Duration),
    /// It would have been, but for somebody or something.
    Spared(IpNet, Spared),
}

/// Why a network was not banned.
#[derive(Clone, Debug, PartialEq)]
pub enum Spared {
    /// Others call cleanly from there (the NAT guard).
    Neighbours,
    /// It is exempt, or the list is full: in the words of the blacklist.
    Refused(String),
}

/// What a gate that enforces says, and what one that watches says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It happened.
    Did,
    /// It would have happened.
    Would,
}

impl Consequence {
    /// In words for the operator.
    #[must_use]
    pub fn told(&self, mood: Mood) -> String {
        let was = match mood {
            Mood::Did => "",
            Mood::Would => "would be ",
        };
        match self {
            Self::Suspended => format!("session {was}suspended"),
            Self::Challenged => format!("session {was}ended, the next one costs work"),
            Self::SessionBanned(ttl) => format!("session {was}banned for {}", Spell(*ttl)),
            Self::ClientBanned(ttl) => format!("its client (this User-Agent here) {was}distrusted for {}", Spell(*ttl)),
            Self::FlowsDropped(1, ttl) => format!("1 connection {was}dropped for {}", Spell(*ttl)),
            Self::FlowsDropped(count, ttl) => format!("{count} connections {was}dropped for {}", Spell(*ttl)),
            Self::Banned(network, ttl) => format!("{} {was}banned for {}", Shown(*network), Spell(*ttl)),
            Self::Spared(network, Spared::Neighbours) => {
                format!("{} spared, others call cleanly from there", Shown(*network))
            }
            Self::Spared(network, Spared::Refused(why)) => format!("{} not banned: {why}", Shown(*network)),
        }
    }
}

/// A host without its length.
struct Shown(IpNet);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

/// A time in its two largest units.
struct Spell(Duration);

impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
        let mut left = seconds;
        let mut written = 0;
        for (unit, length) in units {
            if left >= length && written < 2 {
                write!(f, "{}{unit}", left / length)?;
                left %= length;
                written += 1;
            }
        }
        if written == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_what_would_have() {
        let network = |text: &str| text.parse().unwrap();
        let minutes = |count: u64| Duration::from_secs(60 * count);
        for (consequence, did, would) in [
            (
                Consequence::SessionBanned(minutes(90)),
                "session banned for 1h30m",
                "session would be banned for 1h30m",
            ),
            (
                Consequence::FlowsDropped(1, minutes(1)),
                "1 connection dropped for 1m",
                "1 connection would be dropped for 1m",
            ),
            (
                Consequence::Banned(network("10.0.0.1/32"), minutes(1441)),
                "10.0.0.1 banned for 1d1m",
                "10.0.0.1 would be banned for 1d1m",
            ),
            (
                Consequence::Spared(network("2001:db8::/56"), Spared::Neighbours),
                "2001:db8::/56 spared, others call cleanly from there",
                "2001:db8::/56 spared, others call cleanly from there",
            ),
        ] {
            assert_eq!(consequence.told(Mood::Did), did);
            assert_eq!(consequence.told(Mood::Would), would);
        }
        assert_eq!(Spell(Duration::ZERO).to_string(), "0s");
    }
}
