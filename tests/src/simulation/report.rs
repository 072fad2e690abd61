//! Who got hurt: figures for each group, and marks for a picture.

use std::collections::BTreeMap;

use super::Scenario;

/// Who somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// At a desk or on a sofa.
    #[default]
    Person,
    /// With a phone on bad networks.
    Phone,
    /// Behind the address of the farm.
    Neighbour,
    /// Reads everything there is.
    Scraper,
    /// Tries stolen passwords.
    Stuffer,
    /// One of many sessions that one operator drives.
    Farmhand,
}

impl Kind {
    /// All, the innocent first.
    pub const ALL: [Self; 6] = [
        Self::Person,
        Self::Phone,
        Self::Neighbour,
        Self::Scraper,
        Self::Stuffer,
        Self::Farmhand,
    ];

    /// Whether nothing may happen to them.
    #[must_use]
    pub fn is_innocent(self) -> bool {
        match self {
            Self::Person | Self::Phone | Self::Neighbour => true,
            Self::Scraper | Self::Stuffer | Self::Farmhand => false,
        }
    }

    /// In the plural.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "people",
            Self::Phone => "flaky phones",
            Self::Neighbour => "people behind the farm's NAT",
            Self::Scraper => "scrapers",
            Self::Stuffer => "credential stuffers",
            Self::Farmhand => "scalper farm",
        }
    }
}

/// What became of a call, as the one who made it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It reached the application.
    Passed,
    /// It did not.
    Refused,
    /// Nothing is answered any more: the address is banned, or the session.
    Banned,
}

/// One call, for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When, in virtual milliseconds.
    pub at: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What one of them did, and what was done to him.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) kind: Kind,
    pub(super) marks: Vec<Mark>,
    /// Things that an abuser wants.
    pub(super) gains: u32,
    /// Signed again without anybody noticing.
    pub(super) unseen: u32,
    /// Times that a client had to work for a session.
    pub(super) worked: u32,
}

/// What became of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Who.
    pub kind: Kind,
    /// How many of them.
    pub members: usize,
    /// Their calls.
    pub calls: usize,
    /// Calls that were refused in the end.
    pub refused: usize,
    /// How many of them were banned, by session or address.
    pub banned: usize,
    /// How many had at least one call refused.
    pub hurt: usize,
    /// Calls that passed before the first ban: the most of any member.
    pub calls_to_ban: Option<usize>,
    /// Virtual seconds from the first call to the first ban: the median.
    pub seconds_to_ban: Option<f64>,
    /// What they got of what they wanted: pages, accounts, tickets.
    pub gains: u32,
    /// Calls that were signed again unseen.
    pub unseen: u32,
    /// Sessions that had to be worked for.
    pub worked: u32,
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was simulated.
    pub scenario: &'static Scenario,
    /// From which seed.
    pub seed: u64,
    /// The groups, the innocent first.
    pub groups: Vec<Group>,
    /// The calls of each one, by group.
    pub lanes: Vec<(Kind, Vec<Mark>)>,
}

impl Report {
    pub(super) fn of(scenario: &'static Scenario, seed: u64, tallies: Vec<Tally>) -> Self {
        let mut by_kind: BTreeMap<Kind, Vec<Tally>> = BTreeMap::new();
        for tally in tallies {
            by_kind.entry(tally.kind).or_default().push(tally);
        }
        let groups = by_kind.iter().map(|(kind, tallies)| group(*kind, tallies)).collect();
        let lanes = by_kind
            .into_iter()
            .flat_map(|(kind, tallies)| tallies.into_iter().map(move |tally| (kind, tally.marks)));
        Self {
            scenario,
            seed,
            groups,
            lanes: lanes.collect(),
        }
    }

    /// A group.
    #[must_use]
    pub fn group(&self, kind: Kind) -> Option<&Group> {
        self.groups.iter().find(|group| group.kind == kind)
    }
}

fn group(kind: Kind, tallies: &[Tally]) -> Group {
    let count = |outcome: Outcome| {
        let of_one = |tally: &Tally| tally.marks.iter().filter(|mark| mark.outcome == outcome).count();
        tallies.iter().map(of_one).sum::<usize>()
    };
    let first_ban = |tally: &Tally| tally.marks.iter().position(|mark| mark.outcome == Outcome::Banned);
    let mut seconds: Vec<f64> = tallies
        .iter()
        .filter_map(|tally| {
            let place = first_ban(tally)?;
            let since = tally.marks[place].at - tally.marks.first()?.at;
            Some(since as f64 / 1000.0)
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let passed_before = |tally: &Tally| {
        let place = first_ban(tally)?;
        let before = &tally.marks[..place];
        Some(before.iter().filter(|mark| mark.outcome == Outcome::Passed).count())
    };
    Group {
        kind,
        members: tallies.len(),
        calls: tallies.iter().map(|tally| tally.marks.len()).sum(),
        refused: count(Outcome::Refused) + count(Outcome::Banned),
        banned: seconds.len(),
        hurt: tallies
            .iter()
            .filter(|tally| tally.marks.iter().any(|mark| mark.outcome != Outcome::Passed))
            .count(),
        calls_to_ban: tallies.iter().filter_map(passed_before).max(),
        seconds_to_ban: seconds.get(seconds.len() / 2).copied(),
        gains: tallies.iter().map(|tally| tally.gains).sum(),
        unseen: tallies.iter().map(|tally| tally.unseen).sum(),
        worked: tallies.iter().map(|tally| tally.worked).sum(),
    }
}
