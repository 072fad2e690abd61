//! People: they read, hesitate, mistype, change their minds; their phones lose answers and networks.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use super::Agent;
use super::caller::Caller;
use super::report::{Kind, Outcome, Tally};
use super::trade::Deed;
use super::world::World;

/// The address that the farm shares with its neighbours.
pub(super) const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
];

/// What somebody does next.
enum Step {
    Do(Deed),
    /// The answer is lost, the browser sends the same bytes again, the page asks once more.
    Lost(Deed),
    /// Another cell, the train, home: another network.
    Move(IpAddr),
    /// The page is loaded anew, and opens a session of its own.
    Reload,
}

/// Somebody with a plan.
pub(super) struct Person {
    caller: Caller,
    /// What he does, and how long he waits before.
    plan: VecDeque<(u64, Step)>,
    tally: Tally,
}

/// Time that people take: most of them little, some long.
fn while_thinking(rng: &mut Rng, typical: u64) -> u64 {
    let spread = (0..3).map(|_| rng.f64()).sum::<f64>() / 1.5;
    (typical as f64 * 0.3 * (spread * 2.2).exp()) as u64
}

impl Person {
    pub(super) fn at_home(world: &mut World, number: usize) -> Self {
        let number = u32::try_from(number).unwrap_or_default();
        // Two in five have IPv6.
        let address = match number % 5 {
            0 | 1 => IpAddr::V6(Ipv6Addr::from_bits(
                (0x2001_0db8_u128 << 96) | (u128::from(number) << 72) | 1,
            )),
            _ => IpAddr::V4(Ipv4Addr::from_bits(0xc633_0000 + number * 37)),
        };
        let agent = AGENTS[world.rng.usize(..3)];
        Self::with_plan(world, Kind::Person, address, agent, number, 0)
    }

    pub(super) fn behind_the_nat(world: &mut World, number: usize) -> Self {
        let agent = AGENTS[world.rng.usize(..AGENTS.len())];
        let number = u32::try_from(number).unwrap_or_default();
        Self::with_plan(world, Kind::Neighbour, SHARED, agent, 5_000 + number, 5)
    }

    pub(super) fn with_phone(world: &mut World, number: usize) -> Self {
        let agent = AGENTS[3 + world.rng.usize(..2)];
        let number = u32::try_from(number).unwrap_or_default();
        // Carriers put many behind one address.
        let address = IpAddr::V4(Ipv4Addr::from_bits(0xcb00_7100 + number % 20));
        Self::with_plan(world, Kind::Phone, address, agent, 9_000 + number, 30)
    }

    /// `trouble` is the chance in a hundred that something goes wrong with a call.
    fn with_plan(world: &mut World, kind: Kind, address: IpAddr, agent: &'static str, user: u32, trouble: u32) -> Self {
        let rng = &mut world.rng;
        let mut person = Self {
            caller: Caller::new(address, agent),
            plan: VecDeque::new(),
            tally: Tally {
                kind,
                ..Tally::default()
            },
        };
        person.then(0, Deed::List);
        let mut is_logged_in = false;
        for _ in 0..rng.usize(1..4) {
            person.browse(rng);
            if rng.u32(..100) < 55 {
                is_logged_in |= person.log_in(rng, user, is_logged_in);
                person.buy(rng);
            }
        }
        person.trouble(rng, trouble);
        person
    }

    fn then(&mut self, wait: u64, deed: Deed) {
        self.plan.push_back((wait, Step::Do(deed)));
    }

    /// A page has one thing and more about it.
    fn look_at(&mut self, rng: &mut Rng, id: u32) {
        self.then(while_thinking(rng, 9_000), Deed::Item(id));
        self.then(rng.u64(15..180), Deed::Detail(id));
    }

    fn browse(&mut self, rng: &mut Rng) {
        for _ in 0..rng.usize(2..9) {
            let id = rng.u32(1..400);
            self.look_at(rng, id);
            if rng.u32(..100) < 30 {
                self.then(while_thinking(rng, 4_000), Deed::List);
            }
        }
    }

    fn log_in(&mut self, rng: &mut Rng, user: u32, already: bool) -> bool {
        if !already {
            let mistakes = [0, 0, 0, 0, 0, 0, 1, 1, 2, 3][rng.usize(..10)];
            for _ in 0..mistakes {
                self.then(while_thinking(rng, 7_000), Deed::Login { user, right: false });
            }
            self.then(while_thinking(rng, 9_000), Deed::Login { user, right: true });
        }
        true
    }

    fn buy(&mut self, rng: &mut Rng) {
        let id = rng.u32(1..400);
        self.look_at(rng, id);
        self.then(while_thinking(rng, 6_000), Deed::Prepare(id));
        for _ in 0..[0, 0, 0, 0, 0, 0, 0, 1, 1, 2][rng.usize(..10)] {
            self.then(while_thinking(rng, 14_000), Deed::Commit { id, works: false });
        }
        self.then(while_thinking(rng, 14_000), Deed::Commit { id, works: true });
    }

    /// Networks that lose, change and come back.
    fn trouble(&mut self, rng: &mut Rng, chance: u32) {
        let planned = std::mem::take(&mut self.plan);
        let home = self.caller.address;
        let mut is_away = false;
        for (wait, step) in planned {
            let trouble = rng.u32(..1000) < chance * 10;
            let step = match (step, rng.u32(..10)) {
                // What must not happen twice, the page does not ask for twice.
                (Step::Do(deed), 0..=5) if trouble && !matches!(deed, Deed::Commit { .. } | Deed::Login { .. }) => {
                    Step::Lost(deed)
                }
                (Step::Do(deed), 6..=8) if trouble => {
                    is_away = !is_away;
                    let network = 0x2001_0db8_0100_u128 + u128::from(rng.u16(..4));
                    let host = u128::from(rng.u16(..)) << 64;
                    let elsewhere = IpAddr::V6(Ipv6Addr::from_bits((network << 80) | host | 1));
                    let place = if is_away { elsewhere } else { home };
                    self.plan.push_back((wait, Step::Move(place)));
                    Step::Do(deed)
                }
                (Step::Do(deed @ Deed::List), 9) if trouble => {
                    self.plan.push_back((wait, Step::Reload));
                    Step::Do(deed)
                }
                (step, _) => step,
            };
            self.plan.push_back((wait, step));
        }
    }
}

impl Agent for Person {
    fn step(&mut self, world: &mut World) -> Option<u64> {
        let (_, step) = self.plan.pop_front()?;
        let outcome = match &step {
            Step::Do(deed) => world.does(&mut self.caller, deed, &mut self.tally),
            Step::Lost(deed) => world.does_twice(&mut self.caller, deed, &mut self.tally),
            Step::Move(address) => {
                self.caller.address = *address;
                self.caller.connection = world.rng.u64(1..);
                Outcome::Passed
            }
            Step::Reload => {
                self.caller.session = None;
                Outcome::Passed
            }
        };
        if let (Step::Do(Deed::Commit { works: true, .. }), Outcome::Passed) = (&step, outcome) {
            self.tally.gains += 1;
        }
        self.plan.front().map(|(wait, _)| *wait)
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
