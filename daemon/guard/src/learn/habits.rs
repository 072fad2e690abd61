//! What good sessions have in common: what comes before what, how fast, how often, how many different.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Call;
use super::operations::Operations;

/// The time in which calls are counted, in milliseconds.
pub(super) const WINDOW: u64 = 600_000;

/// One call with what it is.
struct Step<'a> {
    operation: usize,
    at: u64,
    worked: bool,
    values: Vec<(&'a str, String)>,
}

/// How one operation relates to another that came before it.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Sessions in which each such call came after the other.
    pub(super) sessions: usize,
    /// The same, with this value in common.
    pub(super) with: BTreeMap<String, usize>,
    /// Milliseconds from the other to it, the latest each time.
    pub(super) gaps: Vec<u64>,
}

/// How one operation is used.
#[derive(Debug, Default)]
pub(super) struct Use {
    pub(super) calls: usize,
    pub(super) sessions: usize,
    /// Calls of each session in its busiest ten minutes.
    pub(super) busiest: Vec<u64>,
    /// Different values of each session, by name.
    pub(super) distinct: BTreeMap<String, Vec<u64>>,
    pub(super) before: BTreeMap<usize, Before>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Habits {
    pub(super) sessions: usize,
    pub(super) calls: usize,
    pub(super) uses: Vec<Use>,
}

/// The value below which this share lies. Sorts.
pub(super) fn quantile(values: &mut [u64], share: f64) -> u64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let place = (last as f64 * share).ceil() as usize;
    values.get(place.min(last)).copied().unwrap_or(0)
}

impl Habits {
    pub(super) fn of(operations: &Operations, lessons: &[&[Call]]) -> Self {
        let uses = operations.all.iter().map(|_| Use::default()).collect();
        let mut habits = Self {
            sessions: lessons.len(),
            calls: lessons.iter().map(|calls| calls.len()).sum(),
            uses,
        };
        for calls in lessons {
            let steps: Vec<Step<'_>> = calls.iter().filter_map(|call| step(operations, call)).collect();
            habits.count(&steps);
            habits.compare(&steps);
        }
        habits
    }

    fn count(&mut self, steps: &[Step<'_>]) {
        let mut times: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        let mut distinct: BTreeMap<(usize, &str), BTreeSet<&str>> = BTreeMap::new();
        for step in steps {
            times.entry(step.operation).or_default().push(step.at);
            for (name, value) in &step.values {
                distinct.entry((step.operation, name)).or_default().insert(value);
            }
        }
        for (operation, times) in times {
            let busiest = times.iter().enumerate().map(|(first, from)| {
                let within = times[first..].iter().take_while(|at| **at < from + WINDOW);
                within.count() as u64
            });
            let busiest = busiest.max().unwrap_or(0);
            let found = &mut self.uses[operation];
            found.calls += times.len();
            found.sessions += 1;
            found.busiest.push(busiest);
        }
        for ((operation, name), values) in distinct {
            let found = self.uses[operation].distinct.entry(name.to_owned()).or_default();
            found.push(values.len() as u64);
        }
    }

    /// For each operation and each other one: whether every call of it came after a call of that one that worked.
    fn compare(&mut self, steps: &[Step<'_>]) {
        let mut latest: HashMap<usize, u64> = HashMap::new();
        let mut with: BTreeSet<(usize, &str, &str)> = BTreeSet::new();
        let mut always: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        let mut always_with: BTreeMap<usize, BTreeSet<(usize, &str)>> = BTreeMap::new();
        for step in steps {
            let now: BTreeSet<usize> = latest
                .keys()
                .copied()
                .filter(|other| *other != step.operation)
                .collect();
            for other in &now {
                let gap = step.at.saturating_sub(latest.get(other).copied().unwrap_or(step.at));
                self.uses[step.operation]
                    .before
                    .entry(*other)
                    .or_default()
                    .gaps
                    .push(gap);
            }
            let in_common: BTreeSet<(usize, &str)> = step
                .values
                .iter()
                .flat_map(|(name, value)| {
                    let same = |other: &&usize| with.contains(&(**other, *name, value.as_str()));
                    now.iter().filter(same).map(|other| (*other, *name)).collect::<Vec<_>>()
                })
                .collect();
            keep_common(&mut always, step.operation, now);
            keep_common(&mut always_with, step.operation, in_common);
            if step.worked {
                latest.insert(step.operation, step.at);
                with.extend(
                    step.values
                        .iter()
                        .map(|(name, value)| (step.operation, *name, value.as_str())),
                );
            }
        }
        for (operation, others) in always {
            for other in others {
                self.uses[operation].before.entry(other).or_default().sessions += 1;
            }
        }
        for (operation, others) in always_with {
            for (other, name) in others {
                let before = self.uses[operation].before.entry(other).or_default();
                *before.with.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
}

/// What was true of all calls of an operation so far.
fn keep_common<T: Ord>(all: &mut BTreeMap<usize, BTreeSet<T>>, operation: usize, now: BTreeSet<T>) {
    match all.get_mut(&operation) {
        Some(known) => known.retain(|entry| now.contains(entry)),
        None => _ = all.insert(operation, now),
    }
}

fn step<'a>(operations: &'a Operations, call: &Call) -> Option<Step<'a>> {
    let operation = operations.find(&call.method, call.path.segments())?;
    let values = operations.all[operation].values.iter();
    let values = values.filter_map(|(name, place)| {
        let value = call.path.segments().nth(*place)?;
        Some((name.as_str(), value.to_owned()))
    });
    Some(Step {
        operation,
        at: call.at,
        worked: (200..300).contains(&call.status),
        values: values.collect(),
    })
}
