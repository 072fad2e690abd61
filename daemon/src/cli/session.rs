//! `portcullis session`: who is known.

use portcullis_guard::session::SessionId;

use super::answer::Answer;
use super::args::SessionVerb;
use super::failure::Failure;
use super::page::Table;
use crate::control::api::{
    KeyRotated, PointLine, Session, SessionEnded, SessionEvent, SessionList, SessionState, SessionTimeline,
};
use crate::control::client::Client;
use crate::span::Span;

pub(super) fn run(verb: &SessionVerb, client: &Client) -> Result<Answer, Failure> {
    match verb {
        SessionVerb::List => listed(&client.sessions()?),
        SessionVerb::RotateKey => rotated(&client.rotate_key()?),
        SessionVerb::Timeline(args) => told(&client.timeline(&id(&args.id)?.to_string())?),
        SessionVerb::Revoke(args) => revoked(&client.revoke(&id(&args.id)?.to_string())?),
        SessionVerb::Restore(args) => {
            let restored = client.restore(&id(&args.id)?.to_string())?;
            Ok(Answer::of(&restored)?.say(format!("restored {}", restored.session)))
        }
    }
}

fn id(text: &str) -> Result<SessionId, Failure> {
    text.parse().map_err(|error| {
        Failure::error("session-id-invalid", format!("'{text}' is {error}"))
            .hint("`portcullis session list` shows the names")
    })
}

fn told(timeline: &SessionTimeline) -> Result<Answer, Failure> {
    let session = &timeline.session;
    let answer = Answer::of(timeline)?
        .field("session", &session.id)
        .field("state", &state(session))
        .field("address", &session.address)
        .field("score", &format!("{:.1}", session.score))
        .field("calls", &session.calls);
    let answer = timeline
        .ja4
        .iter()
        .fold(answer, |answer, ja4| answer.field("ja4", &ja4));
    let mut events = Table::new(&["WHEN", "METHOD", "~PATH", ">STATUS", "~WHAT"]).without(&["METHOD"]);
    for event in &timeline.events {
        events.row([
            event.at.to_string(),
            event.method.clone(),
            event.path.clone(),
            event.status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
            what(event),
        ]);
    }
    let mut points = Table::new(&["WHEN", ">POINTS", ">TIMES", "~FOR"]);
    for line in &timeline.points {
        points.row(cells(line));
    }
    let answer = match timeline.events.is_empty() {
        true => answer.say("no calls and no refusals are remembered"),
        false => answer.table(events),
    };
    Ok(match timeline.points.is_empty() {
        true => answer,
        false => answer.table(points),
    })
}

fn what(event: &SessionEvent) -> String {
    let mut said = match event.kind.as_str() {
        "call" => "passed".to_owned(),
        "watched" => format!("passed, watched: {}", event.said),
        _ => format!("refused: {}", event.said),
    };
    if let Some(rule) = &event.rule {
        said.push_str(&format!(" [rule {rule}]"));
    }
    if let Some(reference) = &event.reference {
        said.push_str(&format!(" [{reference}]"));
    }
    said
}

/// A line of points, for a table.
pub(super) fn cells(line: &PointLine) -> [String; 4] {
    let what = match &line.rule {
        Some(rule) if line.signal == "rule" => format!("rule {rule}"),
        Some(_) | None => format!("{}: {}", line.signal, line.what),
    };
    let reference = line.reference.as_ref();
    let reference = reference.map_or_else(String::new, |reference| format!(" [{reference}]"));
    [
        line.at.to_string(),
        format!("{:.0}", line.points),
        line.times.to_string(),
        format!("{what}{reference}"),
    ]
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
        "/ADDRESS",
        ">IDLE",
        ">SCORE",
        ">CALLS",
        ">STREAMS",
        ">CONNECTIONS",
        "EXPIRES",
        "~USER",
        "~USER-AGENT",
    ])
    .without(&[
        "EXPIRES",
        "CONNECTIONS",
        "STREAMS",
        "USER-AGENT",
        "USER",
        "CALLS",
        "IDLE",
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
        (SessionState::Over, _) => "over".to_owned(),
    }
}
