//! `/v1/bans/import`: a list takes the place of what it was before, by difference: whoever stays on it is banned at
//! every moment.

use std::net::IpAddr;
use std::ops::Bound;
use std::time::Duration;

use portcullis_guard::blacklist::list::{Entry, EntryRefused, List, ListBuilder, SHOWN};
use portcullis_guard::blacklist::{LONGEST_BAN, Origin};
use portcullis_guard::effect::Effect;

use super::audit::Peer;
use super::changes;
use super::dispatch::{Question, Reply};
use super::error::ControlError;
use super::formats::{self, Listed};
use crate::control::api::{Imported, ImportsUnderWay, LeftOut, parse_address};
use crate::gate::Gate;
use crate::gate::imports::{Phase, Teller};
use crate::memory;
use crate::store::{Item, UNDOABLE, Undo};

const DAY: u64 = 86_400;
const LONGEST_NAME: usize = 64;

/// What was asked for beside the file.
struct Wish {
    list: Option<String>,
    ttl: Duration,
    reason: Option<String>,
    origin: Option<Origin>,
    force: bool,
    dry_run: bool,
    caller: Option<IpAddr>,
}

pub(super) fn import(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let wish = Wish::of(question)?;
    let text = std::str::from_utf8(&question.body)
        .map_err(|error| ControlError::BodyInvalid(format!("it is not UTF-8: {error}")))?;
    let mut outcome = Imported {
        list: wish.list.clone(),
        dry_run: wish.dry_run,
        entries: 0,
        added: 0,
        kept: 0,
        removed: 0,
        duplicates: 0,
        exempt: 0,
        caller: 0,
        too_wide: 0,
        over: 0,
        unreadable: 0,
        left_out: Vec::new(),
        refused_by_kernel: 0,
        undoable: false,
    };
    let teller = gate.imports().begin(peer.pid(), wish.list.clone());
    let mut list = wish.read(gate, peer, text, &mut outcome)?;
    let plan = gate.guard().plan_import(&mut list, wish.force)?;
    teller.tell(Phase::Banning, 0, list.len());
    outcome.entries = list.len();
    (outcome.added, outcome.kept, outcome.removed) = (plan.added, plan.kept, plan.removed);
    (outcome.exempt, outcome.duplicates) = (plan.exempt, list.duplicates());
    for (network, allowed) in &plan.exempt_shown {
        outcome.leave_out(
            None,
            format!(
                "{network} overlaps {}, which is never banned ({})",
                allowed.network, allowed.reason
            ),
        );
    }
    if !wish.dry_run {
        let carried_out = carry_out(gate, peer, &list, plan.make_room, &teller, &mut outcome);
        drop(list);
        memory::give_back();
        carried_out?;
    }
    Reply::ok(&outcome)
}

pub(super) fn under_way(gate: &Gate) -> Result<Reply, ControlError> {
    Reply::ok(&ImportsUnderWay {
        imports: gate.imports().list().into_iter().map(Into::into).collect(),
    })
}

impl Wish {
    fn of(question: &Question) -> Result<Self, ControlError> {
        let flag = |name| question.parameter(name).is_some_and(|value| value == "true");
        let list = question.parameter("list");
        let is_name = |name: &String| {
            (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if list.as_ref().is_some_and(|name| !is_name(name)) {
            return Err(ControlError::ParameterInvalid {
                name: "list",
                expected: "a name of at most 64 letters, digits and signs, without spaces",
            });
        }
        let origin = changes::origin(question)?;
        if list.is_some() && origin.is_some_and(|origin| origin != Origin::List) {
            return Err(ControlError::ParameterInvalid {
                name: "origin",
                expected: "list, or nothing, as the list has a name",
            });
        }
        let seconds = question.parameter("for_seconds").map_or(Ok(DAY), |text| text.parse());
        let seconds: u64 = seconds.unwrap_or(0);
        if seconds == 0 || seconds > LONGEST_BAN.as_secs() {
            return Err(portcullis_guard::blacklist::BanRefused::Duration.into());
        }
        Ok(Self {
            list,
            ttl: Duration::from_secs(seconds),
            reason: question.parameter("reason"),
            origin,
            force: flag("force"),
            dry_run: flag("dry_run"),
            caller: question
                .parameter("caller")
                .map(|text| parse_address(&text))
                .transpose()?,
        })
    }

    fn read(&self, gate: &Gate, peer: Peer, text: &str, outcome: &mut Imported) -> Result<List, ControlError> {
        let (_, capacity) = gate.guard().ban_count();
        let by = peer.name();
        let mut builder = ListBuilder::new(self.list.as_deref(), Some(&by), capacity, self.force);
        let now = gate.now();
        let mut too_many = None;
        let mut unreadable = Vec::new();
        formats::read(
            text,
            |place, listed| {
                let Listed {
                    network,
                    reason,
                    ttl,
                    own,
                } = listed;
                if let Some(caller) = self.caller.filter(|caller| !self.force && network.contains(caller)) {
                    outcome.caller += 1;
                    outcome.leave_out(
                        Some(place),
                        format!("{network} covers {caller}, from which you are logged in"),
                    );
                    return;
                }
                // What is told by whoever imports holds where the list says nothing.
                let said = reason.as_deref();
                let reason = said.filter(|said| !said.is_empty()).or(self.reason.as_deref()).or(said);
                let until = own.as_ref().and_then(|own| own.until);
                // Whole seconds, and the last one whole: so an export that comes back ends when it did.
                let left = until.map(|until| Duration::from_secs(until.0.saturating_sub(now.wall.0).div_ceil(1000)));
                let origin = own.as_ref().and_then(|own| own.origin).or(self.origin);
                let entry = Entry {
                    network,
                    ttl: left.or(ttl).unwrap_or(self.ttl),
                    reason: reason.or(self.list.as_deref()).unwrap_or("imported"),
                    since: own.as_ref().and_then(|own| own.since),
                    origin: origin.unwrap_or(Origin::Operator),
                    source: own.as_ref().and_then(|own| own.list.as_deref()),
                    reference: own.as_ref().and_then(|own| own.reference),
                };
                match builder.add(&entry) {
                    Ok(()) => {}
                    Err(EntryRefused::Over(_)) => outcome.over += 1,
                    Err(error @ EntryRefused::TooWide { .. }) => {
                        outcome.too_wide += 1;
                        outcome.leave_out(Some(place), error.to_string());
                    }
                    Err(error @ EntryRefused::TooMany(_)) => too_many = Some(error),
                }
            },
            |bad| unreadable.push(bad),
        );
        if let Some(error) = too_many {
            return Err(ControlError::TooMany(error.to_string()));
        }
        outcome.unreadable = unreadable.len();
        for bad in unreadable {
            outcome.leave_out(Some(bad.place), bad.problem);
        }
        Ok(builder.finish())
    }
}

impl Imported {
    fn leave_out(&mut self, line: Option<usize>, problem: String) {
        if self.left_out.len() < SHOWN {
            self.left_out.push(LeftOut { line, problem });
        }
    }
}

/// What stays comes first, unless there is no room for both.
fn carry_out(
    gate: &Gate,
    peer: Peer,
    list: &List,
    make_room: bool,
    teller: &Teller<'_>,
    outcome: &mut Imported,
) -> Result<(), ControlError> {
    outcome.undoable = list.len() + outcome.removed <= UNDOABLE;
    let mut written = Written {
        gate,
        items: outcome.undoable.then(Vec::new),
    };
    if make_room {
        let_go(gate, list, outcome.removed, &mut written);
    }
    for part in list.steps() {
        let done = part.end;
        let under_way = gate.many();
        let bans = gate.guard().import(list, part, gate.now());
        outcome.refused_by_kernel += gate.ban_all(&bans);
        drop(under_way);
        written.note(bans.iter().map(|ban| Item::Ban(ban.network)));
        teller.tell(Phase::Banning, done, list.len());
    }
    if !make_room {
        teller.tell(Phase::LettingGo, list.len(), list.len());
        let_go(gate, list, outcome.removed, &mut written);
    }
    teller.tell(Phase::Writing, list.len(), list.len());
    let name = list.name().unwrap_or("no list");
    let object = format!("{} entries of {name}", list.len());
    let deed = peer.did("import", &object, "", gate.now().wall);
    let undo = if written.items.is_some() {
        Undo::Kept
    } else {
        Undo::TooLarge
    };
    gate.record(written.items.unwrap_or_default(), deed, undo)?;
    Ok(())
}

/// Ends what the list banned before and names no more.
fn let_go(gate: &Gate, list: &List, removed: usize, written: &mut Written<'_>) {
    let Some(holder) = list.holder().filter(|_| removed > 0) else {
        return;
    };
    let mut from = Some(Bound::Unbounded);
    while let Some(start) = from {
        let _under_way = gate.many();
        let (effects, next) = gate
            .guard()
            .release(start, &holder, |network| list.wants(network), gate.now());
        written.carry_out(effects);
        from = next;
    }
}

/// What a large change has to have written: kept together if it is to be undone, else bit by bit.
pub(super) struct Written<'a> {
    pub(super) gate: &'a Gate,
    pub(super) items: Option<Vec<Item>>,
}

impl Written<'_> {
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        let items: Vec<_> = effects.iter().filter_map(crate::gate::item).collect();
        // What the kernel refuses is logged, and reconciled.
        let _ = self.gate.enforce(effects);
        self.note(items);
    }

    fn note(&mut self, items: impl IntoIterator<Item = Item>) {
        match (&mut self.items, self.gate.store()) {
            (Some(kept), _) => kept.extend(items),
            (None, Some(store)) => store.note(items),
            (None, None) => {}
        }
    }
}
