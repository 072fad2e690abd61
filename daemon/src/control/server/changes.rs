//! `/v1/bans/all`, `/v1/undo`, `/v1/audit`: sweeping changes, taking the last one back, and who made them.

use std::ops::Bound;
use std::sync::Arc;

use portcullis_guard::blacklist::{Holder, Origin};
use portcullis_guard::effect::Effect;

use super::audit::Peer;
use super::dispatch::{Question, Reply};
use super::error::ControlError;
use super::import::Written;
use crate::control::api::{Audit, Deed, Flushed, StoreReport, Undone};
use crate::gate::Gate;
use crate::memory;
use crate::store::{self, Before, UNDOABLE, Undo};

const DEFAULT_LIMIT: usize = 100;

/// The origin that a question names.
pub(super) fn origin(question: &Question) -> Result<Option<Origin>, ControlError> {
    let origin = question.parameter("origin").map(|text| {
        let known = Origin::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or(ControlError::ParameterInvalid {
            name: "origin",
            expected: "operator, score, rate or list",
        })
    });
    origin.transpose()
}

/// The bans that a question is about.
pub(super) fn holder(question: &Question) -> Result<Holder, ControlError> {
    Ok(Holder {
        origin: origin(question)?,
        source: question.parameter("list").map(Arc::from),
    })
}

pub(super) fn flush(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let holder = holder(question)?;
    let (before, _) = gate.guard().ban_count();
    let undoable = before <= UNDOABLE;
    let mut written = Written {
        gate,
        items: undoable.then(Vec::new),
    };
    let (mut ended, mut left, mut from) = (0, 0, Some(Bound::Unbounded));
    while let Some(start) = from {
        let _under_way = gate.many();
        let (effects, next) = gate.guard().release(start, &holder, |_| false, gate.now());
        let gone = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Unban(_)))
            .count();
        (ended, left) = (ended + gone, left + effects.len() - gone);
        written.carry_out(effects);
        from = next;
    }
    let whose = match (holder.origin, &holder.source) {
        (None, None) => "all bans".to_owned(),
        (Some(origin), None) => format!("bans by {origin}"),
        (_, Some(list)) => format!("bans of list {list}"),
    };
    let deed = peer.did("flush", &whose, "", gate.now().wall);
    let undo = if undoable { Undo::Kept } else { Undo::TooLarge };
    let recorded = gate.record(written.items.unwrap_or_default(), deed, undo);
    memory::give_back();
    recorded?;
    Reply::ok(&Flushed { ended, left, undoable })
}

pub(super) fn undo(gate: &Gate, peer: Peer) -> Result<Reply, ControlError> {
    let store = gate.store().ok_or(ControlError::NothingToUndo)?;
    let last = store.last_change()?.ok_or(ControlError::NothingToUndo)?;
    let before = last
        .before
        .ok_or_else(|| ControlError::TooLargeToUndo(last.deed.object.clone()))?;
    let (now, mut effects) = (gate.now(), Vec::new());
    let (mut bans, mut allowed) = (Vec::new(), Vec::new());
    // Exemptions first: they decide which bans may come back.
    for was in &before {
        let Before::Allow(network, entry) = was else { continue };
        allowed.push(*network);
        match entry {
            Some(entry) => effects.extend(gate.guard().allow(entry.clone(), now)?),
            // It may have ended by itself.
            None => effects.extend(
                gate.guard()
                    .disallow(*network, now)
                    .map(|(_, effects)| effects)
                    .unwrap_or_default(),
            ),
        }
    }
    for was in &before {
        let Before::Ban(network, claims) = was else { continue };
        bans.push(*network);
        effects.push(gate.guard().put_back(*network, claims, last.deed.at, now));
    }
    let object = format!("{} of {}", last.deed.action, last.deed.object);
    gate.change(effects, peer.did("undo", &object, "", now.wall), Undo::Kept)?;
    Reply::ok(&Undone {
        deed: shown(&last.deed),
        bans,
        allowed,
    })
}

pub(super) fn audit(gate: &Gate, limit: Option<&str>) -> Result<Reply, ControlError> {
    let limit = limit.map_or(Ok(DEFAULT_LIMIT), str::parse);
    let limit = limit.map_err(|_| ControlError::ParameterInvalid {
        name: "limit",
        expected: "a number",
    })?;
    let deeds = gate.store().map_or(Ok(Vec::new()), |store| store.deeds(limit))?;
    Reply::ok(&Audit {
        deeds: deeds.iter().map(shown).collect(),
    })
}

/// Reads all of the store; with `compact`, after it gave back what it does not need.
pub(super) fn store(gate: &Gate, peer: Peer, compact: bool) -> Result<Reply, ControlError> {
    let store = gate.store().ok_or(ControlError::NotFound)?;
    if compact {
        // Whatever is written afterwards makes the file grow again.
        let deed = peer.did("compact", &"the store", "", gate.now().wall);
        gate.record(Vec::new(), deed, Undo::Never)?;
        store.compact()?;
    }
    Reply::ok(&StoreReport::from(store.check()?))
}

fn shown(deed: &store::Deed) -> Deed {
    Deed {
        at: deed.at.into(),
        who: deed.who.clone(),
        uid: deed.uid,
        pid: deed.pid,
        action: deed.action.clone(),
        object: deed.object.clone(),
        reason: deed.reason.clone(),
    }
}
