//! The operator sees what is enforced, and can undo it.

use anyhow::Result;
use portcullis::control::api::Verdict;

use crate::demo::show::{
    caller::{self, Caller},
    packets,
    stage::Stage,
    world::GATE,
};

pub(super) fn play(stage: &mut Stage) -> Result<()> {
    let address = stage.world.attacker.address.to_string();
    stage.operator(&["status"])?;
    nothing_drifts(stage)?;
    stage.operator(&["ban", "list"])?;
    ban_is_real(stage, &address)?;
    ban_can_be_lifted(stage, &address)
}

fn nothing_drifts(stage: &mut Stage) -> Result<()> {
    let bans = stage.gate.status()?.bans;
    let in_kernel = bans.in_kernel.unwrap_or_default();
    stage.prove(
        "the kernel enforces what the gate intends",
        bans.intended == 1 && in_kernel == 1 && bans.strays == Some(0),
        format!(
            "{} intended, {in_kernel} in the kernel, {} strays",
            bans.intended,
            bans.strays.unwrap_or_default()
        ),
    );
    Ok(())
}

fn ban_is_real(stage: &mut Stage, address: &str) -> Result<()> {
    let shown = stage.operator(&["ban", "check", address])?;
    let check = stage.gate.check(stage.world.attacker.address)?;
    let kernel = check.bans.first().and_then(|ban| ban.kernel.as_ref());
    stage.prove(
        "the operator sees the ban, and that the kernel has it",
        shown.succeeded && check.verdict == Verdict::Dropped && kernel.is_some(),
        kernel.map_or("not in the kernel".to_owned(), |entry| {
            format!("in the kernel for {} s more", entry.remaining_seconds)
        }),
    );
    Ok(())
}

fn ban_can_be_lifted(stage: &mut Stage, address: &str) -> Result<()> {
    let shown = stage.operator(&["ban", "del", address])?;
    let attacker = stage.world.attacker.clone();
    let knocks = packets::knock(&attacker, None, GATE, 1)?;
    stage.tell.say("Whoever is at that address now signs, and is welcome:");
    let mut caller = Caller::open(&attacker)?;
    let request = caller.sign("GET", "/api/orders/1", "")?;
    stage.tell.sends(caller.who(), &request, "");
    let answer = caller::send(&attacker, &request)?;
    stage.tell.answers(&answer);
    stage.prove(
        "after `ban del` traffic flows again",
        shown.succeeded && knocks.answered == knocks.sent && answer.status == 200,
        format!(
            "{} of {} SYNs answered, signed call {}",
            knocks.answered, knocks.sent, answer.status
        ),
    );
    Ok(())
}
