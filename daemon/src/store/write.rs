//! What is written, within one transaction.

use portcullis_guard::guard::Guard;
use portcullis_guard::time::Now;
use redb::{ReadableTable, ReadableTableMetadata, Table};

use super::database::{ALLOW, AT_ONCE, BANS, Bytes, DEEDS, LAST, LAST_DEED, SESSIONS, STRIKES, TOO_LARGE, UNDO};
use super::{Change, DEEDS_KEPT, Item, UNDOABLE, Undo, rows};

/// Noted things that are written before it is asked whether somebody waits: a few milliseconds.
const IN_A_ROW: usize = 1024;

/// What an operator changed, with how it was before and who did it.
pub(super) fn change(
    transaction: &redb::WriteTransaction,
    change: &Change,
    guard: &Guard,
    now: Now,
) -> Result<(), redb::Error> {
    match change.undo {
        Undo::Never => {}
        Undo::Kept | Undo::TooLarge => keep_before(transaction, change)?,
    }
    items(transaction, &change.items, guard, now)?;
    let mut deeds = transaction.open_table(DEEDS)?;
    let last = deeds.last()?.map_or(0, |(number, _)| number.value());
    deeds.insert(last + 1, &rows::deed(&change.deed)[..])?;
    while deeds.len()? > DEEDS_KEPT {
        deeds.pop_first()?;
    }
    Ok(())
}

/// Remembers how things are, before they are written anew.
fn keep_before(transaction: &redb::WriteTransaction, change: &Change) -> Result<(), redb::Error> {
    transaction.delete_table(UNDO)?;
    let mut undo = transaction.open_table(UNDO)?;
    let mut last = transaction.open_table(LAST)?;
    last.insert(LAST_DEED, &rows::deed(&change.deed)[..])?;
    if change.undo == Undo::TooLarge || change.items.len() > UNDOABLE {
        last.insert(TOO_LARGE, &[][..])?;
        return Ok(());
    }
    last.remove(TOO_LARGE)?;
    let (bans, allow) = (transaction.open_table(BANS)?, transaction.open_table(ALLOW)?);
    for item in &change.items {
        let (table, tag, network) = match item {
            Item::Ban(network) => (&bans, b'b', *network),
            Item::Allow(network) => (&allow, b'a', *network),
            Item::Session(_) | Item::Strikes(_) => continue,
        };
        let key = rows::network_key(network);
        let before = table
            .get(&key[..])?
            .map(|value| value.value().to_vec())
            .unwrap_or_default();
        undo.insert(&[&[tag][..], &key].concat()[..], &before[..])?;
    }
    Ok(())
}

/// What was noted, until it is enough: at least some of it. How much is written.
pub(super) fn noted(
    transaction: &redb::WriteTransaction,
    changed: &[Item],
    guard: &Guard,
    now: Now,
    enough: &dyn Fn() -> bool,
) -> Result<usize, redb::Error> {
    let mut written = 0;
    for some in changed.chunks(IN_A_ROW) {
        items(transaction, some, guard, now)?;
        written += some.len();
        if enough() {
            break;
        }
    }
    Ok(written)
}

/// Things as the guard has them now.
pub(super) fn items(
    transaction: &redb::WriteTransaction,
    changed: &[Item],
    guard: &Guard,
    now: Now,
) -> Result<(), redb::Error> {
    let mut bans = transaction.open_table(BANS)?;
    let mut networks = Vec::with_capacity(AT_ONCE);
    for some in changed.chunks(AT_ONCE) {
        networks.clear();
        networks.extend(some.iter().filter_map(|item| match item {
            Item::Ban(network) => Some(*network),
            Item::Allow(_) | Item::Session(_) | Item::Strikes(_) => None,
        }));
        for (network, claims) in networks.iter().zip(guard.claims_of(&networks)) {
            put(
                &mut bans,
                &rows::network_key(*network),
                (!claims.is_empty()).then(|| rows::claims(&claims)),
            )?;
        }
    }
    let mut allow = transaction.open_table(ALLOW)?;
    let mut sessions = transaction.open_table(SESSIONS)?;
    let mut strikes = transaction.open_table(STRIKES)?;
    for item in changed {
        match item {
            Item::Ban(_) => {}
            Item::Allow(network) => {
                let entry = guard.allowed_entry(*network).filter(|entry| !entry.fixed);
                put(
                    &mut allow,
                    &rows::network_key(*network),
                    entry.as_ref().map(rows::allowed),
                )?;
            }
            Item::Session(id) => {
                let kept = guard.ended_session(*id, now);
                put(&mut sessions, &id.0, kept.as_ref().map(rows::session))?;
            }
            Item::Strikes(network) => {
                let left = guard.strikes_of(*network, now);
                let row = left.map(|left| rows::strikes(left, now.wall));
                put(&mut strikes, &rows::network_key(*network), row)?;
            }
        }
    }
    Ok(())
}

fn put(table: &mut Table<'_, Bytes, Bytes>, key: &[u8], value: Option<Vec<u8>>) -> Result<(), redb::Error> {
    match value {
        Some(value) => table.insert(key, &value[..])?.is_some(),
        None => table.remove(key)?.is_some(),
    };
    Ok(())
}
