//! A simulation of who gets hurt: populations of clients call the real guard by a virtual clock, from a seed.
//!
//! Nothing here decides. The guard judges signed requests as it does in the daemon; the clients do what the SDK does
//! when they are refused, and what people, phones and abusers do otherwise. The same seed gives the same report.

mod abusers;
mod caller;
mod people;
mod report;
mod trade;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use portcullis_guard::policy::Policy;

pub use report::{Group, Kind, Mark, Outcome, Report};
pub use trade::{SCENARIOS, Scenario};

use abusers::{Farmhand, Scraper, Stuffer};
use people::Person;
use report::Tally;
use world::World;

/// How long the simulation lasts, in virtual milliseconds.
pub const LENGTH: u64 = 60 * 60_000;

/// How many of each take part.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// People at a desk or on a sofa.
    pub people: usize,
    /// Phones that lose answers, change networks and send twice.
    pub phones: usize,
    /// People behind the address of the farm.
    pub neighbours: usize,
    /// Scrapers, each at an address of its own.
    pub scrapers: usize,
    /// Machines of one botnet that try stolen passwords.
    pub stuffers: usize,
    /// Sessions of the farm, behind one address.
    pub farmhands: usize,
}

impl Population {
    /// As in the documentation.
    pub const FULL: Self = Self {
        people: 250,
        phones: 120,
        neighbours: 25,
        scrapers: 3,
        stuffers: 12,
        farmhands: 40,
    };

    /// Enough for a test.
    pub const SMALL: Self = Self {
        people: 40,
        phones: 25,
        neighbours: 8,
        scrapers: 1,
        stuffers: 10,
        farmhands: 20,
    };
}

/// Somebody who calls.
trait Agent {
    /// Does the next thing. The time until the one after it, in milliseconds; `None` when he is done.
    fn step(&mut self, world: &mut World) -> Option<u64>;
    /// Who he is.
    fn tally(&mut self) -> &mut Tally;
}

/// Runs a scenario from a seed. `policy` is what its rule file says ([`Scenario::policy`]), or what is to be compared
/// with that.
#[must_use]
pub fn run(scenario: &'static Scenario, policy: Policy, population: Population, seed: u64) -> Report {
    let mut world = World::new(scenario, policy, seed);
    let mut agents = people(&mut world, population);
    let mut queue: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    for (index, agent) in agents.iter_mut().enumerate() {
        // People come all the time, abusers in the second quarter of the hour.
        let start = match agent.tally().kind.is_innocent() {
            true => world.rng.u64(0..LENGTH * 3 / 4),
            false => LENGTH / 4 + world.rng.u64(0..5_000),
        };
        queue.push(Reverse((start, index)));
    }
    while let Some(Reverse((time, index))) = queue.pop() {
        if time >= LENGTH {
            continue;
        }
        world.now = time;
        let wait = agents.get_mut(index).and_then(|agent| agent.step(&mut world));
        queue.extend(wait.map(|wait| Reverse((time + wait.max(1), index))));
    }
    let tallies = agents.iter_mut().map(|agent| std::mem::take(agent.tally()));
    Report::of(scenario, seed, tallies.collect())
}

fn people(world: &mut World, population: Population) -> Vec<Box<dyn Agent>> {
    let mut agents: Vec<Box<dyn Agent>> = Vec::new();
    for number in 0..population.people {
        agents.push(Box::new(Person::at_home(world, number)));
    }
    for number in 0..population.phones {
        agents.push(Box::new(Person::with_phone(world, number)));
    }
    for number in 0..population.neighbours {
        agents.push(Box::new(Person::behind_the_nat(world, number)));
    }
    for number in 0..population.scrapers {
        agents.push(Box::new(Scraper::new(number)));
    }
    for number in 0..population.stuffers {
        agents.push(Box::new(Stuffer::new(number)));
    }
    for number in 0..population.farmhands {
        agents.push(Box::new(Farmhand::new(number)));
    }
    agents
}
