//! Who may open a session, and for how much work.

use super::*;
use crate::session::mint::{WorkMode, WorkPolicy};
use crate::session::work::{Answer, Demand, solve};

const SESSIONS: f32 = 5.0;

fn policy_with(mode: WorkMode) -> Policy {
    Policy {
        work: WorkPolicy {
            mode,
            bits: 3,
            max_bits: 9,
            sessions: SESSIONS,
            ..WorkPolicy::default()
        },
        ..policy()
    }
}

/// Asks for a session like the proxy, and opens it if that is granted.
fn ask(guard: &Guard, from: &'static str, answer: Option<&Answer>, now: Now) -> Result<(), Box<Refused>> {
    let path = NormalPath::parse("/.well-known/portcullis/session").unwrap();
    let headers = HeaderMap::new();
    let request = session_request(&path, &headers, from);
    guard.may_open(&request, answer, now).outcome?;
    let entropy = SessionEntropy {
        id: [1; 12],
        secret: Zeroizing::new([1; 32]),
        salt: [0; 32],
    };
    let opened = guard.open_session(&AgreementRequest::ServerKey, &entropy, address(from), now);
    assert!(opened.is_ok());
    Ok(())
}

fn demand(refused: Result<(), Box<Refused>>) -> (Refusal, Demand) {
    let refused = refused.unwrap_err();
    (refused.refusal, refused.work.unwrap())
}

fn answer(demand: &Demand) -> Answer {
    Answer {
        challenge: demand.challenge.clone(),
        answers: solve(&demand.challenge, demand.bits),
    }
}

#[test]
fn the_first_sessions_are_free_and_each_of_the_others_costs_more() {
    let guard = guard(policy_with(WorkMode::Reputation));
    for _ in 0..5 {
        assert!(ask(&guard, "10.0.0.1", None, at(0)).is_ok());
    }
    let mut bits = Vec::new();
    for _ in 5..40 {
        let (refusal, demand) = demand(ask(&guard, "10.0.0.1", None, at(0)));
        assert_eq!(refusal, Refusal::WorkRequired);
        bits.push(demand.bits);
        assert!(ask(&guard, "10.0.0.1", Some(&answer(&demand)), at(0)).is_ok());
    }
    assert!(
        bits.is_sorted() && bits.first() == Some(&3) && bits.last() == Some(&5),
        "{bits:?}"
    );
    assert!(ask(&guard, "10.0.0.2", None, at(0)).is_ok(), "a neighbour pays nothing");
    assert!(
        ask(&guard, "10.0.0.1", None, at(3_600_000)).is_ok(),
        "and it is forgotten"
    );
}

#[test]
fn a_bad_reputation_costs_work() {
    let guard = guard(policy_with(WorkMode::Reputation));
    for ms in 0..60 {
        assert_eq!(
            refusal(&guard, &unsigned("/api/a"), at(ms)),
            Some(Refusal::SignatureMissing)
        );
    }
    let (refusal, _) = demand(ask(&guard, "10.0.0.9", None, at(60)));
    assert_eq!(refusal, Refusal::WorkRequired);
    assert!(ask(&guard, "10.0.0.1", None, at(60)).is_ok());
}

#[test]
fn whatever_is_wrong_with_the_work_there_is_new_work() {
    let guard = guard(policy_with(WorkMode::Always));
    let (_, first) = demand(ask(&guard, "10.0.0.1", None, at(0)));
    let good = answer(&first);
    let wrong = Answer {
        answers: vec![0; 8],
        ..answer(&first)
    };
    let attempt = |from, answer: &Answer, ms| {
        let (refusal, next) = demand(ask(&guard, from, Some(answer), at(ms)));
        assert_ne!(next.challenge, first.challenge);
        assert_eq!(refusal.problem().name, "work-required");
        refusal
    };
    assert_eq!(attempt("10.0.0.1", &wrong, 0), Refusal::WorkWrong);
    assert_eq!(attempt("10.0.0.2", &good, 0), Refusal::WorkStale);
    assert_eq!(attempt("10.0.0.1", &good, 130_000), Refusal::WorkStale);
    assert!(ask(&guard, "10.0.0.1", Some(&good), at(0)).is_ok());
    assert_eq!(attempt("10.0.0.1", &good, 0), Refusal::WorkSpent);
    let causes: Vec<_> = guard.refusal_counts().into_iter().map(|(cause, _)| cause).collect();
    assert_eq!(causes, ["work-required", "work-spent", "work-stale", "work-wrong"]);
}

#[test]
fn monitor_mode_asks_nobody_to_work_and_says_whom_it_would() {
    let guard = guard(Policy {
        mode: Mode::Monitor,
        ..policy_with(WorkMode::Always)
    });
    let refused = ask(&guard, "10.0.0.1", None, at(0)).unwrap_err();
    assert!(refused.waived.is_some() && refused.work.is_none());
    assert_eq!(guard.refusal_counts(), [("work-required", 1)]);
}

#[test]
fn a_banned_source_opens_nothing() {
    let guard = guard(policy_with(WorkMode::Off));
    let order = crate::blacklist::BanOrder {
        network: "10.0.0.1/32".parse().unwrap(),
        ttl: Duration::from_secs(60),
        reason: "test".into(),
        origin: Origin::Operator,
        source: None,
        by: None,
        reference: None,
        force: false,
    };
    guard.ban(order, at(0)).unwrap();
    let refused = ask(&guard, "10.0.0.1", None, at(0)).unwrap_err();
    assert!(matches!(refused.refusal, Refusal::AddressBanned(_)));
}
