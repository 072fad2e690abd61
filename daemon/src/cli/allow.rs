//! `portcullis allow`: who is never kept out.

use super::answer::Answer;
use super::args::{AllowAddArgs, AllowVerb};
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
    })
}

fn added(added: &AllowAdded) -> Result<Answer, Failure> {
    let answer = Answer::of(added)?.say(format!("{} is never banned from now on", added.allowed.network));
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
    let mut table = Table::new(&["NETWORK", "FROM", "REASON"]);
    for entry in &list.allowed {
        let from = if entry.fixed { "fixed" } else { "operator" };
        table.row([entry.network.to_string(), from.to_owned(), entry.reason.clone()]);
    }
    Ok(answer.table(table))
}
