//! What the operator decided, compiled: the typed form of the configuration that decisions are made by.

mod enforcement;
mod route;

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use enforcement::{Enforcement, Share};
pub use route::{BodyMode, Route, RoutePolicy, Routes};

use crate::authority::Authorities;
use crate::campaign::CampaignLimits;
use crate::cors::CorsPolicy;
use crate::escalation::Growth;
use crate::path::{NormalPath, PathPattern};
use crate::reauth::LoginRoutes;
use crate::sequence::{MOST_FACTS, Rules};
use crate::session::mint::WorkPolicy;
use crate::suspects::Suspects;
use crate::tier::TierLimits;

/// Whether verdicts have consequences. New installations start by watching.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Judge, count and log, and let everything through.
    #[default]
    Monitor,
    /// Refuse and ban.
    Enforce,
}

/// What happens when a session is used from another address or by another User-Agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingPolicy {
    /// As much as the change is worth: from nothing over a fresh nonce to re-authentication.
    Ladder,
    /// Any change needs re-authentication.
    Strict,
    /// Nothing.
    Off,
}

/// How long sessions live and how many fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// From opening to the absolute end.
    pub lifetime: Duration,
    /// From the last call to the end, if none follows.
    pub idle: Duration,
    /// Sessions in memory; beyond, the one idle for longest must open a new session.
    pub capacity: usize,
    /// Sources (addresses) in memory.
    pub source_capacity: usize,
    /// Facts that rules may keep of one address, network, browser or user.
    pub shared_facts: usize,
    /// How long session ids are sealed under the same key.
    pub key_rotation: Duration,
}

/// How old or early a signature may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The oldest `created` that is accepted.
    pub max_age: Duration,
    /// How far `created` may lie ahead.
    pub max_ahead: Duration,
    /// How long after a call the same client may send its fields once more by mistake, at little cost.
    pub echo: Duration,
}

/// What bad behaviour adds to a score. Points of one kind are never negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// A MAC that does not match, or a forged session id.
    pub bad_signature: f32,
    /// A nonce used twice.
    pub replay: f32,
    /// The fields of a call sent once more by the same client at once: by a redirect, or over a new connection.
    pub echo: f32,
    /// Fields that no client of ours sends.
    pub malformed: f32,
    /// No signature at all.
    pub unsigned: f32,
    /// A session that appears in another browser.
    pub user_agent_changed: f32,
    /// A session that comes from another address of a network that is known for it; at most once in ten minutes.
    pub address_changed: f32,
    /// A session that moved to another network.
    pub network_changed: f32,
    /// The session: the same User-Agent from another TLS stack.
    pub fingerprint_changed: f32,
    /// A session that is used from several networks at the same time.
    pub concentration: f32,
    /// A body that is not what was signed.
    pub digest_mismatch: f32,
    /// A session of this source was banned.
    pub session_banned: f32,
    /// A request by a session that is banned.
    pub banned_session_used: f32,
    /// More sessions from one client in a minute than people open; each of them.
    pub session_farm: f32,
    /// Several sessions of one client do the same in the same rhythm; at most once in ten minutes, as are the next
    /// three.
    pub identical_calls: f32,
    /// A User-Agent that claims a browser which does not open TLS like this.
    pub tls_contradiction: f32,
    /// Most answers were errors of the client.
    pub error_ratio: f32,
    /// Calls as regular as no person makes them.
    pub robotic_timing: f32,
    /// A session whose User-Agent is one of the usual suspects'; once.
    pub suspect_agent: f32,
}

/// When scores lead to bans.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Points that a session may have before it is banned.
    pub session: f32,
    /// Points that a source may have before it is banned.
    pub address: f32,
    /// The time in which a score halves.
    pub half_life: Duration,
    /// How long a session is banned.
    pub session_ban: Duration,
    /// How long an address is banned.
    pub address_ban: Duration,
    /// How long the connections of a banned session are dropped at the card. They are reset, so this need not be long;
    /// behind a NAT somebody else may get the same port next.
    pub flow_ban: Duration,
    /// An address with a clean signed call within this time is not banned as a whole.
    pub nat_guard: Duration,
    /// How the ban of an address or a prefix grows when it is banned again.
    pub growth: Growth,
    /// When the network around misbehaving sources is banned.
    pub tiers: TierLimits,
    /// When many sessions are a campaign.
    pub campaigns: CampaignLimits,
}

/// The whole policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Monitor or enforce, to begin with.
    pub mode: Mode,
    /// For which share of the sessions verdicts have consequences when it enforces.
    pub enforced: Share,
    /// The names that the gate answers for.
    pub authorities: Authorities,
    /// Paths that need a signature. Everything else passes unsigned.
    pub protected: Vec<PathPattern>,
    /// What holds for some paths only.
    pub routes: Routes,
    /// Session limits.
    pub sessions: SessionLimits,
    /// What opening a session costs.
    pub work: WorkPolicy,
    /// Pages of other origins.
    pub cors: CorsPolicy,
    /// What the usual suspects call themselves.
    pub suspects: Suspects,
    /// Freshness of signatures.
    pub freshness: Freshness,
    /// What a change of address does.
    pub bind_address: BindingPolicy,
    /// What a change of User-Agent does.
    pub bind_user_agent: BindingPolicy,
    /// Changes of network that a session may make in an hour before it must be opened anew.
    pub networks_per_hour: u16,
    /// The application's login, by which suspended sessions come back.
    pub logins: LoginRoutes,
    /// Signal weights.
    pub weights: Weights,
    /// Thresholds and ban times.
    pub thresholds: Thresholds,
    /// Business rules.
    pub rules: Rules,
    /// Networks that are never banned.
    pub never_ban: Vec<IpNet>,
}

impl Policy {
    /// What holds for a path.
    #[must_use]
    pub fn route(&self, path: &NormalPath) -> RoutePolicy {
        self.routes.of(path)
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(12 * 3600),
            idle: Duration::from_secs(2 * 3600),
            capacity: 100_000,
            source_capacity: 100_000,
            shared_facts: MOST_FACTS,
            key_rotation: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(30),
            max_ahead: Duration::from_secs(5),
            echo: Duration::from_secs(5),
        }
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            bad_signature: 50.0,
            replay: 60.0,
            echo: 5.0,
            malformed: 10.0,
            unsigned: 1.0,
            user_agent_changed: 20.0,
            address_changed: 1.0,
            network_changed: 2.0,
            fingerprint_changed: 20.0,
            concentration: 40.0,
            digest_mismatch: 30.0,
            session_banned: 40.0,
            banned_session_used: 10.0,
            session_farm: 10.0,
            identical_calls: 25.0,
            tls_contradiction: 40.0,
            error_ratio: 20.0,
            robotic_timing: 10.0,
            suspect_agent: 10.0,
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            session: 100.0,
            address: 200.0,
            half_life: Duration::from_secs(600),
            session_ban: Duration::from_secs(900),
            address_ban: Duration::from_secs(900),
            flow_ban: Duration::from_secs(10),
            nat_guard: Duration::from_secs(600),
            growth: Growth::default(),
            tiers: TierLimits::default(),
            campaigns: CampaignLimits::default(),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Monitor,
            enforced: Share::ALL,
            authorities: Authorities::default(),
            protected: vec![PathPattern::everything()],
            routes: Routes::default(),
            sessions: SessionLimits::default(),
            work: WorkPolicy::default(),
            cors: CorsPolicy::default(),
            suspects: Suspects::default(),
            freshness: Freshness::default(),
            bind_address: BindingPolicy::Ladder,
            bind_user_agent: BindingPolicy::Ladder,
            networks_per_hour: 12,
            logins: LoginRoutes::default(),
            weights: Weights::default(),
            thresholds: Thresholds::default(),
            rules: Rules::default(),
            never_ban: Vec::new(),
        }
    }
}
