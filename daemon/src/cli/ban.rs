//! `portcullis ban`: who is kept out.

use std::time::{Duration, SystemTime};

use super::answer::Answer;
use super::args::{BanAddArgs, BanEditArgs, BanListArgs, BanVerb};
use super::bulk;
use super::caller;
use super::exit::ExitStatus;
use super::failure::Failure;
use super::page::Table;
use super::printer::Printer;
use crate::control::api::{
    Ban, BanAdded, BanCheck, BanEdit, BanList, BanQuery, BanRequest, CheckedBan, Mode, Verdict, parse_address,
    parse_network,
};
use crate::control::client::Client;
use crate::span::{self, Span};

pub(super) fn run(verb: &BanVerb, client: &Client, printer: Printer) -> Result<Answer, Failure> {
    match verb {
        BanVerb::Add(args) => added(&client.ban(&order(args)?)?),
        BanVerb::Del(args) => deleted(&client.unban(parse_network(&args.network)?)?),
        BanVerb::Edit(args) => edited(&client.edit(parse_network(&args.network)?, &edit(args)?)?),
        BanVerb::List(args) => listed(&client.bans(&query(args)?)?),
        BanVerb::Import(args) => bulk::import(args, client, printer),
        BanVerb::Export(args) => bulk::export(args, client, printer),
        BanVerb::Flush(args) => bulk::flush(args, client),
        BanVerb::Check(args) => checked(&client.check(parse_address(&args.address)?)?),
    }
}

fn order(args: &BanAddArgs) -> Result<BanRequest, Failure> {
    Ok(BanRequest {
        network: parse_network(&args.network)?.to_string(),
        for_seconds: seconds(args.until.as_deref(), &args.span)?,
        reason: args.reason.clone(),
        force: args.force,
        caller: caller::address(),
    })
}

fn edit(args: &BanEditArgs) -> Result<BanEdit, Failure> {
    let span = args.span.as_deref().map(lasting).transpose()?;
    let until = args.until.as_deref().map(seconds_until).transpose()?;
    Ok(BanEdit {
        for_seconds: until.or(span.map(|span| span.as_secs())),
        reason: args.reason.clone(),
    })
}

fn edited(ban: &Ban) -> Result<Answer, Failure> {
    let left = Span(ban.remaining_seconds);
    Ok(Answer::of(ban)?.say(format!("{} is banned for {left}, until {}", ban.network, ban.until)))
}

fn query(args: &BanListArgs) -> Result<BanQuery, Failure> {
    let network = |text: &Option<String>| text.as_deref().map(parse_network).transpose();
    Ok(BanQuery {
        origin: args.which.origin.clone(),
        list: args.which.list.clone(),
        within: network(&args.within)?,
        text: args.text.clone(),
        sort: args.sort.clone(),
        limit: args.limit.and_then(|limit| usize::try_from(limit).ok()),
        after: network(&args.after)?,
    })
}

/// For how long: until a time, or for a span.
pub(super) fn seconds(until: Option<&str>, span: &str) -> Result<u64, Failure> {
    match until {
        Some(until) => seconds_until(until),
        None => Ok(lasting(span)?.as_secs()),
    }
}

/// From now to a time that was typed.
pub(super) fn seconds_until(text: &str) -> Result<u64, Failure> {
    let time = humantime::parse_rfc3339_weak(text).map_err(|_| {
        Failure::error("time-invalid", format!("'{text}' is not a time")).hint("write it like 2027-01-15T09:30:00Z")
    })?;
    match time.duration_since(SystemTime::now()) {
        Ok(left) => Ok(left.as_secs() + 1),
        Err(_) => Err(Failure::error("time-invalid", format!("{text} is over"))),
    }
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
        return Ok(answer.say(if list.total > 0 { "no such bans" } else { "no bans" }));
    }
    let mut table = Table::new(&[
        "/NETWORK",
        ">LEFT",
        "UNTIL",
        "BY",
        ">PACKETS",
        ">BYTES",
        "LAST SEEN",
        "~REASON",
    ])
    .without(&["BYTES", "LAST SEEN", "UNTIL", "PACKETS", "BY"]);
    for ban in &list.bans {
        let [packets, bytes, last_seen] = hits(ban);
        table.row([
            ban.network.to_string(),
            Span(ban.remaining_seconds).to_string(),
            ban.until.to_string(),
            by(ban),
            packets,
            bytes,
            last_seen,
            ban.reason.clone(),
        ]);
    }
    let answer = answer.table(table);
    Ok(match list.next {
        Some(next) => answer.say(format!("note: there are more, {} in all: --after {next}", list.total)),
        None => answer,
    })
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
        .field("by", &by(ban))
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

/// Who wanted it: an operator or a list by name.
fn by(ban: &Ban) -> String {
    match (&ban.list, &ban.by) {
        (Some(list), _) => format!("list {list}"),
        (None, Some(by)) => format!("{} {by}", ban.origin),
        (None, None) => ban.origin.clone(),
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

pub(super) fn lasting(text: &str) -> Result<Duration, Failure> {
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
