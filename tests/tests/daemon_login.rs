//! Re-authentication and users from outside: who is suspended, who comes back, and what nobody can forge. No privilege
//! needed.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Answer, Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

const LOGIN: &str = "[protect]\npaths = [\"/api/**\"]\n[reauth]\nroutes = [\"POST /api/login\"]\n";

fn gate(extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), extra))?;
    Ok((backend, daemon))
}

/// Sends the next call with further fields.
fn call(client: &mut Client, daemon: &Daemon, method: &str, target: &str, fields: &str) -> Result<Answer> {
    let request = client.request(method, target, "")?;
    let line = request.windows(2).position(|pair| pair == b"\r\n").unwrap_or(0) + 2;
    let request = [&request[..line], fields.as_bytes(), &request[line..]].concat();
    send(daemon.address(), &request)
}

/// Logs in as the SDK does: signs again when it is asked to. The application answers with this word.
fn log_in(client: &mut Client, daemon: &Daemon, word: &str) -> Result<Answer> {
    let fields = format!("x-answer: portcullis-session: {word}\r\n");
    let answer = call(client, daemon, "POST", "/api/login", &fields)?;
    if answer.fresh_nonce().is_none() {
        return Ok(answer);
    }
    client.adopt(&answer)?;
    call(client, daemon, "POST", "/api/login", &fields)
}

fn passed(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    for field in ["portcullis-session", "portcullis-user"] {
        ensure!(!answer.headers.contains_key(field), "the client sees {field}");
    }
    Ok(())
}

fn refused(answer: &Answer, problem: &str) -> Result<()> {
    ensure!(
        answer.problem() == problem,
        "{} {}, not {problem}",
        answer.status,
        answer.body
    );
    Ok(())
}

/// The field that the application got; `None` if it got none.
fn told(answer: &Answer, field: &str) -> Option<String> {
    let prefix = format!("{field}: ");
    let mut values = answer.body.lines().filter_map(|line| line.strip_prefix(&prefix));
    let value = values.next().map(str::to_owned);
    value.filter(|_| values.next().is_none())
}

fn sessions(daemon: &Daemon) -> Result<Vec<serde_json::Value>> {
    let list: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    list["sessions"].as_array().cloned().with_context(|| format!("{list}"))
}

/// Somebody uses the session by another browser.
fn suspend(client: &mut Client, daemon: &Daemon) -> Result<()> {
    let own = std::mem::replace(&mut client.user_agent, "curl/8".into());
    let answer = call(client, daemon, "GET", "/api/a", "")?;
    refused(&answer, "reauthentication-required")?;
    client.user_agent = own;
    Ok(())
}

#[test]
fn a_suspended_session_comes_back_by_the_login() -> Result<()> {
    let (backend, daemon) = gate(LOGIN)?;
    let mut client = Client::open(daemon.address())?;
    passed(&call(&mut client, &daemon, "GET", "/api/a", "")?)?;
    suspend(&mut client, &daemon)?;
    let answer = call(&mut client, &daemon, "GET", "/api/a", "")?;
    refused(&answer, "reauthentication-required")?;
    let document: serde_json::Value = serde_json::from_str(&answer.body)?;
    ensure!(document["reauthenticate"] == "login", "{document}");
    ensure!(sessions(&daemon)?[0]["state"] == "suspended");
    ensure!(backend.requests() == 1, "something reached the application");
    passed(&log_in(&mut client, &daemon, "bind=\"alice@example.com\"")?)?;
    let answer = call(&mut client, &daemon, "GET", "/api/a", "")?;
    passed(&answer)?;
    ensure!(
        told(&answer, "portcullis-user").as_deref() == Some("alice@example.com"),
        "{}",
        answer.body
    );
    let session = &sessions(&daemon)?[0];
    ensure!(
        session["user"] == "alice@example.com" && session["state"] == "active",
        "{session}"
    );
    Ok(())
}

#[test]
fn a_login_that_fails_or_says_nothing_clear_restores_nothing() -> Result<()> {
    let (_, daemon) = gate(LOGIN)?;
    for (target, word) in [
        ("/api/login", "bind"),
        ("/api/login", "bind=alice, end"),
        ("/api/login", "bind=\"\""),
        ("/api/login", "hello"),
    ] {
        let mut client = Client::open(daemon.address())?;
        passed(&call(&mut client, &daemon, "GET", "/api/a", "")?)?;
        suspend(&mut client, &daemon)?;
        let answer = log_in(&mut client, &daemon, word)?;
        ensure!(
            answer.status == 200 && !answer.headers.contains_key("portcullis-session"),
            "{target}"
        );
        refused(
            &call(&mut client, &daemon, "GET", "/api/a", "")?,
            "reauthentication-required",
        )?;
    }
    ensure!(!daemon.logged("the application's word is ignored", "error").is_empty());
    Ok(())
}

#[test]
fn without_a_login_the_client_is_told_to_open_a_new_session() -> Result<()> {
    let (_, daemon) = gate("[protect]\npaths = [\"/api/**\"]\n")?;
    let mut client = Client::open(daemon.address())?;
    passed(&call(&mut client, &daemon, "GET", "/api/a", "")?)?;
    suspend(&mut client, &daemon)?;
    let answer = call(&mut client, &daemon, "POST", "/api/login", "")?;
    refused(&answer, "reauthentication-required")?;
    ensure!(
        answer.body.contains("\"reauthenticate\":\"session\""),
        "{}",
        answer.body
    );
    Ok(())
}

#[test]
fn another_user_gets_a_session_of_his_own() -> Result<()> {
    let (_, daemon) = gate(LOGIN)?;
    let mut client = Client::open(daemon.address())?;
    passed(&log_in(&mut client, &daemon, "bind=alice")?)?;
    passed(&log_in(&mut client, &daemon, "bind=alice")?)?;
    let answer = log_in(&mut client, &daemon, "bind=mallory")?;
    refused(&answer, "session-invalid")?;
    ensure!(answer.status == 401 && answer.headers.contains_key("accept-signature"));
    refused(&call(&mut client, &daemon, "GET", "/api/a", "")?, "session-invalid")?;
    let reference = answer.reference();
    let why = daemon.cli(&["why", &reference])?;
    ensure!(why.contains("another user logged in"), "{why}");
    Ok(())
}

#[test]
fn a_logout_ends_the_session() -> Result<()> {
    let (_, daemon) = gate(LOGIN)?;
    let mut client = Client::open(daemon.address())?;
    let logout = "x-answer: portcullis-session: end\r\n";
    passed(&call(&mut client, &daemon, "GET", "/api/logout", logout)?)?;
    refused(&call(&mut client, &daemon, "GET", "/api/a", "")?, "session-invalid")?;
    Ok(())
}

#[test]
fn nobody_outside_speaks_for_the_gate() -> Result<()> {
    let (_, daemon) = gate(LOGIN)?;
    let mut client = Client::open(daemon.address())?;
    passed(&log_in(&mut client, &daemon, "bind=alice")?)?;
    let forged = "portcullis-user: admin\r\nPortcullis-Session: forged\r\nportcullis-role: admin\r\n";
    let answer = call(&mut client, &daemon, "GET", "/api/a", forged)?;
    passed(&answer)?;
    ensure!(
        told(&answer, "portcullis-user").as_deref() == Some("alice"),
        "{}",
        answer.body
    );
    ensure!(
        !answer.body.contains("forged") && !answer.body.contains("admin"),
        "{}",
        answer.body
    );
    for folded in ["portcullis_user: admin\r\n", "Portcullis_Session: x\r\n"] {
        refused(&call(&mut client, &daemon, "GET", "/api/a", folded)?, "request-invalid")?;
    }
    let named = "connection: portcullis-user\r\nportcullis-user: admin\r\n";
    refused(&call(&mut client, &daemon, "GET", "/api/a", named)?, "request-invalid")?;
    Ok(())
}

#[test]
fn public_paths_know_no_session() -> Result<()> {
    let (_, daemon) = gate(LOGIN)?;
    let mut client = Client::open(daemon.address())?;
    passed(&log_in(&mut client, &daemon, "bind=alice")?)?;
    suspend(&mut client, &daemon)?;
    // A signature means nothing there, and neither does what the application says.
    for word in ["bind=alice", "end"] {
        let fields = format!("portcullis-user: admin\r\nx-answer: Portcullis-Session: {word}\r\n");
        let answer = call(&mut client, &daemon, "GET", "/public", &fields)?;
        passed(&answer)?;
        ensure!(told(&answer, "portcullis-user").is_none() && told(&answer, "portcullis-session").is_none());
    }
    refused(
        &call(&mut client, &daemon, "GET", "/api/a", "")?,
        "reauthentication-required",
    )?;
    ensure!(sessions(&daemon)?[0]["state"] == "suspended");
    Ok(())
}

#[test]
fn trailers_carry_no_names() -> Result<()> {
    let upstream = TcpListener::bind("127.0.0.1:0")?;
    let daemon = Daemon::start(&Wanted::enforcing(upstream.local_addr()?, LOGIN))?;
    let application = thread::spawn(move || -> Result<String> {
        let (mut stream, _) = upstream.accept()?;
        let (mut got, mut buffer) = (String::new(), [0; 4096]);
        while !got.contains("\r\n0\r\n") || !got.ends_with("\r\n\r\n") {
            let length = stream.read(&mut buffer)?;
            ensure!(length > 0, "broken off after {got}");
            got.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        Ok(got)
    });
    let request = format!(
        "POST /public HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\ntrailer: portcullis-user\r\n\r\n\
         2\r\n{{}}\r\n0\r\nportcullis-user: admin\r\n\r\n",
        daemon.address()
    );
    ensure!(send(daemon.address(), request.as_bytes())?.status == 200);
    let got = application
        .join()
        .map_err(|_| anyhow::anyhow!("the application panicked"))??;
    ensure!(
        got.contains("{}") && !got.contains("admin") && !got.contains("portcullis-user"),
        "{got}"
    );
    Ok(())
}

#[test]
fn the_application_need_not_learn_of_sessions() -> Result<()> {
    let backend = Backend::start()?;
    let wanted = Wanted {
        http: "session_fields = false",
        ..Wanted::enforcing(backend.address(), LOGIN)
    };
    let daemon = Daemon::start(&wanted)?;
    let mut client = Client::open(daemon.address())?;
    passed(&log_in(&mut client, &daemon, "bind=alice")?)?;
    let answer = call(&mut client, &daemon, "GET", "/api/a", "portcullis-user: admin\r\n")?;
    passed(&answer)?;
    ensure!(told(&answer, "portcullis-user").is_none() && told(&answer, "portcullis-session").is_none());
    Ok(())
}
