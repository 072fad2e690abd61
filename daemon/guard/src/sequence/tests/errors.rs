//! Mistakes in rules: all at once, each with its place.

use super::*;

fn errors(spec: RulesSpec) -> Vec<String> {
    let errors = Rules::compile(spec).unwrap_err();
    errors
        .iter()
        .map(|error| match &error.hint {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        })
        .collect()
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let mut spec = shop(vec![
        rule("nothing", &["pay"]),
        RuleSpec {
            require: vec![require("veiw", None, &[]), require("view", Some(0), &["ib"])],
            ..rule("a b", &["pay", "pay"])
        },
        RuleSpec {
            max: Some(max(0, Some(u64::MAX), &["code", "code"], Some("ok"))),
            score: f32::NAN,
            ..rule("nothing", &["coupon"])
        },
        RuleSpec {
            require: vec![require("pay", None, &[]), require("search", None, &["id"])],
            ..rule("own", &["pay"])
        },
        RuleSpec {
            max: Some(max(1, None, &[], None)),
            ..rule("none", &[])
        },
        RuleSpec {
            require: vec![require("uid", None, &["id"])],
            ..rule("types", &["view"])
        },
        RuleSpec {
            max: Some(max(1, None, &[], None)),
            ..rule("broken", &["broken"])
        },
    ]);
    spec.operations.extend(operations(&[
        ("uid", "GET /u/{id:uuid}"),
        ("broken", "GTE /x"),
        ("view", "GET /again"),
        ("same", "GET /orders/{number:int}"),
        ("Upper", "GET /upper"),
    ]));
    assert_eq!(
        errors(spec),
        [
            "op.broken: there is no method `GTE` (did you mean `GET`?)",
            "op.view: the operation `view` is there twice",
            "op.same: these calls belong to `view` already",
            "op.Upper: `Upper` cannot be a name (names have lower-case letters, digits and `_`, and begin with a letter)",
            "rule[0]: a rule without a condition does nothing; conditions are `require`, `max`, `once`, `min_gap`, `forbid_after`, `distinct`, `shown`, `order` and `trap`",
            "rule[1].id: an id has 1 to 64 letters, digits, `-`, `_` and `.`, got \"a b\"",
            "rule[1].on[1]: `pay` is there twice",
            "rule[1].require[0].op: there is no operation `veiw` (did you mean `view`?)",
            "rule[1].require[1].within: expected a time from 1ms to 366d",
            "rule[1].require[1].bind[0]: `pay` has no value `ib` (did you mean `id`?)",
            "rule[1].require[1].bind[0]: `view` has no value `ib` (did you mean `id`?)",
            "rule[2].id: another rule is called \"nothing\"",
            "rule[2].score: points are a number of at least 0",
            "rule[2].max.per: expected a time from 1ms to 366d",
            "rule[2].max.count_if: expected status codes like \"2xx\", \"200|404\" or \"any\", got \"ok\"",
            "rule[2].max.count: expected a number from 1 to 1000000",
            "rule[2].max.bind[1]: `code` is there twice",
            "rule[3].require[0].op: `pay` cannot come before its own first call",
            "rule[3].require[1].bind[0]: `search` has no value `id` (it has no values; give its path a `{parameter}`)",
            "rule[4].on: a rule needs at least one operation",
            "rule[5].require[0].bind[0]: `id` is uuid in `uid` and int elsewhere, so it is never the same",
        ]
    );
}

#[test]
fn a_circle_of_requirements_is_found() {
    let needs = |id: &str, on: &str, op: &str| RuleSpec {
        require: vec![require(op, None, &[])],
        ..rule(id, &[on])
    };
    assert_eq!(
        errors(shop(vec![
            needs("a", "pay", "view"),
            needs("b", "view", "search"),
            needs("c", "search", "view"),
            needs("d", "export", "login"),
        ])),
        [
            "rule[0].require[0].op: `pay` can never be called: it needs `view`, which cannot come first either",
            "rule[2].require[0].op: `search` can never be called: it needs `view`, which cannot come first either",
            "rule[1].require[0].op: `view` can never be called: it needs `search`, which cannot come first either",
        ]
    );
}

#[test]
fn one_operation_has_a_limited_number_of_limits() {
    let limit = |number: usize| RuleSpec {
        max: Some(max(1, None, &[], None)),
        ..rule(&format!("limit-{number}"), &["pay"])
    };
    assert!(Rules::compile(shop((0..64).map(limit).collect())).is_ok());
    assert_eq!(
        errors(shop((0..65).map(limit).collect())),
        ["rule[64].max: rules remember 64 things of each call of `pay` already"]
    );
}

#[test]
fn consequences_are_checked() {
    let ban = |ttl, grow, max_ttl, jitter| {
        Action::Ban(BanAction {
            target: BanTarget::Ip,
            ttl: Duration::from_secs(ttl),
            grow,
            max_ttl: Duration::from_secs(max_ttl),
            jitter,
        })
    };
    let step = |hits, per, action| Escalation {
        hits,
        per: Duration::from_secs(per),
        action,
    };
    let mut spec = shop(vec![RuleSpec {
        max: Some(max(1, None, &[], None)),
        action: ban(0, 0.5, 0, 2.0),
        escalate: vec![
            step(3, 0, Action::Score),
            step(3, 60, ban(60, 2.0, 30, 0.0)),
            step(0, 60, Action::Deny),
        ],
        ..rule("a", &["pay"])
    }]);
    let threshold = |score, action| Threshold { score, action };
    spec.thresholds = vec![
        threshold(0.0, Action::Delay),
        threshold(10.0, Action::Log),
        threshold(10.0, Action::Reauth),
    ];
    assert_eq!(
        errors(spec),
        [
            "rule[0].ttl: expected a time from 1s to 365d",
            "rule[0].grow: expected a number from 1 to 100",
            "rule[0].jitter: expected a share from 0 to 1",
            "rule[0].escalate[0].per: expected a time from 1ms to 366d",
            "rule[0].escalate[0].action: `score` is not stronger than a refusal",
            "rule[0].escalate[1].hits: 3 after 3: each step needs more hits than the one before",
            "rule[0].escalate[1].max_ttl: expected a time from `ttl` (1m) to 365d",
            "rule[0].escalate[2].hits: expected a number from 1 to 1000",
            "threshold[0].score: points are a number above 0",
            "threshold[0].action: `delay` is nothing that a score can lead to",
            "threshold[2].score: points must rise from one threshold to the next, and 10 came before",
        ]
    );
}

#[test]
fn what_can_never_fire_is_warned_of() {
    let limit = |id: &str, count, per| RuleSpec {
        max: Some(max(count, Some(per), &[], None)),
        ..rule(id, &["search"])
    };
    let distinct = |max| {
        Some(DistinctSpec {
            param: "id".into(),
            max,
            per: Some(Duration::from_secs(60)),
        })
    };
    let mut spec = shop(vec![
        limit("strict", 10, 60),
        limit("loose", 20, 30),
        limit("burst", 5, 1),
        RuleSpec {
            trap: true,
            ..rule("trap", &["export"])
        },
        RuleSpec {
            max: Some(max(1, None, &[], None)),
            ..rule("after-trap", &["export"])
        },
        RuleSpec {
            max: Some(max(10, Some(60), &[], None)),
            distinct: distinct(30),
            ..rule("both", &["view"])
        },
    ]);
    spec.operations
        .retain(|operation| ["search", "export", "view", "login"].contains(&operation.name.as_str()));
    let rules = Rules::compile(spec).unwrap();
    let warnings: Vec<String> = rules.warnings().into_iter().map(|warning| warning.message).collect();
    assert_eq!(
        warnings,
        [
            "rule loose can never fire: strict allows no more calls in no less time",
            "rule after-trap can never fire: trap is a trap on the same operations, and refuses every call",
            "`distinct` of rule both can never fire: its `max` allows fewer calls",
            "no rule names the operation `login`",
        ]
    );
}
