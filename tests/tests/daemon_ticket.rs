//! Tickets in the query, from outside: what WebSocket, EventSource, images, downloads and beacons come with. No privilege
//! needed.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::tls::Certificates;

const TICKETS: &str = r#"
rules_version = 1
[protect]
paths = ["/api/**"]
[[route]]
paths = ["/api/events", "/api/files/**", "/api/beacon"]
tickets = true
[op]
view = "GET /api/files/{id:int}"
[[rule]]
id = "once"
mode = "enforce"
on = ["view"]
max = { count = 1, per = "1h", bind = ["id"] }
"#;

const AGENT: &str = "user-agent: Tester/1\r\n";

fn gate() -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), TICKETS))?;
    Ok((backend, daemon))
}

fn ask(daemon: &Daemon, method: &str, target: &str, fields: &str, body: &str) -> Result<Answer> {
    let host = daemon.address();
    let request = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{AGENT}{fields}\r\n{body}");
    send(host, request.as_bytes())
}

fn refused(answer: &Answer, status: u16, problem: &str) -> Result<()> {
    let is_it = answer.status == status && answer.problem() == problem;
    ensure!(is_it, "{} {}, not {status} {problem}", answer.status, answer.body);
    Ok(())
}

#[test]
fn a_ticket_passes_once_and_nobody_behind_the_gate_sees_it() -> Result<()> {
    let (_, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    for target in ["/api/events", "/api/events?topic=7&x=%20"] {
        let ticketed = client.ticket("GET", target, "")?;
        let answer = ask(&daemon, "GET", &ticketed, "", "")?;
        ensure!(
            answer.body.starts_with(&format!("GET {target} HTTP/1.1\r\n")),
            "{}",
            answer.body
        );
        ensure!(answer.body.contains("portcullis-session: "), "{}", answer.body);
        refused(&ask(&daemon, "GET", &ticketed, "", "")?, 401, "nonce-reused")?;
    }
    let log = daemon.logged("refused", "path").join(" ");
    ensure!(log.contains("/api/events") && !log.contains("ticket"), "{log}");
    Ok(())
}

#[test]
fn elements_and_downloads_of_the_page_may_come_with_one() -> Result<()> {
    let (_, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    for fields in [
        "sec-fetch-site: same-origin\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\nsec-fetch-user: ?1\r\n",
        "sec-fetch-site: same-origin\r\nsec-fetch-mode: no-cors\r\nsec-fetch-dest: image\r\n",
        "sec-fetch-site: same-origin\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n",
        "sec-fetch-site: same-origin\r\nsec-fetch-mode: websocket\r\nsec-fetch-dest: empty\r\n",
    ] {
        let ticketed = client.ticket("GET", "/api/events", "")?;
        let answer = ask(&daemon, "GET", &ticketed, fields, "")?;
        ensure!(answer.status == 200, "{fields}{}", answer.body);
    }
    let typed = "sec-fetch-site: none\r\nsec-fetch-mode: navigate\r\n";
    let ticketed = client.ticket("GET", "/api/events", "")?;
    refused(&ask(&daemon, "GET", &ticketed, typed, "")?, 403, "navigation-refused")
}

#[test]
fn a_beacon_has_its_digest_in_the_ticket() -> Result<()> {
    let (_, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let length = "content-type: text/plain\r\ncontent-length: 5\r\n";
    let ticketed = client.ticket("POST", "/api/beacon", "hello")?;
    let answer = ask(&daemon, "POST", &ticketed, length, "hello")?;
    ensure!(
        answer.status == 200 && answer.body.ends_with("hello"),
        "{}",
        answer.body
    );
    let ticketed = client.ticket("POST", "/api/beacon", "hello")?;
    refused(
        &ask(&daemon, "POST", &ticketed, length, "jello")?,
        400,
        "digest-mismatch",
    )?;
    let without = client.ticket("POST", "/api/beacon", "")?;
    refused(
        &ask(&daemon, "POST", &without, length, "hello")?,
        400,
        "digest-required",
    )
}

#[test]
fn nothing_of_it_can_be_changed() -> Result<()> {
    let (backend, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let ticketed = client.ticket("GET", "/api/files/7?full=1", "")?;
    for (from, to, status, problem) in [
        ("/7?", "/8?", 401, "signature-invalid"),
        ("full=1", "full=2", 401, "signature-invalid"),
        ("full=1&", "", 401, "signature-invalid"),
        ("portcullis-ticket=", "portcullis%2dticket=", 400, "signature-ambiguous"),
        ("full=1&", "full=1&portcullis-ticket=x&", 400, "signature-ambiguous"),
        ("portcullis-ticket=", "portcullis-ticket=x", 400, "signature-malformed"),
    ] {
        let changed = ticketed.replacen(from, to, 1);
        refused(&ask(&daemon, "GET", &changed, "", "")?, status, problem).with_context(|| changed)?;
    }
    refused(
        &ask(&daemon, "GET", &format!("{ticketed}&a=1"), "", "")?,
        400,
        "signature-ambiguous",
    )?;
    refused(&ask(&daemon, "POST", &ticketed, "", "")?, 401, "signature-invalid")?;
    ensure!(backend.requests() == 0);
    ensure!(
        ask(&daemon, "GET", &ticketed, "", "")?.status == 200,
        "the key's holder loses nothing"
    );
    Ok(())
}

#[test]
fn tickets_are_taken_where_the_operator_says_so() -> Result<()> {
    let (backend, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let elsewhere = client.ticket("GET", "/api/orders", "")?;
    refused(&ask(&daemon, "GET", &elsewhere, "", "")?, 403, "ticket-refused")?;
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let ticketed = client.ticket(method, "/api/events", "")?;
        refused(&ask(&daemon, method, &ticketed, "", "")?, 403, "ticket-refused")?;
    }
    let ticketed = client.ticket("GET", "/api/events", "")?;
    let signed = String::from_utf8(client.request("GET", "/api/events", "")?)?;
    let both = signed.replacen("/api/events", &ticketed, 1);
    refused(&send(daemon.address(), both.as_bytes())?, 400, "signature-ambiguous")?;
    ensure!(backend.requests() == 0);
    let public = ask(&daemon, "GET", "/public?a=1&portcullis-ticket=x.y", "", "")?;
    ensure!(public.body.starts_with("GET /public?a=1 HTTP"), "{}", public.body);
    Ok(())
}

#[test]
fn rules_and_binding_hold_as_for_any_call() -> Result<()> {
    let (_, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let first = client.ticket("GET", "/api/files/7", "")?;
    ensure!(ask(&daemon, "GET", &first, "", "")?.status == 200);
    let second = client.ticket("GET", "/api/files/7", "")?;
    refused(&ask(&daemon, "GET", &second, "", "")?, 429, "quota-exceeded")?;
    let stolen = client.ticket("GET", "/api/files/8", "")?;
    let elsewhere = format!(
        "GET {stolen} HTTP/1.1\r\nhost: {}\r\nuser-agent: curl/8\r\n\r\n",
        daemon.address()
    );
    refused(
        &send(daemon.address(), elsewhere.as_bytes())?,
        401,
        "reauthentication-required",
    )
}

/// A signature made for fields does not become a ticket, nor the other way round: their tags differ, and both are signed.
#[test]
fn a_signature_is_no_ticket() -> Result<()> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let (backend, daemon) = gate()?;
    let mut client = Client::open(daemon.address())?;
    let signed = String::from_utf8(client.request("GET", "/api/events", "")?)?;
    let field = |name: &str| {
        let line = signed
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context("no field")?;
        Ok::<_, anyhow::Error>(line.trim_start_matches("portcullis=").to_owned())
    };
    let parameters = URL_SAFE_NO_PAD.encode(field("signature-input: ")?);
    let signature = URL_SAFE_NO_PAD.encode(STANDARD.decode(field("signature: ")?.trim_matches(':'))?);
    let target = format!("/api/events?portcullis-ticket={parameters}.{signature}");
    refused(&ask(&daemon, "GET", &target, "", "")?, 400, "signature-malformed")?;
    let ticketed = client.ticket("GET", "/api/events", "")?;
    let (_, ticket) = ticketed.split_once("portcullis-ticket=").context("no ticket")?;
    let (parameters, signature) = ticket.split_once('.').context("no ticket")?;
    let parameters = String::from_utf8(URL_SAFE_NO_PAD.decode(parameters)?)?;
    let signature = STANDARD.encode(URL_SAFE_NO_PAD.decode(signature)?);
    let fields = format!("signature-input: p={parameters}\r\nsignature: p=:{signature}:\r\n");
    refused(
        &ask(&daemon, "GET", "/api/events", &fields, "")?,
        401,
        "signature-required",
    )?;
    ensure!(backend.requests() == 0);
    Ok(())
}

/// What `portcullis sign` prints does what it says, over https too.
#[test]
fn the_command_line_makes_tickets() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("gate", &["localhost"], 2040)?;
    let backend = Backend::start()?;
    let listener = format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{pair}] }}\n{TICKETS}");
    let listener = listener.replacen("\nrules_version = 1\n", "\n", 1);
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), &listener))?;
    let port = daemon.listener(1)?.port();
    let ca = certificates.path("gate.pem");
    let ca = ca.to_str().context("no path")?;
    for (method, url, data) in [
        ("GET", format!("http://{}/api/events", daemon.address()), &[][..]),
        ("GET", format!("https://localhost:{port}/api/events?topic=7"), &[]),
        (
            "POST",
            format!("https://localhost:{port}/api/beacon"),
            &["--data", "hello"],
        ),
    ] {
        let words = [&["sign", method, &url, "--ticket", "--ca", ca], data].concat();
        let command = daemon.cli(&words)?;
        let run = format!("{} --silent --show-error", command.trim_end());
        let output = Command::new("sh").args(["-c", &run]).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            said.contains("portcullis-session: "),
            "{command}: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(!said.contains("ticket"), "{said}");
    }
    let url = format!("https://localhost:{port}/api/events");
    let distrusted = daemon.cli(&["sign", "GET", &url]);
    ensure!(
        distrusted.is_err_and(|error| error.to_string().contains("no TLS with")),
        "not signed by anybody"
    );
    Ok(())
}
