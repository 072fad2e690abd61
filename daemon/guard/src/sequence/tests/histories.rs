//! Random histories, compared with the reference.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::reference::{Asked, Caller, Event, Reference, Told};
use super::*;

/// The operations of the histories; `u*` are not under test. `c` shows ids, `b` has its id in the query.
const OPERATIONS: [(&str, &str); 5] = [
    ("a", "GET /a/{id}"),
    ("b", "POST /b"),
    ("c", "PUT /c/{id}"),
    ("u_allows", "GET /u/{id}"),
    ("u_forbids", "POST /u/{id}"),
];

const STATUSES: [u16; 3] = [200, 302, 404];

/// Calls that are under way at once, and those that are abandoned: together as many as are told apart.
const MOST_UNDER_WAY: usize = 5;
const MOST_ABANDONED: usize = 3;

/// A call that is under way longer is taken for lost.
const LOST: u64 = 50_000;

/// What clients do; each takes some time before.
#[derive(Clone, Debug)]
enum Step {
    Start {
        operation: usize,
        id: u8,
        caller: Caller,
        waited: u64,
    },
    Finish {
        which: usize,
        status: u16,
        shows: Vec<u8>,
    },
    Abandon {
        which: usize,
    },
}

/// Plays a history to the engine and to the reference.
struct Play {
    rules: Rules,
    facts: [Facts; 2],
    shared: SharedFacts,
    now: u64,
    reference: Reference,
    under_way: Vec<(usize, Reservation)>,
    abandoned: usize,
}

impl Play {
    fn new(rules: Vec<RuleSpec>) -> Self {
        let mut operations = operations(&OPERATIONS);
        operations[1].bind = vec![("id".into(), "query:id".into())];
        let spec = RulesSpec {
            operations,
            rules: rules.clone(),
            ..RulesSpec::default()
        };
        Self {
            rules: Rules::compile(spec).unwrap(),
            facts: [Facts::default(), Facts::default()],
            shared: SharedFacts::new(1000, BindingKey::new([2; 16])),
            now: 1_000_000,
            reference: Reference::new(rules),
            under_way: Vec::new(),
            abandoned: 0,
        }
    }

    /// What the engine and the reference say to a start.
    fn step(&mut self, gap: u64, step: &Step) -> Option<(Told, Told)> {
        self.now += gap;
        while let Some(lost) = self.under_way.iter().position(|(event, _)| self.age(*event) > LOST) {
            self.finish(lost, 404, &[]);
        }
        match step {
            Step::Start {
                operation,
                id,
                caller,
                waited,
            } if self.under_way.len() < MOST_UNDER_WAY => Some(self.start(*operation, *id, *caller, *waited)),
            Step::Start { .. } => None,
            Step::Finish { which, status, shows } => {
                if !self.under_way.is_empty() {
                    self.finish(which % self.under_way.len(), *status, shows);
                }
                None
            }
            Step::Abandon { which } => {
                // A call that others wait for and that is abandoned is awaited for a while; that is tested elsewhere.
                let waits = self.reference.rules.iter().any(|rule| rule.wait.is_some());
                if !self.under_way.is_empty() && !waits && self.abandoned < MOST_ABANDONED {
                    self.abandoned += 1;
                    drop(self.under_way.swap_remove(which % self.under_way.len()));
                }
                None
            }
        }
    }

    /// The process ends, with the calls that are under way, and the next one goes on with what was written down.
    fn restart(&mut self) {
        while !self.under_way.is_empty() {
            self.finish(0, 404, &[]);
        }
        for facts in &mut self.facts {
            let mut written: Facts = postcard::from_bytes(&postcard::to_stdvec(facts).unwrap()).unwrap();
            assert_eq!(self.rules.revive(&mut written), Some(Revived::default()));
            *facts = written;
        }
        let next = SharedFacts::new(1000, BindingKey::new([2; 16]));
        for key in self.shared.names() {
            let kept = self.shared.keep(key).unwrap();
            let written = postcard::from_bytes(&postcard::to_stdvec(&kept).unwrap()).unwrap();
            match next.restore(key, written, &self.rules, true, MonoMillis(self.now)) {
                Ok(revived) | Err(NotRestored::Over(revived)) => assert_eq!(revived, Revived::default()),
                Err(other) => panic!("{other:?}"),
            }
        }
        self.shared = next;
    }

    fn age(&self, event: usize) -> u64 {
        self.now - self.reference.events[event].started
    }

    fn finish(&mut self, which: usize, status: u16, shows: &[u8]) {
        let (event, reservation) = self.under_way.swap_remove(which);
        let event = &mut self.reference.events[event];
        event.finished = Some((self.now, status));
        event.shown = if event.operation == "c" {
            shows.to_vec()
        } else {
            Vec::new()
        };
        let outcome = Outcome {
            status,
            now: MonoMillis(self.now),
        };
        let facts = &mut self.facts[usize::from(event.caller.session)];
        if let Some(mut watch) = facts.complete(reservation, &self.shared, outcome) {
            let items: Vec<String> = shows.iter().map(|id| format!("{{\"id\":{id}}}")).collect();
            let shown = watch.push(&BindingKey::new([1; 16]), format!("[{}]", items.join(",")).as_bytes());
            facts.see(&watch, &shown, &self.shared, MonoMillis(self.now));
        }
    }

    fn start(&mut self, operation: usize, id: u8, caller: Caller, waited: u64) -> (Told, Told) {
        let (name, on) = OPERATIONS[operation];
        // Only `b` can be called without its value.
        let id = (id < 3 || name != "b").then_some(id % 3);
        let asked = Asked {
            operation: name,
            caller,
            id,
            arrived: self.now - waited,
            now: self.now,
        };
        let counted = self.reference.counting(&asked);
        let expected = self.reference.ask(&asked);
        let request = match (name, id) {
            ("b", Some(id)) => format!("POST /b?id={id}"),
            ("b", None) => "POST /b".into(),
            (_, id) => on.replace("{id}", &id.unwrap_or_default().to_string()),
        };
        let Some(admission) = self.admit(&request, caller, asked.arrived) else {
            return (Told::default(), expected);
        };
        let named = |violation: &Violation| {
            (
                violation.rule.to_string(),
                kind(violation.kind).to_owned(),
                violation.action.to_string(),
            )
        };
        let mut found = Told {
            observed: admission.observed.iter().map(named).collect(),
            ..Told::default()
        };
        match admission.verdict {
            Verdict::Refused(violation) => found.refused = Some(named(&violation)),
            Verdict::Held(held) => found.held = Some((held.until.0, held.for_answer)),
            Verdict::Passed(reservation) => {
                self.reference.events.push(Event {
                    operation: name,
                    caller,
                    id,
                    started: self.now,
                    finished: None,
                    shown: Vec::new(),
                    counted,
                });
                self.under_way.push((self.reference.events.len() - 1, reservation));
            }
        }
        (found, expected)
    }

    fn admit(&mut self, request: &str, caller: Caller, arrived: u64) -> Option<Admission> {
        let call = resolve(&self.rules, request)?;
        let user = caller.user.to_string();
        let who = Who {
            session: SessionId([caller.session; 12]),
            user: (caller.user != 0).then_some(&user),
            client: ClientAddress::new([192, 0, 2, caller.address].into()),
            fingerprint: None,
            trusted: false,
            headers: &HeaderMap::new(),
        };
        let moment = Moment {
            mode: Mode::Enforce,
            now: MonoMillis(self.now),
            arrived: MonoMillis(arrived),
        };
        let facts = &mut self.facts[usize::from(caller.session)];
        Some(facts.admit(call, &who, &self.shared, moment))
    }

    /// A call of a session that is answered at once.
    fn call(&mut self, request: &str) {
        let caller = Caller {
            session: 0,
            user: 0,
            address: 9,
        };
        let Some(admission) = self.admit(request, caller, self.now) else {
            return;
        };
        if let Verdict::Passed(reservation) = admission.verdict {
            let outcome = Outcome {
                status: 200,
                now: MonoMillis(self.now),
            };
            let _ = self.facts[0].complete(reservation, &self.shared, outcome);
        }
    }
}

fn kind(kind: ViolationKind) -> &'static str {
    match kind {
        ViolationKind::Sequence => "sequence",
        ViolationKind::Quota(_) => "quota",
        ViolationKind::Overflow => "overflow",
    }
}

fn bind() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![Just(Vec::new()), Just(strings(&["id"]))]
}

fn status() -> impl Strategy<Value = Option<String>> {
    prop::sample::select(vec![
        None,
        Some("2xx".into()),
        Some("302|404".into()),
        Some("any".into()),
    ])
}

fn span() -> impl Strategy<Value = Option<Duration>> {
    prop_oneof![Just(None), some_span().prop_map(Some)]
}

fn some_span() -> impl Strategy<Value = Duration> {
    (1u64..60).prop_map(Duration::from_secs)
}

fn on() -> impl Strategy<Value = Vec<String>> {
    let on = prop::sample::select(vec![&["a"][..], &["b"], &["c"], &["a", "b"], &["a", "b", "c"]]);
    on.prop_map(strings)
}

/// One condition: a rule has one, so that a violation tells which it is.
fn condition() -> impl Strategy<Value = RuleSpec> {
    let empty = |on: &str| rule("", &[on]);
    let need = |op: &'static str| {
        (span(), bind(), status()).prop_map(move |(within, bind, status)| NeedSpec {
            op: op.into(),
            within,
            bind,
            status,
        })
    };
    // Nothing requires what comes after it in the alphabet.
    let wait = prop_oneof![Just(None), (1u64..10).prop_map(|wait| Some(Duration::from_secs(wait)))];
    let one = (
        prop_oneof![
            need("a").prop_map(|need| (need, "b")),
            need("b").prop_map(|need| (need, "c"))
        ],
        wait.clone(),
    )
        .prop_map(move |((need, on), wait)| RuleSpec {
            require: vec![need.into()],
            wait,
            ..empty(on)
        });
    let either = (need("a"), need("b"), wait).prop_map(move |(a, b, wait)| RuleSpec {
        require: vec![RequireSpec { any: vec![a, b] }],
        wait,
        ..empty("c")
    });
    let order = (
        prop_oneof![Just(&["a", "c"][..]), Just(&["a", "b", "c"][..])],
        span(),
        bind(),
    )
        .prop_map(|(steps, within, bind)| RuleSpec {
            order: Some(OrderSpec {
                steps: strings(steps),
                within,
                bind,
            }),
            ..rule("", &[])
        });
    let max = (on(), prop_oneof![1u32..=2, 1u32..=8], span(), bind(), status()).prop_map(
        |(on, count, per, bind, count_if)| RuleSpec {
            on,
            max: Some(MaxSpec {
                count,
                per,
                bind,
                count_if,
            }),
            ..rule("", &[])
        },
    );
    let once = (on(), bind(), status()).prop_map(|(on, bind, count_if)| RuleSpec {
        on,
        once: Some(OnceSpec { bind, count_if }),
        ..rule("", &[])
    });
    let pair = || prop::sample::select(vec![("a", "b"), ("b", "c"), ("a", "a"), ("b", "b"), ("c", "a")]);
    let gap = (
        pair(),
        (1u64..9000).prop_map(Duration::from_millis),
        bind(),
        any::<bool>(),
    )
        .prop_map(move |((since, on), at_least, bind, delays)| RuleSpec {
            min_gap: Some(GapSpec {
                since: since.into(),
                at_least,
                bind,
            }),
            action: if delays { Action::Delay } else { Action::Deny },
            ..empty(on)
        });
    let until = prop::sample::select(vec![None, Some("c".to_owned())]);
    let pair = prop::sample::select(vec![("a", "b"), ("b", "a"), ("a", "a"), ("b", "c")]);
    let forbid =
        (pair, span(), until, bind(), status()).prop_map(move |((op, on), within, until, bind, status)| RuleSpec {
            forbid_after: Some(ForbidSpec {
                op: op.into(),
                within,
                until,
                bind,
                status,
            }),
            ..empty(on)
        });
    let distinct = (on(), 1u32..3, span()).prop_map(|(on, max, per)| RuleSpec {
        on,
        distinct: Some(DistinctSpec {
            param: "id".into(),
            max,
            per,
        }),
        ..rule("", &[])
    });
    let shown = (prop::sample::select(vec!["a", "b"]), span()).prop_map(move |(on, within)| RuleSpec {
        shown: Some(ShownSpec {
            param: "id".into(),
            by: vec![ShownBySpec {
                op: "c".into(),
                at: "/*/id".into(),
                within,
            }],
        }),
        ..empty(on)
    });
    let trap = Just(RuleSpec {
        trap: true,
        ..rule("", &["b"])
    });
    prop_oneof![
        3 => one, 1 => either, 1 => order, 3 => max, 1 => once, 2 => gap, 2 => forbid, 2 => distinct, 2 => shown, 1 => trap
    ]
}

fn scope() -> impl Strategy<Value = Vec<Scope>> {
    prop_oneof![
        4 => Just(vec![Scope::Session]),
        1 => Just(vec![Scope::User]),
        1 => Just(vec![Scope::Ip]),
        1 => Just(vec![Scope::Ip, Scope::User]),
        1 => Just(vec![Scope::Session, Scope::Prefix, Scope::Fingerprint]),
    ]
}

fn rules() -> impl Strategy<Value = Vec<RuleSpec>> {
    let mode = prop_oneof![3 => Just(Mode::Enforce), 1 => Just(Mode::Monitor)];
    let action = prop_oneof![4 => Just(None), 1 => Just(Some(Action::Log)), 1 => Just(Some(Action::Score))];
    let step = (1u32..4, 1u64..30).prop_map(|(hits, per)| Escalation {
        hits,
        per: Duration::from_secs(per),
        action: Action::Reauth,
    });
    let escalate = prop_oneof![3 => Just(Vec::new()), 1 => step.prop_map(|step| vec![step])];
    let except = prop_oneof![3 => Just(Vec::new()), 1 => Just(strings(&["2"]))];
    let one = (condition(), scope(), mode, action, escalate, except).prop_map(
        |(condition, scope, mode, action, escalate, users)| RuleSpec {
            scope,
            mode,
            action: action.unwrap_or(condition.action),
            escalate,
            except: ExceptSpec {
                users,
                networks: Vec::new(),
                headers: Vec::new(),
            },
            ..condition
        },
    );
    let compiles = |rules: &Vec<RuleSpec>| {
        let mut operations = operations(&OPERATIONS);
        operations[1].bind = vec![("id".into(), "query:id".into())];
        let spec = RulesSpec {
            operations,
            rules: rules.clone(),
            ..RulesSpec::default()
        };
        Rules::compile(spec).is_ok()
    };
    let named = |mut rules: Vec<RuleSpec>| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.id = format!("r{index}");
        }
        rules
    };
    prop::collection::vec(one, 1..6)
        .prop_map(named)
        .prop_filter("operations that need each other", compiles)
}

/// Rules about the `u` operations only.
fn unrelated_rules() -> Vec<RuleSpec> {
    vec![
        RuleSpec {
            require: vec![require("u_allows", Some(3600), &["id"])],
            ..rule("u-require", &["u_forbids"])
        },
        RuleSpec {
            mode: Mode::Monitor,
            max: Some(max(1, None, &["id"], None)),
            ..rule("u-max", &["u_forbids"])
        },
        RuleSpec {
            mode: Mode::Monitor,
            scope: vec![Scope::Ip],
            distinct: Some(DistinctSpec {
                param: "id".into(),
                max: 400,
                per: None,
            }),
            ..rule("u-distinct", &["u_forbids"])
        },
    ]
}

fn steps(length: usize) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let caller = (0u8..2, 0u8..3, 0u8..2).prop_map(|(session, user, address)| Caller { session, user, address });
    // Most are the same one, so that something happens to him.
    let caller = prop_oneof![
        3 => Just(Caller { session: 0, user: 1, address: 0 }),
        2 => caller,
    ];
    let waited = prop_oneof![3 => Just(0u64), 1 => 0u64..5000];
    let step = prop_oneof![
        4 => (0usize..3, 0u8..4, caller, waited).prop_map(|(operation, id, caller, waited)| Step::Start {
            operation, id, caller, waited
        }),
        3 => (any::<usize>(), prop::sample::select(&STATUSES[..]), prop::collection::vec(0u8..3, 0..3))
            .prop_map(|(which, status, shows)| Step::Finish { which, status, shows }),
        1 => any::<usize>().prop_map(|which| Step::Abandon { which }),
    ];
    // Never two steps at the same moment: which came first would be open.
    let gap = prop_oneof![Just(1u64), 1u64..2000, 1u64..10_000];
    prop::collection::vec((gap, step), 1..length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn verdicts_are_those_of_the_reference(rules in rules(), steps in steps(120)) {
        let mut play = Play::new(rules);
        for (gap, step) in &steps {
            if let Some((found, expected)) = play.step(*gap, step) {
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_restart_changes_no_verdict(
        rules in rules(),
        steps in steps(120),
        restarts in prop::collection::vec(prop::bool::weighted(0.1), 120),
    ) {
        let mut play = Play::new(rules);
        for ((gap, step), restarts) in steps.iter().zip(restarts) {
            if restarts {
                play.restart();
            }
            if let Some((found, expected)) = play.step(*gap, step) {
                prop_assert_eq!(found, expected);
            }
        }
    }

    /// Invariant I2: whatever else the session does in between, as long as it is not refused for lack of room.
    #[test]
    fn unrelated_calls_never_change_a_verdict(
        rules in rules(),
        steps in steps(80),
        noise in prop::collection::vec(prop::collection::vec((any::<bool>(), 0u8..50), 0..12), 80),
    ) {
        let all = |rules: &[RuleSpec]| [rules, &unrelated_rules()].concat();
        let mut quiet = Play::new(all(&rules));
        let mut noisy = Play::new(all(&rules));
        for ((gap, step), noise) in steps.iter().zip(noise) {
            for (forbids, id) in noise {
                let method = if forbids { "POST" } else { "GET" };
                noisy.call(&format!("{method} /u/{id}"));
                noisy.call("GET /nothing/that/rules/name");
            }
            prop_assert_eq!(quiet.step(*gap, step), noisy.step(*gap, step));
        }
    }

}

proptest! {
    // Each of these is long.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Invariant I3: what clients fill is bounded, and lack of room never lets a call pass that the rules refuse.
    #[test]
    fn lack_of_room_errs_to_the_safe_side(
        rules in rules(),
        steps in steps(60),
        noise in prop::collection::vec((any::<u8>(), 0u16..600), 60),
    ) {
        let mut play = Play::new([&rules[..], &unrelated_rules()].concat());
        for ((gap, step), (burst, start)) in steps.iter().zip(noise) {
            for id in start..start + u16::from(burst) / 2 {
                play.call(&format!("GET /u/{id}"));
                play.call(&format!("POST /u/{id}"));
            }
            for facts in &play.facts {
                prop_assert!(facts.used() <= Facts::CAPACITY, "{} of {}", facts.used(), Facts::CAPACITY);
                prop_assert!(facts.bytes() <= Facts::CAPACITY * Facts::UNIT);
            }
            if let Some((found, expected)) = play.step(*gap, step) {
                let passes = found.refused.is_none() && found.held.is_none();
                prop_assert!(!passes || (expected.refused.is_none() && expected.held.is_none()), "passes, but {expected:?} was expected");
                if found.refused.is_some() {
                    // A violation that has no room to be counted is refused instead.
                    let now = play.now;
                    play.reference.hits.retain(|hit| hit.3 != now);
                }
            }
        }
    }
}

/// The reference itself is simple enough to be read; this shows that the histories reach what matters.
#[test]
fn histories_reach_all_verdicts() {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..300 {
        let tree = (rules(), steps(120)).new_tree(&mut runner).unwrap();
        let (rules, steps) = proptest::strategy::ValueTree::current(&tree);
        let mut play = Play::new(rules);
        for (gap, step) in &steps {
            let Some((found, _)) = play.step(*gap, step) else {
                continue;
            };
            let verdict = match (&found.refused, found.held) {
                (Some((_, kind, _)), _) => kind.clone(),
                (None, Some((_, for_answer))) => {
                    if for_answer {
                        "waits".into()
                    } else {
                        "delayed".into()
                    }
                }
                (None, None) if found.observed.is_empty() => "passes".into(),
                (None, None) => "observed".into(),
            };
            *seen.entry(verdict).or_default() += 1;
            let escalated = found
                .refused
                .iter()
                .chain(&found.observed)
                .any(|(_, _, action)| action == "reauth");
            *seen.entry("escalated".into()).or_default() += u32::from(escalated);
        }
    }
    for verdict in [
        "passes",
        "observed",
        "sequence",
        "quota",
        "waits",
        "delayed",
        "escalated",
    ] {
        assert!(seen.get(verdict).is_some_and(|count| *count > 20), "{seen:?}");
    }
}
