//! The control socket: how the operator reads and changes a running gate.
//!
//! HTTP/1.1 and JSON over a unix socket, so that `curl --unix-socket` works as well as our own command line. Who may
//! connect is a matter of file permissions; who did is in the audit log, by the peer credentials of the socket.
//!
//! [`api`] holds the shapes that travel, [`client`] the side of the command line, [`serve`] the side of the daemon.

pub mod api;
pub mod client;
pub mod openapi;
mod routes;
mod server;
mod socket;

pub use server::serve;
pub use socket::{SocketError, adopt, bind};
