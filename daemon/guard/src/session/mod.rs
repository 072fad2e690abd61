//! Sessions: how they are opened, named, sealed, kept and ended.
//!
//! Opening one costs the gate no memory: the session id is a sealed [`token`] that carries the signing key. State is
//! made at the first call whose signature proves the key, in a bounded [`table`].

pub mod agreement;
pub mod calls;
mod id;
mod keep;
pub mod mint;
pub mod nonce;
mod recent;
pub mod record;
mod shared;
pub mod table;
pub mod token;
mod window;
pub mod work;

pub use id::{SessionId, SessionIdError};
pub use keep::KeptSession;

use std::time::Duration;

use crate::request::ClientAddress;
use crate::time::WallMillis;

/// A session as the operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSummary {
    /// Its name.
    pub id: SessionId,
    /// When it was opened.
    pub opened: WallMillis,
    /// When it ends at the latest.
    pub expires: WallMillis,
    /// Since its last call.
    pub idle: Duration,
    /// From where it was last used.
    pub client: ClientAddress,
    /// The User-Agent it is bound to, cut to [`record::USER_AGENT_KEPT`] bytes.
    pub user_agent: String,
    /// Who the application says that it is.
    pub user: Option<String>,
    /// Points now.
    pub score: f32,
    /// Tabs, workers or processes that sign.
    pub streams: usize,
    /// Connections it was last seen on.
    pub connections: usize,
    /// Calls that passed.
    pub calls: u64,
    /// Whether it may go on.
    pub status: SessionStatus,
}

/// Whether a session may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// It may.
    Active,
    /// Not before its user has authenticated again.
    Suspended,
    /// Not for this long.
    Banned(Duration),
    /// Never again.
    Revoked,
    /// No longer: it was idle for too long, or reached its end.
    Over,
}
