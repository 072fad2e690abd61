//! The gate: the guard with its hands. It carries out what the guard decides, on kernel maps, connections and the log.

pub mod events;
pub mod imports;
mod items;
mod keys;
mod reconcile;
mod renew;
pub mod trial;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use portcullis_guard::blacklist::{AllowRefused, Allowed};
use portcullis_guard::effect::{Effect, KernelBan};
use portcullis_guard::guard::Guard;
use portcullis_guard::incident::Incident;
use portcullis_guard::policy::Mode;
use portcullis_guard::request::ClientAddress;
use portcullis_guard::time::{Now, WallMillis};

use crate::clock;
use crate::config::Config;
use crate::control::api::ListeningPlace;
use crate::enforcer::{self, Enforcer, EnforcerError, Flow, Origin, Target};
use crate::hold::Waiting;
use crate::latest::Latest;
use crate::listener::connections::{Connections, Doom};
use crate::random;
use crate::reload::Reload;
use crate::stats::Offenders;
use crate::store::sessions::SessionStore;
use crate::store::{Change, Deed, Item, Store, Undo};
use crate::throttle::{Leave, Throttle};
use events::{Events, What};
use imports::Imports;
pub(crate) use items::item;
use keys::Keys;
pub use reconcile::Enforcement;
use trial::Trials;

/// The kernel refused what the guard decided. The intention stands, the enforcement does not.
#[derive(Debug, thiserror::Error)]
#[error("the kernel does not enforce it: {0}")]
pub struct KernelError(#[from] EnforcerError);

/// Why a change is not what the operator asked for. What was decided stands, and is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The kernel does not enforce it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A restart would forget it.
    #[error("it is not on the disk: {0}")]
    Store(String),
}

/// Why the never-ban set does not hold as it should.
#[derive(Debug, thiserror::Error)]
pub enum ExemptError {
    /// The guard has no room for it.
    #[error(transparent)]
    Refused(#[from] AllowRefused),
    /// The kernel does not honour it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Refusals that are written to the log, a second.
const REFUSALS_TOLD: u32 = 50;

/// Everything that workers and the control socket share.
pub struct Gate {
    guard: Latest<Guard>,
    enforcer: Option<Enforcer>,
    connections: Connections,
    waiting: Waiting,
    refusals_told: Throttle,
    config: Latest<Config>,
    reload: OnceLock<Reload>,
    started: WallMillis,
    keys: Option<Mutex<Keys>>,
    enforcement: Mutex<Option<Enforcement>>,
    store: Option<Store>,
    sessions: Option<SessionStore>,
    trials: Trials,
    events: Events,
    offenders: Offenders,
    imports: Imports,
    /// Held by whoever changes many bans, from the intention to the kernel; alone, by whoever compares them.
    many: RwLock<()>,
    places: Vec<ListeningPlace>,
}

impl Gate {
    /// Puts the parts together. Without an enforcer, verdicts are enforced in HTTP only.
    #[must_use]
    pub fn new(guard: Guard, enforcer: Option<Enforcer>, config: Config) -> Self {
        Self {
            guard: Latest::new(guard),
            enforcer,
            connections: Connections::default(),
            waiting: Waiting::default(),
            refusals_told: Throttle::new(REFUSALS_TOLD),
            config: Latest::new(config),
            reload: OnceLock::new(),
            started: clock::now().wall,
            keys: None,
            enforcement: Mutex::new(None),
            store: None,
            sessions: None,
            trials: Trials::default(),
            events: Events::default(),
            offenders: Offenders::default(),
            imports: Imports::default(),
            many: RwLock::new(()),
            places: Vec::new(),
        }
    }

    /// Tells it where clients connect.
    #[must_use]
    pub fn with_places(self, places: Vec<ListeningPlace>) -> Self {
        Self { places, ..self }
    }

    /// Where clients connect.
    #[must_use]
    pub fn places(&self) -> &[ListeningPlace] {
        &self.places
    }

    /// Gives it the store; without one, everything ends with the process.
    #[must_use]
    pub fn with_store(self, store: Store) -> Self {
        Self {
            store: Some(store),
            ..self
        }
    }

    /// What outlives the process.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Writes to the store what changes, until it is closed. For a thread of its own.
    pub fn keep_store(&self) {
        if let Some(store) = &self.store {
            store.write(&self.guard());
        }
    }

    /// Gives it the memory of sessions; without one, it ends with the process.
    #[must_use]
    pub fn with_sessions(self, sessions: SessionStore) -> Self {
        Self {
            sessions: Some(sessions),
            ..self
        }
    }

    /// The memory of what sessions did.
    #[must_use]
    pub fn sessions(&self) -> Option<&SessionStore> {
        self.sessions.as_ref()
    }

    /// Writes it down, until it is closed. For a thread of its own.
    pub fn keep_sessions(&self) {
        if let Some(sessions) = &self.sessions {
            sessions.keep(|| self.guard(), || self.config().state.saving);
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        clock::now()
    }

    /// Who decides, by the policy of this moment.
    #[must_use]
    pub fn guard(&self) -> Arc<Guard> {
        self.guard.get()
    }

    /// The packet layer; `None` when it is off.
    #[must_use]
    pub fn kernel(&self) -> Option<&Enforcer> {
        self.enforcer.as_ref()
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Calls that rules make wait.
    #[must_use]
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// What happens, for whoever follows it.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The bans that keep away most.
    #[must_use]
    pub fn offenders(&self) -> &Offenders {
        &self.offenders
    }

    /// Imports under way.
    #[must_use]
    pub fn imports(&self) -> &Imports {
        &self.imports
    }

    /// What the operator configured, as far as it is in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// When the daemon started.
    #[must_use]
    pub fn started(&self) -> WallMillis {
        self.started
    }

    /// Carries effects out; all of them, even if the kernel refuses one. Bans come first, the others in their order; the
    /// disk follows, and neither it nor the log is waited for before the kernel has them.
    ///
    /// # Errors
    /// The first [`KernelError`]. It is logged here too.
    pub fn perform(&self, effects: Vec<Effect>) -> Result<(), KernelError> {
        if effects.is_empty() {
            return Ok(());
        }
        let items: Vec<Item> = effects.iter().flat_map(items::of_verdict).collect();
        let outcome = self.enforce(effects);
        if let Some(store) = self.store.as_ref().filter(|_| !items.is_empty()) {
            // The disk follows; the verdict does not wait for it.
            store.note(items);
        }
        outcome
    }

    /// The same for what is written down otherwise.
    ///
    /// # Errors
    /// The first [`KernelError`]. It is logged here too.
    pub fn enforce(&self, effects: Vec<Effect>) -> Result<(), KernelError> {
        let is_ban = |effect: &Effect| matches!(effect, Effect::Ban(_));
        let (bans, others): (Vec<_>, Vec<_>) = effects.into_iter().partition(is_ban);
        let mut outcome = Ok(());
        for effect in bans.into_iter().chain(others) {
            let what = self.events.wanted(|| What::of(&effect));
            if let Err(error) = self.perform_one(effect) {
                tracing::error!(%error, "kernel enforcement failed");
                outcome = outcome.and(Err(error));
            }
            self.events.tell(clock::now().wall, what);
        }
        outcome
    }

    /// Carries out what an operator wants, and returns when it is on the disk.
    ///
    /// # Errors
    /// [`ChangeError`]; the kernel's word comes first.
    pub fn change(&self, effects: Vec<Effect>, deed: Deed, undo: Undo) -> Result<(), ChangeError> {
        let items = effects.iter().filter_map(item).collect();
        let enforced = self.enforce(effects);
        let stored = self.record(items, deed, undo);
        enforced?;
        stored
    }

    /// Has what an operator changed written, and returns when it is on the disk.
    ///
    /// # Errors
    /// [`ChangeError::Store`].
    pub fn record(&self, items: Vec<Item>, deed: Deed, undo: Undo) -> Result<(), ChangeError> {
        let told = self.events.wanted(|| Some(What::Operator(Box::new(deed.clone()))));
        self.events.tell(deed.at, told);
        let Some(store) = &self.store else { return Ok(()) };
        if undo == Undo::TooLarge {
            // Its items were noted: whoever is answered finds them on the disk.
            store.settle().map_err(ChangeError::Store)?;
        }
        let change = Change { items, deed, undo };
        store.submit(change).map_err(ChangeError::Store)
    }

    /// Enforces many bans at once, and tells how many the kernel does not take. They are written down otherwise.
    pub fn ban_all(&self, bans: &[KernelBan]) -> usize {
        let Some(kernel) = &self.enforcer else { return 0 };
        let refused = kernel.ban_all(kernel_bans(bans));
        if let Some((target, error)) = refused.first() {
            tracing::error!(refused = refused.len(), ?target, %error, "the kernel does not take all bans");
        }
        refused.len()
    }

    fn perform_one(&self, effect: Effect) -> Result<(), KernelError> {
        match effect {
            Effect::Ban(ban) => self.ban(ban),
            Effect::Unban(network) => self.in_kernel(|kernel| kernel.unban(Target::Prefix(network)).map(|_| ())),
            Effect::Allow(network) => self.in_kernel(|kernel| kernel.allow(network)),
            Effect::Disallow(network) => self.in_kernel(|kernel| kernel.disallow(network).map(|_| ())),
            Effect::DropFlows {
                connections,
                ttl,
                reference,
            } => {
                tracing::info!(connections = connections.len(), ttl = ttl.as_secs(), %reference, "dropping connections");
                connections
                    .iter()
                    .for_each(|&connection| self.connections.doom(connection, Doom { ttl }));
                Ok(())
            }
            Effect::SessionEnded { session, ttl } => {
                tracing::warn!(%session, ttl = ttl.as_secs(), "session ended");
                let ttl = self.guard().policy().thresholds.flow_ban;
                self.connections.doom_session(session, Doom { ttl });
                Ok(())
            }
            Effect::SessionRestored(session) => {
                tracing::info!(%session, "session restored");
                Ok(())
            }
            Effect::Report(incident) => {
                self.report(&incident);
                Ok(())
            }
        }
    }

    fn ban(&self, ban: KernelBan) -> Result<(), KernelError> {
        let KernelBan { network, ttl, origin } = ban;
        let outcome = self.in_kernel(|kernel| kernel.ban(Target::Prefix(network), ttl, kernel_origin(origin)));
        tracing::warn!(%network, ttl = ttl.as_secs(), %origin, "ban");
        outcome
    }

    /// Draws the consequence of packets that were over the rate limits again and again.
    ///
    /// Packets can be forged; an open connection cannot, as it takes answers to reach its client. So a source that has
    /// none is limited and never banned: else anybody could have anybody banned.
    pub fn strike(&self, address: IpAddr) {
        let client = ClientAddress::new(address);
        let Some(ttl) = self.config().packet.rate_ban else {
            return;
        };
        if !self.connections.any_from(client.source()) {
            tracing::debug!(%address, "over the rate limits, without a connection: limited only");
            return;
        }
        let effects = self.guard().ban_flood(client, ttl, random::reference(), clock::now());
        // What the kernel refuses is logged, and reconciled.
        let _ = self.perform(effects);
    }

    /// Puts networks into the never-ban set, and the whole set into the kernel.
    ///
    /// # Errors
    /// If the set is full, or the kernel refuses. Nothing may be dropped before this succeeded.
    pub fn exempt(&self, entries: Vec<Allowed>) -> Result<(), ExemptError> {
        let now = clock::now();
        for entry in entries {
            self.perform(self.guard().allow(entry, now)?)?;
        }
        let all = self
            .guard()
            .allowed()
            .into_iter()
            .map(|entry| Effect::Allow(entry.network));
        Ok(self.perform(all.collect())?)
    }

    /// Drops what still comes over a connection that was just closed.
    pub(crate) fn drop_flow(&self, flow: Flow, doom: Doom) {
        let outcome = self.in_kernel(|kernel| kernel.ban(Target::Flow(flow), doom.ttl, Origin::Score));
        match outcome {
            // Never-ban wins in the kernel too, and the connection is closed all the same.
            Ok(()) | Err(KernelError(EnforcerError::NeverBanned { .. })) => {}
            Err(error) => tracing::error!(%error, "kernel enforcement failed"),
        }
    }

    /// Every refusal is counted and remembered; only so many are written. A stranger does not fill the disk.
    fn report(&self, incident: &Incident) {
        if let Leave::Granted(left_out) = self.refusals_told.ask(clock::monotonic()) {
            tell(incident, left_out);
        }
    }

    fn in_kernel(&self, act: impl FnOnce(&Enforcer) -> Result<(), EnforcerError>) -> Result<(), KernelError> {
        self.enforcer.as_ref().map_or(Ok(()), act).map_err(KernelError)
    }
}

/// Bans as the kernel takes them.
pub(crate) fn kernel_bans(bans: &[KernelBan]) -> impl ExactSizeIterator<Item = (Target, Duration, Origin)> {
    bans.iter()
        .map(|ban| (Target::Prefix(ban.network), ban.ttl, kernel_origin(ban.origin)))
}

/// The mode as the packet layer calls it.
pub(crate) fn kernel_mode(mode: Mode) -> enforcer::Mode {
    match mode {
        Mode::Monitor => enforcer::Mode::Monitor,
        Mode::Enforce => enforcer::Mode::Enforce,
    }
}

fn kernel_origin(origin: portcullis_guard::blacklist::Origin) -> Origin {
    match origin {
        portcullis_guard::blacklist::Origin::Operator => Origin::Operator,
        portcullis_guard::blacklist::Origin::Score => Origin::Score,
        portcullis_guard::blacklist::Origin::Rate => Origin::Rate,
        portcullis_guard::blacklist::Origin::List => Origin::List,
    }
}

/// The path comes from a client: the debug form escapes what a terminal would obey.
fn tell(incident: &Incident, left_out: u64) {
    tracing::info!(
        reference = %incident.reference,
        cause = incident.refusal.cause(),
        client = %incident.client,
        session = incident.session.map(tracing::field::display),
        method = ?incident.method,
        path = ?incident.path,
        rule = incident.rule,
        waived = incident.waived,
        explanation = incident.explanation,
        left_out,
        "refused"
    );
}

#[cfg(test)]
mod tests {
    use portcullis_guard::guard::Secrets;
    use portcullis_guard::policy::Policy;
    use portcullis_guard::session::token::{MasterKey, MasterKeys};
    use zeroize::Zeroizing;

    use super::*;

    /// Nobody writes to this store: whoever waits for it waits for a minute.
    #[test]
    fn a_verdict_does_not_wait_for_the_disk() {
        let home = tempfile::tempdir().unwrap();
        let secrets = Secrets {
            master: MasterKeys::new(MasterKey::new(1, &Zeroizing::new([7; 32])), Vec::new()),
            run: Zeroizing::new([9; 32]),
        };
        let config = Config::parse("[http]\nupstream = \"http://127.0.0.1:1\"\n", "test.toml").unwrap();
        let guard = Guard::new(Policy::default(), secrets, 10);
        let gate = Gate::new(guard, None, config).with_store(Store::open(home.path()).unwrap());
        let ban = KernelBan {
            network: "192.0.2.1/32".parse().unwrap(),
            ttl: Duration::from_secs(60),
            origin: portcullis_guard::blacklist::Origin::Score,
        };
        gate.perform(vec![Effect::Ban(ban)]).unwrap();
        assert_eq!(gate.store().unwrap().health().waiting, 2, "they are written behind it");
    }
}
