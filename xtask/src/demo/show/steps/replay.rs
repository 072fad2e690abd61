//! A byte-identical copy is refused, whatever happens to the gate in between.

use anyhow::Result;

use crate::demo::show::{
    caller,
    stage::{Stage, is, outcome},
};

const TARGET: &str = "/api/orders/2";

pub(super) fn play(stage: &mut Stage) -> Result<()> {
    let copied = copy_is_refused(stage)?;
    copy_is_refused_after_a_crash(stage, &copied)?;
    client_goes_on(stage, &copied)
}

fn copy_is_refused(stage: &mut Stage) -> Result<Vec<u8>> {
    let (tell, place) = (stage.tell, stage.world.visitor.clone());
    let request = stage.visitor()?.sign("GET", TARGET, "")?;
    tell.sends(place.who, &request, "");
    let first = caller::send(&place, &request)?;
    tell.answers(&first);
    tell.sends(place.who, &request, "the same bytes again");
    let second = caller::send(&place, &request)?;
    tell.answers(&second);
    stage.prove(
        "a byte-identical copy is refused",
        first.status == 200 && is(&second, 401, "nonce-reused"),
        format!("{}, then {}", first.status, outcome(&second)),
    );
    Ok(request)
}

fn copy_is_refused_after_a_crash(stage: &mut Stage, copied: &[u8]) -> Result<()> {
    let (tell, place) = (stage.tell, stage.world.visitor.clone());
    tell.types("operator", &format!("kill -9 {}; portcullis run …", stage.gate.id()));
    stage.gate.crash()?;
    tell.sends(place.who, copied, "the same bytes, to a gate that remembers nothing");
    let answer = caller::send(&place, copied)?;
    tell.answers(&answer);
    stage.prove(
        "it is refused after kill -9 and restart too",
        is(&answer, 401, "fresh-nonce-required"),
        outcome(&answer),
    );
    Ok(())
}

fn client_goes_on(stage: &mut Stage, copied: &[u8]) -> Result<()> {
    let (tell, place) = (stage.tell, stage.world.visitor.clone());
    tell.say("The visitor's program signs again with the nonce that the gate chose. The user sees nothing of it:");
    let visitor = stage.visitor()?;
    let challenge = visitor.call("GET", TARGET, "")?;
    visitor.adopt(&challenge)?;
    let request = visitor.sign("GET", TARGET, "")?;
    tell.sends(place.who, &request, "same session, same key, fresh nonce");
    let answer = caller::send(&place, &request)?;
    tell.answers(&answer);
    let copy = caller::send(&place, copied)?;
    stage.prove(
        "the real client goes on in its session, the copy does not",
        is(&challenge, 401, "fresh-nonce-required") && answer.status == 200 && copy.status == 401,
        format!(
            "client {} after one more round trip, copy {}",
            answer.status, copy.status
        ),
    );
    Ok(())
}
