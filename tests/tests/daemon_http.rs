//! The daemon from outside: what passes, what is refused and under which name. No privilege needed.

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, Wire, now, send};
use portcullis_tests::daemon::{Daemon, Wanted};

const PROTECT: &str = "[protect]\npaths = [\"/api/**\"]\n";

const RULES: &str = r#"
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
require = [{ op = "view", within = "10m", bind = ["id"], status = "2xx" }]
max = { count = 1, per = "1h", bind = ["id"], count_if = "2xx" }
score = 40
"#;

fn gate(extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), extra))?;
    Ok((backend, daemon))
}

fn refused(answer: &Answer, status: u16, problem: &str) -> Result<()> {
    ensure!(
        (answer.status, answer.problem().as_str()) == (status, problem),
        "{} {}, not {status} {problem}",
        answer.status,
        answer.body
    );
    ensure!(answer.headers["content-type"] == "application/problem+json");
    ensure!(!answer.reference().is_empty(), "no reference");
    let asks_to_sign =
        answer.headers.contains_key("accept-signature") && answer.headers.contains_key("www-authenticate");
    ensure!(
        asks_to_sign == (status == 401),
        "Accept-Signature and WWW-Authenticate go with 401"
    );
    Ok(())
}

#[test]
fn a_signed_call_reaches_the_application() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut client = Client::open(daemon.address())?;
    let answer = client.call("GET", "/api/orders?page=2", "")?;
    ensure!(answer.status == 200, "{}", answer.body);
    ensure!(
        answer.body.starts_with("GET /api/orders?page=2 HTTP/1.1\r\n"),
        "{}",
        answer.body
    );
    ensure!(answer.body.contains("x-forwarded-for: 127.0.0.1"), "{}", answer.body);
    ensure!(answer.body.contains("portcullis-session: "), "{}", answer.body);
    let answer = client.call("POST", "/api/orders", r#"{"n":1}"#)?;
    ensure!(answer.body.ends_with(r#"{"n":1}"#), "{}", answer.body);
    Ok(())
}

#[test]
fn one_connection_carries_many_calls() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let mut wire = Wire::connect(daemon.address())?;
    let mut client = Client::open_over(&mut wire, daemon.address())?;
    for n in 0..200 {
        let request = client.request("POST", &format!("/api/{n}"), "{}")?;
        ensure!(wire.exchange(&request)?.status == 200);
    }
    ensure!(backend.requests() == 200);
    Ok(())
}

#[test]
fn curl_typed_links_and_unknown_sessions_are_refused() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let address = daemon.address();
    let get = |fields: &str| {
        send(
            address,
            format!("GET /api/orders HTTP/1.1\r\nhost: {address}\r\n{fields}\r\n").as_bytes(),
        )
    };
    refused(&get("user-agent: curl/8\r\n")?, 401, "signature-required")?;
    refused(
        &get("sec-fetch-mode: navigate\r\nsec-fetch-site: none\r\n")?,
        403,
        "navigation-refused",
    )?;
    let unknown = r#"signature-input: p=("@method" "@authority" "@path" "@query");created=NOW;nonce="abcdefgh.0";keyid="nobody";alg="hmac-sha256";tag="portcullis-1""#;
    let unknown = unknown.replace("NOW", &now().to_string());
    refused(
        &get(&format!("{unknown}\r\nsignature: p=:AAAA:\r\n"))?,
        401,
        "session-invalid",
    )?;
    refused(
        &get("signature-input: ((\r\nsignature: p=:AAAA:\r\n")?,
        400,
        "signature-malformed",
    )?;
    ensure!(backend.requests() == 0, "something reached the application");
    Ok(())
}

#[test]
fn a_copy_is_refused_and_after_a_restart_too() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let listen = daemon.address();
    let mut client = Client::open(listen)?;
    let copy = client.request("POST", "/api/transfer", r#"{"amount":100}"#)?;
    ensure!(send(listen, &copy)?.status == 200);
    refused(&send(listen, &copy)?, 401, "nonce-reused")?;

    let home = daemon.kill()?;
    let wanted = Wanted {
        listen,
        ..Wanted::enforcing(backend.address(), PROTECT)
    };
    let daemon = Daemon::start_in(home, &wanted)?;
    let answer = send(listen, &copy)?;
    refused(&answer, 401, "fresh-nonce-required")?;
    client.adopt(&answer)?;
    ensure!(
        client.call("GET", "/api/orders", "")?.status == 200,
        "the session outlives the restart"
    );
    refused(&send(listen, &copy)?, 401, "fresh-nonce-required")?;
    ensure!(backend.requests() == 2);
    drop(daemon);
    Ok(())
}

#[test]
fn each_defect_of_a_signed_call_has_its_problem() -> Result<()> {
    let (backend, daemon) = gate(PROTECT)?;
    let address = daemon.address();
    let mut client = Client::open(address)?;
    let mut tampered = |from: &str, to: &str| -> Result<Answer> {
        let request = String::from_utf8(client.request("POST", "/api/orders", "{}")?)?;
        ensure!(request.contains(from), "{request}");
        send(address, request.replacen(from, to, 1).as_bytes())
    };
    refused(
        &tampered("POST /api/orders", "POST /api/secrets")?,
        401,
        "signature-invalid",
    )?;
    refused(&tampered("\r\n\r\n{}", "\r\n\r\n[]")?, 400, "digest-mismatch")?;
    refused(&tampered("content-digest: ", "x-digest: ")?, 400, "digest-required")?;
    refused(&tampered(" \"content-digest\"", "")?, 401, "signature-incomplete")?;
    refused(&tampered("\"hmac-sha256\"", "\"ed25519\"")?, 401, "signature-invalid")?;
    refused(
        &tampered("nonce=\"test-stream", "nonce=\"x")?,
        400,
        "signature-malformed",
    )?;
    refused(
        &tampered("signature: portcullis=", "signature: other=")?,
        400,
        "signature-malformed",
    )?;
    refused(
        &tampered("/api/orders HTTP", "/api%2forders HTTP")?,
        400,
        "path-ambiguous",
    )?;
    let early = send(address, &client.request_at(now() + 60, "GET", "/api/orders", "")?)?;
    refused(&early, 401, "signature-from-future")?;
    ensure!(early.body.contains("server_time"));
    refused(
        &send(address, &client.request_at(now() - 60, "GET", "/api/orders", "")?)?,
        401,
        "signature-expired",
    )?;
    ensure!(backend.requests() == 0, "something reached the application");
    Ok(())
}

#[test]
fn bodies_have_a_limit() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), PROTECT))?;
    let mut client = Client::open(daemon.address())?;
    let fits = format!("\"{}\"", "x".repeat(1024 * 1024 - 2));
    ensure!(client.call("POST", "/api/upload", &fits)?.status == 200);
    let request = client.request("POST", "/api/upload", &format!("{fits} "))?;
    // The head is enough to refuse it; the rest need not be sent.
    let head = request
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .map_or(0, |end| end + 4);
    refused(&send(daemon.address(), &request[..head])?, 413, "body-too-large")?;
    Ok(())
}

#[test]
fn requests_with_two_readings_never_pass() -> Result<()> {
    let (backend, daemon) = gate("")?;
    let address = daemon.address();
    let cases = [
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: signature\r\n\r\n".to_owned(),
        "GET /a%2f%2e%2e/b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "GET /a\\b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        "CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(200_000)),
    ];
    for case in cases {
        let shown = &case[..case.len().min(80)];
        // hyper closes what it cannot parse; that is a refusal too.
        if let Ok(answer) = send(address, case.as_bytes()) {
            ensure!((400..500).contains(&answer.status), "{shown:?}: {}", answer.status);
        }
    }
    ensure!(backend.requests() == 0, "something reached the application");
    Ok(())
}

#[test]
fn rules_decide_and_the_operator_learns_why() -> Result<()> {
    let (_, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    let early = client.call("POST", "/api/orders/7/pay", "")?;
    refused(&early, 403, "sequence-violation")?;
    ensure!(
        !early.body.contains("pay-after-view"),
        "the client must not learn the rule"
    );
    let why = daemon.cli(&["why", &early.reference()])?;
    ensure!(
        why.contains("pay-after-view") && why.contains("/api/orders/7/pay"),
        "{why}"
    );
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    ensure!(
        client.call("POST", "/api/orders/7/pay/status/402", "")?.status == 402,
        "another operation"
    );
    ensure!(client.call("POST", "/api/orders/7/pay", "")?.status == 200);
    let again = client.call("POST", "/api/orders/7/pay", "")?;
    refused(&again, 429, "quota-exceeded")?;
    ensure!(again.headers.contains_key("retry-after"));
    Ok(())
}

#[test]
fn a_session_that_goes_on_is_banned_and_its_connection_reset() -> Result<()> {
    let (_, daemon) = gate(RULES)?;
    let mut wire = Wire::connect(daemon.address())?;
    let mut client = Client::open_over(&mut wire, daemon.address())?;
    for _ in 0..2 {
        let request = client.request("POST", "/api/orders/7/pay", "")?;
        refused(&wire.exchange(&request)?, 403, "sequence-violation")?;
    }
    let last = client.request("POST", "/api/orders/7/pay", "")?;
    refused(&wire.exchange(&last)?, 403, "sequence-violation")?;
    ensure!(
        wire.exchange(b"GET / HTTP/1.1\r\n").is_err(),
        "the connection still lives"
    );
    let banned = client.call("GET", "/api/orders/7", "")?;
    refused(&banned, 403, "banned")?;
    ensure!(banned.headers.contains_key("retry-after"));
    let mut other = Client::open(daemon.address())?;
    ensure!(
        other.call("GET", "/api/orders/7", "")?.status == 200,
        "another session is not concerned"
    );
    let sessions = daemon.cli(&["session", "list"])?;
    ensure!(sessions.contains("banned"), "{sessions}");
    Ok(())
}

#[test]
fn a_revoked_session_that_is_restored_goes_on_as_it_was() -> Result<()> {
    let (backend, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    ensure!(client.call("POST", "/api/orders/7/pay", "")?.status == 200);
    let copy = client.request("GET", "/api/orders/8", "")?;
    ensure!(send(daemon.address(), &copy)?.status == 200);
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let id = sessions["sessions"][0]["id"].as_str().unwrap_or_default().to_owned();
    ensure!(daemon.cli(&["session", "restore", &id]).is_err(), "it was not ended");
    daemon.cli(&["session", "revoke", &id])?;
    refused(&client.call("GET", "/api/orders/7", "")?, 401, "session-invalid")?;
    daemon.cli(&["session", "restore", &id])?;
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    refused(&send(daemon.address(), &copy)?, 401, "nonce-reused")?;
    refused(&client.call("POST", "/api/orders/7/pay", "")?, 429, "quota-exceeded")?;
    // A restart forgets what it did, as of all sessions, and does not end it again.
    daemon.cli(&["session", "revoke", &id])?;
    let listen = daemon.address();
    let home = daemon.kill()?;
    let wanted = Wanted {
        listen,
        ..Wanted::enforcing(backend.address(), RULES)
    };
    let daemon = Daemon::start_in(home, &wanted)?;
    refused(&client.call("GET", "/api/orders/7", "")?, 401, "session-invalid")?;
    daemon.cli(&["session", "restore", &id])?;
    let asked = client.call("GET", "/api/orders/7", "")?;
    refused(&asked, 401, "fresh-nonce-required")?;
    client.adopt(&asked)?;
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    Ok(())
}

#[test]
fn another_browser_and_a_revoked_session_start_over() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("GET", "/api/a", "")?.status == 200);
    client.user_agent = "Other/2".into();
    refused(&client.call("GET", "/api/a", "")?, 401, "reauthentication-required")?;
    client.user_agent = "Tester/1".into();
    refused(&client.call("GET", "/api/a", "")?, 401, "reauthentication-required")?;
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let id = sessions["sessions"][0]["id"].as_str().unwrap_or_default().to_owned();
    daemon.cli(&["session", "revoke", &id])?;
    refused(&client.call("GET", "/api/a", "")?, 401, "session-invalid")?;
    Ok(())
}

#[test]
fn monitor_mode_watches_only() -> Result<()> {
    let backend = Backend::start()?;
    let wanted = Wanted {
        mode: "monitor",
        ..Wanted::enforcing(backend.address(), RULES)
    };
    let daemon = Daemon::start(&wanted)?;
    let address = daemon.address();
    let answer = send(
        address,
        format!("GET /api/orders/7 HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes(),
    )?;
    ensure!(answer.status == 200, "{}", answer.body);
    let status: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "status"])?)?;
    ensure!(status.to_string().contains("signature-missing"), "{status}");
    Ok(())
}

#[test]
fn session_requests_and_own_paths() -> Result<()> {
    let (_, daemon) = gate(PROTECT)?;
    let address = daemon.address();
    let own = |method: &str, path: &str, body: &str| {
        let length = body.len();
        send(
            address,
            format!(
                "{method} /.well-known/portcullis/{path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )
    };
    refused(&own("POST", "session", "{}")?, 400, "session-request-malformed")?;
    refused(
        &own(
            "POST",
            "session",
            r#"{"key_agreement":"ecdh-p256","public_key":"AAAA"}"#,
        )?,
        400,
        "session-request-malformed",
    )?;
    refused(&own("GET", "session", "")?, 405, "method-refused")?;
    refused(&own("GET", "nothing", "")?, 404, "not-found")?;
    refused(&own("POST", "session", &"x".repeat(5000))?, 413, "body-too-large")?;
    let script = own("GET", "client.js", "")?;
    ensure!(script.status == 200 && script.headers["content-type"] == "text/javascript; charset=utf-8");
    ensure!(own("GET", "client.mjs", "")?.body.contains("export"));
    ensure!(own("GET", "work.js", "")?.body.contains("postMessage"));
    refused(&own("POST", "client.js", "")?, 405, "method-refused")?;
    ensure!(script.headers["cache-control"] == "public, max-age=300");
    let hashed = script.headers["content-location"].to_str()?;
    let hashed = hashed.strip_prefix("/.well-known/portcullis/").context("elsewhere")?;
    let same = own("GET", hashed, "")?;
    ensure!(same.body == script.body && same.headers["cache-control"] == "public, max-age=31536000, immutable");
    refused(&own("GET", "client.0123456789abcdef.js", "")?, 404, "not-found")?;
    Ok(())
}

#[test]
fn a_missing_application_is_a_problem_document() -> Result<()> {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let daemon = Daemon::start(&Wanted::enforcing(nobody, PROTECT))?;
    let mut client = Client::open(daemon.address())?;
    refused(&client.call("GET", "/api/a", "")?, 502, "upstream-unavailable")?;
    Ok(())
}
