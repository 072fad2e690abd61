//! The corpus of what must be refused (`tests/vectors/refused.toml`): each case against the guard, and against the
//! running daemon. A few cases that pass hold the corpus itself to its word: they are made the same way.

#![expect(clippy::unwrap_used, reason = "the corpus is ours: a broken case is a broken test")]

mod corpus;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_guard::guard::{Admission, Guard, Secrets};
use portcullis_guard::path::{NormalPath, PathPattern};
use portcullis_guard::policy::{Mode, Policy};
use portcullis_guard::request::{ClientAddress, ConnectionId, Reference, Request};
use portcullis_guard::session::agreement::{Agreed, AgreementRequest, SessionEntropy};
use portcullis_guard::session::token::{MasterKey, MasterKeys};
use portcullis_guard::signature::ticket::Query;
use portcullis_guard::time::{MonoMillis, Now, WallMillis};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::Wire;
use portcullis_tests::daemon::{Daemon, Wanted};
use zeroize::Zeroizing;

use corpus::{Session, corpus};

/// The cases offend more than any client; nobody is to be banned over it.
const CONFIG: &str = "[work]\nmode = \"off\"\n[protect]\npaths = [\"/api/**\"]\n";
const NOW: u64 = 1_800_000_000;

#[test]
fn by_the_guard() -> Result<()> {
    let mut wrong = Vec::new();
    for case in corpus()? {
        let guard = guard(1);
        let (session, another) = (open(&guard, 1)?, open(&guard, 2)?);
        let foreign = open(&self::guard(2), 1)?;
        let text = case.text("shop.example", NOW, &[session, another, foreign]);
        let got = judge(&guard, &text)?;
        wrong.extend((got != case.problem).then(|| format!("{}: {got:?}, not {:?}\n{text}", case.name, case.problem)));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn by_the_daemon() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), CONFIG))?;
    let foreign = open(&guard(2), 1)?;
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in corpus()? {
        let (session, another) = (open_over_http(&daemon)?, open_over_http(&daemon)?);
        let now = std::time::UNIX_EPOCH.elapsed()?.as_secs();
        let host = daemon.address().to_string();
        let text = case.text(&host, now, &[session, another, foreign.clone()]);
        let (head, body) = text.split_once("\n\n").context("no end of the head")?;
        let wire = format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"));
        let answer = Wire::connect(daemon.address())?.exchange(wire.as_bytes())?;
        let got = if answer.status == 200 {
            String::new()
        } else {
            answer.problem()
        };
        wrong.extend((got != case.problem).then(|| format!("{}: {got:?}, not {:?}\n{text}", case.name, case.problem)));
        passed += u64::from(answer.status == 200);
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(
        backend.requests() == passed,
        "{} reached the application, {passed} should",
        backend.requests()
    );
    Ok(())
}

#[test]
fn each_case_says_why_and_all_kinds_are_there() -> Result<()> {
    let mut kinds = BTreeMap::new();
    for case in corpus()? {
        ensure!(
            !case.why.is_empty() && !case.why.contains('\n'),
            "{}: say why, in one line",
            case.name
        );
        *kinds.entry(case.problem.clone()).or_insert(0) += 1;
    }
    ensure!(kinds.values().sum::<i32>() >= 170 && kinds.len() >= 14, "{kinds:?}");
    Ok(())
}

fn guard(seed: u8) -> Guard {
    let policy = Policy {
        mode: Mode::Enforce,
        protected: vec![PathPattern::parse("/api/**").unwrap()],
        ..Policy::default()
    };
    let secrets = Secrets {
        master: MasterKeys::new(MasterKey::of_secret(&Zeroizing::new([seed; 32])), vec![]),
        run: Zeroizing::new([seed; 32]),
    };
    Guard::new(policy, secrets, 10)
}

fn at(seconds: u64) -> Now {
    Now {
        wall: WallMillis(seconds * 1000),
        mono: MonoMillis(1000),
    }
}

fn client() -> ClientAddress {
    ClientAddress::new([10, 0, 0, 1].into())
}

fn open(guard: &Guard, number: u8) -> Result<Session> {
    let entropy = SessionEntropy {
        id: [number; 12],
        secret: Zeroizing::new([number; 32]),
        salt: [0; 32],
    };
    let opened = guard.open_session(&AgreementRequest::ServerKey, &entropy, client(), at(NOW));
    let opened = opened.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
    let Agreed::ServerKey(key) = opened.agreed else {
        bail!("asked for a server key")
    };
    Ok(Session {
        id: opened.session_id,
        key: key.0,
    })
}

fn open_over_http(daemon: &Daemon) -> Result<Session> {
    let (host, body) = (daemon.address(), r#"{"key_agreement":"server-key"}"#);
    let request = format!(
        "POST /.well-known/portcullis/session HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = Wire::connect(host)?.exchange(request.as_bytes())?;
    ensure!(answer.status == 201, "no session: {}", answer.body);
    let document: serde_json::Value = serde_json::from_str(&answer.body)?;
    let key = URL_SAFE_NO_PAD.decode(document["key"].as_str().context("no key")?)?;
    Ok(Session {
        id: document["session_id"].as_str().context("no session id")?.to_owned(),
        key: key.try_into().ok().context("no key of 32 bytes")?,
    })
}

/// The name of the problem; empty if the request passes.
fn judge(guard: &Guard, text: &str) -> Result<String> {
    let head = corpus::Head::parse(text)?;
    let (path, query) = match head.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (head.target.as_str(), None),
    };
    let query = match Query::split(query) {
        Ok(query) => query,
        Err(refusal) => return Ok(refusal.problem().name.to_owned()),
    };
    let normal = NormalPath::parse(path)?;
    let authority = head.headers["host"].to_str()?;
    let request = Request {
        method: &head.method,
        operation: &head.method,
        authority,
        raw_path: path,
        query: query.rest,
        ticket: query.ticket,
        path: &normal,
        headers: &head.headers,
        has_body: !head.body.is_empty(),
        client: client(),
        fingerprint: None,
        trusted: false,
        connection: ConnectionId(1),
        reference: Reference(1),
    };
    let bound = match guard.judge_head(&request, at(NOW)).outcome {
        Ok(Admission::Bound(bound)) => bound,
        Ok(Admission::Forward(_)) => bail!("not protected: {}", head.target),
        Err(refused) => return Ok(refused.refusal.problem().name.to_owned()),
    };
    let body = (!head.body.is_empty()).then_some(head.body.as_bytes());
    let refused = guard.admit(bound, &request, body, at(NOW)).outcome.err();
    Ok(refused.map_or(String::new(), |refused| refused.refusal.problem().name.to_owned()))
}
