//! Random histories, compared with a reference that keeps every event and looks through all of them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The operations of the histories; `u*` are not under test.
const OPERATIONS: [(&str, &str); 5] = [
    ("a", "GET /a/{id}"),
    ("b", "POST /b/{id}"),
    ("c", "PUT /c/{id}"),
    ("u_allows", "GET /u/{id}"),
    ("u_forbids", "POST /u/{id}"),
];

const STATUSES: [u16; 3] = [200, 302, 404];

/// What a client does; each takes some time before.
#[derive(Clone, Debug)]
enum Step {
    Start { operation: usize, id: u8 },
    Finish { which: usize, status: u16 },
    Abandon { which: usize },
}

#[derive(Clone, Debug)]
struct Event {
    operation: usize,
    id: u8,
    started: u64,
    finished: Option<(u64, u16)>,
    /// The rules that counted it.
    counted: Vec<String>,
}

/// The rules, read off the specification, over the full list of events.
struct Reference {
    rules: Vec<RuleSpec>,
    events: Vec<Event>,
}

impl Reference {
    /// The rules that this call violates now, each with what it violates.
    fn violated(&self, operation: usize, id: u8, now: u64) -> Vec<(String, &'static str)> {
        let concerned = self
            .rules
            .iter()
            .filter(|rule| rule.on.iter().any(|on| on == OPERATIONS[operation].0));
        let conditions = concerned.flat_map(|rule| {
            let missing = rule
                .require
                .iter()
                .filter(move |require| !self.satisfied(require, id, now));
            let missing = missing.map(|_| (rule.id.clone(), "sequence"));
            let exceeded = rule
                .max
                .iter()
                .filter(move |max| self.count(&rule.id, max, id, now) >= max.count as usize);
            let exceeded = exceeded.map(|max| (rule.id.clone(), if max.per.is_some() { "quota" } else { "sequence" }));
            missing.chain(exceeded)
        });
        conditions.collect()
    }

    fn satisfied(&self, require: &RequireSpec, id: u8, now: u64) -> bool {
        self.events.iter().any(|event| {
            let in_time = |finished: u64| require.within.is_none_or(|within| finished + millis(within) >= now);
            OPERATIONS[event.operation].0 == require.op
                && (require.bind.is_empty() || event.id == id)
                && event
                    .finished
                    .is_some_and(|(at, status)| matches(require.status.as_deref(), "2xx", status) && in_time(at))
        })
    }

    fn count(&self, rule: &str, max: &MaxSpec, id: u8, now: u64) -> usize {
        let counts = |event: &&Event| {
            event.counted.iter().any(|counted| counted == rule)
                && (max.bind.is_empty() || event.id == id)
                && max.per.is_none_or(|per| event.started + millis(per) > now)
                && event
                    .finished
                    .is_none_or(|(_, status)| matches(max.count_if.as_deref(), "any", status))
        };
        self.events.iter().filter(counts).count()
    }
}

fn matches(set: Option<&str>, default: &str, status: u16) -> bool {
    let set = set.unwrap_or(default);
    set == "any"
        || set
            .split('|')
            .any(|item| item == status.to_string() || item == format!("{}xx", status / 100))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// Plays a history to the engine and to the reference. Returns the verdict of each start.
struct Play {
    session: Session,
    reference: Reference,
    under_way: Vec<(usize, Option<Reservation>)>,
}

impl Play {
    fn new(rules: Vec<RuleSpec>) -> Self {
        let spec = RulesSpec {
            operations: operations(&OPERATIONS),
            rules: rules.clone(),
            thresholds: Vec::new(),
        };
        Self {
            session: Session::new(Rules::compile(spec).unwrap()),
            reference: Reference {
                rules,
                events: Vec::new(),
            },
            under_way: Vec::new(),
        }
    }

    /// What the engine and the reference say to a start: the rules that watch, and the one that refuses.
    fn step(&mut self, gap: u64, step: &Step) -> Option<(Verdict, Verdict)> {
        self.session.pass(Duration::from_millis(gap));
        let now = self.session.now.0;
        match step {
            Step::Start { operation, id } => Some(self.start(*operation, *id, now)),
            Step::Finish { which, status } => {
                if let Some((event, reservation)) = self.take(*which) {
                    self.reference.events[event].finished = Some((now, *status));
                    if let Some(reservation) = reservation {
                        self.session.facts.complete(reservation, *status, self.session.now);
                    }
                }
                None
            }
            Step::Abandon { which } => {
                drop(self.take(*which));
                None
            }
        }
    }

    fn start(&mut self, operation: usize, id: u8, now: u64) -> (Verdict, Verdict) {
        let (method, path) = OPERATIONS[operation].1.split_once(' ').unwrap();
        let request = format!("{method} {}", path.replace("{id}", &id.to_string()));
        let violated = self.reference.violated(operation, id, now);
        let (enforced, watched): (Vec<_>, Vec<_>) = violated.into_iter().partition(|(rule, _)| self.enforces(rule));
        let expected = Verdict {
            refused: enforced.into_iter().next(),
            watched,
        };
        let Some(admission) = self.session.start(&request) else {
            return (Verdict::default(), expected);
        };
        let named = |violation: &Violation| (violation.rule.to_string(), kind(violation.kind));
        let found = Verdict {
            refused: admission.verdict.as_ref().err().map(named),
            watched: admission.observed.iter().map(named).collect(),
        };
        if let Ok(reservation) = admission.verdict {
            let mut counted = self.reference.rules.clone();
            counted.retain(|rule| {
                rule.on.iter().any(|on| on == OPERATIONS[operation].0)
                    && !found
                        .watched
                        .iter()
                        .any(|(watched, what)| *watched == rule.id && counts(rule, what))
            });
            self.reference.events.push(Event {
                operation,
                id,
                started: now,
                finished: None,
                counted: counted.into_iter().map(|rule| rule.id).collect(),
            });
            self.under_way
                .push((self.reference.events.len() - 1, Some(reservation)));
        }
        (found, expected)
    }

    fn enforces(&self, id: &str) -> bool {
        self.reference
            .rules
            .iter()
            .any(|rule| rule.id == id && rule.mode == Mode::Enforce)
    }

    fn take(&mut self, which: usize) -> Option<(usize, Option<Reservation>)> {
        (!self.under_way.is_empty()).then(|| self.under_way.swap_remove(which % self.under_way.len()))
    }
}

/// Whether what a watching rule reported is about its limit, so that it did not count the call.
fn counts(rule: &RuleSpec, what: &str) -> bool {
    rule.max.as_ref().is_some_and(|max| match what {
        "quota" => max.per.is_some(),
        "sequence" => max.per.is_none(),
        _ => true,
    })
}

fn kind(kind: ViolationKind) -> &'static str {
    match kind {
        ViolationKind::Sequence => "sequence",
        ViolationKind::Quota(_) => "quota",
        ViolationKind::Overflow => "overflow",
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Verdict {
    refused: Option<(String, &'static str)>,
    watched: Vec<(String, &'static str)>,
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
    prop_oneof![
        Just(None),
        (1u64..60).prop_map(|seconds| Some(Duration::from_secs(seconds)))
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![3 => Just(Mode::Enforce), 1 => Just(Mode::Monitor)]
}

/// `b` and `c` may require what comes before them in the alphabet; all may be limited, up to what is counted exactly.
/// A rule has either a requirement or a limit, so that a violation tells which of them it is.
fn rules() -> impl Strategy<Value = Vec<RuleSpec>> {
    let requirement = (
        prop::sample::select(vec![("a", "b"), ("a", "c"), ("b", "c")]),
        span(),
        bind(),
        status(),
        mode(),
    )
        .prop_map(|((op, on), within, bind, status, mode)| RuleSpec {
            mode,
            require: vec![RequireSpec {
                op: op.into(),
                within,
                bind,
                status,
            }],
            ..rule("", &[on])
        });
    let on = prop::sample::select(vec![&["a"][..], &["b"], &["c"], &["a", "b"], &["a", "b", "c"]]);
    let limit = (on, prop_oneof![1u32..=2, 1u32..=8], span(), bind(), status(), mode()).prop_map(
        |(on, count, per, bind, count_if, mode)| RuleSpec {
            mode,
            max: Some(MaxSpec {
                count,
                per,
                bind,
                count_if,
            }),
            ..rule("", on)
        },
    );
    prop::collection::vec(prop_oneof![requirement, limit], 1..6).prop_map(|mut rules| {
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.id = format!("r{index}");
        }
        rules
    })
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
    ]
}

fn steps(operations: std::ops::Range<usize>, ids: u8, length: usize) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        4 => (operations, 0..ids).prop_map(|(operation, id)| Step::Start { operation, id }),
        3 => (any::<usize>(), prop::sample::select(&STATUSES[..])).prop_map(|(which, status)| Step::Finish { which, status }),
        1 => any::<usize>().prop_map(|which| Step::Abandon { which }),
    ];
    let gap = prop_oneof![Just(0u64), 0u64..2000, 0u64..10_000];
    prop::collection::vec((gap, step), 1..length)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn verdicts_are_those_of_the_reference(rules in rules(), steps in steps(0..3, 3, 120)) {
        let mut play = Play::new(rules);
        for (gap, step) in &steps {
            if let Some((found, expected)) = play.step(*gap, step) {
                prop_assert_eq!(found, expected);
            }
        }
    }

    /// Invariant I2: whatever else the session does in between, as long as it is not refused for lack of room.
    #[test]
    fn unrelated_calls_never_change_a_verdict(
        rules in rules(),
        steps in steps(0..3, 3, 80),
        noise in prop::collection::vec(prop::collection::vec((3usize..5, 0u8..100), 0..12), 80),
    ) {
        let all = |rules: &[RuleSpec]| [rules, &unrelated_rules()].concat();
        let mut quiet = Play::new(all(&rules));
        let mut noisy = Play::new(all(&rules));
        for ((gap, step), noise) in steps.iter().zip(noise) {
            for (operation, id) in noise {
                let method = if operation == 3 { "GET" } else { "POST" };
                let _ = noisy.session.call(&format!("{method} /u/{id}"), 200);
            }
            prop_assert_eq!(quiet.step(*gap, step), noisy.step(*gap, step));
        }
    }

    /// Invariant I3: what clients fill is bounded, and lack of room never lets a call pass that the rules refuse.
    #[test]
    fn lack_of_room_errs_to_the_safe_side(
        rules in rules(),
        steps in steps(0..3, 3, 60),
        noise in prop::collection::vec((any::<u8>(), 0u16..600), 60),
    ) {
        let mut play = Play::new([&rules[..], &unrelated_rules()].concat());
        for ((gap, step), (burst, start)) in steps.iter().zip(noise) {
            for id in start..start + u16::from(burst) / 2 {
                let _ = play.session.call(&format!("GET /u/{id}"), 200);
                let _ = play.session.call(&format!("POST /u/{id}"), 200);
            }
            prop_assert!(play.session.facts.len() <= Facts::CAPACITY);
            if let Some((found, expected)) = play.step(*gap, step) {
                prop_assert!(found.refused.is_some() || expected.refused.is_none());
            }
        }
    }
}

/// The reference itself is simple enough to be read; this shows that the histories reach what matters.
#[test]
fn histories_reach_all_verdicts() {
    let mut seen = BTreeMap::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..200 {
        let tree = (rules(), steps(0..3, 3, 120)).new_tree(&mut runner).unwrap();
        let (rules, steps) = proptest::strategy::ValueTree::current(&tree);
        let mut play = Play::new(rules);
        for (gap, step) in &steps {
            if let Some((found, _)) = play.step(*gap, step) {
                *seen
                    .entry(found.refused.map_or("passed", |(_, what)| what))
                    .or_insert(0) += 1;
            }
        }
    }
    for verdict in ["passed", "sequence", "quota"] {
        assert!(seen.get(verdict).is_some_and(|count| *count > 200), "{seen:?}");
    }
}
