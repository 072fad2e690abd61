//! Many bans at once. What one takes longest for is waiting for memory: a few dozen wait for it at the same time.

use std::time::Duration;

use portcullis_common::Origin;

use super::{ATTEMPTS, Enforcer, EnforcerError, Tables, Target, clock, maps::Seat, target::Key};

/// How many bans of many are written before others get their turn.
const TURN: usize = 4096;
/// How many of these are looked for in memory at the same time.
const AT_ONCE: usize = 32;

/// A ban as a table takes it: until when, and by whose word.
type Expiring = (Key, u64, Origin);

/// Bans on their way into the tables, and what became of those that did not get there.
#[derive(Default)]
struct Batch {
    hosts: Vec<(Seat, u64, Origin)>,
    /// They found a table full.
    full: Vec<Expiring>,
    refused: Vec<(Target, EnforcerError)>,
}

impl Enforcer {
    /// Bans many at once, and tells which of them were refused.
    ///
    /// Others wait no longer than for a few thousand of them.
    pub fn ban_all(&self, bans: impl IntoIterator<Item = (Target, Duration, Origin)>) -> Vec<(Target, EnforcerError)> {
        let mut bans = bans.into_iter().peekable();
        let mut batch = Batch::default();
        // Whoever waits for the tables, or for larger ones, does not ban for longer than he was told.
        let start = clock::boot_time();
        while bans.peek().is_some() {
            {
                let mut tables = self.tables();
                for _ in 0..TURN / AT_ONCE {
                    batch.take(&mut tables, start, bans.by_ref().take(AT_ONCE));
                    batch.write_hosts(&mut tables);
                }
            }
            for _ in 0..ATTEMPTS {
                let left = batch.full.len() as u64 + bans.size_hint().0 as u64;
                if batch.full.is_empty() || !self.make_room(left) {
                    break;
                }
                batch.try_full_again(&mut self.tables());
            }
            batch.give_up_full(&mut self.tables());
        }
        batch.refused
    }
}

impl Batch {
    /// Takes some: hosts to be written together, whatever else at once.
    fn take(&mut self, tables: &mut Tables, start: Duration, bans: impl Iterator<Item = (Target, Duration, Origin)>) {
        self.hosts.clear();
        for (target, ttl, origin) in bans {
            let expires = clock::expiry_at(start, ttl);
            match Key::try_from(target) {
                Ok(key) => match tables.maps.seat(&key) {
                    Some(seat) => self.hosts.push((seat, expires, origin)),
                    None => self.note(key, expires, origin, tables.ban(&key, expires, origin)),
                },
                Err(error) => self.refused.push((target, error)),
            }
        }
    }

    fn write_hosts(&mut self, tables: &mut Tables) {
        let hosts = std::mem::take(&mut self.hosts);
        tables.maps.touch(hosts.iter().map(|(seat, ..)| seat));
        for (seat, expires, origin) in &hosts {
            let outcome = tables.ban_at(seat, *expires, *origin);
            if outcome.is_err() {
                self.note(seat.key(), *expires, *origin, outcome);
            }
        }
        self.hosts = hosts;
    }

    fn note(&mut self, key: Key, expires: u64, origin: Origin, outcome: Result<(), EnforcerError>) {
        match outcome {
            Ok(()) => {}
            Err(EnforcerError::MapFull { .. }) => self.full.push((key, expires, origin)),
            Err(error) => self.refused.push((key.into(), error)),
        }
    }

    fn try_full_again(&mut self, tables: &mut Tables) {
        for (key, expires, origin) in std::mem::take(&mut self.full) {
            self.note(key, expires, origin, tables.ban(&key, expires, origin));
        }
    }

    fn give_up_full(&mut self, tables: &mut Tables) {
        for (key, expires, origin) in std::mem::take(&mut self.full) {
            if let Err(error) = tables.ban(&key, expires, origin) {
                self.refused.push((key.into(), error));
            }
        }
    }
}

impl Tables {
    /// Bans a host whose place was looked up.
    fn ban_at(&mut self, seat: &Seat, expires_boot_ns: u64, origin: Origin) -> Result<(), EnforcerError> {
        if self.maps.is_never_ban(seat.sources()) {
            return Err(EnforcerError::NeverBanned {
                target: seat.key().into(),
            });
        }
        self.maps.insert_at(seat, expires_boot_ns, origin)
    }
}
