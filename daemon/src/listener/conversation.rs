//! One client connection, from its first byte to its end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis_guard::request::ClientAddress;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::Door;
use super::activity::State;
use super::connections::{Connection, Ending, Peer};
use super::greeting::{self, Protocol};
use super::socket::{Socket, Transport};
use super::timer::CoarseTimer;
use super::tls::{self, Terminator};
use crate::enforcer::Flow;
use crate::gate::Gate;
use crate::latest::Latest;
use crate::proxy::Proxy;

/// How long a doomed connection may take to get its last answer out.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// How long a connection that is kept alive waits for a last request when the daemon stops. Closed at once, it would meet
/// a request that is on its way.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// Streams that a client may reset before they were served; more ends the connection (CVE-2023-44487).
const RESETS: usize = 20;
/// Bytes of answers that wait for a client, for each stream.
const SEND_BUFFER: usize = 64 << 10;

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
    }

    async fn receive(mut self, gate: &Gate, mut transport: Transport, remote: Option<SocketAddr>) -> io::Result<()> {
        let patience = self.proxy.get().http().header_timeout;
        let mut ahead = BytesMut::new();
        let arrival = self
            .timer
            .timeout(patience, self.identify(&mut transport, remote, &mut ahead));
        let peer = arrival.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
        let (limit, patience) = {
            let proxy = self.proxy.get();
            (proxy.http().max_connections_per_source, proxy.http().body_timeout)
        };
        let connection = gate.connections().open(peer, limit);
        let connection = connection.map_err(|_| io::Error::other("too many connections from this source"))?;
        let socket = Socket::new(transport, ahead, Arc::clone(&connection), self.timer.clone(), patience);
        let outcome = self.converse(socket, &connection).await;
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
        };
        if !self.door.settings.proxy_protocol {
            // Of a proxy's connection nobody else's packets are dropped.
            let flow = peer.flow.filter(|_| !peer.is_proxy);
            return Ok(Peer { flow, ..peer });
        }
        if !peer.is_proxy {
            return Err(io::Error::other(
                "a PROXY protocol header from somebody who is not trusted",
            ));
        }
        let client = greeting::proxy_header(transport, ahead).await?;
        let address = client.map_or(peer.address, ClientAddress::new);
        Ok(Peer {
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
                let stream = handshake.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(tls::HTTP2) => Protocol::Http2,
                    Some(_) | None => Protocol::Http1,
                };
                Box::pin(self.speak(protocol, stream, connection)).await;
            }
            None if door.settings.http2 => {
                let mut socket = socket;
                let look = self.timer.timeout(patience, greeting::prior_knowledge(&mut socket));
                let protocol = look.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
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

    async fn speak_http1<S>(&mut self, stream: S, connection: &Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        {
            let current = self.proxy.get();
            builder
                .timer(self.timer.clone())
                .header_read_timeout(current.http().header_timeout)
                .max_buf_size(current.http().max_header_bytes);
        }
        let proxy = Arc::clone(&self.proxy);
        // In a box, so that a connection that waits for its next request has no room for it.
        let service = service_fn(|request| {
            let (proxy, connection) = (proxy.get(), Arc::clone(connection));
            Box::pin(async move {
                let answer = proxy.answer(Arc::clone(&connection), request).await;
                answer.map(|answer| connection.end_with(answer))
            })
        });
        let conversation = builder.serve_connection(TokioIo::new(stream), service);
        let mut conversation = pin!(conversation.with_upgrades());
        let ending = tokio::select! {
            _ = conversation.as_mut() => return,
            ending = connection.ended() => ending,
            () = say_goodbye(&mut self.stop, connection, &self.timer) => Ending::Shutdown,
        };
        conversation.as_mut().graceful_shutdown();
        match ending {
            Ending::Verdict => _ = tokio::time::timeout(LAST_ANSWER, conversation).await,
            Ending::Shutdown => _ = conversation.await,
        }
    }

    /// HTTP/2 has no timeout of its own: a connection is looked at in turns, and ends when it does nothing.
    async fn speak_http2<S>(&mut self, stream: S, connection: &Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let current = self.proxy.get();
        let http = current.http();
        let (idle, stuck) = (http.header_timeout, http.body_timeout);
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(self.timer.clone())
            .max_concurrent_streams(http.max_streams)
            .max_header_list_size(u32::try_from(http.max_header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(RESETS)
            .max_send_buf_size(SEND_BUFFER);
        // It is not kept for as long as the connection lives.
        drop(current);
        let proxy = Arc::clone(&self.proxy);
        let service = {
            let connection = Arc::clone(connection);
            service_fn(move |request| proxy.get().answer(Arc::clone(&connection), request))
        };
        let mut conversation = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ending = tokio::select! {
            _ = conversation.as_mut() => return,
            ending = connection.ended() => Some(ending),
            _ = self.stop.wait_for(|&stop| stop) => Some(Ending::Shutdown),
            () = fall_silent(connection, &self.timer, idle, stuck) => None,
        };
        conversation.as_mut().graceful_shutdown();
        match ending {
            Some(Ending::Shutdown) => _ = conversation.await,
            Some(Ending::Verdict) | None => _ = tokio::time::timeout(LAST_ANSWER, conversation).await,
        }
    }

    /// What goes on when HTTP has left the connection.
    async fn tunnel(&mut self, connection: &Arc<Connection>) {
        let Some(mut tunnel) = connection.take_tunnel() else {
            return;
        };
        tokio::select! {
            () = tunnel.as_mut() => return,
            _ = self.stop.wait_for(|&stop| stop) => connection.leave(),
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
async fn say_goodbye(stop: &mut watch::Receiver<bool>, connection: &Connection, timer: &CoarseTimer) {
    let _ = stop.wait_for(|&stop| stop).await;
    connection.say_goodbye();
    timer.after(LAST_REQUEST).await;
}

/// Waits until nothing happened over a connection: no request for `idle`, or none of what it asked for taken for `stuck`.
async fn fall_silent(connection: &Connection, timer: &CoarseTimer, idle: Duration, stuck: Duration) {
    let mut look = connection.activity.look();
    let mut silent = Duration::ZERO;
    let step = idle.min(stuck);
    loop {
        timer.after(step).await;
        match connection.activity.since(look) {
            State::Busy => (look, silent) = (connection.activity.look(), Duration::ZERO),
            State::Idle if silent + step >= idle => return,
            State::Stuck if silent + step >= stuck => return,
            State::Idle | State::Stuck => silent += step,
        }
    }
}
