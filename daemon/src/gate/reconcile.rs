//! The kernel beside the intention: compared, repaired, and told (invariant I5).

use std::ops::Bound;
use std::sync::{PoisonError, RwLockReadGuard};

use ipnet::IpNet;
use portcullis_guard::effect::KernelBan;
use portcullis_guard::guard::Guard;
use portcullis_guard::time::{Now, WallMillis};

use super::{Gate, kernel_origin};
use crate::clock;
use crate::enforcer::{EnforcerError, Intended, Reconciled, Target};

/// What a comparison of the kernel with the intention found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// When.
    pub at: WallMillis,
    /// What; [`Reconciled::ratio`] is the part that was enforced.
    pub found: Reconciled,
}

impl Gate {
    /// Compares the kernel with the intention, repairs it, and says so (invariant I5). `None` without a packet layer.
    pub fn reconcile(&self) -> Option<Result<Enforcement, EnforcerError>> {
        let kernel = self.enforcer.as_ref()?;
        let now = clock::now();
        let guard = self.guard();
        let current = |target| intended_of(&guard, target, now);
        let outcome = kernel.reconcile(all_intended(&guard, now), &current, &|act| self.without_others(act));
        if let Ok(found) = &outcome
            && (found.missing, found.wrong, found.strays) != (0, 0, 0)
        {
            tracing::warn!(
                ratio = found.ratio(),
                missing = found.missing,
                wrong = found.wrong,
                strays = found.strays,
                refused = found.refused,
                "the kernel had drifted and was repaired"
            );
        }
        Some(outcome.map(|found| {
            let enforcement = Enforcement { at: now.wall, found };
            *self.enforcement.lock().unwrap_or_else(PoisonError::into_inner) = Some(enforcement);
            enforcement
        }))
    }

    /// Compares the kernel with the intention, and leaves it as it is. `None` without a packet layer.
    pub fn compare(&self) -> Option<Result<Reconciled, EnforcerError>> {
        let (kernel, guard, now) = (self.enforcer.as_ref()?, self.guard(), clock::now());
        let current = |target| intended_of(&guard, target, now);
        Some(kernel.compare(all_intended(&guard, now), &current, &|act| self.without_others(act)))
    }

    /// To be held while many bans change, from the intention to the kernel: what one has and the other not yet is no drift.
    /// Not for longer than some thousands of them take.
    pub fn many(&self) -> RwLockReadGuard<'_, ()> {
        self.many.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something while nobody is between changing the intention of many bans and changing the kernel.
    fn without_others(&self, act: &mut dyn FnMut()) {
        let _alone = self.many.write().unwrap_or_else(PoisonError::into_inner);
        act();
    }

    /// What the last comparison of the kernel with the intention found. `None` before the first one.
    #[must_use]
    pub fn enforcement(&self) -> Option<Enforcement> {
        *self.enforcement.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All bans that the kernel should hold, some thousands at a time.
fn all_intended(guard: &Guard, now: Now) -> impl Iterator<Item = Vec<Intended>> {
    let mut from = Some(Bound::Unbounded);
    std::iter::from_fn(move || {
        let (bans, next) = guard.kernel_bans_from(from?, now);
        from = next;
        Some(bans.iter().map(|ban| intended(ban, now)).collect())
    })
}

/// The ban as it is at this moment; `now` only tells until when, and may be a while ago.
fn intended_of(guard: &Guard, target: Target, now: Now) -> Option<Intended> {
    let ban = guard.kernel_ban_of(network_of(target)?, now)?;
    Some(intended(&ban, now))
}

fn intended(ban: &KernelBan, now: Now) -> Intended {
    Intended {
        target: Target::Prefix(ban.network),
        until: clock::since_boot(now.mono).saturating_add(ban.ttl),
        origin: kernel_origin(ban.origin),
    }
}

fn network_of(target: Target) -> Option<IpNet> {
    match target {
        Target::Host(address) => Some(address.into()),
        Target::Prefix(network) => Some(network),
        Target::Flow(_) => None,
    }
}
