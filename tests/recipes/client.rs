//! Signs the calls of a program for the Portcullis gate.
//! Cargo.toml: base64 0.22, getrandom 0.4, hmac 0.13, serde_json 1, sha2 0.11, ureq 3.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use ureq::http::{Method, Request, Response};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// One session. Make one for a process and share it between threads.
pub struct Client {
    origin: String,
    authority: String,
    agent: ureq::Agent,
    session: Mutex<Option<Session>>,
}

#[derive(Clone)]
struct Session {
    id: String,
    key: Vec<u8>,
    /// Seconds that the gate's clock is ahead of ours.
    offset: f64,
    stream: String,
    counter: u64,
}

impl Client {
    /// `origin` without a path, such as `https://shop.example`. The session is bound to the user agent.
    pub fn new(origin: &str, user_agent: &str) -> Result<Self> {
        let config = ureq::Agent::config_builder()
            .user_agent(user_agent)
            .http_status_as_error(false)
            .build();
        let (scheme, host) = origin.split_once("://").ok_or("an origin begins with https://")?;
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.to_ascii_lowercase();
        Ok(Self {
            authority: host.strip_suffix(default_port).unwrap_or(&host).to_owned(),
            origin: origin.to_owned(),
            agent: config.into(),
            session: Mutex::default(),
        })
    }

    /// Sends a call. `target` is a path and query, already percent-encoded.
    pub fn request(&self, method: &Method, target: &str, content_type: &str, body: &[u8]) -> Result<Response<String>> {
        let mut wanted = None;
        let mut attempts = 0;
        loop {
            let (session, next) = self.take_nonce()?;
            let nonce = wanted.take().unwrap_or(next);
            let fields = self.sign(&session, &nonce, method, target, content_type, body)?;
            let answer = self.send(method, target, &fields, body)?;
            attempts += 1;
            let is_refused = answer.status() == 401 && attempts < 3;
            match is_refused.then(|| self.recover(&session, &answer)).flatten() {
                Some(nonce) => wanted = nonce,
                None => return Ok(answer),
            }
        }
    }

    fn sign(
        &self,
        session: &Session,
        nonce: &str,
        method: &Method,
        target: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<BTreeMap<&'static str, String>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut covered = vec![
            ("@method", method.to_string()),
            ("@authority", self.authority.clone()),
            ("@path", path.to_owned()),
            ("@query", format!("?{query}")),
        ];
        let mut fields = BTreeMap::new();
        if !body.is_empty() {
            let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)));
            for (name, value) in [("content-digest", digest), ("content-type", content_type.to_owned())] {
                covered.push((name, value.clone()));
                fields.insert(name, value);
            }
        }
        let names: Vec<String> = covered.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let parameters = format!(
            "({});created={};nonce=\"{nonce}\";keyid=\"{}\";alg=\"hmac-sha256\";tag=\"portcullis-1\"",
            names.join(" "),
            (now() + session.offset) as u64,
            session.id
        );
        let mut base = String::new();
        for (name, value) in covered {
            base += &format!("\"{name}\": {value}\n");
        }
        base += &format!("\"@signature-params\": {parameters}");
        let mut mac = Hmac::<Sha256>::new_from_slice(&session.key)?;
        mac.update(base.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        fields.insert("signature-input", format!("sig={parameters}"));
        fields.insert("signature", format!("sig=:{signature}:"));
        Ok(fields)
    }

    /// What to do about a refusal: nothing, or sign again, with the inner nonce if the gate wants one.
    fn recover(&self, used: &Session, answer: &Response<String>) -> Option<Option<String>> {
        let problem: Value = serde_json::from_str(answer.body()).ok()?;
        let name = problem["type"].as_str()?.rsplit('/').next()?;
        let mut guard = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = guard.as_mut().filter(|session| session.id == used.id);
        match (name, session) {
            ("signature-expired" | "signature-from-future", Some(session)) => {
                session.offset = problem["server_time"].as_f64()? - now();
                Some(None)
            }
            ("fresh-nonce-required", Some(session)) => {
                let field = answer.headers().get("accept-signature")?.to_str().ok()?;
                let (stream, _) = field.split_once("nonce=\"")?.1.split_once(".0\"")?;
                (session.stream, session.counter) = (stream.to_owned(), 1);
                Some(Some(format!("{stream}.0")))
            }
            ("session-invalid" | "signature-invalid" | "reauthentication-required", Some(_)) => {
                *guard = None;
                Some(None)
            }
            // Another thread has a new session already.
            (_, None) => Some(None),
            (_, Some(_)) => None,
        }
    }

    fn take_nonce(&self) -> Result<(Session, String)> {
        let mut guard = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match &mut *guard {
            Some(session) => session,
            none => none.insert(self.open()?),
        };
        let nonce = format!("{}.{}", session.stream, session.counter);
        session.counter += 1;
        Ok((session.clone(), nonce))
    }

    fn open(&self) -> Result<Session> {
        let mut wish = json!({"key_agreement": "server-key"});
        for _ in 0..4 {
            let fields = BTreeMap::from([("content-type", "application/json".to_owned())]);
            let body = wish.to_string();
            let answer = self.send(
                &Method::POST,
                "/.well-known/portcullis/session",
                &fields,
                body.as_bytes(),
            )?;
            let opened: Value = serde_json::from_str(answer.body())?;
            if answer.status() == 201 {
                let text = |name: &str| opened[name].as_str().map(str::to_owned).ok_or("not a gate's answer");
                let mut stream = [0; 16];
                getrandom::fill(&mut stream)?;
                return Ok(Session {
                    id: text("session_id")?,
                    key: URL_SAFE_NO_PAD.decode(text("key")?)?,
                    offset: opened["server_time"].as_f64().unwrap_or_else(now) - now(),
                    stream: URL_SAFE_NO_PAD.encode(stream),
                    counter: 0,
                });
            }
            let Some(answers) = solve(&opened["work"]) else {
                return Err(format!("no session: {}", answer.body()).into());
            };
            wish["work"] = json!({"challenge": opened["work"]["challenge"], "answers": answers});
        }
        Err("the gate wants more and more work".into())
    }

    fn send(
        &self,
        method: &Method,
        target: &str,
        fields: &BTreeMap<&'static str, String>,
        body: &[u8],
    ) -> Result<Response<String>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.origin));
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        let answer = if body.is_empty() {
            self.agent.run(request.body(())?)?
        } else {
            self.agent.run(request.body(body)?)?
        };
        let (parts, mut body) = answer.into_parts();
        Ok(Response::from_parts(parts, body.read_to_string()?))
    }
}

/// The proof of work that the gate may ask for before it opens a session.
fn solve(work: &Value) -> Option<Vec<u64>> {
    let (challenge, bits) = (work["challenge"].as_str()?, work["bits"].as_u64()?);
    let solves = |puzzle: u64, number: u64| {
        let hash = Sha256::digest(format!("{challenge}.{puzzle}.{number}"));
        let first = hash.iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        u64::from(first.leading_zeros()) >= bits
    };
    (0..work["count"].as_u64()?)
        .map(|puzzle| (0..).find(|number| solves(puzzle, *number)))
        .collect()
}

/// Seconds since the Unix epoch.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
