//! Operations that nobody of ours calls.

use super::*;

#[test]
fn a_trap_closes_with_and_without_a_session() {
    let trap = RuleSpec {
        id: "honeypot".into(),
        on: vec!["admin".into()],
        trap: true,
        mode: Mode::Enforce,
        score: 60.0,
        ..RuleSpec::default()
    };
    let admin = OperationSpec {
        name: "admin".into(),
        on: "GET /admin.php".into(),
        bind: Vec::new(),
    };
    let spec = RulesSpec {
        operations: vec![admin],
        rules: vec![trap],
        ..RulesSpec::default()
    };
    for protected in ["/**", "/api/**"] {
        let guard = guard(Policy {
            rules: Rules::compile(spec.clone()).unwrap(),
            protected: vec![PathPattern::parse(protected).unwrap()],
            ..policy()
        });
        let unsigned = Sent {
            method: Method::GET,
            path: "/admin.php".into(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            address: "10.0.0.9",
            program: None,
            connection: 9,
        };
        let (outcome, effects) = pass(&guard, &unsigned, at(10));
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
    let guard = guard(Policy {
        rules: Rules::compile(spec).unwrap(),
        protected: vec![PathPattern::everything()],
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    let (outcome, effects) = pass(&guard, &client.get("/admin.php", at(10)), at(10));
    assert_eq!(outcome.err().map(|refused| refused.refusal), Some(Refusal::Sequence));
    let Some(Effect::Report(incident)) = effects.last() else {
        panic!("{effects:?}")
    };
    assert_eq!((incident.session_points, incident.address_points), (60.0, 0.0));
}
