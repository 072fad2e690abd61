//! The never-ban set on the wire.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A network that is never banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    /// The network.
    #[schemars(with = "String")]
    pub network: IpNet,
    /// Why.
    pub reason: String,
    /// Whether it comes from the configuration or the machine itself and cannot be deleted by command.
    pub fixed: bool,
    /// When it was made; missing for fixed entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Moment>,
    /// When it ends; missing: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// The operator who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// `GET /v1/allow`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowList {
    /// By network.
    pub allowed: Vec<Allowed>,
}

/// `POST /v1/allow`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowRequest {
    /// An address or a network, as text: the server tells what is wrong with it.
    pub network: String,
    /// Why.
    pub reason: String,
    /// For how long; missing: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
}

/// The answer to [`AllowRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AllowAdded {
    /// The entry as it stands.
    pub allowed: Allowed,
    /// Bans that ended by it.
    #[schemars(with = "Vec<String>")]
    pub lifted: Vec<IpNet>,
}
