//! The open connections, so that a verdict on a session can reach them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use portcullis_guard::request::{ClientAddress, ConnectionId, Source};
use tokio::sync::Notify;

use crate::enforcer::Flow;

const SHARDS: usize = 16;

/// A connection must end, and its packets are dropped at the card for a while.
#[derive(Clone, Copy, Debug)]
pub struct Doom {
    /// How long what still comes over it is dropped.
    pub ttl: Duration,
}

/// One open connection.
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Its two ends.
    pub flow: Flow,
    doom: OnceLock<Doom>,
    doomed: Notify,
}

impl Connection {
    /// The verdict, once there is one.
    #[must_use]
    pub fn doom(&self) -> Option<Doom> {
        self.doom.get().copied()
    }

    /// Waits for a verdict.
    pub async fn doomed(&self) {
        self.doomed.notified().await;
    }
}

/// All open connections. As many as the listener lets in.
#[derive(Default)]
pub struct Connections {
    next: AtomicU64,
    shards: [Mutex<HashMap<ConnectionId, Arc<Connection>>>; SHARDS],
}

impl Connections {
    /// Registers a connection that was accepted.
    #[must_use]
    pub fn open(&self, flow: Flow) -> Arc<Connection> {
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let connection = Arc::new(Connection {
            id,
            flow,
            doom: OnceLock::new(),
            doomed: Notify::new(),
        });
        self.with(id, |open| open.insert(id, Arc::clone(&connection)));
        connection
    }

    /// Forgets a connection that ended.
    pub fn close(&self, id: ConnectionId) {
        self.with(id, |open| open.remove(&id));
    }

    /// Tells a connection to end. The first verdict counts; a connection that is gone is left alone.
    pub fn doom(&self, id: ConnectionId, doom: Doom) {
        if let Some(connection) = self.with(id, |open| open.get(&id).cloned())
            && connection.doom.set(doom).is_ok()
        {
            connection.doomed.notify_one();
        }
    }

    /// Whether somebody has a connection from that source.
    #[must_use]
    pub fn any_from(&self, source: Source) -> bool {
        self.shards.iter().any(|shard| {
            let open = shard.lock().unwrap_or_else(PoisonError::into_inner);
            open.values()
                .any(|connection| ClientAddress::new(connection.flow.remote.ip()).source() == source)
        })
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<T>(&self, id: ConnectionId, act: impl FnOnce(&mut HashMap<ConnectionId, Arc<Connection>>) -> T) -> T {
        let shard = usize::try_from(id.0).unwrap_or(0) % SHARDS;
        act(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_verdict_reaches_the_connection_and_the_first_counts() {
        let connections = Connections::default();
        let address = "127.0.0.1:1".parse().unwrap();
        let connection = connections.open(Flow {
            remote: address,
            local: address,
        });
        assert!(connection.doom().is_none());
        connections.doom(
            connection.id,
            Doom {
                ttl: Duration::from_secs(1),
            },
        );
        connections.doom(
            connection.id,
            Doom {
                ttl: Duration::from_secs(2),
            },
        );
        connection.doomed().await;
        assert_eq!(connection.doom().unwrap().ttl, Duration::from_secs(1));
        connections.close(connection.id);
        assert!(connections.is_empty());
        connections.doom(
            connection.id,
            Doom {
                ttl: Duration::from_secs(1),
            },
        );
    }
}
