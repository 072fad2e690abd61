//! `portcullis sign`: opens a session, signs one call by docs/protocol.md, and prints it as a curl command.
//!
//! The one command that speaks to the gate's front door and not to the control socket.

mod call;
mod curl;
mod opening;
mod target;
mod tls;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use portcullis_guard::signature::base::Message;
use portcullis_guard::signature::sign::{Signer, sign, sign_ticket};
use portcullis_guard::signature::ticket;
use serde::Serialize;

use call::Call;
use opening::Opened;
use target::Target;

use super::answer::Answer;
use super::args::SignArgs;
use super::failure::Failure;
use crate::control::api::Moment;
use crate::random;
use crate::span::Span;

/// The signed call, for programs.
#[derive(Debug, Serialize)]
struct SignedCall {
    method: String,
    url: String,
    /// In the order in which they are sent.
    headers: Vec<(String, String)>,
    session_id: String,
    session_expires: Moment,
    /// How long the gate accepts it; it does so once.
    valid_seconds: u64,
    curl: String,
}

pub(super) fn run(args: &SignArgs) -> Result<Answer, Failure> {
    let call = Call::resolve(args)?;
    let opened = opening::open(&session_target(args, &call)?, &call, args.ca.as_deref())?;
    let (call, headers) = if args.ticket {
        ticketed(call, &opened)?
    } else {
        let headers = signed(&call, &opened)?;
        (call, headers)
    };
    let curl = curl::command(&call, &headers, args.ca.as_deref());
    let data = SignedCall {
        method: call.method.to_string(),
        url: call.target.url.clone(),
        headers: pairs(&headers),
        session_id: opened.session_id.clone(),
        session_expires: opened.expires,
        valid_seconds: opened.max_age,
        curl: curl.clone(),
    };
    let note = format!("note: good for one call within {}", Span(opened.max_age));
    Ok(Answer::of(&data)?.verbatim(curl).say(note))
}

fn session_target(args: &SignArgs, call: &Call) -> Result<Target, Failure> {
    match &args.session_url {
        Some(url) => Ok(Target::parse(url)?.or_path(opening::SESSION_PATH)),
        None => Ok(call.target.at_path(opening::SESSION_PATH)),
    }
}

fn signed(call: &Call, opened: &Opened) -> Result<HeaderMap, Failure> {
    let nonce = first_nonce()?;
    let signer = signer(opened, &nonce);
    sign(&signer, message(call), call.body.bytes())
        .map_err(|refusal| Failure::failed("cannot-sign", format!("the call cannot be signed: {}", refusal.cause())))
}

/// The call with a ticket at the end of its query, and the fields that go with it.
fn ticketed(mut call: Call, opened: &Opened) -> Result<(Call, HeaderMap), Failure> {
    if !ticket::is_for(&call.method) {
        let message = format!("{} takes no ticket", call.method);
        return Err(Failure::error("cannot-sign", message).hint("tickets are for GET, and for POST"));
    }
    let nonce = first_nonce()?;
    let signer = signer(opened, &nonce);
    let life = opened.max_age.min(ticket::LONGEST_LIFE.unsigned_abs());
    let value = sign_ticket(&signer, &message(&call), call.body.bytes(), life)
        .map_err(|refusal| Failure::failed("cannot-sign", format!("no ticket: {}", refusal.cause())))?;
    call.target = call.target.with_parameter(ticket::PARAMETER, &value);
    let headers = call.headers.clone();
    Ok((call, headers))
}

fn signer<'a>(opened: &'a Opened, nonce: &'a str) -> Signer<'a> {
    Signer {
        session_id: &opened.session_id,
        key: &opened.key,
        created: opened.server_time,
        nonce,
    }
}

fn message(call: &Call) -> Message<'_> {
    Message {
        method: &call.method,
        authority: &call.authority,
        path: &call.target.path,
        query: call.target.query.as_deref(),
        headers: &call.headers,
    }
}

/// A stream of its own for each run, so that its counter begins at 0.
fn first_nonce() -> Result<String, Failure> {
    let mut stream = [0; 9];
    random::fill(&mut stream).map_err(|error| Failure::failed("internal", error.to_string()))?;
    Ok(format!("{}.0", URL_SAFE_NO_PAD.encode(stream)))
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
