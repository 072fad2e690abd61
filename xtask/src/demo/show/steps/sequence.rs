//! The business logic decides what may be called now.

use anyhow::Result;

use crate::demo::show::{
    caller::{self, Caller},
    stage::{Stage, is, outcome},
};

const ORDER: &str = "/api/orders/1";
const SHIP: &str = r#"{"shipped":true}"#;

pub(super) fn play(stage: &mut Stage) -> Result<()> {
    stage
        .tell
        .say("A second session of the visitor wants to ship an order that it never looked at:");
    let mut hasty = Caller::open(&stage.world.visitor)?;
    let reference = out_of_sequence_is_refused(stage, &mut hasty)?;
    in_sequence_passes(stage, &mut hasty)?;
    operator_can_tell(stage, &reference)
}

fn out_of_sequence_is_refused(stage: &mut Stage, caller: &mut Caller) -> Result<String> {
    let request = caller.sign("PUT", ORDER, SHIP)?;
    stage.tell.sends(caller.who(), &request, "correctly signed");
    let answer = caller::send(&stage.world.visitor, &request)?;
    stage.tell.answers(&answer);
    let says_which_rule = answer.body.contains("ship-after-view");
    stage.prove(
        "a call out of sequence is refused, and not told why",
        is(&answer, 403, "sequence-violation") && !says_which_rule,
        outcome(&answer),
    );
    Ok(answer.reference())
}

fn in_sequence_passes(stage: &mut Stage, caller: &mut Caller) -> Result<()> {
    let tell = stage.tell;
    let mut seen = Vec::new();
    for (method, body) in [("GET", ""), ("PUT", SHIP), ("PUT", SHIP)] {
        let request = caller.sign(method, ORDER, body)?;
        tell.sends(caller.who(), &request, "");
        let answer = caller::send(&stage.world.visitor, &request)?;
        tell.answers(&answer);
        seen.push(answer);
    }
    let [viewed, shipped, again] = seen.as_slice() else {
        return Ok(());
    };
    stage.prove(
        "in sequence it passes",
        viewed.status == 200 && shipped.status == 200 && shipped.body.contains("\"shipped\":true"),
        format!("GET {}, then PUT {}", viewed.status, shipped.status),
    );
    stage.prove(
        "once a day is once a day",
        is(again, 429, "quota-exceeded") && again.headers.contains_key("retry-after"),
        outcome(again),
    );
    Ok(())
}

fn operator_can_tell(stage: &mut Stage, reference: &str) -> Result<()> {
    let shown = stage.operator(&["why", reference])?;
    let rule = stage.gate.why(reference)?.rule.unwrap_or_default();
    stage.prove(
        "the operator is told why",
        shown.succeeded && rule == "ship-after-view",
        format!("rule {rule}"),
    );
    Ok(())
}
