//! What may be typed to keep somebody out, or let him in.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{AddressArgs, NetworkArgs};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BanVerb {
    /// Ban an address or a network, or change its ban
    Add(BanAddArgs),
    /// End a ban
    #[command(visible_alias = "delete")]
    Del(NetworkArgs),
    /// Change the end or the reason of a ban, whoever wanted it
    Edit(BanEditArgs),
    /// List the bans in force
    List(BanListArgs),
    /// Ban what a list names, and end what it named before and does not name now
    Import(BanImportArgs),
    /// Write the bans as `ban import` reads them
    Export(BanExportArgs),
    /// End many bans at once
    Flush(BanFlushArgs),
    /// Tell what happens to an address, and why (exit status 0: it is kept out, 1: it is not)
    Check(AddressArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BanAddArgs {
    /// An address or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::/48
    #[arg(value_name = "ADDRESS|NETWORK")]
    pub(in crate::cli) network: String,
    /// For how long: 90s, 1h, 1h30m, 2d
    #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
    pub(in crate::cli) span: String,
    /// Until when, instead: 2027-01-15T09:30:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    pub(in crate::cli) until: Option<String>,
    /// Why, for whoever reads the list later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(in crate::cli) reason: String,
    /// Ban a network that is wider than IPv4 /8 or IPv6 /19, has never-ban entries in it, or your own address
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BanEditArgs {
    /// An address or a network, as it stands in the list
    #[arg(value_name = "ADDRESS|NETWORK")]
    pub(in crate::cli) network: String,
    /// For how long from now
    #[arg(long = "for", value_name = "DURATION", required_unless_present_any = ["until", "reason"])]
    pub(in crate::cli) span: Option<String>,
    /// Until when, instead: 2027-01-15T09:30:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    pub(in crate::cli) until: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WhichBansArgs {
    /// Those by `operator`, `score`, `rate` or `list`
    #[arg(long, value_name = "ORIGIN")]
    pub(in crate::cli) origin: Option<String>,
    /// Those of an imported list
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) list: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BanListArgs {
    #[command(flatten)]
    pub(in crate::cli) which: WhichBansArgs,
    /// Those inside a network
    #[arg(long, value_name = "NETWORK")]
    pub(in crate::cli) within: Option<String>,
    /// Those with this text in their reason or operator
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) text: Option<String>,
    /// By `network`, `until` (the first to end first) or `since` (the newest first)
    #[arg(long, value_name = "ORDER")]
    pub(in crate::cli) sort: Option<String>,
    /// At most so many [default: 1000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) limit: Option<u32>,
    /// Those behind this network: the next page
    #[arg(long, value_name = "NETWORK")]
    pub(in crate::cli) after: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BanImportArgs {
    /// A plain list, FireHOL's, Spamhaus DROP, CrowdSec's decisions or an export; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    /// The list's name: what it banned before and does not name now is let go
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) list: Option<String>,
    /// For how long, where the list does not say
    #[arg(long = "for", value_name = "DURATION", default_value = "24h")]
    pub(in crate::cli) span: String,
    /// Until when, instead: 2027-01-15T09:30:00Z
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    pub(in crate::cli) until: Option<String>,
    /// Why, where the list does not say
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) reason: Option<String>,
    /// By `operator`, `score`, `rate` or `list`, where the list does not say [default: operator]
    #[arg(long, value_name = "ORIGIN", conflicts_with = "list")]
    pub(in crate::cli) origin: Option<String>,
    /// Take very wide networks, and a list that lost more than half of its entries
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// Tell what it would do, and do nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BanExportArgs {
    #[command(flatten)]
    pub(in crate::cli) which: WhichBansArgs,
    /// Where to; standard output unless told
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BanFlushArgs {
    #[command(flatten)]
    pub(in crate::cli) which: WhichBansArgs,
    /// Do it: without, it is only told what would end
    #[arg(long)]
    pub(in crate::cli) yes: bool,
}
