//! Accepting connections and serving HTTP on them. It refuses to know what a request means.
//!
//! One current-thread runtime for each worker: a connection stays on its core, and so do its connections to the
//! upstream.

pub mod activity;
pub mod connections;
mod conversation;
mod greeting;
mod place;
mod socket;
pub mod timer;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;

use self::conversation::Conversation;
use self::place::Accepting;
use self::timer::CoarseTimer;
use self::tls::Terminator;
use crate::config::{Http, Listener, Scheme};
use crate::gate::Gate;
use crate::proxy::Proxy;

pub use self::place::Listening;

/// How long to wait when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A place where clients come in, and what is spoken there.
pub struct Door {
    /// TLS, if it ends here.
    pub tls: Option<Terminator>,
    /// How clients reach it.
    scheme: Scheme,
    http2: bool,
    proxy_protocol: bool,
}

/// A door with its sockets, one for each worker.
pub struct Entrance {
    /// The door.
    pub door: Arc<Door>,
    /// Its sockets.
    pub sockets: Vec<Listening>,
}

/// Opens all listeners of a configuration.
///
/// # Errors
/// The first that cannot be opened.
pub fn open(http: &Http, workers: usize) -> Result<Vec<Entrance>> {
    let plain = http.listen.iter().map(|&address| Listener::plain(address));
    let all = plain.chain(http.listeners.iter().cloned());
    all.map(|listener| Entrance::open(&listener, http.public_scheme, workers))
        .collect()
}

impl Entrance {
    fn open(listener: &Listener, public: Scheme, workers: usize) -> Result<Self> {
        let tls = listener.tls.as_ref().map(|tls| Terminator::open(tls, listener.http2));
        let tls = tls
            .transpose()
            .with_context(|| format!("failed to set up TLS for {}", listener.place))?;
        let door = Door {
            tls,
            scheme: listener.scheme(public),
            http2: listener.http2,
            proxy_protocol: listener.proxy_protocol,
        };
        Ok(Self {
            door: Arc::new(door),
            sockets: place::bind(listener, workers)?,
        })
    }
}

/// Serves connections of one socket until `stop` changes, then lets the open ones finish.
pub async fn serve(
    door: Arc<Door>,
    listening: Listening,
    proxy: Arc<Proxy>,
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
    door: &Arc<Door>,
    proxy: &Arc<Proxy>,
    timer: &CoarseTimer,
    stop: &watch::Receiver<bool>,
) {
    let gate: &Gate = proxy.gate();
    match listener.accept().await {
        Ok((transport, remote)) => {
            let limit = gate.config().http.max_connections;
            if gate.connections().arrive(limit).is_err() {
                return tracing::debug!(limit, "too many connections");
            }
            let conversation = Conversation {
                door: Arc::clone(door),
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
