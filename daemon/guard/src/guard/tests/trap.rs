//! Operations that nobody of ours calls.

use super::*;
use crate::incident::Incident;
use crate::sequence::{BanAction, BanTarget, Escalation};

fn spec(change: impl FnOnce(&mut RuleSpec)) -> RulesSpec {
    let mut trap = RuleSpec {
        id: "honeypot".into(),
        on: vec!["admin".into()],
        trap: true,
        mode: Mode::Enforce,
        score: 60.0,
        ..RuleSpec::default()
    };
    change(&mut trap);
    let admin = OperationSpec {
        name: "admin".into(),
        on: "GET /admin.php".into(),
        bind: Vec::new(),
    };
    RulesSpec {
        operations: vec![admin],
        rules: vec![trap],
        ..RulesSpec::default()
    }
}

fn unsigned() -> Sent {
    Sent {
        method: Method::GET,
        path: "/admin.php".into(),
        headers: HeaderMap::new(),
        body: Vec::new(),
        address: "10.0.0.9",
        program: None,
        connection: 9,
    }
}

fn trapping(mode: Mode, protected: &str, change: impl FnOnce(&mut RuleSpec)) -> Guard {
    guard(Policy {
        mode,
        rules: Rules::compile(spec(change)).unwrap(),
        protected: vec![PathPattern::parse(protected).unwrap()],
        ..policy()
    })
}

fn ban(target: BanTarget) -> Action {
    Action::Ban(BanAction {
        target,
        ttl: Duration::from_secs(600),
        grow: 1.0,
        max_ttl: Duration::from_secs(600),
        jitter: 0.0,
    })
}

fn reports(effects: &[Effect]) -> Vec<&Incident> {
    let mut reports = Vec::new();
    for effect in effects {
        if let Effect::Report(incident) = effect {
            reports.push(incident);
        }
    }
    reports
}

/// Whoever watches wants to see what his traps would catch.
#[test]
fn a_trap_that_only_watches_is_told_of_and_costs_nothing() {
    for (mode, rule, told) in [
        (Mode::Enforce, Mode::Monitor, "the rule only watches"),
        (Mode::Monitor, Mode::Enforce, "would"),
    ] {
        for protected in ["/**", "/api/**"] {
            let guard = trapping(mode, protected, |trap| {
                trap.mode = rule;
                trap.action = ban(BanTarget::Ip);
            });
            let (outcome, effects) = pass(&guard, &unsigned(), at(10));
            let is_public = protected == "/api/**";
            let passes = outcome.as_ref().is_ok() || outcome.as_ref().is_err_and(|refused| refused.waived.is_some());
            assert_eq!(passes, is_public || mode == Mode::Monitor, "{mode:?} {protected}");
            let trapped: Vec<_> = reports(&effects)
                .into_iter()
                .filter(|incident| incident.rule.as_deref() == Some("honeypot"))
                .collect();
            let [incident] = trapped[..] else {
                panic!("{mode:?} {protected}: {effects:?}")
            };
            assert!(incident.explanation.contains(told), "{}", incident.explanation);
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::Ban(_))));
        }
    }
}

#[test]
fn a_trap_bans_an_address_but_for_pages_that_visitors_look_at() {
    let banned = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Ban(_)));
    let trap = || trapping(Mode::Enforce, "/api/**", |trap| trap.action = ban(BanTarget::Ip));
    let (_, effects) = pass(&trap(), &unsigned(), at(10));
    assert!(banned(&effects), "{effects:?}");
    let mut visitor = unsigned();
    visitor
        .headers
        .insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
    let (outcome, effects) = pass(&trap(), &visitor, at(10));
    assert!(outcome.is_err() && !banned(&effects), "{effects:?}");
}

#[test]
fn steps_into_a_trap_are_counted_for_the_address() {
    let guard = trapping(Mode::Enforce, "/api/**", |trap| {
        trap.score = 0.0;
        trap.escalate = vec![Escalation {
            hits: 3,
            per: Duration::from_secs(600),
            action: ban(BanTarget::Ip),
        }];
    });
    let banned: Vec<bool> = (0..3)
        .map(|second| {
            let (_, effects) = pass(&guard, &unsigned(), at(10 + second));
            effects.iter().any(|effect| matches!(effect, Effect::Ban(_)))
        })
        .collect();
    assert_eq!(banned, [false, false, true]);
}

#[test]
fn a_trap_closes_with_and_without_a_session() {
    for protected in ["/**", "/api/**"] {
        let guard = trapping(Mode::Enforce, protected, |_| {});
        let (outcome, effects) = pass(&guard, &unsigned(), at(10));
        assert_eq!(
            outcome.err().map(|refused| refused.refusal),
            Some(Refusal::Sequence),
            "{protected}"
        );
        let Some(Effect::Report(incident)) = effects.last() else {
            panic!("{effects:?}")
        };
        assert_eq!((incident.session_points, incident.address_points), (0.0, 60.0));
        assert_eq!(incident.rule.as_deref(), Some("honeypot"));
    }
    let guard = trapping(Mode::Enforce, "/**", |_| {});
    let mut client = Client::open(&guard, 1, at(0));
    let (outcome, effects) = pass(&guard, &client.get("/admin.php", at(10)), at(10));
    assert_eq!(outcome.err().map(|refused| refused.refusal), Some(Refusal::Sequence));
    let Some(Effect::Report(incident)) = effects.last() else {
        panic!("{effects:?}")
    };
    assert_eq!((incident.session_points, incident.address_points), (60.0, 0.0));
}
