//! Who cannot sign: curl, and a link typed into the browser.

use anyhow::Result;

use super::curl::curl;
use crate::demo::show::stage::{Stage, is, outcome};

const PROBLEM: &str = "application/problem+json";

pub(super) fn plain(stage: &mut Stage) -> Result<()> {
    stage
        .tell
        .say("The same person, the same address, but without the program:");
    let answer = curl(stage.tell, &stage.world.visitor, "/api/orders", &[])?;
    let is_problem = answer.headers.get("content-type").is_some_and(|kind| kind == PROBLEM);
    stage.prove(
        "plain curl is refused, with a problem document",
        is(&answer, 401, "signature-required") && is_problem,
        outcome(&answer),
    );
    Ok(())
}

pub(super) fn typed(stage: &mut Stage) -> Result<()> {
    stage
        .tell
        .say("A browser says by itself that somebody typed the address:");
    let fields = ["Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none"];
    let answer = curl(stage.tell, &stage.world.visitor, "/api/orders", &fields)?;
    let incident = stage.gate.why(&answer.reference())?;
    let points = incident.session_points + incident.address_points;
    stage.prove(
        "a typed link is refused, and costs no points",
        is(&answer, 403, "navigation-refused") && points == 0.0,
        format!("{}, {points} points", outcome(&answer)),
    );
    Ok(())
}
