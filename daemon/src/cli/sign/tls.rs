//! TLS to the gate's front door.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::failure::Failure;
use super::target::Target;

/// Where systems keep the certificates that they trust.
const TRUSTED: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Speaks TLS over a connection, with a gate whose certificate is signed by one of those in `ca`, or of the system's.
pub(super) async fn over(
    stream: TcpStream,
    target: &Target,
    ca: Option<&Path>,
) -> Result<TlsStream<TcpStream>, Failure> {
    let file = match ca {
        Some(file) => file.to_owned(),
        None => system_bundle()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(target, &error))?
        .with_root_certificates(roots(&file)?)
        .with_no_client_auth();
    let name = ServerName::try_from(target.host.clone()).map_err(|error| failed(target, &error))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connected.map_err(|error| failed(target, &error))
}

fn system_bundle() -> Result<PathBuf, Failure> {
    let found = TRUSTED.iter().map(PathBuf::from).find(|file| file.exists());
    found.ok_or_else(|| {
        let message = "the system has no list of certificates that it trusts";
        Failure::error("ca-unreadable", message).hint("name the gate's own, or who signed it, by --ca FILE")
    })
}

fn roots(file: &Path) -> Result<RootCertStore, Failure> {
    let unreadable = |error: &dyn ToString| {
        let message = format!("failed to read {}: {}", file.display(), error.to_string());
        Failure::error("ca-unreadable", message).hint("it has certificates in PEM form")
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        // A list of the system's may have some that nobody understands.
        let _ = roots.add(certificate.map_err(|error| unreadable(&error))?);
    }
    if roots.is_empty() {
        return Err(unreadable(&"no certificate in it"));
    }
    Ok(roots)
}

fn failed(target: &Target, error: &impl ToString) -> Failure {
    let message = format!("no TLS with {}: {}", target.authority, error.to_string());
    Failure::error("tls-failed", message).hint("--ca FILE names who signed its certificate")
}
