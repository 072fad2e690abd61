//! Connecting to one server: over TCP, a unix socket, or TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::lane::{Lane, Link};
use super::trunk::Trunk;
use crate::config::{Care, Route};
use crate::listener::socket::Transport;
use crate::listener::timer::CoarseTimer;

/// The name of HTTP/2 in a TLS handshake (RFC 9113 section 3.2).
const HTTP2: &[u8] = b"h2";

/// How a server is reached, with all that is needed for it.
pub(super) struct Reach {
    route: Route,
    tls: Option<Tls>,
    http2: bool,
}

/// What TLS to a server needs.
struct Tls {
    /// Without a word of protocols.
    plain: TlsConnector,
    /// Offering HTTP/2.
    http2: TlsConnector,
    name: ServerName<'static>,
}

/// Why a server cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// Nobody could sign its certificate.
    #[error("{} holds no authorities that could be trusted: {source}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// Its name is none that a certificate could have.
    #[error("{0} has no name that a certificate could be for")]
    Name(String),
    /// By the library.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

impl Reach {
    pub(super) fn open(route: &Route, care: &Care) -> Result<Self, ReachError> {
        let tls = match route {
            Route::Tls(authority) => {
                let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
                let name = name.map_err(|_| ReachError::Name(route.to_string()))?;
                let [plain, http2] = connectors(care)?;
                Some(Tls { plain, http2, name })
            }
            Route::Clear(_) | Route::Unix(_) => None,
        };
        Ok(Self {
            route: route.clone(),
            tls,
            http2: care.http2,
        })
    }

    /// Opens a connection. One that `upgrades` speaks HTTP/1.1 in any case.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(super) async fn connect(&self, timer: &CoarseTimer, upgrades: bool) -> io::Result<Link> {
        let http2 = self.http2 && !upgrades;
        let over_tcp = async |authority: &str| {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(Transport::Tcp(stream))
        };
        match (&self.route, &self.tls) {
            (Route::Unix(path), _) => {
                let stream = Transport::Unix(UnixStream::connect(path).await?);
                speak(stream, http2, Scheme::HTTP, timer).await
            }
            (Route::Clear(authority) | Route::Tls(authority), None) => {
                speak(over_tcp(authority).await?, http2, Scheme::HTTP, timer).await
            }
            (Route::Clear(authority) | Route::Tls(authority), Some(tls)) => {
                let connector = if http2 { &tls.http2 } else { &tls.plain };
                let stream = over_tcp(authority).await?;
                let stream = connector.connect(tls.name.clone(), stream).await?;
                let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
                speak(stream, http2, Scheme::HTTPS, timer).await
            }
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    scheme: Scheme,
    timer: &CoarseTimer,
) -> io::Result<Link> {
    let stream = TokioIo::new(stream);
    let link = if http2 {
        Trunk::over(stream, scheme, timer).await.map(Link::Trunk)
    } else {
        Lane::over(stream, timer).await.map(Link::Lane)
    };
    link.map_err(io::Error::other)
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.route.fmt(f)
    }
}

/// One that says nothing of protocols, and one that offers HTTP/2.
fn connectors(care: &Care) -> Result<[TlsConnector; 2], ReachError> {
    let path = &care.authorities;
    let unreadable = |source| ReachError::Authorities {
        path: path.clone(),
        source,
    };
    let text = std::fs::read(path).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
    if roots.is_empty() {
        return Err(unreadable(io::Error::other("no certificate in PEM form")));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut offering = config.clone();
    offering.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok([config, offering].map(|config| TlsConnector::from(Arc::new(config))))
}
