//! Signals that refuse nothing, and the lines of the ledgers.

use super::*;
use crate::sequence::RuleId;
use crate::signal::Signal;

fn lines(guard: &Guard, name: u8, ms: u64) -> Vec<(Signal, u32)> {
    let (_, ledger) = guard.session_account(SessionId([name; 12]), at(ms)).unwrap();
    ledger.lines().map(|line| (line.signal, line.times)).collect()
}

#[test]
fn a_robot_is_noticed_once_in_a_while_and_not_refused() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    let mut call = |range: std::ops::Range<u64>| {
        for n in range {
            let sent = client.get(&format!("/api/items/{n}"), at(n * 1000));
            assert_eq!(refusal(&guard, &sent, at(n * 1000)), None);
        }
    };
    call(0..100);
    assert_eq!(lines(&guard, 1, 100_000), [(Signal::RoboticTiming, 1)]);
    call(100..800);
    assert_eq!(lines(&guard, 1, 800_000), [(Signal::RoboticTiming, 2)]);
}

#[test]
fn errors_are_noticed_whatever_rules_there_are() {
    let guard = guard(policy());
    let mut client = Client::open(&guard, 1, at(0));
    for n in 0..20 {
        let sent = client.get("/api/a", at(n));
        assert_eq!(answer(&guard, &sent, if n < 14 { 404 } else { 200 }, at(n)), None);
    }
    assert_eq!(lines(&guard, 1, 20), [(Signal::ErrorRatio, 1)]);
}

#[test]
fn sessions_that_do_the_same_are_noticed_from_the_fifth_on() {
    let guard = guard(policy());
    for name in 1..=7 {
        let mut client = Client::open(&guard, name, at(0));
        for n in 0..16 {
            let ms = u64::from(name) * 100_000 + n * (900 + u64::from(name) * 7 + n % 3 * 50);
            let (method, path) = match n % 2 {
                0 => (Method::GET, format!("/api/shows/{name}")),
                _ => (Method::POST, format!("/api/shows/{name}/holds")),
            };
            let sent = client.call(method, &path, b"", at(ms));
            assert_eq!(refusal(&guard, &sent, at(ms)), None);
        }
        let expected: &[(Signal, u32)] = match name {
            1..=4 => &[],
            _ => &[(Signal::IdenticalCalls, 1)],
        };
        assert_eq!(lines(&guard, name, 800_000), expected, "session {name}");
    }
}

#[test]
fn a_farm_makes_its_source_suspect_and_nobody_else() {
    let guard = guard(policy());
    for name in 1..=40 {
        let mut client = Client::open(&guard, name, at(0));
        client.address = if name <= 35 { "10.5.0.1" } else { "10.5.0.2" };
        assert_eq!(refusal(&guard, &client.get("/api/a", at(0)), at(0)), None);
    }
    let account = |text: &str| guard.source_account(address(text), at(0));
    let farm = account("10.5.0.1");
    let line = farm.ledger.lines().next().unwrap();
    assert_eq!((line.signal, farm.ledger.lines().count()), (Signal::SessionFarm, 5));
    assert_eq!((farm.score, farm.clean_sessions), (50.0, 4));
    assert_eq!(account("10.5.0.2").score, 0.0);
}

#[test]
fn every_point_has_a_line() {
    let guard = guard(Policy {
        rules: shop_rules(),
        ..policy()
    });
    let mut client = Client::open(&guard, 1, at(0));
    let pay = client.call(Method::POST, "/api/orders/7/pay", b"", at(0));
    assert_eq!(refusal(&guard, &pay, at(0)), Some(Refusal::Sequence));
    let mut changed = client.call(Method::POST, "/api/orders", b"{}", at(0));
    changed.body = b"[]".into();
    assert_eq!(refusal(&guard, &changed, at(0)), Some(Refusal::DigestMismatch));
    let (summary, ledger) = guard.session_account(SessionId([1; 12]), at(0)).unwrap();
    let shown: Vec<_> = ledger
        .lines()
        .map(|line| (line.signal, line.points, line.rule.as_ref().map(RuleId::as_str)))
        .collect();
    let expected = [
        (Signal::Rule, 40.0, Some("pay-after-view")),
        (Signal::DigestMismatch, 30.0, None),
    ];
    assert_eq!(shown, expected);
    let points: f32 = ledger.lines().map(|line| line.points).sum();
    assert_eq!(summary.score, points);
    let pay = client.call(Method::POST, "/api/orders/7/pay", b"", at(0));
    assert_eq!(refusal(&guard, &pay, at(0)), Some(Refusal::Sequence));
    let (summary, ledger) = guard.session_account(SessionId([1; 12]), at(0)).unwrap();
    assert!(matches!(summary.status, crate::session::SessionStatus::Banned(_)));
    assert_eq!(ledger.lines().count(), 3, "they outlive the session");
    let source = guard.source_account(address("10.0.0.1"), at(0));
    let line = source.ledger.lines().next().unwrap();
    assert_eq!(
        (line.signal, line.points, source.score),
        (Signal::SessionBanned, 40.0, 40.0)
    );
}
