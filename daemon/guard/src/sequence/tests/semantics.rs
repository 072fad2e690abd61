//! What each construct means, one table or story each.

use super::*;

const SEQUENCE: Result<(), ViolationKind> = Err(ViolationKind::Sequence);

fn quota(seconds: u64) -> Result<(), ViolationKind> {
    Err(ViolationKind::Quota(Duration::from_secs(seconds)))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn pay_after_view(require: impl Into<RequireSpec>) -> Session {
    session(vec![RuleSpec {
        require: vec![require.into()],
        ..rule("pay-after-view", &["pay"])
    }])
}

#[test]
fn only_operations_that_rules_name_are_calls() {
    let rules = session(vec![RuleSpec {
        require: vec![require("view", None, &[])],
        ..rule("pay-after-view", &["pay"])
    }])
    .rules;
    assert_eq!(
        resolve(&rules, "HEAD /orders/7").map(|call| call.operation().to_owned()),
        Some("view".into())
    );
    assert!(resolve(&rules, "POST /orders/7/pay").is_some());
    for other in ["GET /search", "GET /orders/x", "PUT /orders/7", "GET /"] {
        assert!(resolve(&rules, other).is_none(), "{other}");
    }
    assert!(resolve(&Rules::default(), "GET /orders/7").is_none());
    assert!(Rules::default().is_empty());
}

#[test]
fn require_wants_the_call_answered_with_the_same_values_in_time() {
    let mut session = pay_after_view(require("view", Some(600), &["id"]));
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE, "never viewed");
    session.call("GET /orders/7", 404).unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE, "viewed in vain");
    session.call("GET /orders/7", 200).unwrap();
    assert_eq!(session.call("POST /orders/8/pay", 200), SEQUENCE, "viewed another");
    assert_eq!(session.call("POST /orders/7/pay", 200), Ok(()));
    assert_eq!(session.call("POST /orders/007/pay", 200), Ok(()), "the same number");
    session.pass(seconds(600));
    assert_eq!(session.call("POST /orders/7/pay", 200), Ok(()));
    session.pass(Duration::from_millis(1));
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE, "too long ago");
    session.call("HEAD /orders/7", 204).unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), Ok(()), "HEAD counts as GET");
}

#[test]
fn require_without_within_and_bind_lasts_for_the_session() {
    let mut session = pay_after_view(require("login", None, &[]));
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE);
    session.call("POST /login", 200).unwrap();
    session.pass(seconds(10_000_000));
    assert_eq!(session.call("POST /orders/7/pay", 200), Ok(()));
}

#[test]
fn require_takes_the_status_that_is_asked_for() {
    for (status, answers, expected) in [
        (None, 299, Ok(())),
        (None, 304, SEQUENCE),
        (Some("2xx|304"), 304, Ok(())),
        (Some("201"), 200, SEQUENCE),
        (Some("any"), 500, Ok(())),
    ] {
        let mut session = pay_after_view(NeedSpec {
            status: status.map(Into::into),
            ..need("view", None, &["id"])
        });
        session.call("GET /orders/7", answers).unwrap();
        assert_eq!(
            session.call("POST /orders/7/pay", 200),
            expected,
            "{status:?} {answers}"
        );
    }
}

#[test]
fn a_call_that_is_under_way_or_dropped_allows_nothing() {
    let mut session = pay_after_view(require("view", None, &["id"]));
    let view = session.start("GET /orders/7").unwrap().verdict.ok().unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE);
    drop(view);
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE);
}

#[test]
fn all_that_is_required_must_be_there() {
    let mut session = session(vec![RuleSpec {
        require: vec![require("login", None, &[]), require("view", None, &["id"])],
        ..rule("pay", &["pay"])
    }]);
    session.call("GET /orders/7", 200).unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE);
    session.call("POST /login", 200).unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), Ok(()));
}

#[test]
fn a_value_that_is_bound_must_be_there_once() {
    let mut session = session(vec![
        RuleSpec {
            require: vec![require("view", None, &["id"])],
            ..rule("view-first", &["transfer"])
        },
        RuleSpec {
            max: Some(max(2, None, &["id"], None)),
            ..rule("twice", &["transfer"])
        },
    ]);
    session.call("GET /orders/7", 200).unwrap();
    for (request, expected) in [
        ("POST /transfers", SEQUENCE),
        ("POST /transfers?order", SEQUENCE),
        ("POST /transfers?order=8", SEQUENCE),
        ("POST /transfers?order=7&order=8", SEQUENCE),
        ("POST /transfers?order=7", Ok(())),
        ("POST /transfers?a=b&%6frder=%37", Ok(())),
        ("POST /transfers?order=7", SEQUENCE),
    ] {
        assert_eq!(session.call(request, 200), expected, "{request}");
    }
}

#[test]
fn a_call_without_its_value_allows_nothing() {
    let mut session = session(vec![RuleSpec {
        require: vec![require("transfer", None, &["id"])],
        ..rule("transfer-first", &["pay"])
    }]);
    session.call("POST /transfers", 200).unwrap();
    session.call("POST /transfers?order=7&order=7", 200).unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE);
    session.call("POST /transfers?order=7", 200).unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), Ok(()));
}

#[test]
fn max_slides_and_says_how_long_to_wait() {
    let mut session = session(vec![RuleSpec {
        max: Some(max(2, Some(60), &[], None)),
        ..rule("search-rate", &["search", "export"])
    }]);
    assert_eq!(session.call("GET /search", 200), Ok(()));
    session.pass(seconds(20));
    assert_eq!(session.call("GET /export/a/b", 500), Ok(()), "any answer counts");
    assert_eq!(
        session.call("GET /search", 200),
        quota(40),
        "the operations of a rule count together"
    );
    session.pass(seconds(40));
    assert_eq!(session.call("GET /search", 200), Ok(()));
    assert_eq!(session.call("GET /search", 200), quota(20));
}

#[test]
fn max_counts_values_apart_and_only_the_answers_that_count() {
    let mut session = session(vec![RuleSpec {
        max: Some(max(1, None, &["code"], Some("2xx"))),
        ..rule("coupon-once", &["coupon"])
    }]);
    assert_eq!(session.call("POST /coupons/A/redeem", 402), Ok(()));
    assert_eq!(
        session.call("POST /coupons/A/redeem", 200),
        Ok(()),
        "the first one was in vain"
    );
    assert_eq!(
        session.call("POST /coupons/A/redeem", 200),
        SEQUENCE,
        "once for the session: no time to wait for"
    );
    for spelling in ["POST /coupons/%41/redeem/", "POST /Coupons//A/./REDEEM"] {
        assert_eq!(session.call(spelling, 200), SEQUENCE, "{spelling}");
    }
    assert_eq!(session.call("POST /coupons/B/redeem", 200), Ok(()));
}

#[test]
fn max_counts_at_admission() {
    let mut session = session(vec![RuleSpec {
        max: Some(max(1, None, &["code"], Some("2xx"))),
        ..rule("coupon-once", &["coupon"])
    }]);
    let first = session.start("POST /coupons/A/redeem").unwrap().verdict.ok().unwrap();
    assert_eq!(
        session.call("POST /coupons/A/redeem", 200),
        SEQUENCE,
        "two in flight cannot both be the last"
    );
    let _ = session.complete(first, 503);
    let second = session.start("POST /coupons/A/redeem").unwrap().verdict.ok().unwrap();
    drop(second);
    assert_eq!(
        session.call("POST /coupons/A/redeem", 200),
        SEQUENCE,
        "a dropped call stays counted"
    );
}

#[test]
fn a_refused_call_is_counted_by_no_rule() {
    let mut session = session(vec![
        RuleSpec {
            max: Some(max(1, None, &["id"], None)),
            ..rule("once", &["pay"])
        },
        RuleSpec {
            require: vec![require("view", None, &["id"])],
            ..rule("after-view", &["pay"])
        },
    ]);
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE);
    session.call("GET /orders/7", 200).unwrap();
    assert_eq!(session.call("POST /orders/7/pay", 200), Ok(()));
}

#[test]
fn a_rule_that_watches_reports_and_lets_pass() {
    let watched = RuleSpec {
        mode: Mode::Monitor,
        max: Some(max(1, Some(60), &[], None)),
        ..rule("watched", &["search"])
    };
    let enforced = RuleSpec {
        max: Some(max(2, Some(60), &[], None)),
        ..rule("enforced", &["search"])
    };
    let mut session = session(vec![watched, enforced]);
    let observed = |admission: &Admission| {
        let ids = admission
            .observed
            .iter()
            .map(|violation| violation.rule.as_str().to_owned());
        ids.collect::<Vec<_>>()
    };
    let first = session.start("GET /search").unwrap();
    assert!(first.verdict.refused().is_none() && first.observed.is_empty());
    let second = session.start("GET /search").unwrap();
    assert!(second.verdict.refused().is_none());
    assert_eq!(observed(&second), ["watched"]);
    let third = session.start("GET /search").unwrap();
    assert_eq!(third.verdict.ok().unwrap_err().rule.as_str(), "enforced");
    session.mode = Mode::Monitor;
    let fourth = session.start("GET /search").unwrap();
    assert!(fourth.verdict.refused().is_none(), "the whole gate watches");
    assert_eq!(observed(&fourth), ["watched", "enforced"]);
}

#[test]
fn explanations_say_what_was_missing() {
    let mut session = session(vec![
        RuleSpec {
            require: vec![require("view", Some(600), &["id"])],
            ..rule("after-view", &["pay"])
        },
        RuleSpec {
            max: Some(max(2, Some(86_400), &["code"], Some("2xx"))),
            ..rule("twice-a-day", &["coupon"])
        },
        RuleSpec {
            max: Some(max(1, None, &["id"], None)),
            ..rule("once", &["transfer"])
        },
    ]);
    let mut violation = |request: &str| session.start(request).unwrap().verdict.ok().unwrap_err();
    let pay = violation("POST /orders/7/pay");
    assert_eq!(
        pay.to_string(),
        "rule after-view: pay needs view answered 2xx within 10m with the same `id`; there is none"
    );
    assert_eq!((pay.kind, pay.score), (ViolationKind::Sequence, 10.0));
    assert_eq!(
        violation("POST /transfers").explanation,
        "transfer does not have every value that the rule binds exactly once"
    );
    (0..2).for_each(|_| session.call("POST /coupons/A/redeem", 200).unwrap());
    session.call("POST /transfers?order=7", 200).unwrap();
    let mut explanation = |request: &str| session.start(request).unwrap().verdict.ok().unwrap_err().explanation;
    assert_eq!(
        explanation("POST /coupons/A/redeem"),
        "coupon: at most 2 answered 2xx in 1d with the same `code`; one more in 1d"
    );
    assert_eq!(
        explanation("POST /transfers?order=7"),
        "transfer: at most 1 answered anything in a session with the same `id`"
    );
}

#[test]
fn overflow_is_a_violation_and_forgets_no_limit() {
    let mut session = session(vec![RuleSpec {
        max: Some(max(1, Some(60), &["code"], None)),
        ..rule("coupon", &["coupon"])
    }]);
    for code in 0..Facts::CAPACITY {
        session.call(&format!("POST /coupons/{code}/redeem"), 200).unwrap();
    }
    assert_eq!(
        session.call("POST /coupons/more/redeem", 200),
        Err(ViolationKind::Overflow)
    );
    assert_eq!(session.call("POST /coupons/0/redeem", 200), quota(60));
    session.mode = Mode::Monitor;
    let admission = session.start("POST /coupons/more/redeem").unwrap();
    assert_eq!(
        admission.observed.first().map(|violation| violation.kind),
        Some(ViolationKind::Overflow)
    );
    assert!(admission.verdict.refused().is_none());
    session.pass(seconds(60));
    session.mode = Mode::Enforce;
    assert_eq!(session.call("POST /coupons/more/redeem", 200), Ok(()));
    assert_eq!(session.facts.len(), 1);
}

#[test]
fn when_one_limit_has_no_room_no_other_keeps_the_call() {
    let mut session = session(vec![
        RuleSpec {
            max: Some(max(300, None, &[], None)),
            ..rule("all", &["coupon"])
        },
        RuleSpec {
            max: Some(max(1, None, &["code"], None)),
            ..rule("each", &["coupon"])
        },
    ]);
    // The count of all takes the room of two facts: it has a list.
    for code in 2..Facts::CAPACITY {
        session.call(&format!("POST /coupons/{code}/redeem"), 200).unwrap();
    }
    for _ in 0..100 {
        assert_eq!(
            session.call("POST /coupons/more/redeem", 200),
            Err(ViolationKind::Overflow)
        );
    }
    // 254 of 300 are used. Had the refused calls been counted, `all` would be the first rule to refuse.
    let violation = session
        .start("POST /coupons/2/redeem")
        .unwrap()
        .verdict
        .ok()
        .unwrap_err();
    assert_eq!(violation.rule.as_str(), "each");
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let coupon = |count, bind: &[&str]| RuleSpec {
        max: Some(max(count, None, bind, None)),
        ..rule("coupon", &["coupon"])
    };
    let pay = |within| RuleSpec {
        require: vec![require("view", Some(within), &["id"])],
        ..rule("pay", &["pay"])
    };
    let mut session = session(vec![coupon(2, &["code"]), pay(600)]);
    session.call("POST /coupons/A/redeem", 200).unwrap();
    session.call("GET /orders/7", 200).unwrap();
    let under_way = session.start("POST /coupons/B/redeem").unwrap().verdict.ok().unwrap();

    session.rules = Rules::compile(shop(vec![pay(600), coupon(1, &["code"])])).unwrap();
    let _ = session.complete(under_way, 200);
    assert_eq!(
        session.call("POST /coupons/A/redeem", 200),
        SEQUENCE,
        "a stricter limit counts what was"
    );
    assert_eq!(session.call("POST /coupons/B/redeem", 200), SEQUENCE);
    assert_eq!(
        session.call("POST /orders/7/pay", 200),
        Ok(()),
        "the order of rules means nothing"
    );

    session.rules = Rules::compile(shop(vec![pay(60), coupon(1, &[])])).unwrap();
    assert_eq!(session.call("POST /coupons/A/redeem", 200), Ok(()), "another condition");
    assert_eq!(session.call("POST /orders/7/pay", 200), SEQUENCE, "another condition");
}

#[test]
fn time_does_not_run_backwards() {
    let mut session = session(vec![RuleSpec {
        max: Some(max(1, Some(60), &[], Some("2xx"))),
        ..rule("search", &["search"])
    }]);
    session.call("GET /search", 200).unwrap();
    session.now = MonoMillis(0);
    assert_eq!(session.call("GET /search", 200), quota(60));
}

fn ban(target: BanTarget) -> Action {
    Action::Ban(BanAction {
        target,
        ttl: seconds(900),
        grow: 1.0,
        max_ttl: seconds(900),
        jitter: 0.0,
    })
}

#[test]
fn repeated_violations_lead_to_more() {
    let step = |hits, action| Escalation {
        hits,
        per: seconds(600),
        action,
    };
    let mut session = session(vec![RuleSpec {
        require: vec![require("view", None, &["id"])],
        escalate: vec![step(2, Action::Reauth), step(4, ban(BanTarget::Session))],
        ..rule("pay-after-view", &["pay"])
    }]);
    let mut violate = |time| {
        session.pass(seconds(time));
        let violation = session.start("POST /orders/7/pay").unwrap().verdict.ok().unwrap_err();
        (
            violation.action,
            violation
                .explanation
                .contains("4 times within 10m: ban session for 15m"),
        )
    };
    assert_eq!(violate(0), (Action::Deny, false));
    assert_eq!(violate(1), (Action::Reauth, false));
    assert_eq!(violate(1), (Action::Deny, false), "what a step counted starts again");
    assert_eq!(violate(1), (ban(BanTarget::Session), true), "the most hits win");
    assert_eq!(violate(1), (Action::Deny, false));
    assert_eq!(violate(600), (Action::Deny, false), "too long ago");
}

#[test]
fn some_actions_let_the_call_pass() {
    for action in [Action::Log, Action::Score] {
        let mut session = session(vec![RuleSpec {
            require: vec![require("view", None, &["id"])],
            action,
            ..rule("pay-after-view", &["pay"])
        }]);
        let admission = session.start("POST /orders/7/pay").unwrap();
        assert!(admission.verdict.refused().is_none());
        assert_eq!(admission.observed.len(), 1);
        assert!(admission.observed[0].enforced);
        assert_eq!(admission.observed[0].action, action);
    }
}
