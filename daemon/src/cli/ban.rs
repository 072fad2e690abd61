//! `portcullis ban`: who is kept out.

use std::time::Duration;

use super::answer::Answer;
use super::args::{BanAddArgs, BanVerb};
use super::exit::ExitStatus;
use super::failure::Failure;
use super::page::Table;
use crate::control::api::{
    Ban, BanAdded, BanCheck, BanList, BanRequest, CheckedBan, Mode, Verdict, parse_address, parse_network,
};
use crate::control::client::Client;
use crate::span::{self, Span};

pub(super) fn run(verb: &BanVerb, client: &Client) -> Result<Answer, Failure> {
    match verb {
        BanVerb::Add(args) => added(&client.ban(&order(args)?)?),
        BanVerb::Del(args) => deleted(&client.unban(parse_network(&args.network)?)?),
        BanVerb::List => listed(&client.bans()?),
        BanVerb::Check(args) => checked(&client.check(parse_address(&args.address)?)?),
    }
}

fn order(args: &BanAddArgs) -> Result<BanRequest, Failure> {
    Ok(BanRequest {
        network: parse_network(&args.network)?.to_string(),
        for_seconds: lasting(&args.span)?.as_secs(),
        reason: args.reason.clone(),
        force: args.force,
    })
}

fn added(added: &BanAdded) -> Result<Answer, Failure> {
    let ban = &added.ban;
    let answer = Answer::of(added)?.say(format!(
        "banned {} for {}, until {}",
        ban.network,
        Span(ban.remaining_seconds),
        ban.until
    ));
    Ok(match (added.mode, added.packet_layer) {
        (Mode::Monitor, _) => answer.say("note: the gate only watches (mode monitor): nothing is kept out yet"),
        (Mode::Enforce, false) => {
            answer.say("note: the packet layer is off: calls are refused, packets are not dropped")
        }
        (Mode::Enforce, true) => answer,
    })
}

fn deleted(ban: &Ban) -> Result<Answer, Failure> {
    let left = Span(ban.remaining_seconds);
    Ok(Answer::of(ban)?.say(format!("unbanned {}, {left} before its end", ban.network)))
}

fn listed(list: &BanList) -> Result<Answer, Failure> {
    let answer = Answer::of(list)?;
    if list.bans.is_empty() {
        return Ok(answer.say("no bans"));
    }
    let mut table = Table::new(&[
        "NETWORK",
        ">LEFT",
        "UNTIL",
        "BY",
        ">PACKETS",
        ">BYTES",
        "LAST SEEN",
        "REASON",
    ]);
    for ban in &list.bans {
        let [packets, bytes, last_seen] = hits(ban);
        table.row([
            ban.network.to_string(),
            Span(ban.remaining_seconds).to_string(),
            ban.until.to_string(),
            ban.origin.clone(),
            packets,
            bytes,
            last_seen,
            ban.reason.clone(),
        ]);
    }
    Ok(answer.table(table))
}

/// Cells of the table; a dash where nothing was counted.
fn hits(ban: &Ban) -> [String; 3] {
    ban.hits.map_or_else(
        || ["-"; 3].map(str::to_owned),
        |hits| {
            [
                hits.packets.to_string(),
                hits.bytes.to_string(),
                hits.last_seen.to_string(),
            ]
        },
    )
}

fn checked(check: &BanCheck) -> Result<Answer, Failure> {
    let mut answer = Answer::of(check)?.line(sentence(check));
    if let Some(entry) = &check.allowed {
        answer = answer.field("never-ban", &format!("{} ({})", entry.network, or_dash(&entry.reason)));
    }
    for (index, checked) in check.bans.iter().enumerate() {
        answer = if index > 0 { answer.line("") } else { answer };
        answer = ban_fields(answer, checked, check.packet_layer);
    }
    for stray in &check.strays {
        let left = Span(stray.remaining_seconds);
        answer = answer.field(
            "stray",
            &format!(
                "the kernel has {} for {left}, and the daemon did not ask for it",
                stray.network
            ),
        );
    }
    let status = if check.verdict.keeps_out() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    };
    Ok(answer.status(status))
}

fn sentence(check: &BanCheck) -> String {
    let address = check.address;
    match check.verdict {
        Verdict::Passes => format!("{address} passes: no ban covers it"),
        Verdict::NeverBanned => format!("{address} passes: it is in the never-ban set, which wins over every ban"),
        Verdict::Dropped => format!("{address} is dropped at the network card"),
        Verdict::Refused if check.packet_layer => {
            format!("{address} is refused, but its packets are not dropped: the kernel does not have the ban")
        }
        Verdict::Refused => format!("{address} is refused: its packets are not dropped, as the packet layer is off"),
        Verdict::Watched => format!("{address} is banned, but passes: the gate only watches (mode monitor)"),
    }
}

fn ban_fields(answer: Answer, checked: &CheckedBan, packet_layer: bool) -> Answer {
    let ban = &checked.ban;
    let kernel = match &checked.kernel {
        Some(entry) => format!("has it, for {} more", Span(entry.remaining_seconds)),
        None if packet_layer => "does not have it".to_owned(),
        None => "not asked, as the packet layer is off".to_owned(),
    };
    let answer = answer
        .field("ban", &ban.network)
        .field("reason", &or_dash(&ban.reason))
        .field("by", &&ban.origin)
        .field("since", &ban.since)
        .field(
            "until",
            &format!("{} ({} left)", ban.until, Span(ban.remaining_seconds)),
        )
        .field("kernel", &kernel);
    let answer = match &ban.hits {
        Some(hits) => answer.field(
            "hits",
            &format!(
                "{} packets, {} bytes, the last at {}",
                hits.packets, hits.bytes, hits.last_seen
            ),
        ),
        None => answer,
    };
    match &ban.reference {
        Some(reference) => answer.field("see", &format!("portcullis why {reference}")),
        None => answer,
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn lasting(text: &str) -> Result<Duration, Failure> {
    let span = span::parse(text)?;
    if span < Duration::from_secs(1) {
        return Err(Failure::error(
            "duration-invalid",
            format!("'{text}' is too short: a ban lasts at least one second"),
        )
        .hint("`portcullis ban del` ends a ban"));
    }
    Ok(span)
}
