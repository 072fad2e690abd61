//! `portcullis status`: what the gate does.

use super::answer::Answer;
use super::args::StatusArgs;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::mode;
use super::page::Table;
use crate::control::api::{BanCount, PacketLayer, Process, Status};
use crate::control::client::Client;
use crate::span::Span;

pub(super) fn run(args: &StatusArgs, client: &Client) -> Result<Answer, Failure> {
    if args.verify {
        verified(&client.verify()?)
    } else {
        shown(&client.status()?)
    }
}

/// The state, and a status that tells whether the kernel was as it should be.
fn verified(status: &Status) -> Result<Answer, Failure> {
    let answer = shown(status)?;
    let found = status.packet_layer.as_ref().and_then(|layer| layer.enforcement);
    Ok(match found {
        None => answer.say("note: the packet layer is off: there is nothing to compare"),
        Some(found) if (found.missing, found.wrong, found.strays) == (0, 0, 0) => {
            answer.say("verified: the kernel holds exactly what it should")
        }
        Some(found) => answer
            .say(format!(
                "verified: {} bans were missing, {} wrong and {} beyond; repaired, but for {} that the kernel would not take",
                found.missing, found.wrong, found.strays, found.refused
            ))
            .status(ExitStatus::Failure),
    })
}

fn shown(status: &Status) -> Result<Answer, Failure> {
    let refused: u64 = status.calls.refused.values().sum();
    let mode = status.enforcement.as_ref().map_or_else(
        || status.mode.to_string(),
        |state| mode::named(state.mode, state.share_percent),
    );
    let mut answer = Answer::of(status)?
        .field("mode", &mode)
        .field("version", &&status.version)
        .field(
            "started",
            &format!("{} (up {})", status.started, Span(status.uptime_seconds)),
        );
    if let Some(process) = &status.process {
        answer = answer.field("runs as", &standing(process));
        if process.root {
            answer = answer
                .say("warning: the daemon stays root, if without capabilities; set service.user to a user of its own");
        }
    }
    answer = status.listening.iter().fold(answer, |answer, place| {
        let tls = if place.tls { ", TLS" } else { "" };
        let handed = if place.handed_over { ", handed over" } else { "" };
        answer.field("listening", &format!("{}{tls}{handed}", place.address))
    });
    answer = interfaces(answer, status.packet_layer.as_ref()).field("bans", &bans(status.bans));
    answer = kernel(answer, status.packet_layer.as_ref())
        .field("never-ban", &status.never_ban)
        .field("sessions", &status.sessions)
        .field(
            "calls",
            &format!("{} admitted, {refused} refused", status.calls.admitted),
        );
    for warning in status.packet_layer.iter().flat_map(|layer| &layer.warnings) {
        answer = answer.say(format!("warning: {warning}"));
    }
    let refused_for_room = status.shared_facts.refused;
    if refused_for_room > 0 {
        answer = answer.say(format!(
            "warning: rules had no room to count {refused_for_room} calls, and refused them: `session.shared_facts` and \
             `session.source_capacity` say how much there is"
        ));
    }
    if let Some(state) = &status.enforcement {
        answer = mode::warned(answer, state);
    }
    if let Some(warning) = drift(status.bans) {
        answer = answer.say(warning);
    }
    if refused > 0 {
        answer = answer.line("").table(causes(status));
    }
    if status.connections.limits.values().any(|count| *count > 0) {
        answer = answer.line("").table(limits(status));
    }
    Ok(match &status.packet_layer {
        Some(layer) => answer.line("").table(packets(layer)),
        None => answer,
    })
}

fn standing(process: &Process) -> String {
    let capabilities = match process.capabilities {
        0 => "without capabilities".to_owned(),
        some => format!("with {some} capabilities"),
    };
    let calls = if process.system_calls_filtered { "" } else { "not " };
    format!("{}, {capabilities}, system calls {calls}filtered", process.user)
}

fn interfaces(answer: Answer, layer: Option<&PacketLayer>) -> Answer {
    match layer {
        None => answer.field("interface", &"none: the packet layer is off"),
        Some(layer) => layer.interfaces.iter().fold(answer, |answer, interface| {
            answer.field("interface", &format!("{} ({})", interface.name, interface.attached))
        }),
    }
}

fn kernel(mut answer: Answer, layer: Option<&PacketLayer>) -> Answer {
    if let Some(last) = layer.and_then(|layer| layer.enforcement) {
        let part = format!("{:.2} % of {} at {}", hundredths(last.ratio), last.intended, last.at);
        answer = answer.field("enforced", &part);
    }
    if let Some(tables) = layer.and_then(|layer| layer.tables) {
        let memory = tables.memory_bytes.map(|bytes| format!(", {} MB", bytes / 1_000_000));
        let full = format!("{} of {}{}", tables.hosts, tables.capacity, memory.unwrap_or_default());
        answer = answer.field("tables", &full);
    }
    match layer.map(|layer| &layer.monitored_origins) {
        Some(origins) if !origins.is_empty() => answer.field("monitored", &origins.join(", ")),
        Some(_) | None => answer,
    }
}

/// Rounded down, so that 100 % are all.
fn hundredths(ratio: f64) -> f64 {
    (ratio * 10_000.0).floor() / 100.0
}

fn bans(count: BanCount) -> String {
    match count.in_kernel {
        Some(in_kernel) => format!("{} intended, {in_kernel} in the kernel", count.intended),
        None => format!("{} intended", count.intended),
    }
}

fn drift(count: BanCount) -> Option<String> {
    let missing = count.intended.saturating_sub(count.in_kernel?);
    match (missing, count.strays?) {
        (0, 0) => None,
        (missing, 0) => Some(format!(
            "warning: the kernel lacks {missing} of {} bans",
            count.intended
        )),
        (0, strays) => Some(format!("warning: the kernel has {strays} bans that nobody intends")),
        (missing, strays) => Some(format!(
            "warning: the kernel lacks {missing} of {} bans, and has {strays} that nobody intends",
            count.intended
        )),
    }
}

fn causes(status: &Status) -> Table {
    let mut table = Table::new(&["REFUSED FOR", ">CALLS"]).in_report();
    let mut causes: Vec<_> = status.calls.refused.iter().filter(|(_, count)| **count > 0).collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (cause, count) in causes {
        table.row([cause.clone(), count.to_string()]);
    }
    table
}

/// What ended connections beside refused requests.
fn limits(status: &Status) -> Table {
    let mut table = Table::new(&["LIMIT REACHED", ">CONNECTIONS"]).in_report();
    for (limit, count) in status.connections.limits.iter().filter(|(_, count)| **count > 0) {
        table.row([limit.clone(), count.to_string()]);
    }
    table
}

fn packets(layer: &PacketLayer) -> Table {
    let mut table = Table::new(&["PACKETS", "FATE", ">COUNT", ">BYTES", ">WOULD-DROP"])
        .in_report()
        .without(&["WOULD-DROP", "BYTES"]);
    for count in &layer.packets {
        let fate = if count.dropped { "dropped" } else { "passed" };
        table.row([
            count.reason.clone(),
            fate.to_owned(),
            count.packets.to_string(),
            count.bytes.to_string(),
            count.monitored_packets.to_string(),
        ]);
    }
    table
}
