//! What was written down, given back to the guard.

use portcullis_guard::campaign::KeptClient;
use portcullis_guard::guard::Guard;
use portcullis_guard::sequence::{HolderKey, KeptFacts, NotRestored, Revived};
use portcullis_guard::session::record::KeptState;
use portcullis_guard::session::table::Garbled;
use portcullis_guard::source::KeptSource;
use portcullis_guard::tier::KeptTier;
use portcullis_guard::time::{Now, WallMillis};

use super::super::{StoreError, rows};
use super::file::{CLIENTS, File, HOLDERS, SOURCES, STATES, TIERS};
use super::{HORIZON, LeftOut, row};

/// Reads a file, and counts what comes back.
pub(super) struct Restoring<'a> {
    guard: &'a Guard,
    now: Now,
    keeps_time: bool,
    pub(super) restored: u64,
    pub(super) left_out: LeftOut,
    /// What is over needs no place any more.
    over: u64,
    /// It may have been about sessions.
    pub(super) is_part_lost: bool,
}

impl<'a> Restoring<'a> {
    pub(super) fn new(guard: &'a Guard, left_out: LeftOut, keeps_time: bool, now: Now) -> Self {
        Self {
            guard,
            now,
            keeps_time,
            restored: 0,
            left_out,
            over: 0,
            is_part_lost: false,
        }
    }

    pub(super) fn read(&mut self, file: &mut File) -> Result<(), StoreError> {
        if let Some(horizon) = file.meta::<Option<WallMillis>>(HORIZON)?.flatten() {
            self.guard.expect_anew(horizon);
        }
        file.each(STATES, |key, row| self.session(key, row))?;
        let fit = self.guard.session_count() as u64;
        self.left_out.room += self.restored.saturating_sub(fit);
        self.restored = fit;
        file.each(HOLDERS, |key, row| self.holder(key, row))?;
        let guard = self.guard;
        file.each(SOURCES, |key, row| {
            self.other(row::read::<KeptSource>(key, row).map(|kept| guard.restore_source(&kept)));
        })?;
        file.each(TIERS, |key, row| {
            let network = rows::network_of(key).ok();
            let read = network.zip(row::read::<KeptTier>(key, row));
            self.other(read.map(|(network, kept)| guard.restore_tier(network, &kept)));
        })?;
        file.each(CLIENTS, |key, row| {
            self.other(row::read::<KeptClient>(key, row).map(|kept| guard.restore_client(&kept)));
        })
    }

    /// Whether the guard has all that the file has, and nothing else.
    pub(super) fn is_all(&self) -> bool {
        self.over == 0 && self.left_out == LeftOut::default()
    }

    fn session(&mut self, key: &[u8], row: &[u8]) {
        if !self.keeps_time {
            self.left_out.clock += 1;
            return;
        }
        let kept = row::read::<KeptState>(key, row).filter(|kept| kept.id.0[..] == *key);
        match kept.map(|kept| self.guard.restore_state(kept, self.now)) {
            Some(Ok(Some(revived))) => self.note(revived),
            Some(Ok(None)) => self.over += 1,
            Some(Err(Garbled)) | None => {
                self.left_out.damaged += 1;
                self.is_part_lost = true;
            }
        }
    }

    fn holder(&mut self, key: &[u8], row: &[u8]) {
        let holder = key.try_into().map(HolderKey::from_bytes).ok();
        let Some((holder, kept)) = holder.zip(row::read::<KeptFacts>(key, row)) else {
            self.left_out.damaged += 1;
            return;
        };
        match self.guard.restore_holder(holder, kept, self.keeps_time, self.now) {
            Ok(revived) => self.note(revived),
            Err(NotRestored::Over(revived)) => {
                self.over += 1;
                self.count(revived);
            }
            Err(NotRestored::Full) => self.left_out.room += 1,
            Err(NotRestored::Garbled) => self.left_out.damaged += 1,
        }
    }

    /// Something else came back, or found no room; `None`: it is not what was written.
    fn other(&mut self, is_back: Option<bool>) {
        match is_back {
            Some(true) => self.restored += 1,
            Some(false) => self.left_out.room += 1,
            None => self.left_out.damaged += 1,
        }
    }

    fn note(&mut self, revived: Revived) {
        self.restored += 1;
        self.count(revived);
    }

    fn count(&mut self, revived: Revived) {
        self.left_out.unasked += revived.unasked as u64;
        self.left_out.clock += revived.stale as u64;
    }
}
