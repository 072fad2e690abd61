//! The open connections, so that a verdict on a session can reach them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use portcullis_guard::fingerprint::Fingerprint;
use portcullis_guard::request::{ClientAddress, ConnectionId, Source};
use portcullis_guard::session::SessionId;
use tokio::sync::Notify;

use super::activity::Activity;
use super::limits::Limits;
use crate::config::{ForwardAuth, Scheme};
use crate::enforcer::Flow;
use crate::proxy::FirstHost;

const SHARDS: usize = 16;

/// A connection must end, and its packets are dropped at the card for a while.
#[derive(Clone, Copy, Debug)]
pub struct Doom {
    /// How long what still comes over it is dropped.
    pub ttl: Duration,
}

/// Why a connection ends before its client wants it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By a verdict on its session.
    Verdict,
    /// The daemon stops.
    Shutdown,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// As the network says, or the PROXY protocol.
    pub address: ClientAddress,
    /// The two ends of the TCP connection; `None` if a proxy has it, or there is none.
    pub flow: Option<Flow>,
    /// Whether it is a trusted proxy, which speaks for others: what its clients do is not its fault.
    pub is_proxy: bool,
    /// How clients reach the listener.
    pub scheme: Scheme,
    /// Who asks for verdicts over it, if nothing is forwarded.
    pub asks: Option<ForwardAuth>,
}

/// What goes on over a connection after HTTP has left it.
pub type Tunnel = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One open connection.
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Who is at the other end.
    pub peer: Peer,
    /// The address of the peer as a field, once it was needed.
    pub address_text: OnceLock<HeaderValue>,
    /// What its first Host means.
    pub host: FirstHost,
    /// What is going on.
    pub activity: Activity,
    fingerprint: OnceLock<Fingerprint>,
    /// To whom something long belongs that goes on over it.
    session: OnceLock<SessionId>,
    doom: OnceLock<Doom>,
    is_leaving: AtomicBool,
    /// Whether the next answer is the last.
    says_goodbye: AtomicBool,
    ending: Notify,
    has_tunnel: AtomicBool,
    tunnel: Mutex<Option<Tunnel>>,
    /// For a stream of HTTP/2 that goes on by itself: what it goes on over.
    trunk: Option<Arc<Self>>,
}

impl Connection {
    fn new(id: ConnectionId, peer: Peer, trunk: Option<Arc<Self>>) -> Self {
        Self {
            id,
            peer,
            address_text: OnceLock::new(),
            host: FirstHost::default(),
            activity: Activity::default(),
            fingerprint: OnceLock::new(),
            session: OnceLock::new(),
            doom: OnceLock::new(),
            is_leaving: AtomicBool::new(false),
            says_goodbye: AtomicBool::new(false),
            ending: Notify::new(),
            has_tunnel: AtomicBool::new(trunk.is_some()),
            tunnel: Mutex::new(None),
            trunk,
        }
    }

    /// The verdict, once there is one.
    #[must_use]
    pub fn doom(&self) -> Option<Doom> {
        self.doom.get().copied()
    }

    /// What it goes on over, if it is a branch; or itself.
    #[must_use]
    pub fn whole(self: &Arc<Self>) -> Arc<Self> {
        Arc::clone(self.trunk.as_ref().unwrap_or(self))
    }

    /// Waits until it must end, or what it goes on over.
    pub async fn ended(&self) -> Ending {
        let Some(trunk) = &self.trunk else {
            return self.ended_itself().await;
        };
        tokio::select! {
            ending = self.ended_itself() => ending,
            ending = trunk.ended_itself() => ending,
        }
    }

    async fn ended_itself(&self) -> Ending {
        let mut notified = pin!(self.ending.notified());
        loop {
            // Whatever is told from here on is heard.
            notified.as_mut().enable();
            if self.doom().is_some() {
                return Ending::Verdict;
            }
            if self.is_leaving.load(Ordering::Acquire) {
                return Ending::Shutdown;
            }
            notified.as_mut().await;
            notified.set(self.ending.notified());
        }
    }

    /// Tells what goes on over it that the daemon stops.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Release);
        self.ending.notify_waiters();
    }

    /// Makes the answers from here on the last.
    pub(super) fn say_goodbye(&self) {
        self.says_goodbye.store(true, Ordering::Relaxed);
    }

    /// Has an answer tell the client if it is the last.
    pub fn end_with<B>(&self, answer: &mut Response<B>) {
        if self.says_goodbye.load(Ordering::Relaxed) && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// What the TLS handshake of the client says of its program.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        // A proxy's handshake says nothing of whom it speaks for.
        self.fingerprint.get().copied().filter(|_| !self.peer.is_proxy)
    }

    pub(super) fn set_fingerprint(&self, fingerprint: Fingerprint) {
        // There is one handshake.
        let _ = self.fingerprint.set(fingerprint);
    }

    /// Leaves the connection to something that is not HTTP, as soon as HTTP has left it. From here on it belongs to one
    /// client, also behind a proxy.
    pub fn continue_with(&self, tunnel: Tunnel) {
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
        self.has_tunnel.store(true, Ordering::Release);
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn meet(&self, doom: Doom) {
        if self.is_one_clients() && self.doom.set(doom).is_ok() {
            self.ending.notify_waiters();
        }
    }

    /// Whether ending it ends nothing of other clients.
    fn is_one_clients(&self) -> bool {
        !self.peer.is_proxy || self.has_tunnel.load(Ordering::Acquire)
    }
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// There are too many.
    All,
    /// There are too many from this source.
    Source,
}

/// All open connections.
#[derive(Default)]
pub struct Connections {
    next: AtomicU64,
    arrived: AtomicUsize,
    shards: [Mutex<HashMap<ConnectionId, Arc<Connection>>>; SHARDS],
    sources: Mutex<HashMap<Source, usize>>,
    sessions: Mutex<HashMap<SessionId, Vec<Arc<Connection>>>>,
    limits: Limits,
}

impl Connections {
    /// Counts a connection that was accepted, unless there are `limit` already.
    pub(super) fn arrive(&self, limit: usize) -> Result<(), Full> {
        if self.arrived.fetch_add(1, Ordering::Relaxed) >= limit {
            self.arrived.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        Ok(())
    }

    /// The opposite of [`arrive`](Self::arrive).
    pub(super) fn depart(&self) {
        self.arrived.fetch_sub(1, Ordering::Relaxed);
    }

    /// Registers a connection whose peer is known, unless its source has `limit` already. Proxies have no limit.
    pub(super) fn open(&self, peer: Peer, limit: usize) -> Result<Arc<Connection>, Full> {
        if !peer.is_proxy {
            let mut sources = self.sources();
            let count = sources.entry(peer.address.source()).or_default();
            if *count >= limit {
                return Err(Full::Source);
            }
            *count += 1;
        }
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let connection = Arc::new(Connection::new(id, peer, None));
        self.with(id, |open| open.insert(id, Arc::clone(&connection)));
        Ok(connection)
    }

    /// A stream of HTTP/2 that goes on after its request, and ends with its session or with its connection. It belongs to
    /// one client, also behind a proxy.
    pub fn branch(&self, trunk: &Arc<Connection>) -> Arc<Connection> {
        let id = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        Arc::new(Connection::new(id, trunk.peer, Some(Arc::clone(trunk))))
    }

    /// What ended connections beside their clients.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Remembers that something long goes on over a connection for a session, however many others it has beside.
    pub fn belong(&self, connection: &Arc<Connection>, session: SessionId) {
        if connection.session.set(session).is_ok() {
            let mut sessions = self.sessions();
            sessions.entry(session).or_default().push(Arc::clone(connection));
        }
    }

    /// Tells the connections that [belong](Self::belong) to a session to end.
    pub fn doom_session(&self, session: SessionId, doom: Doom) {
        let theirs = self.sessions().get(&session).cloned().unwrap_or_default();
        theirs.iter().for_each(|connection| connection.meet(doom));
    }

    /// Forgets a connection or branch that ended.
    pub fn close(&self, connection: &Connection) {
        self.with(connection.id, |open| open.remove(&connection.id));
        if let Some(session) = connection.session.get() {
            let mut sessions = self.sessions();
            let is_last = sessions.get_mut(session).is_some_and(|theirs| {
                theirs.retain(|other| other.id != connection.id);
                theirs.is_empty()
            });
            if is_last {
                sessions.remove(session);
            }
        }
        if connection.peer.is_proxy || connection.trunk.is_some() {
            return;
        }
        let (mut sources, source) = (self.sources(), connection.peer.address.source());
        match sources.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => _ = sources.remove(&source),
        }
    }

    /// Tells a connection to end. The first verdict counts; a connection that is gone is left alone, and so is one over
    /// which a proxy speaks for others as well.
    pub fn doom(&self, id: ConnectionId, doom: Doom) {
        if let Some(connection) = self.with(id, |open| open.get(&id).cloned()) {
            connection.meet(doom);
        }
    }

    /// What the TLS handshakes of those that are open said of their clients' programs.
    #[must_use]
    pub fn fingerprints(&self, ids: &[ConnectionId]) -> Vec<Fingerprint> {
        let of = |id: &ConnectionId| self.with(*id, |open| open.get(id)?.fingerprint());
        let mut found: Vec<Fingerprint> = ids.iter().filter_map(of).collect();
        found.dedup();
        found
    }

    /// Whether packets of a connection come from that source.
    #[must_use]
    pub fn any_from(&self, source: Source) -> bool {
        let is_from = |connection: &Arc<Connection>| {
            let flow = connection.peer.flow;
            flow.is_some_and(|flow| ClientAddress::new(flow.remote.ip()).source() == source)
        };
        self.shards.iter().any(|shard| {
            let open = shard.lock().unwrap_or_else(PoisonError::into_inner);
            open.values().any(is_from)
        })
    }

    /// How many there are, with those that have not said a word yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Vec<Arc<Connection>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, id: ConnectionId, act: impl FnOnce(&mut HashMap<ConnectionId, Arc<Connection>>) -> T) -> T {
        let shard = usize::try_from(id.0).unwrap_or(0) % SHARDS;
        act(&mut self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOOM: Doom = Doom {
        ttl: Duration::from_secs(1),
    };

    fn peer(address: &str) -> Peer {
        let remote = address.parse().unwrap();
        Peer {
            address: ClientAddress::new(remote),
            flow: Some(Flow {
                remote: (remote, 1).into(),
                local: (remote, 2).into(),
            }),
            is_proxy: false,
            scheme: Scheme::Http,
            asks: None,
        }
    }

    #[tokio::test]
    async fn a_verdict_reaches_the_connection_and_the_first_counts() {
        let connections = Connections::default();
        connections.arrive(1).unwrap();
        let connection = connections.open(peer("127.0.0.1"), 1).unwrap();
        assert!(connection.doom().is_none());
        connections.doom(connection.id, DOOM);
        let later = Duration::from_secs(2);
        connections.doom(connection.id, Doom { ttl: later });
        assert_eq!(connection.ended().await, Ending::Verdict);
        assert_eq!(connection.doom().unwrap().ttl, DOOM.ttl);
        connections.close(&connection);
        connections.depart();
        assert!(connections.is_empty());
        connections.doom(connection.id, DOOM);
    }

    #[test]
    fn both_limits_hold_and_give_way_again() {
        let connections = Connections::default();
        assert_eq!(connections.arrive(1), Ok(()));
        assert_eq!(connections.arrive(1), Err(Full::All));
        connections.depart();
        assert_eq!(connections.arrive(1), Ok(()));
        let first = connections.open(peer("10.0.0.1"), 2).unwrap();
        let _second = connections.open(peer("10.0.0.1"), 2).unwrap();
        assert_eq!(connections.open(peer("10.0.0.1"), 2).err(), Some(Full::Source));
        assert!(connections.open(peer("10.0.0.2"), 2).is_ok());
        connections.close(&first);
        assert!(connections.open(peer("10.0.0.1"), 2).is_ok());
    }

    #[tokio::test]
    async fn a_branch_ends_with_its_session_or_its_connection_and_counts_for_nothing() {
        let connections = Connections::default();
        let proxy = Peer {
            is_proxy: true,
            ..peer("10.0.0.1")
        };
        let trunk = connections.open(proxy, 0).unwrap();
        let [one, other] = [(); 2].map(|()| connections.branch(&trunk));
        let session = SessionId([1; 12]);
        connections.belong(&one, session);
        connections.doom_session(session, DOOM);
        assert_eq!(one.ended().await, Ending::Verdict);
        connections.close(&one);
        assert!(trunk.doom().is_none() && other.doom().is_none());
        trunk.leave();
        assert_eq!(other.ended().await, Ending::Shutdown);
        let direct = connections.open(peer("10.0.0.2"), 1).unwrap();
        connections.close(&connections.branch(&direct));
        assert_eq!(connections.open(peer("10.0.0.2"), 1).err(), Some(Full::Source));
    }

    #[tokio::test]
    async fn a_proxys_connection_is_others_as_well_until_it_is_a_tunnel() {
        let connections = Connections::default();
        let proxy = Peer {
            is_proxy: true,
            ..peer("10.0.0.1")
        };
        let connection = connections.open(proxy, 0).unwrap();
        connections.doom(connection.id, DOOM);
        assert!(connection.doom().is_none());
        connection.continue_with(Box::pin(async {}));
        connections.doom(connection.id, DOOM);
        assert_eq!(connection.ended().await, Ending::Verdict);
    }
}
