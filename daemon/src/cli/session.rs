//! `portcullis session`: who is known.

use portcullis_guard::session::SessionId;

use super::answer::Answer;
use super::args::SessionVerb;
use super::failure::Failure;
use super::page::Table;
use crate::control::api::{KeyRotated, Session, SessionEnded, SessionList, SessionState};
use crate::control::client::Client;
use crate::span::Span;

pub(super) fn run(verb: &SessionVerb, client: &Client) -> Result<Answer, Failure> {
    match verb {
        SessionVerb::List => listed(&client.sessions()?),
        SessionVerb::RotateKey => rotated(&client.rotate_key()?),
        SessionVerb::Revoke(args) => revoked(&client.revoke(&id(&args.id)?.to_string())?),
    }
}

fn id(text: &str) -> Result<SessionId, Failure> {
    text.parse().map_err(|error| {
        Failure::error("session-id-invalid", format!("'{text}' is {error}"))
            .hint("`portcullis session list` shows the names")
    })
}

fn revoked(ended: &SessionEnded) -> Result<Answer, Failure> {
    let connections = match ended.connections_closed {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    };
    Ok(Answer::of(ended)?.say(format!("revoked {}, closing {connections}", ended.session)))
}

fn rotated(rotated: &KeyRotated) -> Result<Answer, Failure> {
    let kept = match rotated.previous {
        1 => "1 key before it still opens".to_owned(),
        count => format!("{count} keys before it still open"),
    };
    Ok(Answer::of(rotated)?.say(format!(
        "session ids are sealed under key {}; {kept} sessions",
        rotated.key
    )))
}

fn listed(list: &SessionList) -> Result<Answer, Failure> {
    let answer = Answer::of(list)?;
    if list.sessions.is_empty() {
        return Ok(answer.say("no sessions"));
    }
    let mut table = Table::new(&[
        "SESSION",
        "STATE",
        "ADDRESS",
        ">IDLE",
        ">SCORE",
        ">CALLS",
        ">STREAMS",
        ">CONNECTIONS",
        "EXPIRES",
        "USER",
        "USER-AGENT",
    ]);
    for session in &list.sessions {
        table.row([
            session.id.clone(),
            state(session),
            session.address.to_string(),
            Span(session.idle_seconds).to_string(),
            format!("{:.1}", session.score),
            session.calls.to_string(),
            session.streams.to_string(),
            session.connections.to_string(),
            session.expires.to_string(),
            session.user.clone().unwrap_or_else(|| "-".to_owned()),
            session.user_agent.clone(),
        ]);
    }
    Ok(answer.table(table))
}

fn state(session: &Session) -> String {
    match (session.state, session.banned_seconds) {
        (SessionState::Active, _) => "active".to_owned(),
        (SessionState::Suspended, _) => "suspended".to_owned(),
        (SessionState::Banned, Some(left)) => format!("banned {}", Span(left)),
        (SessionState::Banned, None) => "banned".to_owned(),
        (SessionState::Revoked, _) => "revoked".to_owned(),
    }
}
