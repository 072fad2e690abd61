//! TLS for clients, by rustls: versions 1.2 and 1.3 with forward secrecy and authenticated encryption only.
//!
//! Certificates are looked at again every few seconds, and replaced for the handshakes that follow. Files that do not
//! make sense are told in the log, and the ones in use stay.

mod certificate;
mod choice;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig};

use self::certificate::{Certificate, Stamp};
use self::choice::Choice;
use crate::config::{CertificateFiles, Tls, TlsVersion};

pub use self::certificate::CertificateError;

/// The protocol name of HTTP/2 (RFC 9113 section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// TLS 1.2 sessions that are kept to be resumed. Those of 1.3 are kept by the clients, sealed.
const SESSIONS_KEPT: usize = 10_000;

/// The TLS of one listener.
pub struct Terminator {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Terminator {
    /// Reads the certificates. One that is not valid today is served all the same, and told: clients will refuse it, but
    /// a restart is no reason to refuse them everything.
    ///
    /// # Errors
    /// [`CertificateError`] if a file cannot be read or makes no sense.
    pub fn open(tls: &Tls, http2: bool) -> Result<Self, TlsError> {
        let certificates = Arc::new(Certificates::open(&tls.certificates)?);
        let versions: &[_] = match tls.oldest {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.sort_by_key(|suite| cost(suite.suite()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as _);
        config.ignore_client_order = true;
        let protocols: &[&[u8]] = if http2 { &[HTTP2, HTTP11] } else { &[HTTP11] };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_KEPT);
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        Ok(Self {
            config: Arc::new(config),
            certificates,
        })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Takes over files that changed, or all with `again`. What is wrong is told once for each change.
    #[must_use]
    pub fn refresh(&self, again: bool) -> Refreshed {
        self.certificates.refresh(again)
    }
}

/// Which suite is taken first: all are strong, but SHA-384 has no instructions of its own, and a handshake hashes much.
fn cost(suite: CipherSuite) -> u8 {
    let name = suite.as_str().unwrap_or_default();
    if name.contains("AES_128_GCM_SHA256") {
        0
    } else if name.contains("CHACHA20") {
        1
    } else {
        2
    }
}

/// Why a listener cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// By its files.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// By the library, or the random source.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// What is wrong with the files of a listener, for `check`: also certificates that are not valid today.
#[must_use]
pub fn check(tls: &Tls) -> Vec<CertificateError> {
    let certificates = tls.certificates.iter().map(|files| {
        let certificate = Certificate::load(files)?;
        certificate.check_validity(files)
    });
    certificates.filter_map(Result::err).collect()
}

/// What a look at the files brought.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Certificates that are new.
    pub taken: Vec<PathBuf>,
    /// Those that cannot be used.
    pub refused: Vec<CertificateError>,
}

/// The certificates of one listener.
#[derive(Debug)]
struct Certificates {
    files: Vec<CertificateFiles>,
    kept: Mutex<HashMap<usize, Kept>>,
    choice: RwLock<Arc<Choice>>,
}

/// One that is in use, and of which files.
#[derive(Debug)]
struct Kept {
    certificate: Certificate,
    /// Of the files as they were looked at last, whether they could be used or not.
    stamp: Option<Stamp>,
}

impl Certificates {
    fn open(files: &[CertificateFiles]) -> Result<Self, CertificateError> {
        let mut kept = HashMap::new();
        for (index, files) in files.iter().enumerate() {
            let stamp = Stamp::of(files);
            let certificate = Certificate::load(files)?;
            if let Err(error) = certificate.check_validity(files) {
                tracing::warn!(%error, "clients will refuse a certificate");
            }
            kept.insert(index, Kept { certificate, stamp });
        }
        Ok(Self {
            choice: RwLock::new(Arc::new(choice(files.len(), &kept))),
            files: files.to_vec(),
            kept: Mutex::new(kept),
        })
    }

    fn refresh(&self, again: bool) -> Refreshed {
        let mut refreshed = Refreshed::default();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, files) in self.files.iter().enumerate() {
            let stamp = Stamp::of(files);
            let Some(kept) = kept.get_mut(&index).filter(|kept| again || kept.stamp != stamp) else {
                continue;
            };
            kept.stamp = stamp;
            let loaded = Certificate::load(files);
            match loaded.and_then(|certificate| certificate.check_validity(files).map(|()| certificate)) {
                Ok(certificate) => {
                    kept.certificate = certificate;
                    refreshed.taken.push(files.chain.clone());
                }
                Err(error) => refreshed.refused.push(error),
            }
        }
        if !refreshed.taken.is_empty() {
            let choice = Arc::new(choice(self.files.len(), &kept));
            *self.choice.write().unwrap_or_else(PoisonError::into_inner) = choice;
        }
        refreshed
    }
}

fn choice(count: usize, kept: &HashMap<usize, Kept>) -> Choice {
    let in_order = (0..count).filter_map(|index| kept.get(&index));
    Choice::between(in_order.map(|kept| &kept.certificate))
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let choice = Arc::clone(&self.choice.read().unwrap_or_else(PoisonError::into_inner));
        choice.of(hello.server_name())
    }
}

#[cfg(test)]
mod tests;
