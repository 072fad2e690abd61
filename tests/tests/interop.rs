//! Both directions with an independent implementation of RFC 9421: the npm package `http-message-signatures` signs for
//! the gate, and verifies what the gate's own signer made.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method};
use portcullis_guard::session::token::SigningKey;
use portcullis_guard::signature::base::Message;
use portcullis_guard::signature::sign::{Signer, sign};
use portcullis_tests::backend::Backend;
use portcullis_tests::daemon::{Daemon, Wanted};
use serde_json::{Value, json};

const CONFIG: &str = "[protect]\npaths = [\"/api/**\"]\n";

/// Method, target, body.
const CALLS: [(&str, &str, &str); 6] = [
    ("GET", "/api/orders/7", ""),
    ("GET", "/api/orders?full=1&q=a%20b+c", ""),
    ("DELETE", "/api/orders/7?", ""),
    ("POST", "/api/orders", r#"{"item":"Brücke","count":2}"#),
    ("PUT", "/api/orders/7?x=%2F", "{}"),
    ("PATCH", "/api/a-b_c.d~e/%C3%A9", "[1]"),
];

/// Two orders of parameters; both are the client's choice.
const ORDERS: [[&str; 5]; 2] = [
    ["created", "nonce", "keyid", "alg", "tag"],
    ["tag", "alg", "keyid", "nonce", "created"],
];

fn node(way: &str, wanted: &Value) -> Result<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop");
    ensure!(
        folder.join("node_modules").is_dir(),
        "tests/interop/node_modules is missing: run `npm ci --prefix tests/interop`, or `cargo xtask test`, which does"
    );
    let mut child = Command::new("node")
        .arg(folder.join("run.mjs"))
        .arg(way)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start node")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(wanted.to_string().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "node failed");
    serde_json::from_slice(&output.stdout).context("node said something else than JSON")
}

#[test]
fn the_library_signs_for_the_gate() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), CONFIG))?;
    let calls = ORDERS.iter().flat_map(|order| {
        let call = |(method, target, body): &(&str, &str, &str)| {
            json!({"method": method, "target": target, "body": body, "order": order})
        };
        CALLS.iter().map(call).collect::<Vec<_>>()
    });
    let calls: Vec<Value> = calls.collect();
    let said = node(
        "sign",
        &json!({"gate": format!("http://{}", daemon.address()), "calls": calls}),
    )?;
    let answers = said["answers"].as_array().context("no answers")?;
    ensure!(answers.len() == calls.len(), "{said}");
    for (call, answer) in calls.iter().zip(answers) {
        ensure!(answer["status"] == 200, "{call}: {answer}");
    }
    ensure!(
        said["copy"] == json!({"status": 401, "problem": "nonce-reused"}),
        "{}",
        said["copy"]
    );
    ensure!(backend.requests() == calls.len() as u64);
    Ok(())
}

#[test]
fn the_library_verifies_what_the_gate_signs() -> Result<()> {
    let key = SigningKey([7; 32]);
    let authority = "shop.example:8443";
    let message = |(counter, (method, target, body)): (usize, &(&str, &str, &str))| {
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (*target, None),
        };
        let parsed = Method::from_bytes(method.as_bytes())?;
        let message = Message {
            method: &parsed,
            authority,
            path,
            query,
            headers: &headers,
        };
        let signer = Signer {
            session_id: "AQ3f",
            key: &key,
            created: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            nonce: &format!("interop-stream.{counter}"),
        };
        let signed = sign(&signer, message, body.as_bytes()).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        let fields = signed
            .iter()
            .map(|(name, value)| Ok((name.to_string(), value.to_str()?.into())));
        let fields: serde_json::Map<String, Value> = fields.collect::<Result<_>>()?;
        Ok(json!({"method": method, "url": format!("https://{authority}{target}"), "headers": fields}))
    };
    let messages: Vec<Value> = CALLS.iter().enumerate().map(message).collect::<Result<_>>()?;
    let said = node(
        "verify",
        &json!({"key": URL_SAFE_NO_PAD.encode(key.0), "messages": messages}),
    )?;
    let all = |verdict: bool| -> Vec<Value> {
        let same = CALLS.iter().map(|(method, ..)| json!(verdict || *method == "DELETE"));
        same.collect()
    };
    ensure!(said["good"] == json!(all(true)), "{said}");
    ensure!(said["changed"] == json!(all(false)), "{said}");
    Ok(())
}
