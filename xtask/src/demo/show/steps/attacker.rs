//! An attacker on an address of his own is dropped before the kernel spends anything on it.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use portcullis::control::api::Verdict;
use portcullis_tests::client::Answer;

use crate::demo::show::{
    caller, interrupt,
    metronome::{self, Beats},
    packets,
    stage::{Stage, is},
    world::{GATE, GATEWAY},
};

/// More forged calls than any address is allowed.
const MOST_CALLS: u64 = 10;
const KNOCKS: u64 = 5;
/// Exempt by default: administrators come this way.
const MANAGEMENT_PORT: u16 = 22;
/// The drop follows the offence at once; this much is for a busy machine.
const AT_ONCE: Duration = Duration::from_millis(50);
const DROPPED_HOST: &str = "banned_host";

/// The call that was one too many.
struct Offence {
    calls: u64,
    sent: Instant,
    answered: Instant,
    answer: Answer,
}

pub(super) fn play(stage: &mut Stage) -> Result<()> {
    let forged = forge(stage)?;
    let before = stage.gate.packets(DROPPED_HOST)?;
    let (attacker, server) = (stage.world.attacker.clone(), stage.world.server.clone());
    let (offence, beats) = metronome::around(&attacker, &server, || attack(stage, &forged))?;
    address_is_banned(stage, &offence)?;
    drop_is_fast(stage, &offence, &beats)?;
    packets_die(stage, before)?;
    management_stays(stage)?;
    nobody_is_locked_out(stage)?;
    victim_goes_on(stage)
}

/// A call of the visitor that the attacker changed: the signature belongs to another order.
fn forge(stage: &mut Stage) -> Result<Vec<u8>> {
    stage
        .tell
        .say("The attacker recorded a call of the visitor, and changes what it asks for:");
    let recorded = stage.visitor()?.sign("GET", "/api/orders/1", "")?;
    let forged = String::from_utf8(recorded)?.replace("/api/orders/1", "/api/orders/2");
    Ok(forged.into_bytes())
}

/// Sends the forged call over one connection until the address is banned.
fn attack(stage: &Stage, forged: &[u8]) -> Result<Offence> {
    let attacker = &stage.world.attacker;
    let mut wire = caller::wire(attacker)?;
    for calls in 1..=MOST_CALLS {
        interrupt::check()?;
        let sent = Instant::now();
        let answer = wire.exchange(forged)?;
        let answered = Instant::now();
        stage.tell.sends(attacker.who, forged, "");
        stage.tell.answers(&answer);
        ensure!(
            is(&answer, 401, "signature-invalid"),
            "a forged call was answered otherwise"
        );
        if stage.gate.check(attacker.address)?.verdict == Verdict::Dropped {
            return Ok(Offence {
                calls,
                sent,
                answered,
                answer,
            });
        }
    }
    Err(anyhow::anyhow!(
        "{MOST_CALLS} forged calls, and the address is not banned"
    ))
}

fn address_is_banned(stage: &mut Stage, offence: &Offence) -> Result<()> {
    let reference = offence.answer.reference();
    stage.operator(&["why", &reference])?;
    let check = stage.gate.check(stage.world.attacker.address)?;
    let cause = check.bans.first().and_then(|ban| ban.ban.reference.as_ref());
    stage.prove(
        "who forges signatures is banned as an address",
        check.verdict == Verdict::Dropped && cause == Some(&reference),
        format!("after {} forged calls", offence.calls),
    );
    Ok(())
}

fn drop_is_fast(stage: &mut Stage, offence: &Offence, beats: &Beats) -> Result<()> {
    stage
        .tell
        .say("Meanwhile a metronome sent datagrams from the same address, to see when they begin to die:");
    let silence = beats.silence().context("the datagrams never stopped to arrive")?;
    let since_sent = silence.saturating_duration_since(offence.sent);
    let answer_took = offence.answered - offence.sent;
    let relation = match silence.checked_duration_since(offence.answered) {
        Some(after) => format!("{} after its answer", micros(after)),
        None => format!("{} before its answer came", micros(offence.answered - silence)),
    };
    stage.tell.detail(&format!(
        "the call that was one too many was answered after {}; a beat takes {}",
        micros(answer_took),
        micros(beats.resolution())
    ));
    stage.prove(
        "the offender's packets die at once",
        silence < offence.answered + AT_ONCE,
        format!(
            "the first dead one left {} after the offending call, {relation}",
            micros(since_sent)
        ),
    );
    Ok(())
}

fn packets_die(stage: &mut Stage, at_first: u64) -> Result<()> {
    let before = stage.gate.packets(DROPPED_HOST)?;
    let knocks = packets::knock(&stage.world.attacker, None, GATE, KNOCKS)?;
    let after = stage.gate.packets(DROPPED_HOST)?;
    stage.tell.say("The attacker tries to connect again:");
    stage
        .tell
        .detail(&format!("{KNOCKS} SYNs sent, {} answered", knocks.answered));
    stage.tell.detail(&format!(
        "counter {DROPPED_HOST}: {at_first} before the attack, {before} before the SYNs, {after} after"
    ));
    stage.prove(
        "all packets of a banned address die at the card",
        knocks.none_answered() && after >= before + knocks.sent && before > at_first,
        format!(
            "{} SYNs, {} answered; {DROPPED_HOST} {before} → {after}",
            knocks.sent, knocks.answered
        ),
    );
    Ok(())
}

fn management_stays(stage: &mut Stage) -> Result<()> {
    let address = SocketAddr::from((stage.world.server.address, MANAGEMENT_PORT));
    let _listener = stage.world.server.run(|| TcpListener::bind(address))?;
    let knocks = packets::knock(&stage.world.attacker, None, address, 1)?;
    stage.prove(
        "the management port stays reachable even so",
        knocks.answered == 1,
        format!(
            "port {MANAGEMENT_PORT}: {} of {} SYNs answered",
            knocks.answered, knocks.sent
        ),
    );
    Ok(())
}

fn nobody_is_locked_out(stage: &mut Stage) -> Result<()> {
    let gateway = GATEWAY.to_string();
    stage
        .tell
        .say("The operator mistypes, and bans the gateway of the server:");
    let shown = stage.operator(&["ban", "add", &gateway, "--for", "1h"])?;
    let check = stage.gate.check(GATEWAY)?;
    stage.prove(
        "the server's own gateway cannot be banned by mistake",
        !shown.succeeded && check.verdict == Verdict::NeverBanned,
        "refused",
    );
    Ok(())
}

fn victim_goes_on(stage: &mut Stage) -> Result<()> {
    let answer = stage.visitor()?.call("GET", "/api/orders/1", "")?;
    stage.prove(
        "the visitor whose call was copied pays nothing",
        answer.status == 200,
        format!("signed call {}", answer.status),
    );
    Ok(())
}

fn micros(time: Duration) -> String {
    if time < Duration::from_millis(10) {
        format!("{} µs", time.as_micros())
    } else {
        format!("{} ms", time.as_millis())
    }
}
