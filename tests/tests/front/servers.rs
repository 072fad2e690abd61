//! Servers that speak TLS or HTTP/2.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_tests::client::{Client, Wire, send};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::tls::Certificates;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{PROTECT, refused};

/// An application that tells what it was asked, and by which version.
struct Application {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// What it speaks in clear text; with TLS, what the handshake says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
}

impl Application {
    fn start(spoken: Spoken, tls: Option<ServerConfig>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || runtime.block_on(serve(listener, spoken, tls, counter)));
        Ok(Self { address, connections })
    }
}

async fn serve(
    listener: TcpListener,
    spoken: Spoken,
    tls: Option<ServerConfig>,
    counter: Arc<AtomicUsize>,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    loop {
        let (stream, _) = listener.accept().await?;
        counter.fetch_add(1, Ordering::Relaxed);
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else {
                return speak(stream, spoken, String::new()).await;
            };
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let (_, connection) = stream.get_ref();
            let name = connection.server_name().unwrap_or_default().to_owned();
            let spoken = match connection.alpn_protocol() {
                Some(b"h2") => Spoken::Http2,
                _ => Spoken::Http1,
            };
            speak(stream, spoken, name).await;
        });
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, spoken: Spoken, name: String) {
    let service = service_fn(move |request| tell(request, name.clone()));
    let stream = TokioIo::new(stream);
    // Whoever hangs up has his reasons.
    match spoken {
        Spoken::Http1 => _ = http1::Builder::new().serve_connection(stream, service).await,
        Spoken::Http2 => {
            let builder = http2::Builder::new(TokioExecutor::new());
            _ = builder.serve_connection(stream, service).await;
        }
    }
}

async fn tell(request: Request<Incoming>, name: String) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let text = format!(
        "{:?} {} {} name={name} host={:?} {}",
        parts.version,
        parts.method,
        parts.uri,
        parts.headers.get("host"),
        String::from_utf8_lossy(&body)
    );
    Ok(Response::new(Full::new(Bytes::from(text))))
}

fn server(certificates: &Certificates, name: &str, protocols: &[&[u8]]) -> Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificates.path(&format!("{name}.pem")))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(certificates.path(&format!("{name}.key")))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn gate(url: &str, pool: &str) -> Result<Daemon> {
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let rest = format!("{PROTECT}[[upstream]]\npaths = [\"/**\"]\nservers = [\"{url}\"]\n{pool}\n");
    Daemon::start(&Wanted::enforcing(nobody, &rest))
}

/// Signed calls with and without a body, side by side.
fn call_at_once(daemon: &Daemon, expected: &str) -> Result<()> {
    let calls: Vec<_> = (0..8)
        .map(|n| {
            let mut client = Client::open(daemon.address())?;
            let (address, expected) = (daemon.address(), expected.to_owned());
            Ok(thread::spawn(move || -> Result<()> {
                let mut wire = Wire::connect(address)?;
                for m in 0..10 {
                    let answer = wire.exchange(&client.request("GET", &format!("/api/a?n={n}.{m}"), "")?)?;
                    let seen = answer.body;
                    ensure!(answer.status == 200 && seen.contains(&expected), "{seen}");
                    ensure!(seen.contains(&format!("/api/a?n={n}.{m} ")), "{seen}");
                    let body = "x".repeat(100_000);
                    let answer = wire.exchange(&client.request("POST", "/api/a", &body)?)?;
                    ensure!(answer.status == 200 && answer.body.ends_with(&body));
                }
                Ok(())
            }))
        })
        .collect::<Result<_>>()?;
    for call in calls {
        call.join().ok().context("a caller panicked")??;
    }
    Ok(())
}

#[test]
fn http2_in_clear_text_carries_many_calls() -> Result<()> {
    let application = Application::start(Spoken::Http2, None)?;
    let daemon = gate(&format!("http://{}", application.address), "http2 = true")?;
    call_at_once(&daemon, "HTTP/2.0 ")?;
    let answer = send(daemon.address(), b"GET /x HTTP/1.1\r\nhost: Shop.Example:81\r\n\r\n")?;
    ensure!(
        answer
            .body
            .starts_with("HTTP/2.0 GET http://Shop.Example:81/x name= host=None"),
        "{}",
        answer.body
    );
    // One for each worker, and a few that were made at the same time.
    let connections = application.connections.load(Ordering::Relaxed);
    ensure!(connections < 40, "{connections} connections for 161 calls");
    Ok(())
}

#[test]
fn http2_is_agreed_on_in_the_handshake_where_both_want_it() -> Result<()> {
    let certificates = Certificates::new()?;
    certificates.write("a", &["localhost"], 2090)?;
    let trusted = format!("authorities = \"{}\"", certificates.path("a.pem").display());
    for (offered, http2, version) in [
        (&[&b"h2"[..], b"http/1.1"][..], true, "HTTP/2.0 "),
        (&[b"h2", b"http/1.1"], false, "HTTP/1.1 "),
        (&[b"http/1.1"], true, "HTTP/1.1 "),
        (&[], true, "HTTP/1.1 "),
    ] {
        let application = Application::start(Spoken::Http1, Some(server(&certificates, "a", offered)?))?;
        let url = format!("https://localhost:{}", application.address.port());
        let daemon = gate(&url, &format!("{trusted}\nhttp2 = {http2}"))?;
        call_at_once(&daemon, version)?;
        let answer = send(daemon.address(), b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")?;
        ensure!(answer.body.contains("name=localhost "), "no SNI: {}", answer.body);
    }
    Ok(())
}

#[test]
fn a_server_with_a_wrong_certificate_gets_nothing() -> Result<()> {
    let certificates = Certificates::new()?;
    certificates.write("good", &["localhost"], 2090)?;
    certificates.write("stranger", &["localhost"], 2090)?;
    certificates.write("other", &["other.example"], 2090)?;
    certificates.write("old", &["localhost"], 2001)?;
    for (presented, trusted, said) in [
        ("stranger", "good", "BadSignature"),
        ("other", "other", "not valid for name"),
        ("old", "old", "expired"),
    ] {
        let application = Application::start(Spoken::Http1, Some(server(&certificates, presented, &[])?))?;
        let url = format!("https://localhost:{}", application.address.port());
        let path = certificates.path(&format!("{trusted}.pem"));
        let daemon = gate(&url, &format!("authorities = \"{}\"", path.display()))?;
        let answer = send(daemon.address(), b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")?;
        refused(&answer, 502, "upstream-unavailable")?;
        let errors = daemon.await_logged("the application cannot be reached", "error", 1)?;
        ensure!(
            errors[0].contains("certificate") && errors[0].contains(said),
            "{errors:?}"
        );
    }
    Ok(())
}

/// What is kept for a server over TLS outlives a reload, unless other authorities have the word.
#[test]
fn connections_over_tls_are_kept_over_a_reload() -> Result<()> {
    let certificates = Certificates::new()?;
    certificates.write("a", &["localhost"], 2090)?;
    let authorities = certificates.path("a.pem");
    for http2 in [false, true] {
        let config = server(&certificates, "a", &[b"h2", b"http/1.1"])?;
        let application = Application::start(Spoken::Http1, Some(config))?;
        let url = format!("https://localhost:{}", application.address.port());
        let pool = format!("authorities = \"{}\"\nhttp2 = {http2}", authorities.display());
        let daemon = gate(&url, &pool)?;
        // One connection stays with one worker, which has its own.
        let mut wire = Wire::connect(daemon.address())?;
        let mut call = || wire.exchange(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
        let connections = || application.connections.load(Ordering::Relaxed);
        ensure!(call()?.status == 200);
        for _ in 0..3 {
            daemon.cli(&["reload"])?;
            ensure!(call()?.status == 200);
        }
        ensure!(connections() == 1, "{} connections", connections());
        let text = std::fs::read_to_string(&authorities)?;
        std::fs::write(&authorities, format!("# the same, and more\n{text}"))?;
        daemon.cli(&["reload"])?;
        ensure!(
            call()?.status == 200 && connections() == 2,
            "{} connections",
            connections()
        );
    }
    Ok(())
}

#[test]
fn a_server_that_does_not_know_http2_is_a_problem() -> Result<()> {
    let application = Application::start(Spoken::Http1, None)?;
    let daemon = gate(&format!("http://{}", application.address), "http2 = true")?;
    let answer = send(daemon.address(), b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")?;
    refused(&answer, 502, "upstream-unavailable")
}
