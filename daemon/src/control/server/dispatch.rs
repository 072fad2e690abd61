//! From a path to who answers it.

use bytes::Bytes;
use http::{Method, StatusCode, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::audit::Peer;
use super::error::ControlError;
use super::{allow, bans, changes, check, import, incidents, mode, recording, rules, sessions, status};
use crate::control::api::PREFIX;
use crate::control::openapi;
use crate::control::routes::{self, Way};
use crate::gate::Gate;
use crate::stats;

/// A request that arrived whole.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
}

/// An answer that is not a refusal.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Reply {
    pub(super) fn of(status: StatusCode, body: &impl Serialize) -> Result<Self, ControlError> {
        match serde_json::to_vec(body) {
            Ok(body) => Ok(Self {
                status,
                body: body.into(),
            }),
            Err(error) => Err(ControlError::Internal(error.to_string())),
        }
    }

    pub(super) fn ok(body: &impl Serialize) -> Result<Self, ControlError> {
        Self::of(StatusCode::OK, body)
    }

    pub(super) fn created(body: &impl Serialize) -> Result<Self, ControlError> {
        Self::of(StatusCode::CREATED, body)
    }
}

impl Question {
    /// The JSON of the body.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ControlError> {
        serde_json::from_slice(&self.body).map_err(|error| ControlError::BodyInvalid(error.to_string()))
    }

    /// The JSON of a body that may be empty or `null`.
    pub(super) fn json_if_any<T: DeserializeOwned + Default>(&self) -> Result<T, ControlError> {
        match self.body.is_empty() {
            true => Ok(T::default()),
            false => Ok(self.json::<Option<T>>()?.unwrap_or_default()),
        }
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &'static str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A parameter of the query that must be there.
    pub(super) fn needed(&self, name: &'static str) -> Result<String, ControlError> {
        self.parameter(name).ok_or(ControlError::ParameterMissing(name))
    }
}

/// Answers a question.
pub(super) fn answer(gate: &Gate, peer: Peer, question: &Question) -> Result<Reply, ControlError> {
    let path = question.uri.path();
    match routes::find(question.method.as_str(), path) {
        Way::Open => {}
        Way::OtherMethod => return Err(ControlError::MethodNotAllowed),
        Way::Nowhere => return Err(ControlError::NotFound),
    }
    if path == routes::DOCUMENT {
        return Reply::ok(&openapi::document());
    }
    let path = path.strip_prefix(PREFIX).and_then(|path| path.strip_prefix('/'));
    let segments: Vec<&str> = path.ok_or(ControlError::NotFound)?.split('/').collect();
    let get = question.method == Method::GET;
    let post = question.method == Method::POST;
    let delete = question.method == Method::DELETE;
    let patch = question.method == Method::PATCH;
    match segments.as_slice() {
        ["status"] if get => status::status(gate),
        ["stats"] if get => Reply::ok(&stats::stats(gate)),
        ["verify"] if post => status::verify(gate),
        ["bans"] if get => bans::list(gate, question),
        ["bans"] if post => bans::add(gate, peer, &question.json()?),
        ["bans"] if delete => bans::delete(gate, peer, &question.needed("network")?),
        ["bans"] if patch => bans::edit(gate, peer, &question.needed("network")?, &question.json()?),
        ["bans", "all"] if delete => changes::flush(gate, peer, question),
        ["bans", "import"] if post => import::import(gate, peer, question),
        ["bans", "import"] if get => import::under_way(gate),
        ["store", "check"] if post => changes::store(gate, peer, false),
        ["store", "compact"] if post => changes::store(gate, peer, true),
        ["undo"] if post => changes::undo(gate, peer),
        ["audit"] if get => changes::audit(gate, question.parameter("limit").as_deref()),
        ["bans", "check"] if get => check::check(gate, &question.needed("address")?),
        ["allow"] if get => allow::list(gate),
        ["allow"] if post => allow::add(gate, peer, &question.json()?),
        ["allow"] if delete => allow::delete(gate, peer, &question.needed("network")?),
        ["rules"] if get => rules::list(gate),
        ["rules", "reload"] if post => rules::reload(gate, peer, question),
        ["reload"] if post => rules::reload_all(gate, peer, question),
        ["recording"] if get => recording::show(gate),
        ["recording"] if post => recording::start(gate, peer, question),
        ["recording"] if delete => recording::forget(gate),
        ["recording", "calls"] if get => recording::calls(gate, question.parameter("from").as_deref()),
        ["mode"] if get => mode::show(gate),
        ["mode"] if post => mode::change(gate, peer, question),
        ["confirm"] if post => mode::confirm(gate, peer, question),
        ["sessions"] if get => sessions::list(gate),
        ["session-keys"] if post => sessions::rotate_key(gate, peer),
        ["sessions", id, "timeline"] if get => sessions::timeline(gate, id),
        ["sessions", id, "restore"] if post => sessions::restore(gate, peer, id),
        ["sessions", id] if delete => sessions::revoke(gate, peer, id),
        ["incidents"] if get => incidents::recent(gate, question.parameter("limit").as_deref()),
        ["incidents", reference] if get => incidents::one(gate, reference),
        _ => Err(ControlError::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::routes::ROUTES;

    #[test]
    fn paths_are_told_apart_from_methods() {
        assert_eq!(routes::find("GET", "/v1/sessions/x/timeline"), Way::Open);
        assert_eq!(routes::find("GET", "/v1/sessions/x"), Way::OtherMethod);
        assert_eq!(routes::find("GET", "/v1/sessions/"), Way::Nowhere);
        assert_eq!(routes::find("GET", "/v2/status"), Way::Nowhere);
        assert!(
            ROUTES
                .iter()
                .all(|route| route.path == routes::DOCUMENT || route.path.starts_with(PREFIX))
        );
    }
}
