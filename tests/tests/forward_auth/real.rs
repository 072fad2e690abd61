//! nginx, Caddy and HAProxy with the configurations of the documents, in front of a real application.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portcullis_tests::client::{Client, Wire};
use tempfile::TempDir;

use super::{TRUSTED, field, gate, refused};

/// A proxy that runs until it is dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    _home: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX));
        let _ = kill(id, Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

/// Where the parts of an example are in this run.
struct Places {
    listen: SocketAddr,
    gate: SocketAddr,
    verdicts: SocketAddr,
    application: SocketAddr,
}

impl Places {
    fn put_into(&self, text: &str) -> String {
        text.replace("127.0.0.1:8080", &self.gate.to_string())
            .replace("127.0.0.1:8081", &self.verdicts.to_string())
            .replace("127.0.0.1:3000", &self.application.to_string())
    }
}

fn example(name: &str) -> Result<String> {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/examples/forward-auth")
        .join(name);
    fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
}

fn start(home: TempDir, program: &str, arguments: &[&str], address: SocketAddr) -> Result<Proxy> {
    let log = home.path().join("log");
    let child = Command::new(program)
        .args(arguments)
        .env("HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log)?)
        .spawn()
        .with_context(|| format!("failed to start {program}"))?;
    let mut proxy = Proxy {
        child,
        address,
        _home: home,
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_err() {
        let is_over = proxy.child.try_wait()?.is_some() || Instant::now() > deadline;
        ensure!(!is_over, "{program} does not listen: {}", fs::read_to_string(&log)?);
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(proxy)
}

fn nginx(places: &Places) -> Result<Proxy> {
    let home = TempDir::new()?;
    let at = home.path().display().to_string();
    let server = places
        .put_into(&example("nginx.conf")?)
        .replace("listen 80;", &format!("listen {};", places.listen));
    ensure!(server.contains(&places.listen.to_string()));
    let frame = format!(
        "daemon off; pid {at}/pid; error_log stderr warn; user root;\nevents {{ worker_connections 512; }}\n\
         http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;\n\
         uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n{server} }}\n"
    );
    let file = format!("{at}/nginx.conf");
    fs::write(&file, frame)?;
    start(home, "nginx", &["-c", &file], places.listen)
}

fn caddy(places: &Places) -> Result<Proxy> {
    let home = TempDir::new()?;
    let file = home.path().join("Caddyfile").display().to_string();
    let sites = places
        .put_into(&example("Caddyfile")?)
        .replace("\n:80 {", &format!("\nhttp://{} {{", places.listen));
    ensure!(sites.contains(&places.listen.to_string()));
    fs::write(&file, format!("{{\n\tadmin off\n\tauto_https off\n}}\n{sites}"))?;
    start(
        home,
        "caddy",
        &["run", "--adapter", "caddyfile", "--config", &file],
        places.listen,
    )
}

fn haproxy(places: &Places) -> Result<Proxy> {
    let home = TempDir::new()?;
    let (file, script) = (home.path().join("haproxy.cfg"), home.path().join("portcullis.lua"));
    fs::write(&script, example("portcullis.lua")?)?;
    let text = places
        .put_into(&example("haproxy.cfg")?)
        .replace("bind :80", &format!("bind {}", places.listen))
        .replace("/etc/haproxy/portcullis.lua", &script.display().to_string());
    fs::write(&file, text)?;
    let file = file.display().to_string();
    start(home, "haproxy", &["-db", "-f", &file], places.listen)
}

/// What every proxy has to do.
fn protects(name: &str, start: impl FnOnce(&Places) -> Result<Proxy>) -> Result<()> {
    let (backend, daemon) = gate(name, TRUSTED, "")?;
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let places = Places {
        listen,
        gate: daemon.address(),
        verdicts: daemon.listener(1)?,
        application: backend.address(),
    };
    let proxy = start(&places)?;
    let mut wire = Wire::connect(proxy.address)?;
    let mut client = Client::open(proxy.address).context("no session")?;

    let answer = wire.exchange(&client.request("GET", "/api/a?b=%20c", "")?)?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    let body = answer.body.to_ascii_lowercase();
    ensure!(body.starts_with("get /api/a?b=%20c http"), "{body}");
    ensure!(body.contains("portcullis-client: 127.0.0.1"), "{body}");
    ensure!(body.contains("portcullis-score: 0"), "{body}");
    let answer = wire.exchange(&client.request("POST", "/api/a", "{\"a\":1}")?)?;
    ensure!(
        answer.status == 200 && answer.body.ends_with("{\"a\":1}"),
        "{}",
        answer.body
    );
    ensure!(
        answer.body.to_ascii_lowercase().contains("portcullis-body: unverified"),
        "{}",
        answer.body
    );
    let passed = backend.requests();

    let unsigned = "GET /api/a HTTP/1.1\r\nhost: HOST\r\nx-original-uri: /public\r\nx-forwarded-uri: /public\r\n\
        x-original-method: GET\r\nportcullis-session: forged\r\n\r\n";
    let unsigned = unsigned.replace("HOST", &proxy.address.to_string());
    let answer = wire.exchange(unsigned.as_bytes())?;
    refused(&answer, 401, "signature-required")?;
    ensure!(
        field(&answer, "content-type") == "application/problem+json",
        "{:?}",
        answer.headers
    );
    ensure!(
        field(&answer, "www-authenticate").contains("Signature"),
        "{:?}",
        answer.headers
    );
    ensure!(
        field(&answer, "accept-signature").contains("portcullis-1"),
        "{:?}",
        answer.headers
    );
    let odd = "GET /api/%2e%2e/api/a HTTP/1.1\r\nhost: HOST\r\n\r\n".replace("HOST", &proxy.address.to_string());
    refused(&wire.exchange(odd.as_bytes())?, 400, "path-ambiguous")?;
    let call = client.request("GET", "/api/a", "")?;
    ensure!(wire.exchange(&call)?.status == 200);
    let copy = wire.exchange(&call)?;
    ensure!(copy.status == 401 || copy.status == 403, "{}", copy.status);
    let mut bare = String::from_utf8(client.request("POST", "/api/a", "")?)?;
    bare = bare.replace("content-length: 0\r\n", "");
    let with_body = bare.replace("\r\n\r\n", "\r\ncontent-length: 7\r\n\r\n{\"a\":2}");
    refused(&wire.exchange(with_body.as_bytes())?, 400, "digest-required")?;
    ensure!(backend.requests() == passed + 1, "something refused was forwarded");

    ensure!(wire.exchange(&client.request("POST", "/api/pay", "{}")?)?.status == 200);
    let twice = wire.exchange(&client.request("POST", "/api/pay", "{}")?)?;
    ensure!(
        twice.status == 429 && twice.headers.contains_key("retry-after"),
        "{} {:?}",
        twice.status,
        twice.headers
    );
    let forged = unsigned.replace("GET /api/a ", "GET /public ");
    let answer = wire.exchange(forged.as_bytes())?;
    ensure!(
        answer.status == 200 && !answer.body.contains("forged"),
        "{}",
        answer.body
    );
    Ok(())
}

#[test]
fn nginx_protects() -> Result<()> {
    protects("nginx", nginx)
}

#[test]
fn caddy_protects() -> Result<()> {
    protects("caddy", caddy)
}

#[test]
fn haproxy_protects() -> Result<()> {
    protects("haproxy", haproxy)
}

#[test]
fn the_example_of_the_gate_is_right() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/forward-auth/portcullis.toml");
    portcullis::config::Config::load(&file)?;
    Ok(())
}
