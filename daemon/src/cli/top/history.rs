//! What was seen so far: counters come in, rates go out.

use std::collections::VecDeque;

use crate::control::api::Stats;

/// Looks that are remembered: more than a terminal is wide.
const KEPT: usize = 512;

/// The last looks.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// The oldest first, each the rates between two looks.
    rates: VecDeque<Rates>,
    /// The look before the last, at the same daemon.
    before: Option<Stats>,
    last: Option<Stats>,
    /// Whether another daemon took the place of the first.
    another: bool,
    /// Why there was no answer to the last question.
    missed: Option<String>,
}

/// What happened a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) admitted: u64,
    pub(super) refused: u64,
    pub(super) passed: u64,
    pub(super) dropped: u64,
}

impl History {
    pub(super) fn take(&mut self, stats: Stats) {
        self.missed = None;
        self.before = self.last.take();
        if let Some(before) = &self.before {
            // Another daemon: its counters begin anew. Times of starts are whole seconds.
            let fell = stats.admitted < before.admitted || stats.refused < before.refused;
            let is_another = fell || stats.started != before.started;
            self.another |= is_another;
            if is_another || stats.at_ms <= before.at_ms {
                self.rates.clear();
                self.before = None;
            } else {
                self.rates.push_back(rates(before, &stats));
            }
        }
        while self.rates.len() > KEPT {
            self.rates.pop_front();
        }
        self.last = Some(stats);
    }

    pub(super) fn miss(&mut self, why: String) {
        self.missed = Some(why);
    }

    pub(super) fn missed(&self) -> Option<&str> {
        self.missed.as_deref()
    }

    pub(super) fn stats(&self) -> Option<&Stats> {
        self.last.as_ref()
    }

    pub(super) fn now(&self) -> Rates {
        self.rates.back().copied().unwrap_or_default()
    }

    /// What the time of the start follows.
    pub(super) fn since(&self) -> &'static str {
        if self.another { "started anew" } else { "since" }
    }

    /// Refusals a second for a cause.
    pub(super) fn cause_rate(&self, name: &str) -> u64 {
        self.rate(name, |stats| &stats.causes)
    }

    /// Packets dropped a second for a reason.
    pub(super) fn drop_rate(&self, name: &str) -> u64 {
        self.rate(name, |stats| &stats.drops)
    }

    fn rate(&self, name: &str, of: impl Fn(&Stats) -> &Vec<(String, u64)>) -> u64 {
        let (Some(before), Some(last)) = (&self.before, &self.last) else {
            return 0;
        };
        let count = |stats| {
            of(stats)
                .iter()
                .find(|(known, _)| known == name)
                .map_or(0, |(_, count)| *count)
        };
        a_second(count(before), count(last), last.at_ms - before.at_ms)
    }

    /// The last so many of one rate, the oldest first: nothing where nothing was seen yet.
    pub(super) fn line(&self, width: usize, of: impl Fn(&Rates) -> u64) -> Vec<u64> {
        let skipped = self.rates.len().saturating_sub(width);
        let unseen = width.saturating_sub(self.rates.len());
        let seen = self.rates.iter().skip(skipped).map(of);
        std::iter::repeat_n(0, unseen).chain(seen).collect()
    }
}

fn rates(before: &Stats, after: &Stats) -> Rates {
    let millis = after.at_ms - before.at_ms;
    let rate = |before: u64, after: u64| a_second(before, after, millis);
    Rates {
        admitted: rate(before.admitted, after.admitted),
        refused: rate(before.refused, after.refused),
        passed: rate(before.packets_passed, after.packets_passed),
        dropped: rate(before.packets_dropped, after.packets_dropped),
    }
}

fn a_second(before: u64, after: u64, millis: u64) -> u64 {
    after.saturating_sub(before).saturating_mul(1000) / millis.max(1)
}
