//! `portcullis allow`: who is never kept out.

use super::answer::Answer;
use super::args::{AllowAddArgs, AllowVerb};
use super::ban;
use super::failure::Failure;
use super::page::Table;
use crate::control::api::{AllowAdded, AllowList, AllowRequest, Allowed, parse_network};
use crate::control::client::Client;

pub(super) fn run(verb: &AllowVerb, client: &Client) -> Result<Answer, Failure> {
    match verb {
        AllowVerb::Add(args) => added(&client.allow(&entry(args)?)?),
        AllowVerb::Del(args) => deleted(&client.disallow(parse_network(&args.network)?)?),
        AllowVerb::List => listed(&client.allowed()?),
    }
}

fn entry(args: &AllowAddArgs) -> Result<AllowRequest, Failure> {
    Ok(AllowRequest {
        network: parse_network(&args.network)?.to_string(),
        reason: args.reason.clone(),
        for_seconds: match (&args.until, &args.span) {
            (Some(until), _) => Some(ban::seconds_until(until)?),
            (None, Some(span)) => Some(ban::lasting(span)?.as_secs()),
            (None, None) => None,
        },
    })
}

fn added(added: &AllowAdded) -> Result<Answer, Failure> {
    let network = added.allowed.network;
    let answer = Answer::of(added)?.say(match added.allowed.until {
        Some(until) => format!("{network} is never banned until {until}"),
        None => format!("{network} is never banned from now on"),
    });
    Ok(added.lifted.iter().fold(answer, |answer, network| {
        answer.say(format!("its ban of {network} has ended"))
    }))
}

fn deleted(entry: &Allowed) -> Result<Answer, Failure> {
    Ok(Answer::of(entry)?.say(format!("{} can be banned again", entry.network)))
}

fn listed(list: &AllowList) -> Result<Answer, Failure> {
    let answer = Answer::of(list)?;
    if list.allowed.is_empty() {
        return Ok(answer.say("the never-ban set is empty"));
    }
    let mut table = Table::new(&["/NETWORK", "FROM", "UNTIL", "~REASON"]).without(&["FROM"]);
    for entry in &list.allowed {
        let from = if entry.fixed { "fixed" } else { "operator" };
        let from = entry.by.as_deref().unwrap_or(from).to_owned();
        let until = entry.until.map_or_else(|| "-".to_owned(), |until| until.to_string());
        table.row([entry.network.to_string(), from, until, entry.reason.clone()]);
    }
    Ok(answer.table(table))
}
