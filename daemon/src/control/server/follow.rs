//! `/v1/events`: what happens, one JSON object a line, for as long as somebody reads. An empty line now and then shows
//! that both ends are still there.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use hyper::body::{Body, Frame};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};

use super::error::ControlError;
use crate::conclusion;
use crate::control::api::{Event, EventKind};
use crate::gate::Gate;
use crate::gate::events::{self, What};

/// Who may follow at once: each keeps a connection.
const FOLLOWERS: usize = 8;
/// Lines on their way to a reader.
const AHEAD: usize = 16;
/// How often there is a line at least.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// A body that has no end of its own.
pub(super) struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let line = self.0.poll_recv(context);
        line.map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// Begins to tell what happens, until the daemon stops.
pub(super) fn follow(gate: &Arc<Gate>, mut stopped: watch::Receiver<bool>) -> Result<Response<Lines>, ControlError> {
    if gate.events().followers() >= FOLLOWERS {
        return Err(ControlError::TooManyFollowers(FOLLOWERS));
    }
    let mut events = gate.events().follow();
    let (lines, body) = mpsc::channel(AHEAD);
    let gate = Arc::clone(gate);
    let telling = async move {
        // The first line tells that everything from here on is told.
        let mut line = Bytes::from_static(b"\n");
        while lines.send(line).await.is_ok() {
            line = match tokio::time::timeout(SIGN_OF_LIFE, events.recv()).await {
                Err(_) => Bytes::from_static(b"\n"),
                Ok(Ok(event)) => written(&shown(&event)),
                Ok(Err(RecvError::Lagged(count))) => {
                    let mut lost = Event::new(gate.now().wall.into(), EventKind::Lost);
                    lost.lost = Some(count);
                    written(&lost)
                }
                Ok(Err(RecvError::Closed)) => return,
            };
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = telling => {}
            () = conclusion::end(&mut stopped) => {}
        }
    });
    let mut response = Response::new(Lines(body));
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn written(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn shown(event: &events::Event) -> Event {
    let of = |kind| Event::new(event.at.into(), kind);
    match &event.what {
        What::Ban { network, ttl, origin } => Event {
            network: Some(*network),
            for_seconds: Some(ttl.as_secs()),
            origin: Some(origin.to_string()),
            ..of(EventKind::Ban)
        },
        What::Unban(network) => about(of(EventKind::Unban), *network),
        What::Allow(network) => about(of(EventKind::Allow), *network),
        What::Disallow(network) => about(of(EventKind::Disallow), *network),
        What::SessionEnded(session, ttl) => Event {
            session: Some(session.to_string()),
            for_seconds: Some(ttl.as_secs()),
            ..of(EventKind::SessionEnded)
        },
        What::SessionRestored(session) => Event {
            session: Some(session.to_string()),
            ..of(EventKind::SessionRestored)
        },
        What::Refusal(incident) => Event {
            session: incident.session.map(|session| session.to_string()),
            reference: Some(incident.reference.to_string()),
            cause: Some(incident.refusal.cause().to_owned()),
            address: Some(incident.client.ip()),
            method: Some(incident.method.clone()),
            path: Some(incident.path.clone()),
            rule: incident.rule.clone(),
            waived: Some(incident.waived),
            ..of(EventKind::Refusal)
        },
        What::Operator(deed) => Event {
            who: Some(deed.who.clone()),
            action: Some(deed.action.clone()),
            object: Some(deed.object.clone()),
            reason: Some(deed.reason.clone()).filter(|reason| !reason.is_empty()),
            ..of(EventKind::Operator)
        },
    }
}

fn about(event: Event, network: ipnet::IpNet) -> Event {
    Event {
        network: Some(network),
        ..event
    }
}
