//! Doing what the rules forbid at this moment.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::client::{Client, Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};

use super::{Moody, gate, with_fields};

const RULES: &str = r#"
rules_version = 1
[protect]
paths = ["/api/**"]
[op]
view = "GET /api/orders/{id:int}"
pay = "POST /api/orders/{id:int}/pay"
remove = "DELETE /api/orders/{id:int}"
redeem = { on = "POST /api/redeem", bind = { code = "query:code" } }
[[rule]]
id = "pay-after-view"
mode = "enforce"
on = ["pay"]
require = [{ op = "view", within = "10m", bind = ["id"], status = "2xx" }]
score = 0
[[rule]]
id = "pay-once"
mode = "enforce"
on = ["pay"]
max = { count = 1, per = "1h", bind = ["id"], count_if = "2xx" }
score = 0
[[rule]]
id = "remove-after-view"
mode = "enforce"
on = ["remove"]
require = [{ op = "view", within = "10m", bind = ["id"] }]
score = 0
[[rule]]
id = "redeem-once"
mode = "enforce"
on = ["redeem"]
max = { count = 1, per = "1h", bind = ["code"] }
score = 0
"#;

/// The gate judges the method of the override field, and the application acts on the one of the request line.
#[test]
fn an_override_that_the_application_ignores() -> Result<()> {
    let (_, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    for fields in [
        "x-http-method-override: PUT\r\n",
        "x-http-method: PATCH\r\nconnection: x-http-method\r\n",
    ] {
        let request = with_fields(&client.request("POST", "/api/orders/7/pay", "")?, fields);
        let answer = send(daemon.address(), &request)?;
        ensure!(
            answer.status >= 400 || !answer.body.starts_with("POST"),
            "paid without a look: {}",
            answer.body
        );
    }
    Ok(())
}

/// Frameworks let `_method` in the query or in a form stand for the method.
#[test]
fn an_override_in_query_or_form() -> Result<()> {
    let (backend, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    client.call("POST", "/api/orders/7?_method=DELETE", "")?;
    ensure!(backend.requests() == 0, "removed without a look, by the query");
    let session = super::Session::open(daemon.address())?;
    let request = session.sign(&super::Call {
        method: "POST",
        target: "/api/orders/7",
        fields: &[("content-type", "application/x-www-form-urlencoded")],
        covered: &["content-type"],
        body: "_method=DELETE",
        ..super::Call::default()
    })?;
    send(daemon.address(), &request)?;
    ensure!(backend.requests() == 0, "removed without a look, by the form");
    Ok(())
}

/// `7abc` is no int to the gate, so no rule applies; many applications read it as 7.
#[test]
fn a_number_that_only_the_application_reads() -> Result<()> {
    let (backend, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    for id in ["7abc", "7.0", "+7", "7e0", "%207", "0x7", "7,0"] {
        let answer = client.call("POST", &format!("/api/orders/{id}/pay"), "")?;
        ensure!(answer.status >= 400, "{id}: {}", answer.body);
    }
    ensure!(backend.requests() == 0);
    Ok(())
}

/// The application does what it was asked and breaks off before it says so: the count is given back.
#[test]
fn an_answer_that_never_came() -> Result<()> {
    let moody = Moody::start(|_| ())?;
    let rule = "max = { count = 1, per = \"1h\", count_if = \"2xx\" }";
    let rules = format!(
        "rules_version = 1\n[protect]\npaths = [\"/api/**\"]\n[op]\npay = \"POST /api/pay\"\n\
         [[rule]]\nid = \"pay-once\"\nmode = \"enforce\"\non = [\"pay\"]\n{rule}\n"
    );
    let daemon = Daemon::start(&Wanted::enforcing(moody.address, &rules))?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("POST", "/api/pay", "")?.status == 502);
    client.call("POST", "/api/pay", "")?;
    let reached = moody.heads().len();
    ensure!(reached == 1, "the application was asked to pay {reached} times");
    Ok(())
}

/// Many at once, each hoping to be judged before another is counted.
#[test]
fn the_last_allowed_call_many_times_at_once() -> Result<()> {
    let (backend, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    let requests = (0..24)
        .map(|_| client.request("POST", "/api/orders/7/pay", ""))
        .collect::<Result<Vec<_>>>()?;
    let address = daemon.address();
    let passed = thread::scope(|scope| {
        let calls: Vec<_> = requests
            .iter()
            .map(|request| scope.spawn(move || send(address, request)))
            .collect();
        let answers = calls.into_iter().filter_map(|call| call.join().ok()?.ok());
        answers.filter(|answer| answer.status == 200).count()
    });
    ensure!(passed == 1, "{passed} passed");
    ensure!(backend.requests() == 2);
    Ok(())
}

/// The client hangs up before the answer, so that the call is not counted.
#[test]
fn hanging_up_gives_nothing_back() -> Result<()> {
    let moody = Moody::start(|stream| {
        thread::sleep(Duration::from_millis(200));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    })?;
    let daemon = Daemon::start(&Wanted::enforcing(moody.address, RULES))?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    let mut wire = TcpStream::connect(daemon.address())?;
    wire.write_all(&client.request("POST", "/api/orders/7/pay", "")?)?;
    thread::sleep(Duration::from_millis(100));
    drop(wire);
    thread::sleep(Duration::from_millis(300));
    let again = client.call("POST", "/api/orders/7/pay", "")?;
    ensure!(again.problem() == "quota-exceeded", "{}", again.status);
    ensure!(moody.heads().len() == 2);
    Ok(())
}

/// One thing under many names.
#[test]
fn other_spellings_of_one_order() -> Result<()> {
    let (_, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    ensure!(client.call("POST", "/api/orders/7/pay", "")?.status == 200);
    for target in [
        "/api/orders/007/pay",
        "/api/orders/%37/pay",
        "/API/Orders/7/PAY",
        "/api//orders/./7/pay/",
        "/api/orders/8/../7/p%61y",
    ] {
        let answer = client.call("POST", target, "")?;
        ensure!(answer.problem() == "quota-exceeded", "{target}: {}", answer.status);
    }
    Ok(())
}

/// A value twice, so that the gate counts one and the application takes the other.
#[test]
fn a_value_twice() -> Result<()> {
    let (backend, daemon) = gate(RULES)?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("POST", "/api/redeem?code=A", "")?.status == 200);
    for query in ["code=B&code=A", "code=B&c%6Fde=A", "", "code=%41", "x=1&code=A"] {
        let answer = client.call("POST", &format!("/api/redeem?{query}"), "")?;
        ensure!(answer.status >= 400, "{query}: {}", answer.body);
    }
    ensure!(backend.requests() == 1);
    Ok(())
}

/// Hundreds of other calls, to push what forbids out of memory.
#[test]
fn dummy_calls_flush_nothing() -> Result<()> {
    let (backend, daemon) = gate(RULES)?;
    let mut wire = Wire::connect(daemon.address())?;
    let mut client = Client::open_over(&mut wire, daemon.address())?;
    let mut call = |method: &str, target: &str| -> Result<u16> {
        let request = client.request(method, target, "")?;
        Ok(wire.exchange(&request)?.status)
    };
    ensure!(call("POST", "/api/redeem?code=first")? == 200);
    for n in 0..300 {
        call("POST", &format!("/api/redeem?code={n}"))?;
        call("GET", &format!("/api/orders/{n}"))?;
    }
    let before = backend.requests();
    ensure!(call("POST", "/api/redeem?code=first")? == 429);
    ensure!(backend.requests() == before);
    Ok(())
}
