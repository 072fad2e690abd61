//! Pages of other origins, preflights, fetch metadata and the usual suspects, from outside. No privilege needed.

use anyhow::{Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

const APP: &str = "https://app.example";
const CORS: &str = "[protect]\npaths = [\"/api/**\"]\n[cors]\norigins = [\"https://app.example\"]\npreflights = 20\n";
const CROSS: &str = "sec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n";

fn gate(extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), extra))?;
    Ok((backend, daemon))
}

fn ask(daemon: &Daemon, method: &str, path: &str, fields: &str) -> Result<Answer> {
    let host = daemon.address();
    send(
        host,
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n").as_bytes(),
    )
}

fn preflight(daemon: &Daemon, path: &str, origin: &str) -> Result<Answer> {
    let fields = format!(
        "origin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: content-digest,content-type,signature,signature-input\r\n\
         sec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n"
    );
    ask(daemon, "OPTIONS", path, &fields)
}

/// A signed call with further fields.
fn call(client: &mut Client, daemon: &Daemon, fields: &str) -> Result<Answer> {
    let signed = String::from_utf8(client.request("GET", "/api/a", "")?)?;
    send(
        daemon.address(),
        signed.replacen("\r\n", &format!("\r\n{fields}"), 1).as_bytes(),
    )
}

fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

fn refused(answer: &Answer, status: u16, problem: &str) -> Result<()> {
    let is_it = answer.status == status && answer.problem() == problem;
    ensure!(is_it, "{} {}, not {status} {problem}", answer.status, answer.body);
    Ok(())
}

#[test]
fn a_listed_page_gets_its_preflights_answered_by_the_gate() -> Result<()> {
    let (backend, daemon) = gate(CORS)?;
    for path in ["/api/a", "/.well-known/portcullis/session"] {
        let answer = preflight(&daemon, path, APP)?;
        ensure!(answer.status == 204, "{path}: {} {}", answer.status, answer.body);
        ensure!(field(&answer, "access-control-allow-origin") == APP);
        ensure!(field(&answer, "access-control-allow-methods") == "POST");
        ensure!(field(&answer, "access-control-allow-headers").contains("signature-input"));
        ensure!(field(&answer, "access-control-max-age") == "7200");
        ensure!(field(&answer, "vary").contains("origin"));
        ensure!(field(&answer, "access-control-allow-credentials").is_empty());
    }
    refused(
        &preflight(&daemon, "/api/a", "https://evil.example")?,
        403,
        "origin-refused",
    )?;
    ensure!(backend.requests() == 0);
    let public = preflight(&daemon, "/public", APP)?;
    ensure!(public.body.starts_with("OPTIONS /public"), "the application's business");
    Ok(())
}

#[test]
fn preflights_have_a_limit_of_their_own_and_cost_no_points() -> Result<()> {
    let (_, daemon) = gate(CORS)?;
    for _ in 0..20 {
        ensure!(preflight(&daemon, "/api/a", APP)?.status == 204);
    }
    let answer = preflight(&daemon, "/api/a", APP)?;
    refused(&answer, 429, "quota-exceeded")?;
    ensure!(answer.headers.contains_key("retry-after"));
    ensure!(
        field(&answer, "access-control-allow-origin") == APP,
        "the page may read why"
    );
    let mut client = Client::open(daemon.address())?;
    ensure!(
        call(&mut client, &daemon, "")?.status == 200,
        "calls are not limited by it"
    );
    Ok(())
}

#[test]
fn a_listed_page_calls_and_reads_answers_and_refusals() -> Result<()> {
    let (_, daemon) = gate(&format!("{CORS}credentials = true\n"))?;
    let mut client = Client::open(daemon.address())?;
    let origin = format!("origin: {APP}\r\n{CROSS}");
    let answer = call(&mut client, &daemon, &origin)?;
    ensure!(answer.status == 200, "{}", answer.body);
    let unsigned = ask(&daemon, "GET", "/api/a", &origin)?;
    refused(&unsigned, 401, "signature-required")?;
    let script = ask(&daemon, "GET", "/.well-known/portcullis/client.mjs", &origin)?;
    for answer in [&answer, &unsigned, &script] {
        ensure!(field(answer, "access-control-allow-origin") == APP);
        ensure!(field(answer, "access-control-allow-credentials") == "true");
        ensure!(field(answer, "access-control-expose-headers").contains("accept-signature"));
        ensure!(answer.headers.get_all("vary").iter().any(|value| value == "origin"));
    }
    let public = ask(&daemon, "GET", "/public", &origin)?;
    ensure!(field(&public, "access-control-allow-origin").is_empty());
    Ok(())
}

#[test]
fn no_other_page_calls_opens_sessions_or_reads() -> Result<()> {
    let (backend, daemon) = gate(CORS)?;
    let mut client = Client::open(daemon.address())?;
    for fields in [
        format!("origin: https://evil.example\r\n{CROSS}"),
        "origin: https://evil.example\r\n".to_owned(),
        format!("origin: null\r\n{CROSS}"),
        "origin: https://app.example.evil.example\r\n".to_owned(),
        format!("origin: http://app.example\r\n{CROSS}"),
        CROSS.to_owned(),
        "sec-fetch-site: same-site\r\n".to_owned(),
    ] {
        let answer = call(&mut client, &daemon, &fields)?;
        refused(&answer, 403, "origin-refused")?;
        ensure!(!answer.headers.contains_key("access-control-allow-origin"), "{fields}");
    }
    let body = "{\"key_agreement\":\"server-key\"}";
    let fields = format!(
        "origin: https://evil.example\r\n{CROSS}content-length: {}\r\n",
        body.len()
    );
    let host = daemon.address();
    let open = format!("POST /.well-known/portcullis/session HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n{body}");
    refused(&send(host, open.as_bytes())?, 403, "origin-refused")?;
    ensure!(backend.requests() == 0);
    let sessions = daemon.cli(&["--json", "session", "list"])?;
    ensure!(!sessions.contains("\"score\": 1"), "{sessions}");
    Ok(())
}

#[test]
fn what_browsers_say_of_a_call() -> Result<()> {
    let (_, daemon) = gate(CORS)?;
    let mut client = Client::open(daemon.address())?;
    let own = format!("http://{}", daemon.address());
    for fields in [
        String::new(),
        "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n".into(),
        "sec-fetch-site: same-origin\r\nsec-fetch-mode: same-origin\r\nsec-fetch-dest: empty\r\n".into(),
        format!("origin: {own}\r\nsec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\n"),
        format!("origin: {own}\r\n"),
        format!("origin: {}\r\n", own.replace("http:", "https:")),
        "origin: null\r\n".into(),
    ] {
        let answer = call(&mut client, &daemon, &fields)?;
        ensure!(answer.status == 200, "{fields}: {}", answer.body);
    }
    for (fields, problem) in [
        ("sec-fetch-site: none\r\nsec-fetch-mode: cors\r\n", "navigation-refused"),
        (
            "sec-fetch-site: same-origin\r\nsec-fetch-mode: navigate\r\n",
            "navigation-refused",
        ),
        (
            "sec-fetch-site: same-origin\r\nsec-fetch-mode: no-cors\r\nsec-fetch-dest: image\r\n",
            "element-refused",
        ),
        (
            "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: script\r\n",
            "element-refused",
        ),
        ("sec-fetch-site: elsewhere\r\n", "origin-refused"),
    ] {
        refused(&call(&mut client, &daemon, fields)?, 403, problem)?;
    }
    Ok(())
}

#[test]
fn suspects_pay_double_for_what_goes_wrong_and_are_served_otherwise() -> Result<()> {
    let (_, daemon) = gate(CORS)?;
    let mut client = Client::open(daemon.address())?;
    client.user_agent = "curl/8.14.1".into();
    ensure!(client.call("GET", "/api/a", "")?.status == 200, "a hint is no proof");
    let sessions: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let score = sessions["sessions"][0]["score"].as_f64().unwrap_or(0.0);
    ensure!((9.0..=10.0).contains(&score), "{sessions}");
    for (agent, points) in [("curl/8.14.1", 2.0), ("Firefox/153", 1.0)] {
        let answer = ask(&daemon, "GET", "/api/a", &format!("user-agent: {agent}\r\n"))?;
        let why: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "why", &answer.reference()])?)?;
        ensure!(why["address_points"].as_f64() == Some(points), "{agent}: {why}");
    }
    Ok(())
}

const NAMES: &str = "authorities = [\"shop.example\", \"admin.example:8443\"]";

#[test]
fn the_gate_answers_for_its_names_alone() -> Result<()> {
    let backend = Backend::start()?;
    let wanted = Wanted {
        http: NAMES,
        ..Wanted::enforcing(backend.address(), CORS)
    };
    let daemon = Daemon::start(&wanted)?;
    let open = |host: &str| {
        let body = "{\"key_agreement\":\"server-key\"}";
        let head = format!("POST /.well-known/portcullis/session HTTP/1.1\r\nhost: {host}\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        send(daemon.address(), request.as_bytes())
    };
    ensure!(open("Shop.Example:80")?.status == 201 && open("admin.example:8443")?.status == 201);
    refused(&open("evil.example")?, 421, "authority-unknown")?;
    refused(&ask(&daemon, "GET", "/public", "")?, 421, "authority-unknown")?;
    let spoofed = "GET /public HTTP/1.1\r\nhost: evil.example\r\nx-forwarded-host: shop.example\r\n\r\n";
    refused(&send(daemon.address(), spoofed.as_bytes())?, 421, "authority-unknown")?;
    ensure!(backend.requests() == 0);
    Ok(())
}

#[test]
fn behind_a_proxy_the_configuration_says_what_clients_signed() -> Result<()> {
    let backend = Backend::start()?;
    let http = format!("{NAMES}\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let wanted = Wanted {
        http: &http,
        ..Wanted::enforcing(backend.address(), CORS)
    };
    let daemon = Daemon::start(&wanted)?;
    let body = "{\"key_agreement\":\"server-key\"}";
    let open = format!(
        "POST /.well-known/portcullis/session HTTP/1.1\r\nhost: app\r\nx-forwarded-host: shop.example\r\n\
         x-forwarded-for: 192.0.2.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = Client::from_answer(daemon.address(), &send(daemon.address(), open.as_bytes())?)?;
    for (signed, forwarded, status) in [
        ("shop.example", "Shop.Example", 200),
        ("admin.example:8443", "admin.example:8443", 200),
        ("shop.example", "admin.example:8443", 401),
        ("evil.example", "evil.example", 421),
    ] {
        client.host = signed.into();
        let request = String::from_utf8(client.request("GET", "/api/a", "")?)?;
        let fields = format!("host: app\r\nx-forwarded-host: {forwarded}\r\nx-forwarded-for: 192.0.2.1\r\n");
        let request = request.replacen(&format!("host: {signed}\r\n"), &fields, 1);
        let answer = send(daemon.address(), request.as_bytes())?;
        ensure!(answer.status == status, "{signed} {forwarded}: {}", answer.body);
    }
    Ok(())
}
