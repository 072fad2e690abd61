//! The rules from the outside: a session makes calls, the rules answer.

mod errors;
mod histories;
mod semantics;

use std::time::Duration;

use http::{HeaderMap, Method};

use super::*;
use crate::policy::Mode;
use crate::time::MonoMillis;

/// A session and its clock.
struct Session {
    rules: Rules,
    facts: Facts,
    now: MonoMillis,
    mode: Mode,
}

impl Session {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            facts: Facts::default(),
            now: MonoMillis(1_000_000),
            mode: Mode::Enforce,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// Starts a call, `METHOD /path?query`. `None` if no rule speaks of it.
    fn start(&mut self, request: &str) -> Option<Admission> {
        let call = resolve(&self.rules, request)?;
        Some(self.facts.admit(call, self.mode, self.now))
    }

    /// A call with its answer.
    fn call(&mut self, request: &str, status: u16) -> Result<(), ViolationKind> {
        match self.start(request) {
            None => Ok(()),
            Some(admission) => {
                let reservation = admission.verdict.map_err(|violation| violation.kind)?;
                self.facts.complete(reservation, status, self.now);
                Ok(())
            }
        }
    }
}

fn resolve(rules: &Rules, request: &str) -> Option<Call> {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let path = NormalPath::parse(path).unwrap();
    rules.resolve(&BindingKey::new([1; 16]), &method, &path, query, &HeaderMap::new())
}

fn operations(list: &[(&str, &str)]) -> Vec<OperationSpec> {
    let operation = |(name, on): &(&str, &str)| OperationSpec {
        name: (*name).into(),
        on: (*on).into(),
        bind: Vec::new(),
    };
    list.iter().map(operation).collect()
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

fn rule(id: &str, on: &[&str]) -> RuleSpec {
    RuleSpec {
        id: id.into(),
        on: strings(on),
        require: Vec::new(),
        max: None,
        mode: Mode::Enforce,
        score: 10.0,
        action: Action::Deny,
        escalate: Vec::new(),
    }
}

fn require(op: &str, within: Option<u64>, bind: &[&str]) -> RequireSpec {
    RequireSpec {
        op: op.into(),
        within: within.map(Duration::from_secs),
        bind: strings(bind),
        status: None,
    }
}

fn max(count: u32, per: Option<u64>, bind: &[&str], count_if: Option<&str>) -> MaxSpec {
    MaxSpec {
        count,
        per: per.map(Duration::from_secs),
        bind: strings(bind),
        count_if: count_if.map(Into::into),
    }
}

/// A shop: orders are viewed, then paid.
fn shop(rules: Vec<RuleSpec>) -> RulesSpec {
    let mut operations = operations(&[
        ("login", "POST /login"),
        ("view", "GET /orders/{id:int}"),
        ("pay", "POST /orders/{id}/pay"),
        ("cancel", "DELETE /orders/{id:int}"),
        ("coupon", "POST /coupons/{code}/redeem"),
        ("search", "GET /search"),
        ("export", "GET /export/**"),
    ]);
    operations.push(OperationSpec {
        name: "transfer".into(),
        on: "POST /transfers".into(),
        bind: vec![("id".into(), "query:order".into())],
    });
    RulesSpec {
        operations,
        rules,
        thresholds: Vec::new(),
    }
}

fn session(rules: Vec<RuleSpec>) -> Session {
    Session::new(Rules::compile(shop(rules)).unwrap())
}
