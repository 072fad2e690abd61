//! Accepting connections and serving HTTP/1.1 on them. It refuses to know what a request means.
//!
//! One current-thread runtime for each worker, each with a socket of its own on the same port (`SO_REUSEPORT`): a
//! connection stays on its core, and so do its connections to the upstream.

pub mod connections;
mod socket;
pub mod timer;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::connections::Connection;
use self::socket::Socket;
use self::timer::CoarseTimer;
use crate::enforcer::Flow;
use crate::gate::Gate;
use crate::proxy::Proxy;

/// Connections that may wait to be accepted, per worker.
const BACKLOG: i32 = 4096;
/// How long a doomed connection may take to get its last answer out.
const LAST_ANSWER: Duration = Duration::from_secs(1);
/// How long to wait when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds one socket for each worker. With port 0 all get the port of the first.
///
/// # Errors
/// What the kernel says, with the address.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let first = bind_one(address)?;
    let bound = first.local_addr()?;
    std::iter::once(Ok(first))
        .chain((1..workers).map(|_| bind_one(bound)))
        .collect()
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves connections of one socket until `stop` changes, then lets the open ones finish.
pub async fn serve(listener: TcpListener, gate: Arc<Gate>, timer: CoarseTimer, mut stop: watch::Receiver<bool>) {
    let proxy = Arc::new(Proxy::new(Arc::clone(&gate), timer.clone()));
    let limit = gate.config().http.max_connections;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|&stop| stop) => return,
        };
        match accepted {
            Ok(_) if gate.connections().len() >= limit => tracing::debug!(limit, "too many connections"),
            Ok((stream, remote)) => {
                let connection = Conversation {
                    proxy: Arc::clone(&proxy),
                    timer: timer.clone(),
                    stop: stop.clone(),
                };
                tokio::spawn(connection.hold(stream, remote));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One client connection and what it needs.
struct Conversation {
    proxy: Arc<Proxy>,
    timer: CoarseTimer,
    stop: watch::Receiver<bool>,
}

impl Conversation {
    async fn hold(self, stream: TcpStream, remote: SocketAddr) {
        let gate = Arc::clone(self.proxy.gate());
        // Both fail only if the peer is gone already.
        let Ok(local) = stream.local_addr() else { return };
        let _ = stream.set_nodelay(true);
        let connection = gate.connections().open(Flow { remote, local });
        let patience = gate.config().http.body_timeout;
        let socket = Socket::new(stream, Arc::clone(&connection), self.timer.clone(), patience);
        self.converse(socket, &connection).await;
        gate.connections().close(connection.id);
        // The socket is closed by now, by a reset: what still comes over this flow is not worth a look.
        if let Some(doom) = connection.doom() {
            gate.drop_flow(connection.flow, doom);
        }
    }

    async fn converse(mut self, socket: Socket, connection: &Arc<Connection>) {
        let http = &self.proxy.gate().config().http;
        let mut builder = http1::Builder::new();
        builder
            .timer(self.timer.clone())
            .header_read_timeout(http.header_timeout)
            .max_buf_size(http.max_header_bytes);
        let proxy = Arc::clone(&self.proxy);
        let service = service_fn(|request| Arc::clone(&proxy).answer(Arc::clone(connection), request));
        let mut conversation = pin!(builder.serve_connection(TokioIo::new(socket), service));
        let doomed = tokio::select! {
            _ = conversation.as_mut() => return,
            () = connection.doomed() => true,
            _ = self.stop.wait_for(|&stop| stop) => false,
        };
        conversation.as_mut().graceful_shutdown();
        if doomed {
            let _ = tokio::time::timeout(LAST_ANSWER, conversation).await;
        } else {
            let _ = conversation.await;
        }
    }
}
