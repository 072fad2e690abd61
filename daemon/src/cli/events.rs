//! `portcullis events`: what happened lately, or what happens from here on.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::Serialize;

use super::answer::Answer;
use super::args::EventsArgs;
use super::failure::Failure;
use super::page::Table;
use super::text::{visible, visible_json};
use crate::control::api::{Event, EventKind, Incident};
use crate::control::client::Client;
use crate::span::Span;

/// For programs.
#[derive(Serialize)]
struct Lately {
    events: Vec<Event>,
}

pub(super) fn run(args: &EventsArgs, client: &Client, json: bool) -> Result<Answer, Failure> {
    if args.follow {
        return follow(client, json);
    }
    let mut events: Vec<Event> = client
        .incidents(args.last)?
        .incidents
        .into_iter()
        .map(refusal)
        .collect();
    events.extend(client.audit(args.last)?.deeds.into_iter().map(|deed| Event {
        who: Some(deed.who),
        action: Some(deed.action),
        object: Some(deed.object),
        reason: Some(deed.reason).filter(|reason| !reason.is_empty()),
        ..Event::new(deed.at, EventKind::Operator)
    }));
    events.sort_by_key(|event| event.at);
    events.drain(..events.len().saturating_sub(args.last));
    if events.is_empty() {
        let answer = Answer::of(&Lately { events })?;
        return Ok(answer.say("nothing happened lately; --follow waits for what will"));
    }
    let mut table = Table::new(&["WHEN", "KIND", "~WHAT"]);
    for event in &events {
        table.row([event.at.to_string(), event.kind.as_str().to_owned(), told(event)]);
    }
    Ok(Answer::of(&Lately { events })?.table(table))
}

fn refusal(incident: Incident) -> Event {
    Event {
        session: incident.session,
        reference: Some(incident.reference),
        cause: Some(incident.cause),
        address: Some(incident.address),
        method: Some(incident.method),
        path: Some(incident.path),
        rule: incident.rule,
        waived: Some(incident.waived),
        ..Event::new(incident.at, EventKind::Refusal)
    }
}

/// Each line is out before the next is waited for.
fn follow(client: &Client, json: bool) -> Result<Answer, Failure> {
    let mut out = io::stdout().lock();
    let mut outcome = Ok(());
    let mut tell = |event: Event| {
        let line = if json {
            serde_json::to_string(&event).map_or_else(|_| String::new(), |line| visible_json(&line))
        } else {
            visible(&format!("{} {:<16} {}", event.at, event.kind.as_str(), told(&event)))
        };
        outcome = writeln!(out, "{line}").and_then(|()| out.flush());
        if outcome.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    client.follow(&mut tell)?;
    match outcome {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Answer::nothing()),
        Err(error) => Err(Failure::failed("output", format!("failed to write: {error}"))),
        Ok(()) => Err(Failure::error("not-running", "portcullis has ended")),
    }
}

/// An event in words.
fn told(event: &Event) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let network = event.network.map(|network| network.to_string()).unwrap_or_default();
    let span = event
        .for_seconds
        .map(|seconds| format!(" for {}", Span(seconds)))
        .unwrap_or_default();
    match event.kind {
        EventKind::Ban => format!("{network}{span} by {}", text(&event.origin)),
        EventKind::Unban | EventKind::Allow | EventKind::Disallow => network,
        EventKind::SessionEnded => format!("{}{span}", text(&event.session)),
        EventKind::SessionRestored => text(&event.session),
        EventKind::Refusal => {
            let address = event.address.map(|address| address.to_string()).unwrap_or_default();
            let waived = if event.waived == Some(true) { ", and passed" } else { "" };
            let rule = event.rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
            let (reference, cause) = (text(&event.reference), text(&event.cause));
            let (method, path) = (text(&event.method), text(&event.path));
            format!("{reference} {cause}{rule} {address} {method} {path}{waived}")
        }
        EventKind::Operator => {
            let reason = event
                .reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            format!(
                "{} {} by {}{reason}",
                text(&event.action),
                text(&event.object),
                text(&event.who)
            )
        }
        EventKind::Lost => format!(
            "{} events were too many for this reader",
            event.lost.unwrap_or_default()
        ),
        EventKind::Unknown => "something that this version does not know".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn events_in_words() {
        let at = "\"at\":\"2027-01-15T08:00:00Z\"";
        for (json, expected) in [
            (
                r#""kind":"ban","network":"192.0.2.7/32","for_seconds":900,"origin":"score""#,
                "192.0.2.7/32 for 15m by score",
            ),
            (r#""kind":"lost","lost":7"#, "7 events were too many for this reader"),
            (
                r#""kind":"operator","who":"anna","action":"mode","object":"enforce""#,
                "mode enforce by anna",
            ),
            (
                r#""kind":"of-tomorrow","x":1"#,
                "something that this version does not know",
            ),
        ] {
            assert_eq!(told(&event(&format!("{{{at},{json}}}"))), expected);
        }
    }
}
