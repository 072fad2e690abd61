//! The ledger: every point of a score has a line that says when it came, for what, and by which refusal.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::request::Reference;
use crate::sequence::RuleId;
use crate::session::SessionId;
use crate::signal::Signal;
use crate::time::WallMillis;

/// Lines that are kept of one session or source.
pub const LINES_KEPT: usize = 16;

/// Why points were added.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When, or when for the last time.
    pub at: WallMillis,
    /// For what.
    pub signal: Signal,
    /// How many points, all in all.
    pub points: f32,
    /// How often in a row.
    pub times: u32,
    /// The last refusal of it; `None` if the call passed.
    pub reference: Option<Reference>,
    /// The session that did it, if one was proved.
    pub session: Option<SessionId>,
    /// The rule that was broken.
    pub rule: Option<RuleId>,
}

impl Line {
    fn continues(&self, last: &Self) -> bool {
        self.signal == last.signal && self.session == last.session && self.rule == last.rule
    }
}

/// The lines of one session or source, bounded: the oldest go first, and what they were worth is kept as a sum. Empty,
/// it takes no more than a pointer.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Option<Box<Pages>>);

#[derive(Clone, Debug, Default)]
struct Pages {
    lines: VecDeque<Line>,
    earlier: Earlier,
}

/// What the lines were worth that are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// How often points were added.
    pub times: u32,
    /// How many.
    pub points: f32,
}

impl Ledger {
    /// Adds a line, or makes the last one longer if it is the same again.
    pub fn add(&mut self, line: Line) {
        let pages = self.0.get_or_insert_default();
        if let Some(last) = pages.lines.back_mut().filter(|last| line.continues(last)) {
            last.at = line.at;
            last.points += line.points;
            last.times = last.times.saturating_add(line.times);
            last.reference = line.reference.or(last.reference);
            return;
        }
        if pages.lines.len() == LINES_KEPT
            && let Some(oldest) = pages.lines.pop_front()
        {
            pages.earlier.times = pages.earlier.times.saturating_add(oldest.times);
            pages.earlier.points += oldest.points;
        }
        pages.lines.push_back(line);
    }

    /// The lines, the oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.0.iter().flat_map(|pages| &pages.lines)
    }

    /// What came before the first line.
    #[must_use]
    pub fn earlier(&self) -> Earlier {
        self.0.as_ref().map(|pages| pages.earlier).unwrap_or_default()
    }

    /// What all of it was worth, to outlive the lines. `None`: no point was ever added.
    #[must_use]
    pub fn sum(&self) -> Option<Earlier> {
        let pages = self.0.as_ref()?;
        Some(pages.lines.iter().fold(pages.earlier, |sum, line| Earlier {
            times: sum.times.saturating_add(line.times),
            points: sum.points + line.points,
        }))
    }

    /// A ledger of which the lines are lost.
    #[must_use]
    pub fn of_sum(sum: Option<Earlier>) -> Self {
        Self(sum.map(|earlier| {
            Box::new(Pages {
                lines: VecDeque::new(),
                earlier,
            })
        }))
    }

    /// Whether no point was ever added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(signal: Signal, at: u64) -> Line {
        Line {
            at: WallMillis(at),
            signal,
            points: 2.0,
            times: 1,
            reference: Some(Reference(at)),
            session: None,
            rule: None,
        }
    }

    #[test]
    fn the_same_again_makes_a_line_longer() {
        let mut ledger = Ledger::default();
        assert!(ledger.is_empty());
        for at in 0..5 {
            ledger.add(line(Signal::Replay, at));
        }
        ledger.add(line(Signal::Unsigned, 9));
        ledger.add(line(Signal::Replay, 10));
        let shown: Vec<_> = ledger
            .lines()
            .map(|line| (line.signal, line.times, line.points, line.at.0, line.reference))
            .collect();
        let at = |number| Some(Reference(number));
        let expected = [
            (Signal::Replay, 5, 10.0, 4, at(4)),
            (Signal::Unsigned, 1, 2.0, 9, at(9)),
            (Signal::Replay, 1, 2.0, 10, at(10)),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn at_capacity_the_oldest_become_a_sum() {
        let mut ledger = Ledger::default();
        let signals = [Signal::Replay, Signal::Unsigned];
        for at in 0..100 {
            ledger.add(line(signals[at % 2], at as u64));
        }
        assert_eq!(ledger.lines().count(), LINES_KEPT);
        let kept: f32 = ledger.lines().map(|line| line.points).sum();
        let earlier = ledger.earlier();
        assert_eq!((earlier.times, earlier.points + kept), (84, 200.0));
    }

    #[test]
    fn an_empty_ledger_is_a_pointer() {
        assert_eq!(size_of::<Ledger>(), size_of::<usize>());
    }
}
