//! What the start takes over from earlier runs: what the store kept, and what the kernel kept beyond it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ipnet::IpNet;
use portcullis_guard::blacklist::{self, Allowed, BanOrder, KeptClaim, Restorer};
use portcullis_guard::guard::Guard;
use portcullis_guard::session::KeptSession;
use portcullis_guard::time::WallMillis;

use crate::clock;
use crate::enforcer::{self, Target};
use crate::gate::{Gate, kernel_bans};
use crate::memory;
use crate::store::{Restore, Store};

/// By how much the kernel's end of a ban must lie behind the one that the store tells, for it to be another ban: the
/// kernel counts by the time since boot, the store by the wall clock, which may be set.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Bans that were read and wait for guard and kernel, some thousands each.
const READ_AHEAD: usize = 4;

/// Gives the guard the sessions and never-ban entries that were kept, and hands the bans on.
struct Keeper {
    guard: Arc<Guard>,
    bans: SyncSender<Vec<(IpNet, KeptClaim)>>,
}

impl Restore for Keeper {
    fn bans(&mut self, claims: Vec<(IpNet, KeptClaim)>) {
        // Whoever takes them is there until the last one.
        let _ = self.bans.send(claims);
    }

    fn allowed(&mut self, entry: Allowed) {
        let (network, now) = (entry.network, clock::now());
        if entry.until.is_some_and(|until| until <= now.wall) {
            return;
        }
        match self.guard.allow(entry, now) {
            // The kernel gets the whole set before it gets a ban.
            Ok(_) => {}
            Err(error) => tracing::error!(%network, %error, "an entry of the never-ban set does not come back"),
        }
    }

    fn strikes(&mut self, network: IpNet, left: f32, at: WallMillis) {
        self.guard.restore_strikes(network, left, at, clock::now());
    }

    fn session(&mut self, kept: &KeptSession) {
        self.guard.restore_session(kept, clock::now());
    }
}

/// Gives back what the store kept. Never-ban first: nothing is dropped that should not be.
///
/// # Errors
/// If the store is damaged, or the kernel does not honour the never-ban set.
pub fn restore(gate: &Gate, store: &Store, never_ban: Vec<Allowed>) -> Result<()> {
    let (bans, read) = sync_channel(READ_AHEAD);
    let guard = gate.guard();
    let mut keeper = Keeper { guard, bans };
    store.load_exceptions(&mut keeper)?;
    gate.exempt(never_ban).context("failed to fill the never-ban set")?;
    // The next ones are read while these are put in force.
    let taken = thread::scope(|scope| -> Result<Taken> {
        let taking = scope.spawn(move || take(gate, read));
        let loaded = store.load_bans(&mut keeper);
        drop(keeper);
        let taken = taking.join().map_err(|_| anyhow!("bans cannot be put in force"))?;
        loaded.map(|()| taken).map_err(Into::into)
    });
    let Taken { bans, refused } = taken?;
    if refused > 0 {
        tracing::error!(refused, "the kernel did not take all bans of the store");
    }
    tracing::info!(bans, "bans restored");
    memory::give_back();
    Ok(())
}

/// What became of bans that were kept.
#[derive(Default)]
struct Taken {
    bans: usize,
    refused: usize,
}

fn take(gate: &Gate, read: Receiver<Vec<(IpNet, KeptClaim)>>) -> Taken {
    let (mut restorer, mut taken) = (Restorer::default(), Taken::default());
    for claims in read {
        let holding = gate.guard().restore_bans(&claims, &mut restorer, clock::now());
        taken.bans += holding.len();
        if let Some(kernel) = gate.kernel() {
            taken.refused += kernel.ban_all(kernel_bans(&holding)).len();
        }
    }
    taken
}

/// What the kernel kept while no daemon ran. To be read before anything is written to it.
///
/// # Errors
/// If the kernel cannot be asked.
pub fn kept_by_kernel(gate: &Gate) -> Result<Vec<(Target, enforcer::KernelBan)>> {
    let Some(kernel) = gate.kernel().filter(|_| gate.config().packet.pins.is_some()) else {
        return Ok(Vec::new());
    };
    let kept = kernel.list().context("failed to read the bans that the kernel kept")?;
    Ok(kept.bans)
}

/// Takes over what the kernel kept and the store does not know: a verdict of the last moment, or everything where the
/// store is new. So the operator sees it and can lift it.
///
/// # Errors
/// If the kernel does not let go of what may not be banned.
pub fn adopt(gate: &Gate, kept: Vec<(Target, enforcer::KernelBan)>) -> Result<()> {
    let Some(kernel) = gate.kernel() else { return Ok(()) };
    let now = clock::now();
    for (target, kept) in kept {
        let network = match target {
            Target::Host(address) => address.into(),
            Target::Prefix(network) => network,
            // A connection belongs to a session, and ends soon.
            Target::Flow(_) => continue,
        };
        let origin = kept.origin.map_or(blacklist::Origin::Operator, guard_origin);
        if let Some(known) = gate.guard().ban_of(network, now) {
            let later = kept.remaining > known.remaining(now) + TOLERANCE;
            // Operators are told when it is on the disk; a verdict does not wait for that.
            let by_the_gate = matches!(origin, blacklist::Origin::Score | blacklist::Origin::Rate);
            if !(later && by_the_gate) {
                continue;
            }
        }
        let order = BanOrder {
            network,
            ttl: kept.remaining,
            reason: "kept by the kernel over a restart".into(),
            origin,
            source: None,
            by: None,
            reference: None,
            force: true,
        };
        match gate.guard().ban(order, now) {
            Ok((_, effects)) => gate.perform(effects).context("failed to keep a ban of the last run")?,
            Err(refused) => {
                tracing::warn!(%network, %refused, "a ban of the last run is lifted");
                kernel.unban(target).context("failed to lift a ban of the last run")?;
            }
        }
    }
    Ok(())
}

fn guard_origin(origin: enforcer::Origin) -> blacklist::Origin {
    match origin {
        enforcer::Origin::Score => blacklist::Origin::Score,
        enforcer::Origin::Rate => blacklist::Origin::Rate,
        enforcer::Origin::List => blacklist::Origin::List,
        enforcer::Origin::Operator | enforcer::Origin::Fleet => blacklist::Origin::Operator,
    }
}
