//! Limits that are met beside refused requests, counted. Clients fill every one of these by themselves.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit that a connection met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// There are as many connections as may be.
    Connections,
    /// There are as many from this source.
    SourceConnections,
    /// The PROXY protocol header or the TLS handshake did not come in time.
    Handshake,
    /// The TLS handshake failed.
    HandshakeFailed,
    /// What came where the PROXY protocol is spoken was no header of it.
    ProxyHeader,
    /// Only trusted proxies may connect there: to speak the PROXY protocol, or to ask for verdicts.
    Untrusted,
    /// A head did not come whole in time.
    HeadTime,
    /// A head, its target or the number of its fields is over the limit.
    HeadSize,
    /// A head, or a frame of HTTP/2, that cannot be read.
    Malformed,
    /// No request for as long as a connection may be idle.
    Idle,
    /// The client takes nothing of what it asked for.
    SlowRead,
    /// Frames of HTTP/2 that only cost: resets, continuations, streams beyond the limit.
    Flood,
    /// A WebSocket has lived for as long as it may.
    SocketLifetime,
    /// Nothing was said over a WebSocket.
    SocketIdle,
    /// A call that rules make wait found no place to wait at.
    Held,
}

impl Limit {
    const ALL: [Self; 15] = [
        Self::Connections,
        Self::SourceConnections,
        Self::Handshake,
        Self::HandshakeFailed,
        Self::ProxyHeader,
        Self::Untrusted,
        Self::HeadTime,
        Self::HeadSize,
        Self::Malformed,
        Self::Idle,
        Self::SlowRead,
        Self::Flood,
        Self::SocketLifetime,
        Self::SocketIdle,
        Self::Held,
    ];

    /// The label of the metric.
    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::SourceConnections => "source-connections",
            Self::Handshake => "handshake",
            Self::HandshakeFailed => "handshake-failed",
            Self::ProxyHeader => "proxy-header",
            Self::Untrusted => "untrusted",
            Self::HeadTime => "head-time",
            Self::HeadSize => "head-size",
            Self::Malformed => "malformed",
            Self::Idle => "idle",
            Self::SlowRead => "slow-read",
            Self::Flood => "flood",
            Self::SocketLifetime => "websocket-lifetime",
            Self::SocketIdle => "websocket-idle",
            Self::Held => "held",
        }
    }
}

/// How often each was met.
#[derive(Debug, Default)]
pub struct Limits([AtomicU64; Limit::ALL.len()]);

impl Limits {
    /// One more.
    pub fn count(&self, limit: Limit) {
        if let Some(counter) = self.0.get(limit as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Names and counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        Limit::ALL.iter().map(|limit| limit.name()).zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_counter_of_its_own() {
        let limits = Limits::default();
        for limit in Limit::ALL {
            limits.count(limit);
        }
        assert!(limits.iter().all(|(_, count)| count == 1));
        limits.count(Limit::Held);
        assert_eq!(limits.iter().last(), Some(("held", 2)));
    }
}
