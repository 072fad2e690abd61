//! Abusers. All of them have a working client: they open sessions, sign, and sign again when they are asked to.

use std::net::{IpAddr, Ipv4Addr};

use super::Agent;
use super::caller::Caller;
use super::people::SHARED;
use super::report::{Kind, Outcome, Tally};
use super::trade::Deed;
use super::world::World;

const AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36";

fn tally(kind: Kind) -> Tally {
    Tally {
        kind,
        ..Tally::default()
    }
}

/// What abusers do when they are refused: go on more slowly, and when nothing is answered any more, wait and come back
/// with another session.
fn recover(caller: &mut Caller, outcome: Outcome, pace: u64) -> u64 {
    match outcome {
        Outcome::Passed => pace,
        Outcome::Refused => pace * 2,
        Outcome::Banned => {
            caller.session = None;
            30_000
        }
    }
}

/// Reads everything there is, number by number, four a second.
pub(super) struct Scraper {
    caller: Caller,
    next: u32,
    tally: Tally,
}

impl Scraper {
    pub(super) fn new(number: usize) -> Self {
        let host = u8::try_from(number).unwrap_or_default();
        Self {
            caller: Caller::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), AGENT),
            next: 1,
            tally: tally(Kind::Scraper),
        }
    }
}

impl Agent for Scraper {
    fn step(&mut self, world: &mut World) -> Option<u64> {
        let outcome = world.does(&mut self.caller, &Deed::Item(self.next), &mut self.tally);
        self.next += 1;
        self.tally.gains += u32::from(outcome == Outcome::Passed);
        let pace = 240 + world.rng.u64(..20);
        Some(recover(&mut self.caller, outcome, pace))
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// One machine of a botnet in a /24: a password a second, a new session every eight; one in sixty works.
pub(super) struct Stuffer {
    caller: Caller,
    tried: u32,
    tally: Tally,
}

impl Stuffer {
    pub(super) fn new(number: usize) -> Self {
        let host = u8::try_from(number + 20).unwrap_or_default();
        Self {
            caller: Caller::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, host)), AGENT),
            tried: u32::from(host) * 100_000,
            tally: tally(Kind::Stuffer),
        }
    }
}

impl Agent for Stuffer {
    fn step(&mut self, world: &mut World) -> Option<u64> {
        self.tried += 1;
        if self.tried.is_multiple_of(8) {
            self.caller.session = None;
        }
        let right = world.rng.u32(..60) == 0;
        let deed = Deed::Login {
            user: self.tried,
            right,
        };
        let outcome = world.does(&mut self.caller, &deed, &mut self.tally);
        if right && outcome == Outcome::Passed {
            self.tally.gains += 1;
            // The session belongs to that user now.
            self.caller.session = None;
        }
        let pace = 800 + world.rng.u64(..400);
        Some(recover(&mut self.caller, outcome, pace))
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}

/// One of many browsers behind one address that a script drives: look, hold, buy, and again.
pub(super) struct Farmhand {
    caller: Caller,
    at: usize,
    id: u32,
    tally: Tally,
}

impl Farmhand {
    pub(super) fn new(number: usize) -> Self {
        Self {
            caller: Caller::new(SHARED, AGENT),
            at: 0,
            id: 1 + u32::try_from(number % 5).unwrap_or_default(),
            tally: tally(Kind::Farmhand),
        }
    }

    fn deed(&self) -> Deed {
        match self.at % 4 {
            0 => Deed::Item(self.id),
            1 => Deed::Detail(self.id),
            2 => Deed::Prepare(self.id),
            _ => Deed::Commit {
                id: self.id,
                works: true,
            },
        }
    }
}

impl Agent for Farmhand {
    fn step(&mut self, world: &mut World) -> Option<u64> {
        let deed = self.deed();
        let outcome = world.does(&mut self.caller, &deed, &mut self.tally);
        if outcome == Outcome::Passed {
            self.tally.gains += u32::from(matches!(deed, Deed::Commit { .. }));
        }
        self.at += 1;
        if self.at.is_multiple_of(4) {
            self.id = self.id % 400 + 1;
        }
        let pace = 850 + world.rng.u64(..300);
        Some(recover(&mut self.caller, outcome, pace))
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
