//! `portcullis status`: what the gate does.

use super::answer::Answer;
use super::failure::Failure;
use super::page::Table;
use crate::control::api::{BanCount, PacketLayer, Status};
use crate::control::client::Client;
use crate::span::Span;

pub(super) fn run(client: &Client) -> Result<Answer, Failure> {
    shown(&client.status()?)
}

fn shown(status: &Status) -> Result<Answer, Failure> {
    let refused: u64 = status.calls.refused.values().sum();
    let mut answer = Answer::of(status)?
        .field("mode", &status.mode)
        .field("version", &&status.version)
        .field(
            "started",
            &format!("{} (up {})", status.started, Span(status.uptime_seconds)),
        );
    answer = interfaces(answer, status.packet_layer.as_ref())
        .field("bans", &bans(status.bans))
        .field("never-ban", &status.never_ban)
        .field("sessions", &status.sessions)
        .field(
            "calls",
            &format!("{} admitted, {refused} refused", status.calls.admitted),
        );
    for warning in status.packet_layer.iter().flat_map(|layer| &layer.warnings) {
        answer = answer.say(format!("warning: {warning}"));
    }
    if let Some(warning) = drift(status.bans) {
        answer = answer.say(warning);
    }
    if refused > 0 {
        answer = answer.line("").table(causes(status));
    }
    Ok(match &status.packet_layer {
        Some(layer) => answer.line("").table(packets(layer)),
        None => answer,
    })
}

fn interfaces(answer: Answer, layer: Option<&PacketLayer>) -> Answer {
    match layer {
        None => answer.field("interface", &"none: the packet layer is off"),
        Some(layer) => layer.interfaces.iter().fold(answer, |answer, interface| {
            answer.field("interface", &format!("{} ({})", interface.name, interface.attached))
        }),
    }
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

fn packets(layer: &PacketLayer) -> Table {
    let mut table = Table::new(&["PACKETS", "FATE", ">COUNT", ">BYTES", ">WOULD-DROP"]).in_report();
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
