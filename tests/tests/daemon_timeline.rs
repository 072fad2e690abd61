//! What the operator learns of a session: what it did, what each rule said, and where every point came from.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::Client;
use portcullis_tests::daemon::{Daemon, Wanted};
use serde_json::Value;

const CONFIG: &str = r#"
rules_version = 1
[protect]
paths = ["/api/**"]
[op]
view = "GET /api/orders/{id:int}"
pay = "POST /api/orders/{id:int}/pay"
[[rule]]
id = "pay-after-view"
mode = "enforce"
on = ["pay"]
require = [{ op = "view", within = "10m", bind = ["id"] }]
score = 40
[[rule]]
id = "few-views"
mode = "monitor"
on = ["view"]
max = { count = 1, per = "1h" }
"#;

fn asked(daemon: &Daemon, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = ["--json"].iter().chain(words).copied().collect();
    Ok(serde_json::from_str(&daemon.cli(&words)?)?)
}

#[test]
fn a_session_and_a_refusal_are_explained_line_by_line() -> Result<()> {
    let backend = Backend::start_on(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), CONFIG))?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("GET", "/api/orders/8", "")?.status == 200);
    ensure!(client.call("GET", "/api/orders/9", "")?.status == 200);
    let refused = client.call("POST", "/api/orders/7/pay", "")?;
    ensure!(refused.problem() == "sequence-violation", "{}", refused.body);

    let list = asked(&daemon, &["session", "list"])?;
    let id = list["sessions"][0]["id"].as_str().context("no session")?;
    let timeline = asked(&daemon, &["session", "timeline", id])?;
    let of_kind = |kind: &str| -> Vec<&Value> {
        let events = timeline["events"].as_array().map_or(&[][..], Vec::as_slice);
        events.iter().filter(|event| event["kind"] == kind).collect()
    };
    let calls = of_kind("call");
    ensure!(calls.len() == 2 && calls[0]["path"] == "/api/orders/8", "{timeline:#}");
    ensure!(calls.iter().all(|call| call["status"] == 200), "{timeline:#}");
    let [watched] = of_kind("watched")[..] else {
        anyhow::bail!("{timeline:#}")
    };
    ensure!(watched["rule"] == "few-views", "{timeline:#}");
    let [refusal] = of_kind("refusal")[..] else {
        anyhow::bail!("{timeline:#}")
    };
    ensure!(refusal["rule"] == "pay-after-view" && refusal["reference"] == refused.reference().as_str());
    ensure!(timeline["points"][0]["points"] == 40.0, "{timeline:#}");

    let why = asked(&daemon, &["why", &refused.reference()])?;
    let line = &why["session_ledger"][0];
    ensure!(line["rule"] == "pay-after-view" && line["points"] == 40.0, "{why:#}");
    ensure!(line["reference"] == refused.reference().as_str(), "{why:#}");

    for _ in 0..2 {
        let _ = client.call("POST", "/api/orders/7/pay", "");
    }
    let told = daemon.cli(&["session", "timeline", id])?;
    ensure!(
        told.contains("banned") && told.contains("rule pay-after-view"),
        "{told}"
    );
    let last = asked(&daemon, &["why", "--last", "1"])?;
    let reference = last["incidents"][0]["reference"].as_str().context("no incident")?;
    let told = daemon.cli(&["why", reference])?;
    ensure!(
        told.contains("session banned for 15m") && told.contains("session_banned"),
        "{told}"
    );
    Ok(())
}
