//! What is learned, and from whom nothing.

use super::*;

fn see(learner: &mut Learner, session: &str, at: u64, method: &str, path: &str, status: u16) {
    let seen = Seen {
        at,
        session,
        method,
        path,
        status,
        is_suspect: false,
    };
    learner.see(&seen).unwrap();
}

/// Forty sessions that look at an order and pay it two to six seconds later.
fn shop() -> Learner {
    let mut learner = Learner::default();
    for n in 0..40 {
        let (session, start) = (format!("s{n}"), n * 100_000);
        let pay = start + 4_000 + n % 5 * 1_000;
        see(&mut learner, &session, start, "GET", "/api/orders", 200);
        see(
            &mut learner,
            &session,
            start + 1_000,
            "GET",
            &format!("/api/orders/{n}"),
            200,
        );
        see(
            &mut learner,
            &session,
            start + 2_000,
            "GET",
            &format!("/api/orders/{}", n + 100),
            200,
        );
        see(
            &mut learner,
            &session,
            pay,
            "POST",
            &format!("/api/orders/{n}/pay"),
            200,
        );
    }
    learner
}

const ENOUGH: Evidence = Evidence {
    sessions: 20,
    certainty: 0.99,
};

#[test]
fn precedence_is_learned_with_the_value_in_common() {
    let text = shop().propose(&ENOUGH);
    for line in [
        "get_api_orders = \"GET /api/orders\" # 40 calls, 40 sessions",
        "get_api_order = \"GET /api/orders/{order:int}\" # 80 calls, 40 sessions",
        "post_api_order_pay = \"POST /api/orders/{order:int}/pay\" # 40 calls, 40 sessions",
        "id = \"post_api_order_pay-after-get_api_order\"",
        "require = [{ op = \"get_api_order\", within = \"1m\", bind = [\"order\"], status = \"2xx\" }]",
        "min_gap = { since = \"get_api_order\", at_least = \"1000ms\", bind = [\"order\"] }",
        "max = { count = 3, per = \"10m\" }",
        "distinct = { param = \"order\", max = 10, per = \"10m\" }",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    assert!(text.contains("in 40 of 40 sessions (0 did otherwise)"), "{text}");
    assert!(!text.contains("enforce\""), "{text}");
}

#[test]
fn suspects_teach_nothing_and_exceptions_count() {
    let mut learner = shop();
    for n in 0..500 {
        let seen = Seen {
            at: n,
            session: "abuser",
            method: "POST",
            path: &format!("/api/orders/{n}/pay"),
            status: 200,
            is_suspect: n == 499,
        };
        learner.see(&seen).unwrap();
    }
    assert_eq!(
        learner.propose(&ENOUGH).replace("1 sessions had", "0 sessions had"),
        shop().propose(&ENOUGH)
    );
    let mut learner = shop();
    see(&mut learner, "hasty", 0, "POST", "/api/orders/7/pay", 200);
    let text = learner.propose(&ENOUGH);
    assert!(!text.contains("require"), "one of 41 did it: {text}");
    assert!(text.contains("post_api_order_pay-at-most"), "{text}");
}

#[test]
fn too_little_evidence_proposes_nothing() {
    let text = shop().propose(&Evidence::default());
    assert!(text.contains("[op]") && !text.contains("[[rule]]"), "{text}");
}

#[test]
fn segments_are_values_when_they_vary() {
    let mut learner = Learner::default();
    for n in 0..20 {
        let word = char::from(b'a' + n);
        see(&mut learner, "s", n.into(), "GET", &format!("/users/{word}x/home"), 200);
        see(&mut learner, "s", n.into(), "GET", &format!("/pages/{}", n % 3), 200);
        see(
            &mut learner,
            "s",
            n.into(),
            "DELETE",
            "/files/0b6a7e2c-95f7-4b0e-9f3c-2d1f0c8e7a11",
            200,
        );
    }
    see(&mut learner, "s", 0, "GET", "/", 200);
    let text = learner.propose(&ENOUGH);
    for line in [
        "get_user_home = \"GET /users/{user}/home\"",
        "get_page = \"GET /pages/{page:int}\"",
        "delete_file = \"DELETE /files/{file:uuid}\"",
        "get = \"GET /\"",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
}

#[test]
fn what_the_gate_would_refuse_is_left_out() {
    let mut learner = Learner::default();
    let seen = |method, path| Seen {
        at: 0,
        session: "s",
        method,
        path,
        status: 200,
        is_suspect: false,
    };
    assert_eq!(learner.see(&seen("GET", "/a%2fb")), Err(Unlearnable::Path));
    assert_eq!(learner.see(&seen("G E T", "/")), Err(Unlearnable::Method));
}
