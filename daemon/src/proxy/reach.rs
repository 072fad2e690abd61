//! Connecting to one server: over TCP, a unix socket, or TLS.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::uri::Scheme;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::idle::Link;
use super::lane::Lane;
use super::trunk::Trunk;
use crate::config::{Care, Route};
use crate::listener::socket::Transport;
use crate::listener::timer::CoarseTimer;
use crate::readable;

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
    trust: Trust,
    name: ServerName<'static>,
}

/// The authorities that sign the certificates of the servers of a pool, and what speaks TLS by them.
#[derive(Clone)]
pub(super) struct Trust {
    /// Of their file as it was read.
    digest: [u8; 32],
    /// Without a word of protocols.
    plain: TlsConnector,
    /// Offering HTTP/2.
    http2: TlsConnector,
}

/// Why a server cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// Nobody could sign its certificate.
    #[error("{} holds no authorities that could be trusted: {cause}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: io::Error,
    },
    /// Its name is none that a certificate could have.
    #[error("{0} has no name that a certificate could be for")]
    Name(String),
    /// By the library.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

impl ReachError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Authorities { cause, .. } => Some(readable::hint(cause.kind())),
            Self::Name(_) | Self::Library(_) => None,
        }
    }
}

impl Reach {
    /// `trust` is of the servers before in the same pool, and read when the first needs it.
    pub(super) fn open(route: &Route, care: &Care, trust: &mut Option<Trust>) -> Result<Self, ReachError> {
        let tls = match route {
            Route::Tls(authority) => {
                let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
                let name = name.map_err(|_| ReachError::Name(route.to_string()))?;
                let trust = match trust {
                    Some(known) => known.clone(),
                    None => trust.insert(Trust::read(&care.authorities)?).clone(),
                };
                Some(Tls { trust, name })
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
                let connector = if http2 { &tls.trust.http2 } else { &tls.trust.plain };
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
    let link = if http2 {
        let stream = TokioIo::new(stream);
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

impl Trust {
    /// Reads the authorities.
    ///
    /// # Errors
    /// [`ReachError::Authorities`].
    pub(super) fn read(path: &Path) -> Result<Self, ReachError> {
        let text = read(path)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
        if roots.is_empty() {
            return Err(unreadable(path, io::Error::other("no certificate in PEM form")));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut offering = config.clone();
        offering.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        let [plain, http2] = [config, offering].map(|config| TlsConnector::from(Arc::new(config)));
        let digest = Sha256::digest(&text).into();
        Ok(Self { digest, plain, http2 })
    }

    /// Whether the file still says the same.
    ///
    /// # Errors
    /// [`ReachError::Authorities`].
    pub(super) fn is_current(&self, path: &Path) -> Result<bool, ReachError> {
        Ok(self.digest == *Sha256::digest(read(path)?))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ReachError> {
    std::fs::read(path).map_err(|cause| unreadable(path, cause))
}

fn unreadable(path: &Path, cause: io::Error) -> ReachError {
    ReachError::Authorities {
        path: path.to_owned(),
        cause,
    }
}
