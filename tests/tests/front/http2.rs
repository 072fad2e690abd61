//! HTTP/2, by clients that others wrote.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_tests::client::Client;
use portcullis_tests::tls::Certificates;
use tokio::net::TcpStream;

use super::gate;

const CLEAR: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\nhttp2 = true\n";

/// A signed call as a request of hyper.
pub(super) fn signed(client: &mut Client, method: &str, target: &str) -> Result<http::Request<Empty<Bytes>>> {
    let bytes = String::from_utf8(client.request(method, target, "")?)?;
    let mut lines = bytes.lines().skip(1).take_while(|line| !line.is_empty());
    let (_, host) = lines.next().and_then(|line| line.split_once(": ")).context("no host")?;
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("http://{host}{target}"));
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    Ok(request.body(Empty::new())?)
}

pub(super) async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(super) async fn text(answer: http::Response<hyper::body::Incoming>) -> Result<String> {
    Ok(String::from_utf8(
        answer.into_body().collect().await?.to_bytes().to_vec(),
    )?)
}

#[tokio::test]
async fn the_same_signature_holds_and_calls_run_side_by_side() -> Result<()> {
    let (backend, daemon) = gate("", CLEAR)?;
    let mut client = Client::open(daemon.address())?;
    let mut sender = connect(daemon.listener(1)?).await?;
    let mut answers = Vec::new();
    for n in 0..50 {
        sender.ready().await?;
        let target = format!("/api/orders?n={n}");
        answers.push((
            target.clone(),
            sender.send_request(signed(&mut client, "GET", &target)?),
        ));
    }
    for (target, answer) in answers {
        let answer = answer.await?;
        ensure!(answer.status() == 200 && answer.version() == http::Version::HTTP_2);
        let seen = text(answer).await?;
        ensure!(seen.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{seen}");
        ensure!(seen.contains(&format!("host: {}\r\n", daemon.address())), "{seen}");
    }
    ensure!(backend.requests() == 50);
    Ok(())
}

#[tokio::test]
async fn a_copy_is_refused_over_the_other_version() -> Result<()> {
    let (_, daemon) = gate("", CLEAR)?;
    let mut client = Client::open(daemon.address())?;
    let bytes = client.request("GET", "/api/orders", "")?;
    let mut sender = connect(daemon.listener(1)?).await?;
    let copy = signed(&mut client, "GET", "/api/orders")?;
    let again = copy.clone();
    ensure!(sender.send_request(copy).await?.status() == 200);
    ensure!(sender.send_request(again).await?.status() == 401);
    let address = daemon.address();
    let answer = tokio::task::spawn_blocking(move || portcullis_tests::client::send(address, &bytes)).await??;
    ensure!(answer.status == 200, "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn heads_with_two_readings_are_refused() -> Result<()> {
    let (backend, daemon) = gate("", CLEAR)?;
    let mut sender = connect(daemon.listener(1)?).await?;
    for (uri, host) in [
        ("http://a.example/", Some("b.example")),
        ("http://user@a.example/", None),
        ("ftp://a.example/", None),
        ("http://a.example/a%2fb", None),
    ] {
        let mut request = http::Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let answer = sender.send_request(request.body(Empty::new())?).await?;
        ensure!(answer.status() == 400, "{uri}: {}", answer.status());
        ensure!(
            text(answer).await?.contains("/.well-known/portcullis/problems/"),
            "{uri}"
        );
    }
    ensure!(backend.requests() == 0);
    Ok(())
}

#[tokio::test]
async fn crumbs_of_a_cookie_become_one() -> Result<()> {
    let (_, daemon) = gate("", CLEAR)?;
    let mut sender = connect(daemon.listener(1)?).await?;
    let request = http::Request::get("http://a.example/")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let seen = text(sender.send_request(request.body(Empty::new())?).await?).await?;
    ensure!(seen.contains("cookie: a=1; b=2\r\n"), "{seen}");
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_ends() -> Result<()> {
    let (_, daemon) = gate("header_timeout = \"500ms\"", CLEAR)?;
    let mut sender = connect(daemon.listener(1)?).await?;
    let request = http::Request::get("http://a.example/").body(Empty::new())?;
    ensure!(sender.send_request(request).await?.status() == 200);
    while sender.ready().await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

#[test]
fn curl_speaks_http2_over_tls() -> Result<()> {
    let certificates = Certificates::new()?;
    let pair = certificates.write("a", &["shop.example"], 2090)?;
    let tls = format!("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{pair}] }}\n");
    let (_, daemon) = gate("", &tls)?;
    let mut client = Client::open(daemon.address())?;
    client.user_agent = "curl-test/1".into();
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let bytes = String::from_utf8(client.request("POST", "/api/orders", r#"{"n":1}"#)?)?;
        let (head, body) = bytes.split_once("\r\n\r\n").context("no body")?;
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--insecure",
            "--max-time",
            "10",
            option,
            "--write-out",
            "\n%{http_version} %{http_code}",
        ]);
        for field in head
            .lines()
            .skip(1)
            .filter(|field| !field.starts_with("content-length"))
        {
            curl.args(["--header", field]);
        }
        curl.args([
            "--data-binary",
            body,
            &format!("https://{}/api/orders", daemon.listener(1)?),
        ]);
        let output = curl.output().context("curl is needed")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(said.ends_with(&format!("\n{version} 200")), "{said} {output:?}");
        ensure!(said.contains(r#"{"n":1}"#), "{said}");
    }
    Ok(())
}
