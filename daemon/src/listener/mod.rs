//! Accepting connections and serving HTTP on them. It refuses to know what a request means.
//!
//! One current-thread runtime for each worker: a connection stays on its core, and so do its connections to the
//! upstream.

pub mod activity;
pub mod connections;
mod conversation;
mod farewell;
mod greeting;
mod handed;
mod head;
mod http1;
mod http2;
pub mod limits;
mod line;
mod place;
mod seldom;
pub mod socket;
pub mod timer;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_guard::refusal::Refusal;
use tokio::sync::watch;

use self::conversation::Conversation;
use self::limits::Limit;
use self::place::Accepting;
use self::timer::CoarseTimer;
use self::tls::Terminator;
use crate::config::{Http, Listener, Scheme};
use crate::latest::Latest;
use crate::proxy::Proxy;

pub use self::handed::Handed;
pub use self::place::Listening;

/// How long to wait when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place where clients come in, and what is spoken there.
pub struct Door {
    /// TLS, if it ends here.
    pub tls: Option<Arc<Terminator>>,
    /// How clients reach it.
    scheme: Scheme,
    settings: Listener,
}

/// A door with its sockets: at least one for each worker.
pub struct Entrance {
    /// The door; connections that come get its latest version.
    pub door: Arc<Latest<Door>>,
    /// Its sockets.
    pub sockets: Vec<Listening>,
    /// Whether somebody else holds them too, and who connects waits while no daemon runs.
    pub handed_over: bool,
}

/// Opens all listeners of a configuration: with the sockets that were handed over, or with new ones.
///
/// # Errors
/// The first that cannot be opened, or a socket that no listener wants.
pub fn open(http: &Http, workers: usize, mut handed: Handed) -> Result<Vec<Entrance>> {
    let open = |listener: Listener| {
        let claimed = handed.claim(&listener.place);
        let handed_over = !claimed.is_empty();
        let sockets = if handed_over {
            place::share(claimed, workers).context("failed to share a socket between the workers")?
        } else {
            place::bind(&listener, workers)?
        };
        Ok(Entrance {
            door: Arc::new(Latest::new(Door::open(&listener, http.public_scheme, None)?)),
            sockets,
            handed_over,
        })
    };
    let entrances: Result<Vec<_>> = http.all_listeners().map(open).collect();
    let entrances = entrances?;
    handed.nothing_is_left()?;
    Ok(entrances)
}

impl Door {
    fn open(listener: &Listener, public: Scheme, before: Option<&Self>) -> Result<Self> {
        // Clients resume the sessions of a TLS that stays as it is.
        let kept =
            before.filter(|before| before.settings.tls == listener.tls && before.settings.http2 == listener.http2);
        let tls = match (&listener.tls, kept.and_then(|before| before.tls.clone())) {
            (Some(_), Some(kept)) => Some(kept),
            (Some(tls), None) => {
                let opened = Terminator::open(tls, listener.http2);
                Some(Arc::new(opened.with_context(|| {
                    format!("failed to set up TLS for {}", listener.place)
                })?))
            }
            (None, _) => None,
        };
        Ok(Self {
            tls,
            scheme: listener.scheme(public),
            settings: listener.clone(),
        })
    }

    /// This door as another configuration wants it.
    ///
    /// # Errors
    /// If its TLS cannot be set up.
    pub fn renewed(&self, listener: &Listener, public: Scheme) -> Result<Self> {
        Self::open(listener, public, Some(self))
    }
}

/// Serves connections of one socket until `stop` changes, then lets the open ones finish.
pub async fn serve(
    door: Arc<Latest<Door>>,
    listening: Listening,
    proxy: Arc<Latest<Proxy>>,
    timer: CoarseTimer,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match listening.into_async() {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    let stopped = stop.clone();
    loop {
        tokio::select! {
            () = let_in(&listener, &door, &proxy, &timer, &stopped) => {}
            _ = stop.wait_for(|&stop| stop) => return,
        }
    }
}

/// Accepts one connection.
async fn let_in(
    listener: &Accepting,
    door: &Latest<Door>,
    proxy: &Arc<Latest<Proxy>>,
    timer: &CoarseTimer,
    stop: &watch::Receiver<bool>,
) {
    match listener.accept().await {
        Ok((transport, remote)) => {
            let current = proxy.get();
            let (gate, limit) = (current.gate(), current.http().max_connections);
            if gate.connections().arrive(limit).is_err() {
                gate.connections().limits().count(Limit::Connections);
                if door.get().tls.is_none() {
                    tokio::spawn(farewell::turn_away(transport, Refusal::Overloaded, timer.clone()));
                }
                return tracing::debug!(limit, "too many connections");
            }
            let conversation = Conversation {
                door: door.get(),
                proxy: Arc::clone(proxy),
                timer: timer.clone(),
                stop: stop.clone(),
            };
            tokio::spawn(conversation.hold(transport, remote));
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}
