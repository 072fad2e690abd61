//! The gate's own paths: sessions are opened here, and the SDK is served.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use portcullis_guard::guard::Opened;
use portcullis_guard::path::NormalPath;
use portcullis_guard::refusal::Refusal;
use portcullis_guard::session::agreement::{Agreed, AgreementRequest};
use portcullis_guard::session::work::Answer;
use portcullis_guard::signature::algorithm::Algorithm;
use portcullis_guard::signature::{CONTENT_DIGEST, CONTENT_TYPE as COVERED_TYPE, REQUIRED, TAG};
use portcullis_guard::time::Now;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::problem::seconds;
use super::{Answered, Call, Proxy, body, scripts};
use crate::{clock, random};

/// Everything below belongs to the gate and never reaches the upstream.
pub(super) const PREFIX: &str = "/.well-known/portcullis/";
/// A session request is a few hundred bytes.
const SESSION_REQUEST_LIMIT: usize = 4096;

/// The part of a path that belongs to the gate.
pub(super) fn path(path: &NormalPath) -> Option<&str> {
    path.as_str().strip_prefix(PREFIX)
}

/// What a client sends to open a session (docs/protocol.md section 1).
#[derive(Deserialize)]
#[serde(tag = "key_agreement", rename_all = "kebab-case", deny_unknown_fields)]
enum SessionRequest {
    #[serde(rename = "ecdh-p256")]
    EcdhP256 {
        public_key: String,
        work: Option<WorkDone>,
    },
    ServerKey {
        work: Option<WorkDone>,
    },
    PublicKey {
        alg: String,
        public_key: String,
        work: Option<WorkDone>,
    },
}

/// What it did for the session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkDone {
    challenge: String,
    answers: Vec<u64>,
}

/// A session request, read.
#[derive(Debug, PartialEq)]
struct Wish {
    agreement: AgreementRequest,
    work: Option<Answer>,
}

/// What it gets.
#[derive(Serialize)]
struct SessionAnswer<'a> {
    session_id: &'a str,
    alg: &'static str,
    key_agreement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    expires_at: u64,
    server_time: f64,
    profile: Profile,
}

#[derive(Serialize)]
struct Profile {
    tag: &'static str,
    components: [&'static str; 4],
    body_components: [&'static str; 2],
    digest: &'static str,
    max_age: u64,
}

impl Proxy {
    pub(super) async fn answer_own(&self, call: &Call<'_>, path: &str, body: Incoming) -> Response<Full<Bytes>> {
        let refuse = |refusal| Box::new(self.refuse(call, refusal));
        let answer = match (path, &call.parts.method) {
            ("session", &Method::POST) => self.open_session(call, body).await,
            ("session", _) => Err(refuse(Refusal::MethodRefused)),
            (name, method) => match (scripts::named(name), method) {
                (Some((script, by_hash)), &Method::GET | &Method::HEAD) => {
                    Ok(script.answer(by_hash, &call.parts.headers))
                }
                (Some(_), _) => Err(refuse(Refusal::MethodRefused)),
                (None, _) => Err(refuse(Refusal::OwnPathUnknown)),
            },
        };
        answer.unwrap_or_else(|answer| *answer)
    }

    async fn open_session(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Full<Bytes>>, Answered> {
        let refuse = |refusal| Box::new(self.refuse(call, refusal));
        let patience = self.http().body_timeout;
        let read = body::read(body, SESSION_REQUEST_LIMIT, patience, &self.timer).await;
        if read.is_ok() {
            call.connection.activity.body_came();
        }
        let wish = read.and_then(|bytes| parse(&bytes).ok_or(Refusal::SessionRequestMalformed));
        let wish = wish.map_err(refuse)?;
        let (guard, now) = (&self.guard, clock::now());
        self.settle(call, guard.may_open(&call.view(), wish.work.as_ref(), now))?;
        let entropy = random::session_entropy().map_err(|error| {
            tracing::error!(%error, "cannot open a session");
            refuse(Refusal::UpstreamUnavailable)
        })?;
        let opened = guard.open_session(&wish.agreement, &entropy, call.origin.client, now);
        let opened = opened.map_err(refuse)?;
        let max_age = guard.policy().freshness.max_age.as_secs();
        Ok(created(&opened, max_age, now))
    }
}

fn parse(body: &[u8]) -> Option<Wish> {
    let (agreement, work) = match serde_json::from_slice(body).ok()? {
        SessionRequest::ServerKey { work } => (AgreementRequest::ServerKey, work),
        SessionRequest::EcdhP256 { public_key, work } => {
            let key = URL_SAFE_NO_PAD.decode(public_key).ok()?;
            (AgreementRequest::EcdhP256(key), work)
        }
        SessionRequest::PublicKey { alg, public_key, work } => {
            let algorithm = Algorithm::named(&alg).filter(|algorithm| *algorithm != Algorithm::HmacSha256)?;
            let key = URL_SAFE_NO_PAD.decode(public_key).ok()?;
            (AgreementRequest::PublicKey(algorithm, key), work)
        }
    };
    let work = work.map(|WorkDone { challenge, answers }| Answer { challenge, answers });
    Some(Wish { agreement, work })
}

fn created(opened: &Opened, max_age: u64, now: Now) -> Response<Full<Bytes>> {
    let hmac = Algorithm::HmacSha256;
    let (key_agreement, algorithm, public_key, salt, key) = match &opened.agreed {
        Agreed::EcdhP256 { public_key, salt } => (
            "ecdh-p256",
            hmac,
            Some(URL_SAFE_NO_PAD.encode(public_key)),
            Some(URL_SAFE_NO_PAD.encode(salt)),
            None,
        ),
        Agreed::ServerKey(key) => (
            "server-key",
            hmac,
            None,
            None,
            Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(key.0))),
        ),
        Agreed::PublicKey(algorithm) => ("public-key", *algorithm, None, None, None),
    };
    let key = key.as_ref().map(|key| key.as_str());
    let answer = SessionAnswer {
        session_id: &opened.session_id,
        alg: algorithm.name(),
        key_agreement,
        public_key,
        salt,
        key,
        expires_at: opened.expires.seconds(),
        server_time: seconds(now.wall),
        profile: Profile {
            tag: TAG,
            components: REQUIRED,
            body_components: [CONTENT_DIGEST, COVERED_TYPE],
            digest: "sha-256",
            max_age,
        },
    };
    let body = serde_json::to_vec(&answer).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::CREATED;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_requests() {
        let agreement = |text: &str| parse(text.as_bytes()).map(|wish| wish.agreement);
        assert_eq!(
            agreement(r#"{"key_agreement":"server-key"}"#),
            Some(AgreementRequest::ServerKey)
        );
        assert_eq!(
            agreement(r#"{"key_agreement":"ecdh-p256","public_key":"BAU"}"#),
            Some(AgreementRequest::EcdhP256(vec![4, 5]))
        );
        assert_eq!(
            agreement(r#"{"key_agreement":"public-key","alg":"ed25519","public_key":"BAU"}"#),
            Some(AgreementRequest::PublicKey(Algorithm::Ed25519, vec![4, 5]))
        );
        let work = r#"{"key_agreement":"server-key","work":{"challenge":"c","answers":[0,9007199254740991]}}"#;
        let done = Answer {
            challenge: "c".into(),
            answers: vec![0, (1 << 53) - 1],
        };
        assert_eq!(parse(work.as_bytes()).unwrap().work, Some(done));
        for bad in [
            "",
            "{}",
            r#"{"key_agreement":"public-key","alg":"hmac-sha256","public_key":"BAU"}"#,
            r#"{"key_agreement":"public-key","alg":"rsa","public_key":"BAU"}"#,
            r#"{"key_agreement":"public-key","public_key":"BAU"}"#,
            "[]",
            r#"{"key_agreement":"other"}"#,
            r#"{"key_agreement":"ecdh-p256"}"#,
            r#"{"key_agreement":"ecdh-p256","public_key":"B AU"}"#,
            r#"{"key_agreement":"server-key","extra":1}"#,
            r#"{"key_agreement":"server-key","work":{"challenge":"c"}}"#,
            r#"{"key_agreement":"server-key","work":{"challenge":"c","answers":[-1]}}"#,
            r#"{"key_agreement":"server-key","work":{"challenge":"c","answers":[1.5]}}"#,
            r#"{"key_agreement":"server-key","work":{"challenge":"c","answers":[1],"extra":1}}"#,
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_gate_owns_its_prefix() {
        let own = |raw: &str| path(&NormalPath::parse(raw).unwrap()).map(str::to_owned);
        assert_eq!(own("/.well-known/portcullis/session").as_deref(), Some("session"));
        assert_eq!(
            own("/x/../.well-known/%70ortcullis//client.js").as_deref(),
            Some("client.js")
        );
        assert_eq!(own("/.well-known/acme-challenge/x"), None);
    }
}
