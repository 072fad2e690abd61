//! Opening a session with a key from the gate (docs/protocol.md section 1).

use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis_guard::session::token::SigningKey;
use portcullis_guard::session::work;
use portcullis_guard::time::WallMillis;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::super::failure::Failure;
use super::call::Call;
use super::target::Target;
use super::tls;
use crate::control::api::Moment;

/// The gate's own path for it.
pub(super) const SESSION_PATH: &str = "/.well-known/portcullis/session";

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: usize = 64 << 10;

/// A session, and the gate's clock at its opening.
pub(super) struct Opened {
    pub(super) session_id: String,
    pub(super) key: SigningKey,
    pub(super) expires: Moment,
    /// Seconds since the Unix epoch.
    pub(super) server_time: u64,
    /// How old a signature may be.
    pub(super) max_age: u64,
}

/// Times that work is done for a session.
const WORK_ATTEMPTS: usize = 3;
/// A minute or two at the most.
const MOST_BITS: u8 = 26;

#[derive(Serialize)]
struct Wish<'a> {
    key_agreement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<&'a WorkDone>,
}

#[derive(Serialize)]
struct WorkDone {
    challenge: String,
    answers: Vec<u64>,
}

#[derive(Deserialize)]
struct Work {
    algorithm: String,
    challenge: String,
    count: usize,
    bits: u8,
}

#[derive(Deserialize)]
struct Document {
    session_id: String,
    key: String,
    expires_at: u64,
    server_time: f64,
    profile: Profile,
}

#[derive(Deserialize)]
struct Profile {
    max_age: u64,
}

#[derive(Deserialize)]
struct Problem {
    title: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

/// Opens a session for a call.
pub(super) fn open(target: &Target, call: &Call, ca: Option<&Path>) -> Result<Opened, Failure> {
    let mut answer = exchange(target, ca, request(target, call, None)?)?;
    for _ in 0..WORK_ATTEMPTS {
        let Some(work) = work_asked_for(&answer) else { break };
        answer = exchange(target, ca, request(target, call, Some(&work))?)?;
    }
    if answer.status() != StatusCode::CREATED {
        return Err(refused(target, &answer));
    }
    let document = serde_json::from_slice(answer.body()).map_err(|error| not_understood(target, &error))?;
    opened(document).ok_or_else(|| not_understood(target, &"the key or the session id is malformed"))
}

/// Does the work that a refusal asks for. `None` if it asks for none, or for more than anybody would do.
fn work_asked_for(answer: &Response<Bytes>) -> Option<WorkDone> {
    #[derive(Deserialize)]
    struct Asked {
        work: Work,
    }
    let Asked { work } = serde_json::from_slice(answer.body()).ok()?;
    let is_known = work.algorithm == work::ALGORITHM && work.count == work::COUNT && work.bits <= MOST_BITS;
    is_known.then(|| WorkDone {
        answers: work::solve(&work.challenge, work.bits),
        challenge: work.challenge,
    })
}

fn request(target: &Target, call: &Call, work: Option<&WorkDone>) -> Result<Request<Full<Bytes>>, Failure> {
    let wish = Wish {
        key_agreement: "server-key",
        work,
    };
    let body = serde_json::to_vec(&wish)
        .map_err(|error| Failure::failed("internal", format!("the session request cannot be written: {error}")))?;
    let mut request = Request::post(&target.path)
        .header(HOST, &call.authority)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .map_err(|error| Failure::error("url-invalid", format!("{}: {error}", target.url)))?;
    if let Some(agent) = call.headers.get(USER_AGENT) {
        request.headers_mut().insert(USER_AGENT, agent.clone());
    }
    Ok(request)
}

fn exchange(target: &Target, ca: Option<&Path>, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| unreachable_gate(target, &error))?;
    runtime.block_on(async {
        match tokio::time::timeout(PATIENCE, connect(target, ca, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(unreachable_gate(
                target,
                &format!("no answer within {} seconds", PATIENCE.as_secs()),
            )),
        }
    })
}

async fn connect(
    target: &Target,
    ca: Option<&Path>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Failure> {
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|error| unreachable_gate(target, &error))?;
    if target.https {
        converse(target, tls::over(stream, target, ca).await?, request).await
    } else {
        converse(target, stream, request).await
    }
}

async fn converse(
    target: &Target,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable_gate(target, &error))?;
    tokio::spawn(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| unreachable_gate(target, &error))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LONGEST_ANSWER)
        .collect()
        .await
        .map_err(|error| not_understood(target, &error))?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

fn opened(document: Document) -> Option<Opened> {
    let key = URL_SAFE_NO_PAD.decode(document.key).ok()?;
    let session_id = document.session_id;
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let server_time = Duration::try_from_secs_f64(document.server_time).ok()?.as_secs();
    session_id.bytes().all(in_alphabet).then_some(Opened {
        session_id,
        key: SigningKey(key.try_into().ok()?),
        expires: WallMillis(document.expires_at.saturating_mul(1000)).into(),
        server_time,
        max_age: document.profile.max_age,
    })
}

fn unreachable_gate(target: &Target, error: &impl ToString) -> Failure {
    Failure::error(
        "gate-unreachable",
        format!("failed to reach {}: {}", target.authority, error.to_string()),
    )
    .hint("URL is that of the gate, not of the application behind it; --session-url names another door")
}

fn refused(target: &Target, answer: &Response<Bytes>) -> Failure {
    let status = answer.status();
    let Ok(problem) = serde_json::from_slice::<Problem>(answer.body()) else {
        return Failure::failed(
            "session-refused",
            format!("{} opened no session: {status}", target.authority),
        )
        .hint("is it portcullis that answers there? --session-url names another door");
    };
    let message = format!(
        "{} opened no session: {} ({})",
        target.authority,
        problem.title,
        status.as_u16()
    );
    let failure = Failure::failed("session-refused", message);
    match problem.reference {
        Some(reference) => failure.hint(format!("the operator learns more by `portcullis why {reference}`")),
        None => failure,
    }
}

fn not_understood(target: &Target, error: &impl ToString) -> Failure {
    Failure::failed(
        "not-understood",
        format!(
            "{} gave no session that can be used: {}",
            target.authority,
            error.to_string()
        ),
    )
    .hint("is it portcullis that answers there? --session-url names another door")
}
