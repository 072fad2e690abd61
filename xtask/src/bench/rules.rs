//! What rules cost: nanoseconds of one thread for a call from resolving it to the end of its answer, and memory.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http::{HeaderMap, Method};
use portcullis_guard::path::NormalPath;
use portcullis_guard::policy::Mode;
use portcullis_guard::request::ClientAddress;
use portcullis_guard::sequence::{
    BindingKey, CallParts, Facts, MaxSpec, Moment, NeedSpec, OnceSpec, OperationSpec, Outcome, Resolved, RuleSpec,
    Rules, RulesSpec, SharedFacts, Verdict, Who,
};
use portcullis_guard::session::SessionId;
use portcullis_guard::time::MonoMillis;

use super::report::{Report, Rounds, Row};

/// Numbers of rules that are compared.
const SIZES: [usize; 5] = [0, 10, 50, 100, 1000];
/// Sessions in memory.
const SESSIONS: usize = 1_000_000;

pub(super) fn measure(quick: bool) -> Result<Report> {
    let (rounds, calls) = if quick { (3, 20_000) } else { (9, 200_000) };
    let spread = SIZES.map(spread_rules);
    let crowded = SIZES.map(crowded_rules);
    let mut worlds = Vec::new();
    for (index, size) in SIZES.into_iter().enumerate() {
        worlds.push(World::new("other", size, &spread[index], "GET", "/api/nothing/7")?);
        worlds.push(World::new("own", size, &spread[index], "POST", "/api/orders/7/pay")?);
        // Each of these rules remembers something of its own, and a session has room for so many.
        if size <= Facts::CAPACITY / 2 {
            let path = "/api/orders/7/pay";
            worlds.push(World::new("crowded", size, &crowded[index], "POST", path)?);
        }
    }
    let mut figures = vec![Rounds::default(); worlds.len()];
    // In turns, so that what disturbs one round disturbs all alike.
    for _ in 0..rounds {
        for (world, figure) in worlds.iter_mut().zip(&mut figures) {
            figure.push(world.run(calls)?);
        }
    }
    let find = |kind: &str, size: usize| {
        let position = worlds.iter().position(|world| world.kind == kind && world.size == size);
        position.map(|position| figures[position].clone()).unwrap_or_default()
    };
    let mut rows = Vec::new();
    for (world, figure) in worlds.iter().zip(&figures) {
        rows.push(Row::new(format!("{}/{}", world.kind, world.size), "ns", figure));
    }
    let mut added = Rounds::default();
    added.push(find("own", 50).median() - find("own", 0).median());
    rows.push(Row::new("added/50", "ns", &added).at_most(150.0));
    let growth = Row::new("other/1000-to-10", "ns", &find("other", 1000));
    rows.push(growth.versus("other/10", &find("other", 10), Some(1.25)));
    let growth = Row::new("own/1000-to-10", "ns", &find("own", 1000));
    rows.push(growth.versus("own/10", &find("own", 10), Some(1.25)));
    rows.extend(memory()?);
    Ok(Report::new("rules", rows))
}

/// Rules of which two speak of each operation: pay only what was viewed, and once.
fn spread_rules(count: usize) -> RulesSpec {
    let mut spec = RulesSpec::default();
    for pair in 0..count.div_ceil(2) {
        let area = if pair == 0 {
            "orders".to_owned()
        } else {
            format!("area{pair}")
        };
        let (view, pay) = (format!("view{pair}"), format!("pay{pair}"));
        spec.operations
            .push(operation(&view, &format!("GET /api/{area}/{{id:int}}")));
        spec.operations
            .push(operation(&pay, &format!("POST /api/{area}/{{id:int}}/pay")));
        spec.rules.push(RuleSpec {
            require: vec![need(&view).into()],
            ..rule(&format!("after{pair}"), &pay)
        });
        spec.rules.push(RuleSpec {
            max: Some(MaxSpec {
                count: 1,
                per: Some(Duration::from_secs(86_400)),
                bind: vec!["id".into()],
                count_if: Some("2xx".into()),
            }),
            ..rule(&format!("once{pair}"), &pay)
        });
    }
    spec
}

/// Rules that all speak of one operation.
fn crowded_rules(count: usize) -> RulesSpec {
    let rules = (0..count).map(|number| RuleSpec {
        require: vec![need("view").into()],
        ..rule(&format!("after{number}"), "pay")
    });
    RulesSpec {
        rules: rules.collect(),
        operations: vec![
            operation("view", "GET /api/orders/{id:int}"),
            operation("pay", "POST /api/orders/{id:int}/pay"),
        ],
        ..RulesSpec::default()
    }
}

fn operation(name: &str, on: &str) -> OperationSpec {
    OperationSpec {
        name: name.into(),
        on: on.into(),
        bind: Vec::new(),
    }
}

fn need(op: &str) -> NeedSpec {
    NeedSpec {
        op: op.into(),
        within: Some(Duration::from_secs(600)),
        bind: vec!["id".into()],
        status: None,
    }
}

fn rule(id: &str, on: &str) -> RuleSpec {
    RuleSpec {
        id: id.into(),
        on: vec![on.into()],
        mode: Mode::Enforce,
        score: 0.0,
        ..RuleSpec::default()
    }
}

/// One set of rules and the call that is made again and again.
struct World {
    kind: &'static str,
    size: usize,
    rules: Rules,
    facts: Facts,
    shared: SharedFacts,
    key: BindingKey,
    method: Method,
    path: NormalPath,
    headers: HeaderMap,
    now: MonoMillis,
}

impl World {
    fn new(kind: &'static str, size: usize, spec: &RulesSpec, method: &str, path: &str) -> Result<Self> {
        let rules = Rules::compile(spec.clone()).map_err(|errors| anyhow!("{errors:?}"))?;
        let mut world = Self {
            kind,
            size,
            rules,
            facts: Facts::default(),
            shared: SharedFacts::new(1000, BindingKey::new([2; 16])),
            key: BindingKey::new([1; 16]),
            method: Method::GET,
            path: NormalPath::parse("/api/orders/7").context("a path")?,
            headers: HeaderMap::new(),
            now: MonoMillis(1_000_000),
        };
        // What the call requires.
        world.call(200)?;
        world.method = Method::from_bytes(method.as_bytes())?;
        world.path = NormalPath::parse(path)?;
        Ok(world)
    }

    /// Nanoseconds a call. It is answered 402, so that it is counted, taken back, and possible again.
    fn run(&mut self, calls: u32) -> Result<f64> {
        let before = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?;
        for _ in 0..calls {
            self.call(402)?;
        }
        let after = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)?;
        let spent = Duration::from(after).saturating_sub(Duration::from(before));
        Ok(spent.as_secs_f64() * 1e9 / f64::from(calls))
    }

    fn call(&mut self, status: u16) -> Result<()> {
        let parts = CallParts {
            method: &self.method,
            path: &self.path,
            query: None,
            headers: &self.headers,
            body: None,
        };
        let Resolved::Call(call) = black_box(&self.rules).resolve(&self.key, black_box(parts)) else {
            return Ok(());
        };
        let who = Who {
            session: SessionId([1; 12]),
            user: None,
            client: ClientAddress::new([192, 0, 2, 1].into()),
            fingerprint: None,
            trusted: false,
            headers: &self.headers,
        };
        let moment = Moment {
            mode: Mode::Enforce,
            now: self.now,
            arrived: self.now,
        };
        match self.facts.admit(call, &who, &self.shared, moment).verdict {
            Verdict::Passed(reservation) => {
                let outcome = Outcome { status, now: self.now };
                drop(self.facts.complete(reservation, &self.shared, outcome));
                Ok(())
            }
            Verdict::Refused(violation) => Err(anyhow!("{violation}")),
            Verdict::Held(held) => Err(anyhow!("{held:?}")),
        }
    }
}

/// Bytes: of a fact, of a session with three of them among a million, and at most.
fn memory() -> Result<Vec<Row>> {
    let once = RuleSpec {
        once: Some(OnceSpec {
            bind: vec!["id".into()],
            count_if: None,
        }),
        ..rule("once", "pay0")
    };
    let mut spec = spread_rules(2);
    spec.rules.push(once);
    let mut world = World::new("memory", 3, &spec, "POST", "/api/orders/0/pay")?;
    world.facts = Facts::default();
    for id in 0..64 {
        for (method, tail) in [(Method::GET, ""), (Method::POST, "/pay")] {
            world.method = method;
            world.path = NormalPath::parse(&format!("/api/orders/{id}{tail}"))?;
            world.call(200)?;
        }
    }
    let mut rows = vec![
        Row::new(
            "memory/fact",
            "B",
            &one(world.facts.bytes() as f64 / world.facts.len() as f64),
        )
        .at_most(64.0),
    ];
    world.facts = Facts::default();
    for (method, tail) in [(Method::GET, ""), (Method::POST, "/pay")] {
        world.method = method;
        world.path = NormalPath::parse(&format!("/api/orders/7{tail}"))?;
        world.call(200)?;
    }
    let before = resident()?;
    let sessions: Vec<Facts> = (0..SESSIONS).map(|_| black_box(&world.facts).clone()).collect();
    let grown = resident()?.saturating_sub(before);
    rows.push(Row::new(
        "memory/session",
        "B",
        &one(grown as f64 / black_box(&sessions).len() as f64),
    ));
    let most = (Facts::CAPACITY * Facts::UNIT) as f64;
    rows.push(Row::new("memory/session-at-most", "B", &one(most)));
    Ok(rows)
}

fn one(value: f64) -> Rounds {
    let mut rounds = Rounds::default();
    rounds.push(value);
    rounds
}

/// Bytes of this process in memory.
fn resident() -> Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").context("failed to read statm")?;
    let pages: usize = statm.split(' ').nth(1).context("no resident pages")?.parse()?;
    Ok(pages * 4096)
}
