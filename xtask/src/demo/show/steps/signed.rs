//! A session is opened, and a signed call passes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portcullis_tests::client::{Client, Wire};

use crate::demo::show::{
    caller::{self, Caller},
    stage::{Stage, outcome},
    world::GATE,
};

const OPENED: usize = 100;
const MORE: usize = 50;

pub(super) fn play(stage: &mut Stage) -> Result<()> {
    sessions_cost_nothing(stage)?;
    call_passes(stage)
}

fn sessions_cost_nothing(stage: &mut Stage) -> Result<()> {
    let tell = stage.tell;
    tell.say("Opening a session is free for the gate: it keeps nothing until the first signed call.");
    tell.types(
        "visitor",
        &format!("POST /.well-known/portcullis/session   ({OPENED} times)"),
    );
    let mut wire = caller::wire(&stage.world.visitor)?;
    for _ in 0..OPENED {
        Client::open_over(&mut wire, GATE)?;
    }
    let remembered = stage.gate.status()?.sessions;
    stage.prove(
        "an opened session costs the gate no memory",
        remembered == 0,
        format!("{OPENED} opened, {remembered} remembered"),
    );
    Ok(())
}

fn call_passes(stage: &mut Stage) -> Result<()> {
    let tell = stage.tell;
    let place = stage.world.visitor.clone();
    let mut visitor = Caller::open(&place)?;
    let request = visitor.sign("GET", "/api/orders/1", "")?;
    tell.sends(visitor.who(), &request, "");
    tell.shows_signature(&request);
    let mut wire = caller::wire(&place)?;
    let answer = wire.exchange(&request)?;
    tell.answers(&answer);
    let remembered = stage.gate.status()?.sessions;
    let took = usual_time(&mut visitor, &mut wire)?.as_secs_f64() * 1000.0;
    stage.prove(
        "a signed call passes",
        answer.status == 200 && answer.body.contains("\"id\":1") && remembered == 1,
        format!("{}; {MORE} more took {took:.1} ms each", outcome(&answer)),
    );
    stage.visitor_comes(visitor);
    Ok(())
}

/// The median, as the first calls warm the application up.
fn usual_time(visitor: &mut Caller, wire: &mut Wire) -> Result<Duration> {
    let mut times = Vec::with_capacity(MORE);
    for _ in 0..MORE {
        let request = visitor.sign("GET", "/api/orders/1", "")?;
        let sent = Instant::now();
        let answer = wire.exchange(&request)?;
        times.push(sent.elapsed());
        ensure!(answer.status == 200, "a signed call was answered {}", outcome(&answer));
    }
    times.sort();
    Ok(times[MORE / 2])
}
