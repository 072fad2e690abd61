//! The memory of what sessions, addresses and users did, read out to be written down while they go on, and given back at
//! the next start.
//!
//! Times in it are those of the guard's clock (`Now::mono`), which has to go on from where it was: by as much as has passed
//! meanwhile, or, where nobody knows how much that is, not at all (`keeps_time`).

use std::sync::Arc;

use hkdf::Hkdf;
use ipnet::IpNet;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Guard;
use crate::campaign::{ClientMark, KeptClient};
use crate::changes::Changed;
use crate::request::Source;
use crate::sequence::{BindingKey, HolderKey, KeptFacts, NotRestored, Revived};
use crate::session::SessionId;
use crate::session::record::KeptState;
use crate::session::table::Garbled;
use crate::session::token::MasterKeys;
use crate::source::KeptSource;
use crate::tier::KeptTier;
use crate::time::{Now, WallMillis};

impl Guard {
    /// The same guard, which knows values and people by hashes under a secret that outlives the process. To be asked for
    /// before anybody else has it: later, nothing changes.
    #[must_use]
    pub fn with_memory_secret(mut self, secret: &Zeroizing<[u8; 32]>) -> Self {
        if let Some(state) = Arc::get_mut(&mut self.state) {
            state.binding_key = BindingKey::new(derive(secret, b"bindings"));
            state.shared_facts.set_key(BindingKey::new(derive(secret, b"holders")));
        }
        self
    }

    /// The keys that seal session ids.
    #[must_use]
    pub fn master_keys(&self) -> MasterKeys {
        self.master().clone()
    }

    /// Sessions whose state changed since the last call.
    #[must_use]
    pub fn changed_sessions(&self) -> Changed<SessionId> {
        self.sessions.take_changed()
    }

    /// Every session that has state.
    #[must_use]
    pub fn session_names(&self) -> Vec<SessionId> {
        self.sessions.names()
    }

    /// The state of a session; `None`: it has none that matters.
    #[must_use]
    pub fn session_state(&self, id: SessionId, now: Now) -> Option<KeptState> {
        self.sessions.shard(id).keep_state(id, now)
    }

    /// Gives a session its state back. `None` if it is over.
    ///
    /// # Errors
    /// [`Garbled`]; it has to be opened anew then: see [`expect_anew`](Self::expect_anew).
    pub fn restore_state(&self, kept: KeptState, now: Now) -> Result<Option<Revived>, Garbled> {
        let rules = self.rules();
        self.sessions.shard(kept.id).restore_state(kept, &rules, now)
    }

    /// All sessions came back that do: the one that was used last stays longest.
    pub fn order_sessions(&self) {
        self.sessions.order_by_use();
    }

    /// Up to which opening sessions without state are refused, as theirs may have been forgotten.
    #[must_use]
    pub fn session_horizon(&self) -> Option<WallMillis> {
        self.sessions.horizon()
    }

    /// Sessions without state that were opened up to here have to be opened anew.
    pub fn expect_anew(&self, opened: WallMillis) {
        self.sessions.raise_horizon(opened);
    }

    /// Addresses, networks, browsers and users whose facts changed since the last call.
    #[must_use]
    pub fn changed_holders(&self) -> Changed<HolderKey> {
        self.shared_facts.take_changed()
    }

    /// Everybody but sessions who has facts.
    #[must_use]
    pub fn holder_names(&self) -> Vec<HolderKey> {
        self.shared_facts.names()
    }

    /// Somebody's facts.
    #[must_use]
    pub fn holder_facts(&self, key: HolderKey) -> Option<KeptFacts> {
        self.shared_facts.keep(key)
    }

    /// Gives somebody his facts back.
    ///
    /// # Errors
    /// [`NotRestored`].
    pub fn restore_holder(
        &self,
        key: HolderKey,
        kept: KeptFacts,
        keeps_time: bool,
        now: Now,
    ) -> Result<Revived, NotRestored> {
        self.shared_facts
            .restore(key, kept, &self.rules(), keeps_time, now.mono)
    }

    /// Sources whose points or neighbours changed since the last call.
    #[must_use]
    pub fn changed_sources(&self) -> Changed<Source> {
        self.sources.take_changed()
    }

    /// Every source that is remembered.
    #[must_use]
    pub fn source_names(&self) -> Vec<Source> {
        self.sources.names()
    }

    /// What is remembered of a source.
    #[must_use]
    pub fn source_state(&self, source: Source) -> Option<KeptSource> {
        self.sources.keep(source)
    }

    /// Gives a source back; `false` if there is no room.
    #[must_use]
    pub fn restore_source(&self, kept: &KeptSource) -> bool {
        self.sources.restore(kept)
    }

    /// Prefixes whose points changed since the last call.
    #[must_use]
    pub fn changed_tiers(&self) -> Changed<IpNet> {
        self.tiers.take_changed()
    }

    /// Every prefix that is remembered.
    #[must_use]
    pub fn tier_names(&self) -> Vec<IpNet> {
        self.tiers.names()
    }

    /// What is remembered of a prefix.
    #[must_use]
    pub fn tier_state(&self, network: IpNet) -> Option<KeptTier> {
        self.tiers.keep(network)
    }

    /// Gives a prefix back; `false` if there is no room.
    #[must_use]
    pub fn restore_tier(&self, network: IpNet, kept: &KeptTier) -> bool {
        self.tiers.restore(network, kept)
    }

    /// Clients of which something changed since the last call.
    #[must_use]
    pub fn changed_clients(&self) -> Changed<ClientMark> {
        self.campaigns.take_changed()
    }

    /// Every client that is remembered.
    #[must_use]
    pub fn client_names(&self) -> Vec<ClientMark> {
        self.campaigns.names()
    }

    /// What is remembered of a client.
    #[must_use]
    pub fn client_state(&self, mark: ClientMark) -> Option<KeptClient> {
        self.campaigns.keep(mark)
    }

    /// Gives a client back; `false` if there is no room.
    #[must_use]
    pub fn restore_client(&self, kept: &KeptClient) -> bool {
        self.campaigns.restore(kept)
    }
}

fn derive(secret: &Zeroizing<[u8; 32]>, label: &[u8]) -> [u8; 16] {
    let mut output = [0; 16];
    // HKDF refuses only outputs above 255 blocks; this has one.
    let _ = Hkdf::<Sha256>::new(None, &**secret).expand_multi_info(&[b"portcullis memory ", label], &mut output);
    output
}
