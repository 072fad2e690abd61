//! One client connection, from its first byte to its end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use portcullis_guard::refusal::Refusal;
use portcullis_guard::request::ClientAddress;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::connections::{Connection, Peer};
use super::greeting::{self, Protocol};
use super::limits::Limit;
use super::socket::{Socket, Transport};
use super::timer::{CoarseTimer, Elapsed};
use super::tls::{self, Terminator};
use super::{Door, farewell};
use crate::conclusion;
use crate::enforcer::Flow;
use crate::gate::Gate;
use crate::latest::Latest;
use crate::memory;
use crate::proxy::Proxy;

/// How long a doomed connection may take to get its last answer out.
pub(super) const LAST_ANSWER: Duration = Duration::from_secs(1);
/// One connection too many of a source may be tried again after this time.
const SOURCE_WAIT: Duration = Duration::from_secs(1);
/// How long a connection that is kept alive waits for a last request when the daemon stops. Closed at once, it would meet
/// a request that is on its way.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// One client connection and what it needs.
pub(super) struct Conversation {
    pub(super) door: Arc<Door>,
    pub(super) proxy: Arc<Latest<Proxy>>,
    pub(super) timer: CoarseTimer,
    pub(super) stop: watch::Receiver<bool>,
}

impl Conversation {
    /// Holds it until its end. The caller has counted it as arrived.
    pub(super) async fn hold(self, transport: Transport, remote: Option<SocketAddr>) {
        let gate = Arc::clone(self.proxy.get().gate());
        if let Err(error) = self.receive(&gate, transport, remote).await {
            tracing::debug!(%error, remote = ?remote, "a connection ended before its first request");
        }
        gate.connections().depart();
        memory::let_go();
    }

    async fn receive(mut self, gate: &Gate, mut transport: Transport, remote: Option<SocketAddr>) -> io::Result<()> {
        let patience = self.proxy.get().http().header_timeout;
        let mut ahead = BytesMut::new();
        let arrival = self
            .timer
            .timeout(patience, self.identify(&mut transport, remote, &mut ahead));
        let peer = self.in_time(arrival.await)??;
        let (limit, patience) = {
            let proxy = self.proxy.get();
            (proxy.http().max_connections_per_source, proxy.http().body_timeout)
        };
        let Ok(connection) = gate.connections().open(peer, limit) else {
            self.count(Limit::SourceConnections);
            if self.door.tls.is_none() {
                farewell::turn_away(transport, Refusal::Quota(SOURCE_WAIT), self.timer.clone()).await;
            }
            return Err(io::Error::other("too many connections from this source"));
        };
        let socket = Socket::new(transport, ahead, Arc::clone(&connection), self.timer.clone(), patience);
        let outcome = self.converse(socket, &connection).await;
        if connection.activity.is_given_up() {
            self.count(Limit::SlowRead);
        }
        gate.connections().close(&connection);
        // The socket is closed by now, by a reset: what still comes over this flow is not worth a look.
        if let (Some(doom), Some(flow)) = (connection.doom(), connection.peer.flow) {
            gate.drop_flow(flow, doom);
        }
        outcome
    }

    /// Finds out who is at the other end.
    async fn identify(
        &self,
        transport: &mut Transport,
        remote: Option<SocketAddr>,
        ahead: &mut BytesMut,
    ) -> io::Result<Peer> {
        let flow = match &*transport {
            Transport::Tcp(stream) => {
                // Both fail only if the peer is gone already.
                let _ = stream.set_nodelay(true);
                let local = stream.local_addr()?;
                remote.map(|remote| Flow { remote, local })
            }
            Transport::Unix(_) => None,
        };
        // Who reaches a unix socket is on this machine, and stands for loopback when it speaks for itself.
        let address = remote.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |remote| remote.ip());
        let peer = Peer {
            address: ClientAddress::new(address),
            flow,
            is_proxy: remote.is_none() || self.proxy.get().trusts(ClientAddress::new(address)),
            scheme: self.door.scheme,
            asks: self.door.settings.forward_auth,
        };
        if !self.door.settings.proxy_protocol {
            // Of a proxy's connection nobody else's packets are dropped.
            let flow = peer.flow.filter(|_| !peer.is_proxy);
            return self.may_ask(Peer { flow, ..peer });
        }
        if !peer.is_proxy {
            self.count(Limit::Untrusted);
            return Err(io::Error::other(
                "a PROXY protocol header from somebody who is not trusted",
            ));
        }
        let client = greeting::proxy_header(transport, ahead).await.inspect_err(|error| {
            // Who connects and leaves again only looked whether somebody is here.
            if error.kind() == io::ErrorKind::InvalidData {
                self.count(Limit::ProxyHeader);
            }
        })?;
        let address = client.map_or(peer.address, ClientAddress::new);
        self.may_ask(Peer {
            address,
            flow: None,
            is_proxy: client.is_none() || self.proxy.get().trusts(address),
            ..peer
        })
    }

    /// Each way in a box of its own: a connection in clear text has no room for a handshake, nor for HTTP/2.
    async fn converse(&mut self, socket: Socket, connection: &Arc<Connection>) -> io::Result<()> {
        let door = Arc::clone(&self.door);
        let patience = self.proxy.get().http().header_timeout;
        match &door.tls {
            Some(tls) => {
                let handshake = Box::pin(shake_hands(tls, socket, connection));
                let handshake = self.timer.timeout(patience, handshake);
                let shaken = self.in_time(handshake.await)?;
                let stream = Box::new(shaken.inspect_err(|_| self.count(Limit::HandshakeFailed))?);
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(tls::HTTP2) => Protocol::Http2,
                    Some(_) | None => Protocol::Http1,
                };
                Box::pin(self.speak(protocol, stream, connection)).await;
            }
            None if door.settings.http2 => {
                let mut socket = socket;
                let look = self.timer.timeout(patience, greeting::prior_knowledge(&mut socket));
                let protocol = self.in_time(look.await)??;
                Box::pin(self.speak(protocol, socket, connection)).await;
            }
            None => Box::pin(self.speak(Protocol::Http1, socket, connection)).await,
        }
        Ok(())
    }

    async fn speak<S>(&mut self, protocol: Protocol, stream: S, connection: &Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        match protocol {
            Protocol::Http1 => {
                self.speak_http1(stream, connection).await;
                self.tunnel(connection).await;
            }
            Protocol::Http2 => Box::pin(self.speak_http2(stream, connection)).await,
        }
    }

    /// Verdicts on others are given to trusted proxies only.
    fn may_ask(&self, peer: Peer) -> io::Result<Peer> {
        if peer.asks.is_some() && !peer.is_proxy {
            self.count(Limit::Untrusted);
            return Err(io::Error::other(
                "a question for a verdict from somebody who is not trusted",
            ));
        }
        Ok(peer)
    }

    pub(super) fn count(&self, limit: Limit) {
        self.proxy.get().gate().connections().limits().count(limit);
    }

    fn in_time<T>(&self, outcome: Result<T, Elapsed>) -> io::Result<T> {
        outcome.map_err(|Elapsed| {
            self.count(Limit::Handshake);
            io::ErrorKind::TimedOut.into()
        })
    }

    /// What goes on when HTTP has left the connection.
    async fn tunnel(&mut self, connection: &Arc<Connection>) {
        let Some(mut tunnel) = connection.take_tunnel() else {
            return;
        };
        tokio::select! {
            () = tunnel.as_mut() => return,
            () = conclusion::end(&mut self.stop) => connection.leave(),
        }
        let _ = tokio::time::timeout(LAST_ANSWER, tunnel).await;
    }
}

async fn shake_hands(
    tls: &Terminator,
    mut socket: Socket,
    connection: &Connection,
) -> io::Result<tokio_rustls::server::TlsStream<Socket>> {
    if let Some(fingerprint) = greeting::fingerprint(&mut socket).await? {
        connection.set_fingerprint(fingerprint);
    }
    TlsAcceptor::from(tls.config()).accept(socket).await
}

/// Waits until the daemon stops, and then for a last request.
pub(super) async fn say_goodbye(stop: &mut watch::Receiver<bool>, connection: &Connection, timer: &CoarseTimer) {
    conclusion::end(stop).await;
    connection.say_goodbye();
    timer.after(LAST_REQUEST).await;
}
