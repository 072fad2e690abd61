//! The daemon is killed at random moments while operators ban and lift: what they were told holds afterwards.
//!
//! `PORTCULLIS_CASES` sets how often, and `PORTCULLIS_SEED` when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ipnet::IpNet;
use portcullis::control::api::{BanQuery, BanRequest};
use portcullis::control::client::Client;
use portcullis_tests::daemon::{Daemon, Home, Wanted};

const CASES: u64 = 25;
const OPERATORS: u8 = 3;

/// What an operator knows of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    Banned,
    Lifted,
    /// No answer came: either may be.
    Open,
}

type Notes = Mutex<BTreeMap<IpNet, Known>>;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn network(operator: u8, round: u8) -> IpNet {
    let text = format!("10.{operator}.0.{}/32", round % 40);
    text.parse().unwrap_or_default()
}

/// Bans and lifts until the daemon is gone.
fn operate(client: &Client, operator: u8, notes: &Notes) {
    for round in 0..=u8::MAX {
        let network = network(operator, round.wrapping_mul(7));
        let set = |known| notes.lock().map(|mut notes| notes.insert(network, known)).is_ok();
        let before = notes.lock().ok().and_then(|notes| notes.get(&network).copied());
        set(Known::Open);
        let done = if before == Some(Known::Banned) {
            client.unban(network).map(|_| Known::Lifted)
        } else {
            let order = BanRequest {
                network: network.to_string(),
                for_seconds: 3600,
                reason: format!("round {round}"),
                force: false,
                caller: None,
            };
            client.ban(&order).map(|_| Known::Banned)
        };
        match done {
            Ok(known) => set(known),
            Err(_) => return,
        };
    }
}

#[test]
fn no_kill_loses_what_an_operator_was_told() -> Result<()> {
    let (cases, seed) = (number("PORTCULLIS_CASES", CASES), number("PORTCULLIS_SEED", 1));
    let wanted = Wanted::enforcing(SocketAddr::from(([127, 0, 0, 1], 1)), "");
    let notes = Notes::default();
    let mut home = Home::new()?;
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut told = 0;
    for case in 0..cases {
        let daemon = Daemon::start_in(home, &wanted).with_context(|| format!("case {case}, seed {seed}"))?;
        let client = Client::new(daemon.control());
        let held: Vec<IpNet> = client
            .bans(&BanQuery {
                limit: Some(10_000),
                ..BanQuery::default()
            })?
            .bans
            .iter()
            .map(|ban| ban.network)
            .collect();
        for (network, known) in notes
            .lock()
            .map_err(|_| anyhow::anyhow!("an operator panicked"))?
            .iter_mut()
        {
            let is_held = held.contains(network);
            match *known {
                Known::Banned => ensure!(is_held, "case {case}, seed {seed}: the ban of {network} is lost"),
                Known::Lifted => ensure!(!is_held, "case {case}, seed {seed}: {network} is banned again"),
                Known::Open => *known = if is_held { Known::Banned } else { Known::Lifted },
            }
            told += 1;
        }
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        home = std::thread::scope(|scope| {
            for operator in 0..OPERATORS {
                let (client, notes) = (client.clone(), &notes);
                scope.spawn(move || operate(&client, operator, notes));
            }
            std::thread::sleep(Duration::from_micros(dice % 60_000));
            daemon.kill()
        })?;
    }
    ensure!(told > 0, "nothing was compared");
    Ok(())
}
