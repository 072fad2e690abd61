//! `portcullis why`: what a client was refused for.

use portcullis_guard::request::Reference;

use super::answer::Answer;
use super::args::WhyArgs;
use super::failure::Failure;
use super::page::Table;
use super::session::cells;
use crate::control::api::{Incident, IncidentList};
use crate::control::client::Client;

pub(super) fn run(args: &WhyArgs, client: &Client) -> Result<Answer, Failure> {
    match &args.reference {
        Some(text) => explained(&client.incident(&reference(text)?.to_string())?),
        None => listed(&client.incidents(args.last)?),
    }
}

fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse()
        .map_err(|error| Failure::error("reference-invalid", format!("'{text}' is {error}")))
}

fn explained(incident: &Incident) -> Result<Answer, Failure> {
    let answer = Answer::of(incident)?
        .line(format!(
            "{} {}: {}",
            incident.method, incident.path, incident.explanation
        ))
        .field("when", &incident.at)
        .field("cause", &&incident.cause)
        .field("client saw", &answered(incident))
        .field("address", &incident.address);
    let answer = incident.ja4.iter().fold(answer, |answer, ja4| answer.field("ja4", ja4));
    let answer = answer.field("session", &incident.session.as_deref().unwrap_or("none proved"));
    let answer = match &incident.rule {
        Some(rule) => answer.field("rule", &rule),
        None => answer,
    };
    let mut answer = answer.field(
        "points",
        &format!(
            "{} session, {} address",
            incident.session_points, incident.address_points
        ),
    );
    for consequence in &incident.consequences {
        answer = answer.field("so", consequence);
    }
    let ledgers = [
        ("points of the session", &incident.session_ledger),
        ("points of the address", &incident.address_ledger),
    ];
    for (name, lines) in ledgers.into_iter().filter(|(_, lines)| !lines.is_empty()) {
        let mut table = Table::new(&["WHEN", ">POINTS", ">TIMES", "~FOR"]);
        lines.iter().for_each(|line| table.row(cells(line)));
        answer = answer.line(format!("{name}:")).table(table);
    }
    Ok(answer)
}

fn answered(incident: &Incident) -> String {
    if incident.waived {
        format!(
            "nothing of it: the gate only watches (it would have been {} {})",
            incident.http_status, incident.problem
        )
    } else {
        format!("{} {}", incident.http_status, incident.problem)
    }
}

fn listed(list: &IncidentList) -> Result<Answer, Failure> {
    let answer = Answer::of(list)?;
    if list.incidents.is_empty() {
        return Ok(answer.say("nothing was refused lately"));
    }
    let mut table = Table::new(&["WHEN", "REF", "~CAUSE", "/ADDRESS", "METHOD", "~PATH"]).without(&["WHEN", "METHOD"]);
    for incident in &list.incidents {
        table.row([
            incident.at.to_string(),
            incident.reference.clone(),
            incident.cause.clone(),
            incident.address.to_string(),
            incident.method.clone(),
            incident.path.clone(),
        ]);
    }
    Ok(answer.table(table))
}
