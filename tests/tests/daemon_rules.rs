//! Rules in the running daemon: files and reloads, calls that wait, answers that are read while they pass.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portcullis_tests::client::{Client, send};
use portcullis_tests::daemon::{Daemon, Wanted};

/// An application that shows orders piece by piece, and that answers a slow call when the test says so.
struct Application {
    address: SocketAddr,
    /// The head of each request.
    heads: Receiver<String>,
    go_on: Sender<()>,
}

impl Application {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to bind")?;
        let address = listener.local_addr()?;
        let (tell, heads) = channel();
        let (go_on, wait) = channel();
        let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tell, wait) = (tell.clone(), std::sync::Arc::clone(&wait));
                thread::spawn(move || serve(&stream, &tell, &wait));
            }
        });
        Ok(Self { address, heads, go_on })
    }
}

/// Answers requests until the peer is done. Errors end the connection; the test sees that.
fn serve(stream: &TcpStream, tell: &Sender<String>, wait: &std::sync::Mutex<Receiver<()>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.to_ascii_lowercase();
        let length = length
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let is_slow = head.contains("/slow/");
        let is_list = head.starts_with("GET /api/orders ");
        tell.send(head).ok()?;
        if is_slow {
            wait.lock().ok()?.recv().ok()?;
        }
        if is_list {
            let pieces = ["{\"items\": [{\"id\"", ": 7}, {\"i", "d\": 8}", "]}"];
            let length: usize = pieces.iter().map(|piece| piece.len()).sum();
            write!(writer, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").ok()?;
            for piece in pieces {
                writer.write_all(piece.as_bytes()).ok()?;
                writer.flush().ok()?;
            }
        } else {
            writer
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .ok()?;
        }
    }
}

fn enforced(rules: &str) -> String {
    format!("version = 1\n[defaults]\nmode = \"enforce\"\n{rules}")
}

fn write_rules(daemon: &Daemon, rules: &str) -> Result<()> {
    let control = daemon.control();
    let directory = control.parent().context("no directory")?;
    Ok(fs::write(directory.join("rules-shop.toml"), enforced(rules))?)
}

fn daemon(application: &Application) -> Result<Daemon> {
    let extra = "rules = [\"rules-*.toml\"]\n[protect]\npaths = [\"/api/**\"]\n";
    Daemon::start(&Wanted::enforcing(application.address, extra))
}

const COUPON: &str = "[op]\ncoupon = \"POST /api/coupons/{code}\"\n[[rule]]\nid = \"once\"\non = [\"coupon\"]\nonce = { bind = [\"code\"] }\nscore = 0\n";

#[test]
fn rules_come_by_a_reload_and_keep_what_they_know() -> Result<()> {
    let application = Application::start()?;
    let daemon = daemon(&application)?;
    let mut client = Client::open(daemon.address())?;
    ensure!(client.call("POST", "/api/coupons/A", "")?.status == 200, "no rules yet");

    write_rules(&daemon, COUPON)?;
    let told = daemon.cli(&["rules", "reload"])?;
    ensure!(told.contains("+ once"), "{told}");
    ensure!(
        client.call("POST", "/api/coupons/A", "")?.status == 200,
        "the first one that counts"
    );
    ensure!(client.call("POST", "/api/coupons/A", "")?.status == 403);

    write_rules(&daemon, "[op]\ncoupon = \"PSOT /api/coupons/{code}\"\n")?;
    let refused = daemon.cli(&["reload"]).unwrap_err().to_string();
    ensure!(
        refused.contains("rules-shop.toml:5:10: op.coupon: there is no method `PSOT`"),
        "{refused}"
    );
    ensure!(
        client.call("POST", "/api/coupons/A", "")?.status == 403,
        "the rules in force stay"
    );

    let more = "[[rule]]\nid = \"few\"\non = [\"coupon\"]\nmax = { count = 2 }\nscore = 0\n";
    write_rules(&daemon, &format!("{COUPON}{more}"))?;
    let told = daemon.cli(&["reload"])?;
    ensure!(told.contains("+ few"), "{told}");
    ensure!(client.call("POST", "/api/coupons/A", "")?.status == 403, "it was used");
    ensure!(client.call("POST", "/api/coupons/B", "")?.status == 200);
    let listed = daemon.cli(&["rules", "reload", "--json"])?;
    ensure!(listed.contains("\"unchanged\": 2"), "{listed}");
    Ok(())
}

#[test]
fn ids_are_shown_by_answers_while_they_pass() -> Result<()> {
    let application = Application::start()?;
    let daemon = daemon(&application)?;
    let rules = "[op]\nlist = \"GET /api/orders\"\nview = \"GET /api/orders/{id}\"\n[[rule]]\nid = \"shown\"\non = [\"view\"]\n\
        shown = { param = \"id\", by = [{ op = \"list\", at = \"/items/*/id\" }] }\nscore = 0\n";
    write_rules(&daemon, rules)?;
    daemon.cli(&["reload"])?;
    let mut client = Client::open(daemon.address())?;
    ensure!(
        client.call("GET", "/api/orders/7", "")?.status == 403,
        "nobody showed it"
    );
    let list = client.call("GET", "/api/orders", "")?;
    ensure!(list.body.contains("{\"id\": 8}"), "{}", list.body);
    let head = application.heads.recv_timeout(Duration::from_secs(5))?;
    ensure!(
        head.to_ascii_lowercase().contains("accept-encoding: identity"),
        "{head}"
    );
    ensure!(client.call("GET", "/api/orders/7", "")?.status == 200);
    ensure!(client.call("GET", "/api/orders/8", "")?.status == 200);
    ensure!(client.call("GET", "/api/orders/9", "")?.status == 403);
    let mut other = Client::open(daemon.address())?;
    ensure!(other.call("GET", "/api/orders/7", "")?.status == 403, "another session");
    Ok(())
}

#[test]
fn a_call_waits_for_the_one_that_it_requires() -> Result<()> {
    let application = Application::start()?;
    let daemon = daemon(&application)?;
    let rules = "[op]\nview = \"GET /api/slow/{id}\"\npay = \"POST /api/pay/{id}\"\n[[rule]]\nid = \"pay\"\non = [\"pay\"]\n\
        require = [{ op = \"view\", bind = [\"id\"] }]\nwait = \"10s\"\nscore = 0\n";
    write_rules(&daemon, rules)?;
    daemon.cli(&["reload"])?;
    let mut client = Client::open(daemon.address())?;
    let started = Instant::now();
    ensure!(
        client.call("POST", "/api/pay/8", "")?.status == 403,
        "there is nothing to wait for"
    );
    let (view, pay) = (
        client.request("GET", "/api/slow/7", "")?,
        client.request("POST", "/api/pay/7", "")?,
    );
    let address = daemon.address();
    let view = thread::spawn(move || send(address, &view));
    application
        .heads
        .recv_timeout(Duration::from_secs(5))
        .context("the view did not arrive")?;
    let pay = thread::spawn(move || send(address, &pay));
    ensure!(
        application.heads.recv_timeout(Duration::from_millis(200)).is_err(),
        "the payment did not wait"
    );
    application.go_on.send(())?;
    let answer = |call: thread::JoinHandle<Result<_>>| call.join().map_err(|_| anyhow::anyhow!("panicked"))?;
    ensure!(answer(view)?.status == 200);
    ensure!(answer(pay)?.status == 200);
    ensure!(started.elapsed() < Duration::from_secs(9), "the answer did not wake it");
    Ok(())
}

#[test]
fn a_call_that_is_too_early_is_held() -> Result<()> {
    let application = Application::start()?;
    let daemon = daemon(&application)?;
    let rules = "[op]\npay = \"POST /api/pay\"\n[[rule]]\nid = \"slow\"\non = [\"pay\"]\n\
        min_gap = { since = \"pay\", at_least = \"400ms\" }\naction = \"delay\"\nscore = 0\n";
    write_rules(&daemon, rules)?;
    daemon.cli(&["reload"])?;
    let mut client = Client::open(daemon.address())?;
    let started = Instant::now();
    for _ in 0..3 {
        ensure!(client.call("POST", "/api/pay", "")?.status == 200);
    }
    ensure!(
        started.elapsed() >= Duration::from_millis(750),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}
