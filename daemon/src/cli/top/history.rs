//! What was seen so far: counters come in, rates go out.

use std::collections::VecDeque;

use crate::control::api::Stats;

/// Looks that are remembered: more than a terminal is wide.
const KEPT: usize = 512;

/// The last looks.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The oldest first, each the rates between two looks.
    rates: VecDeque<Rates>,
    last: Option<Stats>,
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
        if let Some(before) = &self.last {
            if before.started == stats.started && stats.at_ms > before.at_ms {
                self.rates.push_back(rates(before, &stats));
            } else {
                // Another daemon: its counters begin anew.
                self.rates.clear();
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

    /// The last so many of one rate, the oldest first.
    pub(super) fn line(&self, width: usize, of: impl Fn(&Rates) -> u64) -> Vec<u64> {
        let skipped = self.rates.len().saturating_sub(width);
        self.rates.iter().skip(skipped).map(of).collect()
    }
}

fn rates(before: &Stats, after: &Stats) -> Rates {
    let millis = after.at_ms - before.at_ms;
    let rate = |before: u64, after: u64| after.saturating_sub(before).saturating_mul(1000) / millis.max(1);
    Rates {
        admitted: rate(before.admitted, after.admitted),
        refused: rate(before.refused, after.refused),
        passed: rate(before.packets_passed, after.packets_passed),
        dropped: rate(before.packets_dropped, after.packets_dropped),
    }
}
