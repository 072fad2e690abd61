//! An abuser behind a NAT loses session and connections. Who shares the address notices nothing.

use anyhow::{Result, bail, ensure};
use portcullis::control::api::Verdict;
use portcullis_tests::client::Answer;

use crate::demo::show::{
    caller::{self, Caller},
    interrupt,
    packets::{self, Knocks},
    patience,
    stage::{Stage, is, outcome},
    world::{GATE, NAT},
};

const SHIP: &str = r#"{"shipped":true}"#;
const KNOCKS: u64 = 3;
/// More offences than any session is allowed, and more sessions than any address.
const MOST_OFFENCES: u64 = 10;
const MOST_SESSIONS: u64 = 10;
/// As in `gate.toml`. Points fade from the first moment, so exactly as many are not enough.
const ADDRESS_THRESHOLD: f32 = 200.0;
const DROPPED_FLOW: &str = "banned_flow";

/// How a session ended.
struct Ended {
    offences: u64,
    last: Answer,
    port: u16,
}

/// What the neighbour did in all.
struct Record {
    sessions: u64,
    points: f32,
    last: Answer,
}

pub(super) fn play(stage: &mut Stage) -> Result<()> {
    let before = stage.gate.packets(DROPPED_FLOW)?;
    stage
        .tell
        .say("The neighbour ships an order unseen, again and again, over one connection:");
    let mut neighbour = Caller::open(&stage.world.neighbour)?;
    let ended = offend(stage, &mut neighbour, true)?;
    session_is_banned(stage, &mut neighbour, &ended)?;
    connection_is_dropped(stage, &ended, before)?;
    let mut calls = Calls::default();
    calls.make(stage, 5)?;
    let record = come_back(stage, &mut calls, &ended)?;
    address_is_spared(stage, &record)?;
    stage.operator(&["session", "list"])?;
    stage.prove(
        "the visitor behind the same address goes on",
        calls.passed == calls.made,
        format!("{} of {} signed calls passed", calls.passed, calls.made),
    );
    Ok(())
}

/// Calls out of sequence over one connection until the gate ends it, by a reset.
fn offend(stage: &Stage, caller: &mut Caller, aloud: bool) -> Result<Ended> {
    let mut wire = caller::wire(&stage.world.neighbour)?;
    let port = wire.stream().local_addr()?.port();
    let mut last = None;
    for offences in 0..MOST_OFFENCES {
        interrupt::check()?;
        let request = caller.sign("PUT", "/api/orders/2", SHIP)?;
        match (wire.exchange(&request), last) {
            (Err(_), Some(last)) => return Ok(Ended { offences, last, port }),
            (Err(error), None) => return Err(error),
            (Ok(answer), _) => {
                if aloud {
                    stage.tell.sends(caller.who(), &request, "");
                    stage.tell.answers(&answer);
                }
                ensure!(
                    is(&answer, 403, "sequence-violation"),
                    "it was answered {}",
                    outcome(&answer)
                );
                last = Some(answer);
            }
        }
    }
    bail!("{MOST_OFFENCES} offences, and the session is not banned")
}

fn session_is_banned(stage: &mut Stage, caller: &mut Caller, ended: &Ended) -> Result<()> {
    let tell = stage.tell;
    tell.detail("(the connection was reset)");
    tell.say("A new connection and a harmless call do not help:");
    let request = caller.sign("GET", "/api/orders", "")?;
    tell.sends(caller.who(), &request, "same session, new connection");
    let answer = caller::send(&stage.world.neighbour, &request)?;
    tell.answers(&answer);
    stage.prove(
        "a session that abuses is banned",
        is(&answer, 403, "banned"),
        format!("after {} offences; {}", ended.offences, outcome(&answer)),
    );
    Ok(())
}

fn connection_is_dropped(stage: &mut Stage, ended: &Ended, before: u64) -> Result<()> {
    let tell = stage.tell;
    tell.say(&format!(
        "What still comes over the old connection (port {}):",
        ended.port
    ));
    let knocks = unanswered(stage, ended.port)?;
    let after = stage.gate.packets(DROPPED_FLOW)?;
    tell.detail(&format!("{KNOCKS} SYNs sent, {} answered", knocks.answered));
    tell.detail(&format!("counter {DROPPED_FLOW}: {before} before, {after} after"));
    stage.prove(
        "the connection of the abuser is dropped at the card",
        knocks.none_answered() && after >= before + knocks.sent,
        format!(
            "{} SYNs, {} answered; {DROPPED_FLOW} {before} → {after}",
            knocks.sent, knocks.answered
        ),
    );
    let other = packets::knock(&stage.world.neighbour, None, GATE, 1)?;
    ensure!(
        other.answered == 1,
        "another port of the neighbour is not answered either"
    );
    Ok(())
}

/// The gate tells the kernel just after it closed the connection.
fn unanswered(stage: &Stage, port: u16) -> Result<Knocks> {
    patience::until("the drop of the connection", || {
        let knocks = packets::knock(&stage.world.neighbour, Some(port), GATE, 1)?;
        Ok(knocks.none_answered().then_some(()))
    })?;
    packets::knock(&stage.world.neighbour, Some(port), GATE, KNOCKS)
}

/// The neighbour opens session after session, until the address alone would deserve a ban.
fn come_back(stage: &mut Stage, calls: &mut Calls, first: &Ended) -> Result<Record> {
    stage
        .tell
        .say("The neighbour comes back with one new session after the other. Each ends the same way.");
    let mut points = stage.gate.why(&first.last.reference())?.address_points;
    for sessions in 2..=MOST_SESSIONS {
        let last = offend(stage, &mut Caller::open(&stage.world.neighbour)?, false)?.last;
        points += stage.gate.why(&last.reference())?.address_points;
        calls.make(stage, 2)?;
        if points > ADDRESS_THRESHOLD {
            return Ok(Record { sessions, points, last });
        }
    }
    bail!("{MOST_SESSIONS} sessions were banned, and the address has only {points} points")
}

fn address_is_spared(stage: &mut Stage, record: &Record) -> Result<()> {
    stage.operator(&["why", &record.last.reference()])?;
    stage.operator(&["ban", "check", &NAT.to_string()])?;
    let Record { sessions, points, .. } = record;
    stage.prove(
        "the address that they share is not banned",
        stage.gate.check(NAT)?.verdict == Verdict::Passes,
        format!("{sessions} banned sessions, {points} points where {ADDRESS_THRESHOLD} ban an address; spared"),
    );
    Ok(())
}

/// What the visitor does meanwhile.
#[derive(Default)]
struct Calls {
    made: u64,
    passed: u64,
}

impl Calls {
    fn make(&mut self, stage: &mut Stage, times: u64) -> Result<()> {
        for _ in 0..times {
            let answer = stage.visitor()?.call("GET", "/api/orders/1", "")?;
            self.made += 1;
            self.passed += u64::from(answer.status == 200);
        }
        Ok(())
    }
}
