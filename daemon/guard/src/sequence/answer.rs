//! Reads the ids that answers show, while they pass.

use std::sync::Arc;

use super::Call;
use super::engine::end;
use super::facts::Facts;
use super::holders::Holders;
use super::json::{Broken, Pointer, Scanner};
use super::plan::Show;
use super::scope::{HolderKey, SharedFacts};
use super::value::{Binding, BindingKey, plain};
use crate::time::MonoMillis;

/// The longest id that an answer can show.
const LONGEST_ID: usize = 1024;
/// How much of an answer is read.
const LONGEST_ANSWER: usize = 8 << 20;
/// The values of one rule that are remembered, the last ones that were shown.
const MOST_SHOWN: usize = 500;

/// An answer that is being read. Feed it what passes, and hand what it finds to [`Facts::see`] before the client can
/// act on it.
#[derive(Debug)]
pub struct Watch {
    call: Call,
    keys: Vec<HolderKey>,
    pointers: Arc<[Pointer]>,
    scanner: Scanner,
    read: usize,
    is_over: bool,
}

/// Ids that were found.
#[derive(Debug, Default)]
pub struct Shown(Vec<(usize, Binding)>);

impl Shown {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Watch {
    pub(super) fn new(call: Call, keys: Vec<HolderKey>) -> Self {
        let pointers = Arc::clone(&call.plan().shown_at);
        Self {
            call,
            keys,
            pointers,
            scanner: Scanner::new(LONGEST_ID, true),
            read: 0,
            is_over: false,
        }
    }

    /// Whether it wants no more: the answer is no JSON, or too long. What it showed so far counts.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Reads on.
    pub fn push(&mut self, key: &BindingKey, bytes: &[u8]) -> Shown {
        let mut shown = Shown::default();
        self.read = self.read.saturating_add(bytes.len());
        if self.is_over || self.read > LONGEST_ANSWER {
            self.is_over = true;
            return shown;
        }
        let shows = &self.call.rules.plans[usize::from(self.call.operation.0)].shows;
        let outcome = self.scanner.push(&self.pointers, bytes, |number, value| {
            if let (Some(show), Some(value)) = (shows.get(number), plain(value)) {
                shown.0.push((number, show.kind.bind(key, &value)));
            }
        });
        self.is_over = outcome == Err(Broken);
        shown
    }
}

impl Facts {
    /// Remembers what an answer showed.
    pub fn see(&mut self, watch: &Watch, shown: &Shown, shared: &SharedFacts, now: MonoMillis) {
        let mut holders = Holders {
            session: self,
            shared: (!watch.keys.is_empty()).then(|| shared.lock(&watch.keys)),
            keys: &watch.keys,
        };
        let rules = &watch.call.rules;
        let now = holders.enter(rules, now);
        for (number, show) in watch.call.plan().shows.iter().enumerate() {
            let values: Vec<Binding> = shown
                .0
                .iter()
                .filter(|(found, _)| *found == number)
                .map(|(_, value)| *value)
                .collect();
            if values.is_empty() {
                continue;
            }
            let Show { holder, slot, .. } = *show;
            // Without room nothing was shown, and calls are refused later.
            if let Ok(facts) = holders.open(holder, rules.generation, now) {
                facts.show(slot, &values, end(show.within, now), MOST_SHOWN, now);
            }
        }
    }
}
