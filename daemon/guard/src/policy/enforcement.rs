//! How much is enforced: nothing, everything, or a share of the sessions to begin with.

use std::sync::atomic::{AtomicU16, Ordering};

use super::Mode;
use crate::request::Source;
use crate::session::SessionId;

/// A share in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Share {
    /// All.
    pub const ALL: Self = Self(10_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// So many percent; more than 100 is all, less than nothing is nothing.
    #[must_use]
    pub fn percent(percent: f32) -> Self {
        // A cast saturates, and what is no number becomes nothing.
        Self(((percent * 100.0).round() as u16).min(Self::ALL.0))
    }

    /// In percent.
    #[must_use]
    pub fn as_percent(self) -> f32 {
        f32::from(self.0) / 100.0
    }

    /// Whether what has these bits is in it. They are mixed where that matters only.
    fn has(self, bits: u64) -> bool {
        match self {
            Self::ALL => true,
            Self::NONE => false,
            Self(share) => mixed(bits) % u64::from(Self::ALL.0) < u64::from(share),
        }
    }
}

/// For whom verdicts have consequences. Everybody else is watched. The choice is by name, so it stays the same for a
/// session, and a larger share has everybody in it whom a smaller one had.
#[derive(Debug)]
pub struct Enforcement(AtomicU16);

impl Enforcement {
    /// Of a mode and the share that is enforced in it.
    #[must_use]
    pub fn new(mode: Mode, share: Share) -> Self {
        let enforcement = Self(AtomicU16::new(0));
        enforcement.set(mode, share);
        enforcement
    }

    /// Changes it from here on.
    pub fn set(&self, mode: Mode, share: Share) {
        let share = match mode {
            Mode::Monitor => Share::NONE,
            Mode::Enforce => share,
        };
        self.0.store(share.0, Ordering::Relaxed);
    }

    /// What is enforced now.
    #[must_use]
    pub fn share(&self) -> Share {
        Share(self.0.load(Ordering::Relaxed))
    }

    /// Whether anything is.
    #[must_use]
    pub fn mode(&self) -> Mode {
        mode_of(self.share() > Share::NONE)
    }

    /// For a session.
    #[must_use]
    pub fn of_session(&self, session: SessionId) -> Mode {
        let [a, b, c, d, e, f, g, h, ..] = session.0;
        mode_of(self.share().has(u64::from_be_bytes([a, b, c, d, e, f, g, h])))
    }

    /// For calls that no session answers for.
    #[must_use]
    pub fn of_source(&self, source: Source) -> Mode {
        let bits = match source.network().addr() {
            std::net::IpAddr::V4(v4) => u64::from(v4.to_bits()),
            std::net::IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        mode_of(self.share().has(bits))
    }
}

fn mode_of(enforced: bool) -> Mode {
    if enforced { Mode::Enforce } else { Mode::Monitor }
}

/// Spreads neighbouring numbers (splitmix64).
fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::ClientAddress;

    fn enforced(enforcement: &Enforcement) -> Vec<u16> {
        let session = |number: u16| {
            let mut id = [0; 12];
            id[6..8].copy_from_slice(&number.to_be_bytes());
            SessionId(id)
        };
        let chosen = |number: &u16| enforcement.of_session(session(*number)) == Mode::Enforce;
        (0..10_000).filter(chosen).collect()
    }

    #[test]
    fn a_share_is_stable_and_grows() {
        let canary = Enforcement::new(Mode::Enforce, Share::percent(10.0));
        let tenth = enforced(&canary);
        assert!((900..1100).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(enforced(&canary), tenth);
        canary.set(Mode::Enforce, Share::percent(50.0));
        let half = enforced(&canary);
        assert!((4800..5200).contains(&half.len()), "{}", half.len());
        assert!(tenth.iter().all(|session| half.contains(session)));
        canary.set(Mode::Enforce, Share::ALL);
        assert_eq!(enforced(&canary).len(), 10_000);
        canary.set(Mode::Monitor, Share::ALL);
        assert_eq!((enforced(&canary).len(), canary.mode()), (0, Mode::Monitor));
    }

    #[test]
    fn addresses_are_chosen_too() {
        let canary = Enforcement::new(Mode::Enforce, Share::percent(20.0));
        let source = |text: String| ClientAddress::new(text.parse().unwrap()).source();
        let chosen = (0..1000u32).filter(|n| {
            let source = source(format!("10.0.{}.{}", n / 256, n % 256));
            canary.of_source(source) == Mode::Enforce
        });
        let count = chosen.count();
        assert!((150..250).contains(&count), "{count}");
    }

    #[test]
    fn odd_shares_are_shares() {
        assert_eq!(Share::percent(f32::NAN), Share::NONE);
        assert_eq!(Share::percent(-1.0), Share::NONE);
        assert_eq!(Share::percent(1e9), Share::ALL);
        assert_eq!(Share::percent(0.01).as_percent(), 0.01);
    }
}
