//! The guard: takes a request through all checks, and draws the consequences of what it finds.
//!
//! ```text
//! judge_head: host banned? → protected? → typed link, foreign page? → signature → session → freshness → MAC → nonce → binding
//! admit:      body digest → rules                  (the body is read between the two, only for signed calls)
//! complete:   what the upstream answered → rules
//! ```
//! Each step is a private function that takes what only the step before can make.

mod action;
mod bind;
mod consequence;
mod flood;
mod identify;
mod keep;
mod ladder;
mod login;
mod memory;
mod notice;
mod opening;
mod operator;
mod page;
mod passage;
mod permit;
#[cfg(test)]
mod tests;
mod trap;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

pub use consequence::Refused;
pub use identify::Bound;
pub use opening::Opened;
pub use page::{Preflight, is_preflight};
pub use passage::{Hold, Passage, Reading};
pub use permit::{Caller, Expected, Permit, Receipt};

use crate::blacklist::{Allowed, Blacklist};
use crate::campaign::Campaigns;
use crate::cors;
use crate::effect::Effect;
use crate::escalation::Escalations;
use crate::head::Head;
use crate::incident::Incidents;
use crate::learn::Recorder;
use crate::policy::{Enforcement, Mode, Policy};
use crate::refusal::Refusal;
use crate::request::{ClientAddress, Request};
use crate::sequence::{BindingKey, Rules, SharedFacts};
use crate::session::calls::Timelines;
use crate::session::mint;
use crate::session::nonce::StreamIssuer;
use crate::session::table::SessionTable;
use crate::session::token::{Epoch, MasterKeys};
use crate::session::work::WorkDesk;
use crate::sketch::Sketch;
use crate::source::SourceTable;
use crate::tier::Tiers;
use crate::time::Now;
use consequence::Fault;

/// Incidents that `why` can explain.
const INCIDENTS_KEPT: usize = 10_000;
/// Prefixes, clients, patterns and bans that would have been made, each, at most.
const TRACES_KEPT: usize = 50_000;

/// An outcome and what the shell has to do for it.
#[derive(Debug)]
#[must_use]
pub struct Judgement<T> {
    /// What the request may do.
    pub outcome: Result<T, Box<Refused>>,
    /// What the shell must do, in this order, whatever the outcome.
    pub effects: Vec<Effect>,
}

/// How far the head of a request brings it.
#[derive(Debug)]
pub enum Admission {
    /// The path is public, or the gate only watches: forward it.
    Forward(Permit),
    /// Signed and bound: read the body, then [`Guard::admit`].
    Bound(Bound),
}

/// The secrets of the guard.
pub struct Secrets {
    /// They seal session ids and outlive the process.
    pub master: MasterKeys,
    /// Fresh for each run of the daemon.
    pub run: Zeroizing<[u8; 32]>,
}

/// All decisions, by one policy. What it knows is shared with the guards of [other policies](Guard::under): a request is
/// judged by one policy from its head to its answer, whatever is put in force meanwhile.
pub struct Guard {
    policy: Policy,
    state: Arc<State>,
}

/// What the guard knows, whatever the policy. Shared by the workers; locks are short and per shard.
pub struct State {
    master: RwLock<MasterKeys>,
    epoch: Epoch,
    issuer: StreamIssuer,
    binding_key: BindingKey,
    rules: RwLock<Rules>,
    shared_facts: SharedFacts,
    sessions: SessionTable,
    sources: SourceTable,
    mints: Sketch,
    preflights: Sketch,
    work: WorkDesk,
    tiers: Tiers,
    escalations: Escalations,
    campaigns: Campaigns,
    timelines: Timelines,
    recorder: Recorder,
    blacklist: RwLock<Blacklist>,
    /// Those that would be banned, where the gate only watches.
    shadow: RwLock<Blacklist>,
    enforcement: Enforcement,
    ledger: Mutex<Ledger>,
    admitted: AtomicU64,
}

/// What was refused.
struct Ledger {
    incidents: Incidents,
    counts: BTreeMap<&'static str, u64>,
}

impl Guard {
    /// A guard with empty tables.
    #[must_use]
    pub fn new(policy: Policy, secrets: Secrets, ban_capacity: usize) -> Self {
        let mut blacklist = Blacklist::new(ban_capacity);
        for &network in &policy.never_ban {
            // The configuration is limited to what fits.
            let _ = blacklist.allow(Allowed::fixed(network, "configuration: never_ban"));
        }
        let state = State {
            epoch: Epoch(derive(&secrets.run, b"epoch")),
            issuer: StreamIssuer::new(
                &Zeroizing::new(derive(&secrets.run, b"streams")),
                policy.freshness.max_age,
            ),
            binding_key: BindingKey::new(derive(&secrets.run, b"bindings")),
            rules: RwLock::new(policy.rules.clone()),
            shared_facts: SharedFacts::new(
                policy.sessions.source_capacity,
                BindingKey::new(derive(&secrets.run, b"holders")),
            )
            .with_facts(policy.sessions.shared_facts),
            sessions: SessionTable::new(policy.sessions.capacity),
            sources: SourceTable::new(policy.sessions.source_capacity),
            mints: Sketch::new(derive(&secrets.run, b"mints"), mint::HALF_LIFE),
            preflights: Sketch::new(derive(&secrets.run, b"preflights"), cors::HALF_LIFE),
            work: WorkDesk::new(&Zeroizing::new(derive(&secrets.run, b"work"))),
            tiers: Tiers::new(policy.sessions.source_capacity.min(TRACES_KEPT)),
            escalations: Escalations::new(policy.sessions.source_capacity.min(TRACES_KEPT)),
            timelines: Timelines::new(policy.sessions.capacity.min(TRACES_KEPT)),
            recorder: Recorder::default(),
            campaigns: Campaigns::new(policy.sessions.source_capacity.min(TRACES_KEPT)),
            shadow: RwLock::new(Blacklist::new(ban_capacity.min(TRACES_KEPT))),
            enforcement: Enforcement::new(policy.mode, policy.enforced),
            blacklist: RwLock::new(blacklist),
            ledger: Mutex::new(Ledger {
                incidents: Incidents::new(INCIDENTS_KEPT),
                counts: BTreeMap::new(),
            }),
            admitted: AtomicU64::new(0),
            master: RwLock::new(secrets.master),
        };
        Self {
            policy,
            state: Arc::new(state),
        }
    }

    /// A guard by another policy that knows the same. Its rules hold for all of them from here on, and its mode if it is
    /// another one than that of this policy: else the operator has the last word. The sizes of the tables stay as they are.
    #[must_use]
    pub fn under(&self, policy: Policy) -> Self {
        self.issuer.set_max_age(policy.freshness.max_age);
        if !self.has_mode_of(&policy) {
            self.enforcement.set(policy.mode, policy.enforced);
        }
        self.set_rules(policy.rules.clone());
        Self {
            policy,
            state: Arc::clone(&self.state),
        }
    }

    /// The mode that will hold [under](Self::under) another policy.
    #[must_use]
    pub fn mode_under(&self, policy: &Policy) -> Mode {
        if self.has_mode_of(policy) {
            self.mode()
        } else {
            Enforcement::new(policy.mode, policy.enforced).mode()
        }
    }

    fn has_mode_of(&self, policy: &Policy) -> bool {
        (self.policy.mode, self.policy.enforced) == (policy.mode, policy.enforced)
    }

    /// What it decides by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Judges a request by its head.
    pub fn judge_head(&self, request: &Request<'_>, now: Now) -> Judgement<Admission> {
        if let Err(fault) = self.check_caller(request, now) {
            return self.refuse(request, fault, now);
        }
        if !self.is_protected(request.path) {
            return self.judge_stranger(request, None, now);
        }
        let head = Head::of(request.headers);
        if let Err(refusal) = self.check_page(request, &head.page) {
            return self.judge_stranger(request, Some(Fault::of(refusal)), now);
        }
        match self.identify(request, head, now) {
            // A session that steps into a trap answers for it itself, when the rules are asked.
            Ok(bound) => Judgement::clean(Admission::Bound(bound)),
            Err(fault) => self.judge_stranger(request, Some(fault), now),
        }
    }

    /// Judges a call of somebody who has no session, or none that proves itself: a trap counts for more than another
    /// fault, and is one also where nothing is protected.
    fn judge_stranger(&self, request: &Request<'_>, fault: Option<Box<Fault>>, now: Now) -> Judgement<Admission> {
        let (trapped, seen) = self.trap(request, now);
        let judgement = match trapped.or(fault) {
            Some(fault) => self.refuse(request, fault, now),
            None => Judgement::clean(Admission::Forward(Permit::unsigned())),
        };
        Judgement {
            outcome: judgement.outcome,
            effects: seen.into_iter().chain(judgement.effects).collect(),
        }
    }

    /// Refuses a request for something that the shell found: a framing error, a body that is too large, an upstream
    /// that does not answer.
    pub fn refuse_for(&self, request: &Request<'_>, refusal: Refusal, now: Now) -> Judgement<Infallible> {
        self.refuse(request, Fault::of(refusal), now)
    }

    /// The same for a call of whom the session is known: a body that turned out wrong while it passed.
    pub fn refuse_passing(
        &self,
        caller: Option<&Caller>,
        request: &Request<'_>,
        refusal: Refusal,
        now: Now,
    ) -> Judgement<Infallible> {
        let fault = caller.map_or_else(|| Fault::of(refusal), |caller| Fault::by(refusal, caller.session));
        self.refuse(request, fault, now)
    }

    fn expected(&self, bound: &Bound, request: &Request<'_>, body: Option<&[u8]>) -> Option<Expected> {
        let claimed = bound.digest.clone().filter(|_| bound.passes_by(body))?;
        let enforced = self.mode_for(Some(bound.session), request.client) == Mode::Enforce;
        Some(Expected { claimed, enforced })
    }

    /// Seals new session ids under other keys from here on.
    pub fn set_master_keys(&self, keys: MasterKeys) {
        *self.master.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn master(&self) -> RwLockReadGuard<'_, MasterKeys> {
        self.master.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_address(&self, client: ClientAddress, now: Now) -> Result<(), Refusal> {
        match self.blacklist().banned(client.ip(), now) {
            Some(left) => Err(Refusal::AddressBanned(left)),
            None => Ok(()),
        }
    }

    /// Whether the address is banned, or would be where the gate only watches.
    fn check_caller(&self, request: &Request<'_>, now: Now) -> Result<(), Box<Fault>> {
        if !self.policy.authorities.include(request.authority) {
            return Err(Fault::of(Refusal::AuthorityUnknown));
        }
        let client = request.client;
        // A ban that stands holds for everybody, whatever share of the sessions is enforced.
        let standing = self.check_address(client, now);
        standing.map_err(|refusal| Fault::of(refusal).in_mode(self.enforcement.mode()))?;
        if self.mode_for(None, client) == Mode::Monitor
            && let Some(left) = self.shadow().banned(client.ip(), now)
        {
            return Err(Fault::of(Refusal::AddressBanned(left)).in_mode(Mode::Monitor));
        }
        Ok(())
    }

    fn blacklist(&self) -> RwLockReadGuard<'_, Blacklist> {
        self.blacklist.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shadow(&self) -> RwLockReadGuard<'_, Blacklist> {
        self.shadow.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn shadow_mut(&self) -> RwLockWriteGuard<'_, Blacklist> {
        self.shadow.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn blacklist_mut(&self) -> RwLockWriteGuard<'_, Blacklist> {
        self.blacklist.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Guard {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl<T> Judgement<T> {
    fn clean(outcome: T) -> Self {
        Self {
            outcome: Ok(outcome),
            effects: Vec::new(),
        }
    }
}

fn derive<const N: usize>(secret: &Zeroizing<[u8; 32]>, label: &[u8]) -> [u8; N] {
    let mut output = [0; N];
    // HKDF refuses only outputs above 255 blocks; these have one.
    let _ = Hkdf::<Sha256>::new(None, &**secret).expand_multi_info(&[b"portcullis run ", label], &mut output);
    output
}
