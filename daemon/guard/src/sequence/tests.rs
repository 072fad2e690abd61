//! The rules from the outside: a session makes calls, the rules answer.

mod errors;
mod histories;
mod reference;
mod semantics;

use std::time::Duration;

use http::{HeaderMap, Method};

use super::*;
use crate::policy::Mode;
use crate::request::ClientAddress;
use crate::session::SessionId;
use crate::time::MonoMillis;

/// A session and its clock.
struct Session {
    rules: Rules,
    facts: Facts,
    shared: SharedFacts,
    now: MonoMillis,
    mode: Mode,
    number: u8,
    user: Option<&'static str>,
    address: &'static str,
}

impl Session {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            facts: Facts::default(),
            shared: SharedFacts::new(1000, BindingKey::new([2; 16])),
            now: MonoMillis(1_000_000),
            mode: Mode::Enforce,
            number: 1,
            user: None,
            address: "192.0.2.1",
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// Starts a call, `METHOD /path?query {json}`. `None` if no rule speaks of it.
    fn start(&mut self, request: &str) -> Option<Admission> {
        let arrived = self.now;
        self.start_again(request, arrived)
    }

    /// Starts a call that arrived earlier.
    fn start_again(&mut self, request: &str, arrived: MonoMillis) -> Option<Admission> {
        let call = resolve(&self.rules, request)?;
        let headers = HeaderMap::new();
        let who = Who {
            session: SessionId([self.number; 12]),
            user: self.user,
            client: ClientAddress::new(self.address.parse().unwrap()),
            fingerprint: None,
            trusted: false,
            headers: &headers,
        };
        let moment = Moment {
            mode: self.mode,
            now: self.now,
            arrived,
        };
        Some(self.facts.admit(call, &who, &self.shared, moment))
    }

    fn complete(&mut self, reservation: Reservation, status: u16) -> Option<Watch> {
        let outcome = Outcome { status, now: self.now };
        self.facts.complete(reservation, &self.shared, outcome)
    }

    /// A call with its answer.
    fn call(&mut self, request: &str, status: u16) -> Result<(), ViolationKind> {
        self.exchange(request, status, "")
    }

    /// A call with its answer and the body of that.
    fn exchange(&mut self, request: &str, status: u16, body: &str) -> Result<(), ViolationKind> {
        let Some(admission) = self.start(request) else {
            return Ok(());
        };
        let reservation = admission.verdict.ok().map_err(|violation| violation.kind)?;
        if let Some(mut watch) = self.complete(reservation, status) {
            for piece in body.as_bytes().chunks(5) {
                let shown = watch.push(&BindingKey::new([1; 16]), piece);
                self.facts.see(&watch, &shown, &self.shared, self.now);
            }
        }
        Ok(())
    }
}

impl Verdict {
    fn ok(self) -> Result<Reservation, Violation> {
        match self {
            Self::Passed(reservation) => Ok(reservation),
            Self::Refused(violation) => Err(violation),
            Self::Held(held) => panic!("held: {held:?}"),
        }
    }
}

/// Reads `METHOD /path?query {json}`.
fn resolve(rules: &Rules, request: &str) -> Option<Call> {
    match resolved(rules, request) {
        Resolved::Call(call) => Some(call),
        Resolved::Free | Resolved::Unlisted => None,
    }
}

fn resolved(rules: &Rules, request: &str) -> Resolved {
    let (method, target) = request.split_once(' ').unwrap();
    let (target, body) = target
        .split_once(' ')
        .map_or((target, None), |(target, body)| (target, Some(body)));
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let parts = CallParts {
        method: &Method::from_bytes(method.as_bytes()).unwrap(),
        path: &NormalPath::parse(path).unwrap(),
        query,
        headers: &HeaderMap::new(),
        body: body.map(str::as_bytes),
    };
    rules.resolve(&BindingKey::new([1; 16]), parts)
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
        mode: Mode::Enforce,
        ..RuleSpec::default()
    }
}

fn need(op: &str, within: Option<u64>, bind: &[&str]) -> NeedSpec {
    NeedSpec {
        op: op.into(),
        within: within.map(Duration::from_secs),
        bind: strings(bind),
        status: None,
    }
}

fn require(op: &str, within: Option<u64>, bind: &[&str]) -> RequireSpec {
    need(op, within, bind).into()
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
        ..RulesSpec::default()
    }
}

fn session(rules: Vec<RuleSpec>) -> Session {
    Session::new(Rules::compile(shop(rules)).unwrap())
}
