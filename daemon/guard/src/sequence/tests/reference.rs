//! What the rules mean, read off the specification: keeps every event and looks through all of them.

use super::*;

/// A call that was let in.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) operation: &'static str,
    pub(super) caller: Caller,
    /// `None`: the call does not have it.
    pub(super) id: Option<u8>,
    pub(super) started: u64,
    pub(super) finished: Option<(u64, u16)>,
    /// What its answer showed.
    pub(super) shown: Vec<u8>,
    /// The rules that counted it.
    pub(super) counted: Vec<String>,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) session: u8,
    /// 0: nobody.
    pub(super) user: u8,
    pub(super) address: u8,
}

/// A call that is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) operation: &'static str,
    pub(super) caller: Caller,
    pub(super) id: Option<u8>,
    pub(super) arrived: u64,
    pub(super) now: u64,
}

/// A rule that the call violates.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) rule: RuleSpec,
    pub(super) kind: &'static str,
    /// Until when it would wait, and whether for an answer.
    pub(super) wait: Option<(u64, bool)>,
}

/// All rules and all events.
#[derive(Clone)]
pub(super) struct Reference {
    pub(super) rules: Vec<RuleSpec>,
    pub(super) events: Vec<Event>,
    /// Violations that were told: rule, session, and time.
    pub(super) hits: Vec<(String, usize, u8, u64)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) refused: Option<(String, String, String)>,
    pub(super) observed: Vec<(String, String, String)>,
    pub(super) held: Option<(u64, bool)>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

fn matches(set: Option<&str>, default: &str, status: u16) -> bool {
    let set = set.unwrap_or(default);
    set == "any"
        || set
            .split('|')
            .any(|item| item == status.to_string() || item == format!("{}xx", status / 100))
}

fn same_holder(scope: &[Scope], a: Caller, b: Caller) -> bool {
    scope.iter().all(|scope| match scope {
        Scope::Session => a.session == b.session,
        Scope::Ip => a.address == b.address,
        Scope::User if a.user == 0 || b.user == 0 => a.user == b.user && a.session == b.session,
        Scope::User => a.user == b.user,
        Scope::Prefix | Scope::Fingerprint => true,
    })
}

pub(super) fn is_excepted(rule: &RuleSpec, caller: Caller) -> bool {
    rule.except.users.contains(&caller.user.to_string())
}

impl Reference {
    pub(super) fn new(rules: Vec<RuleSpec>) -> Self {
        Self {
            rules,
            events: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// Calls of an operation by the same one with the same values.
    fn like<'a>(
        &'a self,
        rule: &'a RuleSpec,
        op: &'a str,
        bind: &'a [String],
        asked: &'a Asked,
    ) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(move |event| {
            event.operation == op
                && same_holder(&rule.scope, event.caller, asked.caller)
                && (bind.is_empty() || (event.id.is_some() && event.id == asked.id))
        })
    }

    /// Everything that the call violates, in the order of the rules.
    pub(super) fn broken(&self, asked: &Asked) -> Vec<Broken> {
        let concerned = self.rules.iter().filter(|rule| !is_excepted(rule, asked.caller));
        concerned.filter_map(|rule| self.breaks(rule, asked)).collect()
    }

    fn breaks(&self, rule: &RuleSpec, asked: &Asked) -> Option<Broken> {
        let broken = |kind, wait| {
            let rule = rule.clone();
            Some(Broken { rule, kind, wait })
        };
        let is_on = rule.on.iter().any(|on| on == asked.operation);
        let binds = |bind: &[String]| !bind.is_empty() && asked.id.is_none();
        let needs = rule.order.iter().flat_map(|order| {
            let step = order.steps.windows(2).filter(|pair| pair[1] == asked.operation);
            step.map(|pair| NeedSpec {
                op: pair[0].clone(),
                within: order.within,
                bind: order.bind.clone(),
                status: None,
            })
        });
        let required = rule.require.iter().filter(|_| is_on).cloned();
        for require in required.chain(needs.map(RequireSpec::from)) {
            if !require.any.iter().any(|need| self.is_met(rule, need, asked)) {
                let deadline = rule.wait.map(|wait| asked.arrived + millis(wait));
                let awaited = require.any.iter().any(|need| {
                    !binds(&need.bind)
                        && self
                            .like(rule, &need.op, &need.bind, asked)
                            .any(|event| event.finished.is_none())
                });
                let deadline = deadline.filter(|deadline| awaited && *deadline > asked.now);
                return broken("sequence", deadline.map(|deadline| (deadline, true)));
            }
        }
        let once = rule.once.as_ref().map(|once| MaxSpec {
            count: 1,
            per: None,
            bind: once.bind.clone(),
            count_if: once.count_if.clone(),
        });
        if let Some(max) = rule.max.as_ref().or(once.as_ref()).filter(|_| is_on) {
            if binds(&max.bind) {
                return broken("sequence", None);
            }
            if self.count(rule, max, asked) >= max.count as usize {
                return broken(if max.per.is_some() { "quota" } else { "sequence" }, None);
            }
        }
        if let Some(gap) = &rule.min_gap
            && (is_on || asked.operation == gap.since)
        {
            if binds(&gap.bind) {
                return broken("sequence", None);
            }
            let calls = self.like(rule, &gap.since, &gap.bind, asked);
            let last = calls
                .filter(|event| !is_excepted(rule, event.caller))
                .map(|event| event.started)
                .max();
            let ready = last
                .map(|last| last + millis(gap.at_least))
                .filter(|ready| *ready > asked.now);
            if let Some(ready) = ready.filter(|_| is_on) {
                let is_held = rule.action == Action::Delay && ready <= asked.arrived + millis(gap.at_least);
                return broken("quota", is_held.then_some((ready, false)));
            }
        }
        if let Some(forbid) = &rule.forbid_after
            && (is_on || asked.operation == forbid.op)
        {
            if binds(&forbid.bind) {
                return broken("sequence", None);
            }
            if is_on && self.is_forbidden(rule, forbid, asked) {
                return broken("sequence", None);
            }
        }
        if let Some(distinct) = rule.distinct.as_ref().filter(|_| is_on) {
            let Some(id) = asked.id else {
                return broken("sequence", None);
            };
            let ids = self.tried(rule, distinct, asked);
            if !ids.contains(&id) && ids.len() >= distinct.max as usize {
                return broken(if distinct.per.is_some() { "quota" } else { "sequence" }, None);
            }
        }
        if let Some(shown) = rule.shown.as_ref().filter(|_| is_on)
            && !asked.id.is_some_and(|id| self.was_shown(rule, shown, id, asked))
        {
            return broken("sequence", None);
        }
        if rule.trap && is_on {
            return broken("sequence", None);
        }
        None
    }

    fn is_met(&self, rule: &RuleSpec, need: &NeedSpec, asked: &Asked) -> bool {
        self.like(rule, &need.op, &need.bind, asked).any(|event| {
            let in_time = |at: u64| need.within.is_none_or(|within| at + millis(within) >= asked.now);
            event
                .finished
                .is_some_and(|(at, status)| matches(need.status.as_deref(), "2xx", status) && in_time(at))
        })
    }

    fn count(&self, rule: &RuleSpec, max: &MaxSpec, asked: &Asked) -> usize {
        let counts = |event: &&Event| {
            event.counted.contains(&rule.id)
                && same_holder(&rule.scope, event.caller, asked.caller)
                && (max.bind.is_empty() || event.id == asked.id)
                && max.per.is_none_or(|per| event.started + millis(per) > asked.now)
                && event
                    .finished
                    .is_none_or(|(_, status)| matches(max.count_if.as_deref(), "any", status))
        };
        self.events.iter().filter(counts).count()
    }

    fn is_forbidden(&self, rule: &RuleSpec, forbid: &ForbidSpec, asked: &Asked) -> bool {
        let lifted = forbid.until.as_ref().and_then(|until| {
            let calls = self.like(rule, until, &forbid.bind, asked);
            let done = calls.filter(|event| event.finished.is_some_and(|(_, status)| status / 100 == 2));
            done.map(|event| event.started).max()
        });
        self.like(rule, &forbid.op, &forbid.bind, asked).any(|event| {
            let happened = event
                .finished
                .is_none_or(|(_, status)| matches(forbid.status.as_deref(), "2xx", status));
            let in_time = forbid
                .within
                .is_none_or(|within| event.started + millis(within) > asked.now);
            let holds = lifted.is_none_or(|lifted| event.started > lifted);
            !is_excepted(rule, event.caller) && happened && in_time && holds
        })
    }

    fn tried(&self, rule: &RuleSpec, distinct: &DistinctSpec, asked: &Asked) -> Vec<u8> {
        let tried = self.events.iter().filter(|event| {
            event.counted.contains(&rule.id)
                && same_holder(&rule.scope, event.caller, asked.caller)
                && distinct.per.is_none_or(|per| event.started + millis(per) > asked.now)
        });
        let mut ids: Vec<u8> = tried.filter_map(|event| event.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    fn was_shown(&self, rule: &RuleSpec, shown: &ShownSpec, id: u8, asked: &Asked) -> bool {
        shown.by.iter().any(|by| {
            self.like(rule, &by.op, &[], asked).any(|event| {
                event.finished.is_some_and(|(at, status)| {
                    status / 100 == 2
                        && event.shown.contains(&id)
                        && by.within.is_none_or(|within| at + millis(within) >= asked.now)
                })
            })
        })
    }

    /// What is said of a call, and what is remembered of that.
    pub(super) fn ask(&mut self, asked: &Asked) -> Told {
        let broken = self.broken(asked);
        let refuses = |broken: &Broken| broken.rule.mode == Mode::Enforce && !broken.rule.action.lets_pass();
        let mut hard = broken.iter().filter(|broken| refuses(broken)).peekable();
        if hard.peek().is_some() {
            let waits: Option<Vec<(u64, bool)>> = hard.map(|broken| broken.wait).collect();
            if let Some(waits) = waits {
                let until = waits.iter().map(|(until, _)| *until).min().unwrap();
                let held = Some((until, waits.iter().any(|(_, for_answer)| *for_answer)));
                return Told {
                    held,
                    ..Told::default()
                };
            }
        }
        let mut told = Told::default();
        for broken in broken {
            if refuses(&broken) && told.refused.is_some() {
                continue;
            }
            let action = self.escalated(&broken.rule, asked);
            let entry = (broken.rule.id.clone(), broken.kind.to_owned(), action.to_string());
            if broken.rule.mode == Mode::Enforce && !action.lets_pass() {
                told.refused.get_or_insert(entry);
            } else {
                told.observed.push(entry);
            }
        }
        told
    }

    /// The action of a violation after escalation.
    fn escalated(&mut self, rule: &RuleSpec, asked: &Asked) -> Action {
        let mut action = rule.action;
        for (step, escalation) in rule.escalate.iter().enumerate() {
            let is_same =
                |hit: &(String, usize, u8, u64)| hit.0 == rule.id && hit.1 == step && hit.2 == asked.caller.session;
            self.hits.push((rule.id.clone(), step, asked.caller.session, asked.now));
            let recent = |hit: &&(String, usize, u8, u64)| is_same(hit) && hit.3 + millis(escalation.per) > asked.now;
            if self.hits.iter().filter(recent).count() >= escalation.hits as usize {
                self.hits.retain(|hit| !is_same(hit));
                action = escalation.action;
            }
        }
        action
    }

    /// The rules that count a call which was let in.
    pub(super) fn counting(&self, asked: &Asked) -> Vec<String> {
        let broken = self.broken(asked);
        let counts = |rule: &&RuleSpec| {
            rule.on.iter().any(|on| on == asked.operation)
                && !is_excepted(rule, asked.caller)
                && !broken.iter().any(|broken| broken.rule.id == rule.id)
        };
        self.rules.iter().filter(counts).map(|rule| rule.id.clone()).collect()
    }
}
