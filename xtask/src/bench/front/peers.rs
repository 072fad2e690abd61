//! nginx, haproxy and caddy as reverse proxies, and nginx once more as the upstream of everybody.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_tests::tls::Certificates;
use tempfile::TempDir;

use super::scripted::Scripted;

const PATIENCE: Duration = Duration::from_secs(20);
/// What haproxy checks signatures with.
pub(super) const KEY: &[u8] = b"a key of thirty-two bytes, here.";

/// One program that listens.
pub(super) struct Peer {
    child: Child,
    pub(super) clear: SocketAddr,
    pub(super) tls: SocketAddr,
    /// haproxy with an HMAC and a rate by address, and with a table of nonces beside.
    pub(super) rate: Option<SocketAddr>,
    pub(super) nonce: Option<SocketAddr>,
    _home: TempDir,
}

/// All of them.
pub(super) struct Peers {
    backend: Peer,
    pub(super) nginx: Peer,
    pub(super) haproxy: Peer,
    pub(super) caddy: Peer,
    pub(super) scripted: Scripted,
}

impl Peers {
    pub(super) fn start(certificates: &Certificates) -> Result<Self> {
        let backend = backend()?;
        let upstream = backend.clear;
        Ok(Self {
            nginx: nginx(upstream, certificates)?,
            haproxy: haproxy(upstream, certificates)?,
            caddy: caddy(upstream, certificates)?,
            scripted: Scripted::start(upstream)?,
            backend,
        })
    }

    /// What they all forward to.
    pub(super) fn upstream(&self) -> SocketAddr {
        self.backend.clear
    }
}

impl Peer {
    fn start(home: TempDir, program: &str, arguments: &[&str], clear: SocketAddr, tls: SocketAddr) -> Result<Self> {
        let child = Command::new(program)
            .args(arguments)
            .env("HOME", home.path())
            .env("XDG_DATA_HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {program}"))?;
        let peer = Self {
            child,
            clear,
            tls,
            rate: None,
            nonce: None,
            _home: home,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(clear).is_err() {
            ensure!(Instant::now() < deadline, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(peer)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).unwrap_or(i32::MAX);
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

pub(super) fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a directory with a strange name")
}

/// The parts of nginx's configuration that have nothing to do with the task.
fn nginx_frame(home: &str, http: &str) -> String {
    format!(
        "daemon off; pid {home}/pid; error_log {home}/error.log crit; worker_processes 2;\n\
         worker_rlimit_nofile 20000;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s;\n\
         client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;\n\
         uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n{http} }}\n"
    )
}

/// Starts nginx with these modules, and this in its section `http`.
pub(super) fn start_nginx(
    modules: &[String],
    http: impl FnOnce(&str) -> Result<String>,
    clear: SocketAddr,
    tls: SocketAddr,
) -> Result<Peer> {
    let home = TempDir::new()?;
    let directory = text(home.path())?.to_owned();
    let file = format!("{directory}/nginx.conf");
    let modules: String = modules
        .iter()
        .map(|module| format!("load_module {module};\n"))
        .collect();
    fs::write(&file, modules + &nginx_frame(&directory, &http(&directory)?))?;
    Peer::start(home, "nginx", &["-p", &directory, "-c", &file], clear, tls)
}

/// 200 bytes, as small answers of an API are.
fn backend() -> Result<Peer> {
    let clear = free()?;
    let answer = "x".repeat(200);
    let http = format!("server {{ listen {clear} reuseport backlog=4096; location / {{ return 200 \"{answer}\"; }} }}");
    start_nginx(&[], |_| Ok(http), clear, clear)
}

fn nginx(upstream: SocketAddr, certificates: &Certificates) -> Result<Peer> {
    let (clear, tls) = (free()?, free()?);
    let (chain, key) = (certificates.path("bench.pem"), certificates.path("bench.key"));
    let http = format!(
        "upstream app {{ server {upstream}; keepalive 256; keepalive_requests 100000000; }}\n\
         ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;\n\
         server {{ listen {clear} reuseport backlog=4096; listen {tls} ssl http2 reuseport backlog=4096;\n\
         http2_max_requests 100000000;\n\
         location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
         proxy_set_header X-Forwarded-For $remote_addr; }} }}",
        text(&chain)?,
        text(&key)?
    );
    start_nginx(&[], |_| Ok(http), clear, tls)
}

fn haproxy(upstream: SocketAddr, certificates: &Certificates) -> Result<Peer> {
    let home = TempDir::new()?;
    let (clear, tls, rate, nonce) = (free()?, free()?, free()?, free()?);
    let both = [certificates.path("bench.pem"), certificates.path("bench.key")].map(fs::read_to_string);
    let [chain, key] = both;
    let pem = home.path().join("both.pem");
    fs::write(&pem, format!("{}{}", chain?, key?))?;
    let secret = STANDARD.encode(KEY);
    let check = format!(
        "http-request set-var-fmt(txn.base) \"%[method]\\n%[req.hdr(host)]\\n%[path]\\n%[query]\\n%[req.hdr(x-ts)]\\n%[req.hdr(x-nonce)]\"\n\
         http-request set-var(txn.mac) var(txn.base),hmac(sha256,{secret}),base64\n\
         http-request deny if !{{ req.hdr(x-sig),strcmp(txn.mac) eq 0 }}\n\
         http-request set-var(txn.now) date\n\
         http-request set-var(txn.age) req.hdr(x-ts),neg,add(txn.now),add(5)\n\
         http-request deny if !{{ var(txn.age) -m int 0:305 }}\n\
         http-request track-sc0 src table rates\n\
         http-request deny deny_status 429 if {{ sc_http_req_rate(0,rates) gt 100000000 }}\n"
    );
    let replay = "http-request track-sc1 req.hdr(x-nonce) table nonces\n\
                  http-request deny if { sc_get_gpc0(1,nonces) gt 0 }\n\
                  http-request sc-inc-gpc0(1)\n";
    let public = "{ path / }";
    let config = format!(
        "global\n nbthread 2\n maxconn 9900\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 600s\n timeout server 600s\n option http-keep-alive\n http-reuse always\n option forwardfor\n\
         frontend plain\n bind {clear}\n bind {tls} ssl crt {pem} alpn h2,http/1.1\n default_backend app\n\
         frontend rate\n bind {rate}\n default_backend app\n http-request allow if {public}\n{check}\
         frontend nonce\n bind {nonce}\n default_backend app\n http-request allow if {public}\n{check}{replay}\
         backend rates\n stick-table type ip size 100k expire 30s store http_req_rate(10s)\n\
         backend nonces\n stick-table type string len 40 size 2m expire 60s store gpc0\n\
         backend app\n server app {upstream} pool-max-conn 256\n",
        pem = text(&pem)?,
    );
    let file = home.path().join("haproxy.cfg");
    fs::write(&file, config)?;
    let file = text(&file)?.to_owned();
    let mut peer = Peer::start(home, "haproxy", &["-db", "-q", "-f", &file], clear, tls)?;
    (peer.rate, peer.nonce) = (Some(rate), Some(nonce));
    Ok(peer)
}

fn caddy(upstream: SocketAddr, certificates: &Certificates) -> Result<Peer> {
    let home = TempDir::new()?;
    let (clear, tls) = (free()?, free()?);
    let (chain, key) = (certificates.path("bench.pem"), certificates.path("bench.key"));
    let config = format!(
        "{{\n admin off\n auto_https off\n default_sni localhost\n}}\nhttp://{clear} {{\n bind 127.0.0.1\n reverse_proxy {upstream}\n}}\n\
         https://{tls} {{\n bind 127.0.0.1\n tls {} {}\n reverse_proxy {upstream}\n}}\n\
         https://localhost:{} {{\n bind 127.0.0.1\n tls {0} {1}\n reverse_proxy {upstream}\n}}\n",
        text(&chain)?,
        text(&key)?,
        tls.port(),
    );
    let file = home.path().join("Caddyfile");
    fs::write(&file, config)?;
    let file = text(&file)?.to_owned();
    let arguments = ["run", "--adapter", "caddyfile", "--config", &file];
    Peer::start(home, "caddy", &arguments, clear, tls)
}
