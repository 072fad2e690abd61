//! Checks what rules and thresholds lead to.

use std::time::Duration;

use super::super::action::{Action, BanAction, Threshold};
use super::super::explain::human;
use super::super::spec::{Place, RuleSpec};
use super::{Compiler, LONGEST};

/// The largest number of violations that an escalation counts to.
const MOST_HITS: u32 = 1000;

/// The longest ban.
const LONGEST_BAN: Duration = Duration::from_secs(365 * 24 * 3600);

impl Compiler {
    /// Checks the action and the escalation of a rule.
    pub(super) fn consequences(&mut self, spec: &RuleSpec, place: &Place) {
        self.action(spec.action, place);
        if spec.action == Action::Delay && spec.min_gap.is_none() {
            let message = "`delay` waits until a `min_gap` is over, and there is none".into();
            self.error(place.clone().key("action"), message);
        }
        let mut hits = 0;
        for (position, step) in spec.escalate.iter().enumerate() {
            let place = place.clone().key("escalate").index(position);
            if step.hits == 0 || step.hits > MOST_HITS {
                let message = format!("expected a number from 1 to {MOST_HITS}");
                self.error(place.clone().key("hits"), message);
            } else if step.hits <= hits {
                let message = format!(
                    "{} after {hits}: each step needs more hits than the one before",
                    step.hits
                );
                self.error(place.clone().key("hits"), message);
            }
            hits = hits.max(step.hits);
            self.check_time(Some(step.per), place.clone().key("per"));
            match step.action {
                Action::Log | Action::Score | Action::Delay => {
                    let message = format!("`{}` is not stronger than a refusal", step.action);
                    self.error(place.key("action"), message);
                }
                action @ (Action::Deny | Action::Reauth | Action::Challenge | Action::Ban(_)) => {
                    self.action(action, &place);
                }
            }
        }
    }

    /// Checks thresholds of the score.
    pub(super) fn thresholds(&mut self, thresholds: &[Threshold]) {
        let mut before = 0.0;
        for (index, threshold) in thresholds.iter().enumerate() {
            let place = Place::threshold(index);
            if !(threshold.score.is_finite() && threshold.score > before) {
                let message = match index {
                    0 => "points are a number above 0".to_owned(),
                    _ => format!("points must rise from one threshold to the next, and {before} came before"),
                };
                self.error(place.clone().key("score"), message);
            }
            before = threshold.score.max(before);
            match threshold.action {
                Action::Score | Action::Delay => {
                    let message = format!("`{}` is nothing that a score can lead to", threshold.action);
                    self.error(place.key("action"), message);
                }
                action @ (Action::Log | Action::Deny | Action::Reauth | Action::Challenge | Action::Ban(_)) => {
                    self.action(action, &place);
                }
            }
        }
    }

    fn action(&mut self, action: Action, place: &Place) {
        match action {
            Action::Ban(ban) => self.ban(&ban, place),
            Action::Log | Action::Score | Action::Delay | Action::Deny | Action::Reauth | Action::Challenge => {}
        }
    }

    fn ban(&mut self, ban: &BanAction, place: &Place) {
        let times = Duration::from_secs(1)..=LONGEST_BAN;
        if !times.contains(&ban.ttl) {
            let message = format!("expected a time from 1s to {}", human(LONGEST_BAN));
            self.error(place.clone().key("ttl"), message);
        }
        if ban.max_ttl < ban.ttl || ban.max_ttl > LONGEST_BAN {
            let message = format!(
                "expected a time from `ttl` ({}) to {}",
                human(ban.ttl),
                human(LONGEST_BAN)
            );
            self.error(place.clone().key("max_ttl"), message);
        }
        if !(1.0..=100.0).contains(&ban.grow) {
            self.error(place.clone().key("grow"), "expected a number from 1 to 100".into());
        }
        if !(0.0..=1.0).contains(&ban.jitter) {
            self.error(place.clone().key("jitter"), "expected a share from 0 to 1".into());
        }
    }
}

const _: () = assert!(LONGEST_BAN.as_secs() < LONGEST.as_secs());
