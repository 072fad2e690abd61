//! One request on its way through the proxy.

use std::sync::Arc;

use http::request::Parts;
use portcullis_guard::request::{Reference, Request};

use super::intake::Head;
use super::origin::Origin;
use super::trace::Trace;
use super::websocket::Upgrade;
use crate::listener::connections::Connection;

/// One request, and what is known of it. In a box, as it goes from hand to hand.
pub(super) struct Way {
    pub(super) parts: Parts,
    pub(super) head: Head,
    pub(super) connection: Arc<Connection>,
    pub(super) origin: Origin,
    pub(super) upgrade: Option<Upgrade>,
    pub(super) trace: Option<Trace>,
    pub(super) reference: Reference,
}

impl Way {
    /// It, to be looked at.
    pub(super) fn call(&self) -> Call<'_> {
        Call {
            parts: &self.parts,
            head: &self.head,
            connection: &self.connection,
            origin: self.origin,
            reference: self.reference,
        }
    }
}

/// One request on its way.
pub(super) struct Call<'a> {
    pub(super) parts: &'a Parts,
    pub(super) head: &'a Head,
    pub(super) connection: &'a Arc<Connection>,
    pub(super) origin: Origin,
    pub(super) reference: Reference,
}

impl Call<'_> {
    /// What the guard sees of it.
    pub(super) fn view(&self) -> Request<'_> {
        Request {
            method: &self.parts.method,
            operation: &self.head.operation,
            authority: &self.head.authority,
            raw_path: self.parts.uri.path(),
            query: self.head.query.as_deref(),
            ticket: self.head.ticket.as_deref(),
            path: &self.head.path,
            headers: &self.parts.headers,
            has_body: self.head.has_body,
            client: self.origin.client,
            trusted: self.connection.peer.is_proxy,
            fingerprint: self.origin.fingerprint,
            connection: self.connection.id,
            reference: self.reference,
        }
    }
}
