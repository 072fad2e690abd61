//! The never-ban set on the wire.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A network that is never banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The network.
    pub network: IpNet,
    /// Why.
    pub reason: String,
    /// Whether it comes from the configuration or the machine itself and cannot be deleted by command.
    pub fixed: bool,
}

/// `GET /v1/allow`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowList {
    /// By network.
    pub allowed: Vec<Allowed>,
}

/// `POST /v1/allow`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowRequest {
    /// An address or a network, as text: the server tells what is wrong with it.
    pub network: String,
    /// Why.
    pub reason: String,
}

/// The answer to [`AllowRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowAdded {
    /// The entry as it stands.
    pub allowed: Allowed,
    /// Bans that ended by it.
    pub lifted: Vec<IpNet>,
}
