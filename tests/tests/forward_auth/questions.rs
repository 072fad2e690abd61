//! Questions as proxies ask them, one by one.

use anyhow::{Result, ensure};
use portcullis_tests::client::{Answer, Client, Wire};
use portcullis_tests::daemon::Daemon;

use super::{TRUSTED, field, gate, refused};

/// A question about a signed request, as a proxy makes it: its fields, and those of the request.
fn question(request: &[u8], target: &str, fields: &str) -> Result<Vec<u8>> {
    let text = String::from_utf8(request.to_vec())?;
    let (head, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let own = head
        .lines()
        .skip(1)
        .filter(|line| !line.to_ascii_lowercase().starts_with("content-length"));
    let own: String = own.map(|line| format!("{line}\r\n")).collect();
    Ok(format!("{target} HTTP/1.1\r\n{fields}{own}\r\n").into_bytes())
}

fn ask(daemon: &Daemon, question: &[u8]) -> Result<Answer> {
    Wire::connect(daemon.listener(1)?)?.exchange(question)
}

const NGINX: &str = "x-original-method: GET\r\nx-original-uri: /api/a?b=c\r\nx-forwarded-for: 203.0.113.7\r\n";

#[test]
fn nginx_is_told_who_calls_and_nothing_is_forwarded() -> Result<()> {
    let (backend, daemon) = gate("nginx", TRUSTED, "")?;
    let mut client = Client::open(daemon.address())?;
    let request = client.request("GET", "/api/a?b=c", "")?;
    let answer = ask(&daemon, &question(&request, "GET /verdict", NGINX)?)?;
    ensure!(answer.status == 200, "{}", answer.body);
    ensure!(field(&answer, "portcullis-client") == "203.0.113.7");
    ensure!(!field(&answer, "portcullis-session").is_empty() && field(&answer, "portcullis-score") == "0");
    ensure!(field(&answer, "portcullis-user").is_empty() && field(&answer, "portcullis-body").is_empty());
    let again = ask(&daemon, &question(&request, "GET /verdict", NGINX)?)?;
    ensure!(again.status == 401 || again.status == 403, "a copy: {}", again.status);
    ensure!(backend.requests() == 0);
    Ok(())
}

#[test]
fn nginx_gets_statuses_that_it_can_hand_on_and_the_true_one_beside() -> Result<()> {
    let (_, daemon) = gate("nginx", TRUSTED, "")?;
    let unsigned = ask(&daemon, format!("GET /v HTTP/1.1\r\nhost: a\r\n{NGINX}\r\n").as_bytes())?;
    refused(&unsigned, 401, "signature-required")?;
    ensure!(unsigned.headers.contains_key("www-authenticate") && unsigned.headers.contains_key("accept-signature"));
    ensure!(field(&unsigned, "portcullis-problem") == unsigned.body);
    let odd = NGINX.replace("/api/a?b=c", "/api//a");
    let odd = ask(&daemon, format!("GET /v HTTP/1.1\r\nhost: a\r\n{odd}\r\n").as_bytes())?;
    refused(&odd, 403, "path-ambiguous")?;
    ensure!(field(&odd, "portcullis-status") == "400");
    daemon.cli(&["ban", "add", "203.0.113.7", "--for", "1h"])?;
    let public = NGINX.replace("/api/a?b=c", "/public");
    let banned = ask(
        &daemon,
        format!("GET /v HTTP/1.1\r\nhost: a\r\n{public}\r\n").as_bytes(),
    )?;
    refused(&banned, 403, "banned")?;
    Ok(())
}

#[test]
fn a_question_that_says_too_little_is_refused_and_blamed_on_nobody() -> Result<()> {
    let (_, daemon) = gate("nginx", TRUSTED, "")?;
    for missing in ["x-original-method", "x-original-uri", "x-forwarded-for"] {
        let fields: String = NGINX
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with(missing))
            .collect();
        let answer = ask(
            &daemon,
            format!("GET /v HTTP/1.1\r\nhost: a\r\n{fields}\r\n").as_bytes(),
        )?;
        refused(&answer, 403, "request-invalid")?;
        ensure!(
            daemon
                .cli(&["why", &answer.reference()])?
                .contains("a proxy asked for a verdict")
        );
    }
    let message = "a proxy asks for a verdict without saying about what: this field is missing, doubled or unreadable";
    ensure!(daemon.await_logged(message, "field", 1)?[0] == "x-original-method");
    let own = NGINX.replace("/api/a?b=c", "/.well-known/portcullis/session");
    let own = ask(&daemon, format!("GET /v HTTP/1.1\r\nhost: a\r\n{own}\r\n").as_bytes())?;
    refused(&own, 403, "not-found")?;
    Ok(())
}

#[test]
fn only_trusted_proxies_may_ask() -> Result<()> {
    let (_, daemon) = gate("nginx", "trusted_proxies = [\"192.0.2.1\"]", "")?;
    ensure!(ask(&daemon, format!("GET /v HTTP/1.1\r\nhost: a\r\n{NGINX}\r\n").as_bytes()).is_err());
    Ok(())
}

/// What Traefik sends (its documentation of `forwardAuth`): GET, the fields of the request, and five of its own.
#[test]
fn traefiks_questions() -> Result<()> {
    let (backend, daemon) = gate("traefik", TRUSTED, "")?;
    let mut client = Client::open(daemon.address())?;
    let fields = |method: &str, target: &str| {
        let host = daemon.address();
        format!(
            "x-forwarded-method: {method}\r\nx-forwarded-uri: {target}\r\nx-forwarded-host: {host}\r\n\
             x-forwarded-proto: http\r\nx-forwarded-for: 203.0.113.7\r\n"
        )
    };
    let request = client.request("POST", "/api/a", "{}")?;
    let answer = ask(&daemon, &question(&request, "GET /", &fields("POST", "/api/a"))?)?;
    ensure!(answer.status == 200, "{}", answer.body);
    ensure!(
        field(&answer, "portcullis-body") == "unverified",
        "somebody must compare it"
    );
    let request = client.request("POST", "/api/a", "")?;
    let bare = ask(&daemon, &question(&request, "GET /", &fields("POST", "/api/a"))?)?;
    refused(&bare, 400, "digest-required")?;
    let request = client.request("POST", "/api/a", "")?;
    let empty = format!("{}x-original-content-length: 0\r\n", fields("POST", "/api/a"));
    ensure!(ask(&daemon, &question(&request, "GET /", &empty)?)?.status == 200);
    let odd = ask(
        &daemon,
        format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", fields("GET", "/api/%2f")).as_bytes(),
    )?;
    refused(&odd, 400, "path-ambiguous")?;
    ensure!(backend.requests() == 0);
    Ok(())
}

/// What Envoy sends (its documentation of `ext_authz`): method, host and path of the request itself, without its body.
#[test]
fn envoys_questions() -> Result<()> {
    let (backend, daemon) = gate("envoy", TRUSTED, "")?;
    let mut client = Client::open(daemon.address())?;
    let fields = "x-forwarded-for: 203.0.113.7\r\nx-forwarded-proto: http\r\ncontent-length: 0\r\n";
    let request = client.request("POST", "/api/pay", "{}")?;
    let answer = ask(&daemon, &question(&request, "POST /api/pay", fields)?)?;
    ensure!(answer.status == 200, "{}", answer.body);
    let request = client.request("POST", "/api/pay", "{}")?;
    let twice = ask(&daemon, &question(&request, "POST /api/pay", fields)?)?;
    ensure!(
        twice.status == 429 && twice.headers.contains_key("retry-after"),
        "{}",
        twice.body
    );
    let preflight = "OPTIONS /api/a HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.7\r\norigin: ORIGIN\r\n\
        access-control-request-method: POST\r\n\r\n";
    let granted = ask(&daemon, preflight.replace("ORIGIN", "https://app.example").as_bytes())?;
    ensure!(granted.status == 200, "the application answers it: {}", granted.body);
    let foreign = ask(&daemon, preflight.replace("ORIGIN", "https://other.example").as_bytes())?;
    refused(&foreign, 403, "origin-refused")?;
    ensure!(backend.requests() == 0);
    Ok(())
}
