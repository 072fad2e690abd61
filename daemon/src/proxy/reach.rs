//! Connecting to one server: over TCP, a unix socket, or TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::lane::Lane;
use crate::config::{Care, Route};
use crate::listener::timer::CoarseTimer;

/// How a server is reached, with all that is needed for it.
pub(super) struct Reach {
    route: Route,
    tls: Option<(TlsConnector, ServerName<'static>)>,
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
                Some((connector(care)?, name))
            }
            Route::Clear(_) | Route::Unix(_) => None,
        };
        let route = route.clone();
        Ok(Self { route, tls })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Whatever keeps it from being opened.
    pub(super) async fn connect(&self, timer: &CoarseTimer) -> io::Result<Lane> {
        let over_tcp = async |authority: &str| {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(stream)
        };
        let lane = match (&self.route, &self.tls) {
            (Route::Unix(path), _) => Lane::over(TokioIo::new(UnixStream::connect(path).await?), timer).await,
            (Route::Clear(authority) | Route::Tls(authority), None) => {
                Lane::over(TokioIo::new(over_tcp(authority).await?), timer).await
            }
            (Route::Clear(authority) | Route::Tls(authority), Some((tls, name))) => {
                let stream = tls.connect(name.clone(), over_tcp(authority).await?).await?;
                Lane::over(TokioIo::new(stream), timer).await
            }
        };
        lane.map_err(io::Error::other)
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.route.fmt(f)
    }
}

fn connector(care: &Care) -> Result<TlsConnector, ReachError> {
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
    Ok(TlsConnector::from(Arc::new(config)))
}
