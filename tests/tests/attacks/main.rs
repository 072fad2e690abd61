//! What an attacker tries, and what must come of it: each test is one idea of his, against the real daemon.
//!
//! Those that are ignored succeed today; the reason says what is missing.

mod blame;
mod bypass;
mod exhaust;
mod monitor;
mod operate;
mod replay;
mod rules;
mod spoof;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::Mac;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_guard::session::token::SigningKey;
use portcullis_guard::signature::base::{Message, signature_base};
use portcullis_guard::signature::digest::BodyDigest;
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{now, send};
use portcullis_tests::daemon::{Daemon, Wanted};

const PROTECT: &str = "[protect]\npaths = [\"/api/**\"]\n";

fn gate(extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), extra))?;
    Ok((backend, daemon))
}

/// A request without a signature.
fn plain(method: &str, target: &str, fields: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n").into_bytes()
}

/// A request with further fields, put in after it was signed.
fn with_fields(request: &[u8], fields: &str) -> Vec<u8> {
    let line = request.windows(2).position(|pair| pair == b"\r\n").unwrap_or(0) + 2;
    [&request[..line], fields.as_bytes(), &request[line..]].concat()
}

/// The memory that a process holds, in KiB.
fn resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let amount = line.and_then(|text| text.split_whitespace().next()?.parse().ok());
    amount.context("no VmRSS")
}

/// A session whose holder signs whatever he wants.
struct Session {
    id: String,
    key: SigningKey,
}

/// A call as its sender wants it.
struct Call<'a> {
    method: &'a str,
    target: &'a str,
    host: &'a str,
    /// What the sender takes Host for.
    authority: &'a str,
    fields: &'a [(&'a str, &'a str)],
    /// Fields that are covered beyond what must be.
    covered: &'a [&'a str],
    nonce: &'a str,
    parameters: &'a str,
    body: &'a str,
}

impl Default for Call<'_> {
    fn default() -> Self {
        Self {
            method: "GET",
            target: "/api/a",
            host: "shop.example",
            authority: "shop.example",
            fields: &[],
            covered: &[],
            nonce: "own-stream.0",
            parameters: "",
            body: "",
        }
    }
}

impl Session {
    fn open(address: SocketAddr) -> Result<Self> {
        let body = r#"{"key_agreement":"server-key"}"#;
        let head = format!("content-length: {}\r\n", body.len());
        let request = [plain("POST", "/.well-known/portcullis/session", &head), body.into()].concat();
        let answer = send(address, &request)?;
        ensure!(answer.status == 201, "{}", answer.body);
        let document: serde_json::Value = serde_json::from_str(&answer.body)?;
        let text = |name: &str| document[name].as_str().map(str::to_owned).context("no session");
        let key = URL_SAFE_NO_PAD.decode(text("key")?)?;
        Ok(Self {
            id: text("session_id")?,
            key: SigningKey(key.try_into().map_err(|_| anyhow::anyhow!("no key"))?),
        })
    }

    fn sign(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        let mut headers = HeaderMap::new();
        for (name, value) in call.fields {
            headers.append(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
        }
        let mut components = vec!["@method", "@authority", "@path", "@query"];
        if !call.body.is_empty() {
            let digest = STANDARD.encode(BodyDigest::of(call.body.as_bytes()).0);
            headers.insert("content-digest", HeaderValue::try_from(format!("sha-256=:{digest}:"))?);
            headers.insert("content-length", HeaderValue::from(call.body.len()));
            components.push("content-digest");
        }
        components.extend(call.covered);
        let quoted: Vec<_> = components.iter().map(|name| format!("\"{name}\"")).collect();
        let times = match call.parameters {
            "" => format!("created={}", now()),
            chosen => chosen.to_owned(),
        };
        let parameters = format!(
            "({});{times};nonce=\"{}\";keyid=\"{}\";alg=\"hmac-sha256\";tag=\"portcullis-1\"",
            quoted.join(" "),
            call.nonce,
            self.id
        );
        let method = Method::from_bytes(call.method.as_bytes())?;
        let (path, query) = call
            .target
            .split_once('?')
            .map_or((call.target, None), |(path, query)| (path, Some(query)));
        let message = Message {
            method: &method,
            authority: call.authority,
            path,
            query,
            headers: &headers,
        };
        let base =
            signature_base(&message, components, &parameters).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        let mut mac = self.key.hmac();
        mac.update(&base);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let mut request = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", call.method, call.target, call.host);
        for (name, value) in &headers {
            request.push_str(&format!("{name}: {}\r\n", value.to_str()?));
        }
        request.push_str(&format!(
            "signature-input: p={parameters}\r\nsignature: p=:{signature}:\r\n\r\n{}",
            call.body
        ));
        Ok(request.into_bytes())
    }
}

/// An application that does something else than answering well.
#[derive(Clone)]
struct Moody {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Moody {
    /// `mood` gets each connection once a head was read.
    fn start(mood: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let moody = Self {
            address: listener.local_addr()?,
            heads: Arc::default(),
        };
        let (heads, mood) = (Arc::clone(&moody.heads), Arc::new(mood));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heads, mood) = (Arc::clone(&heads), Arc::clone(&mood));
                thread::spawn(move || converse(stream, &heads, &*mood));
            }
        });
        Ok(moody)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn converse(mut stream: TcpStream, heads: &Mutex<Vec<String>>, mood: &dyn Fn(&mut TcpStream)) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    mood(&mut stream);
    Some(())
}

/// Reads until the peer is done or falls silent.
fn drain(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A silent peer ends in a timeout; what came before it counts.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends bytes and returns all that comes back.
fn converse_raw(address: SocketAddr, bytes: &[u8], patience: std::time::Duration) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(bytes)?;
    Ok(drain(&mut stream))
}
