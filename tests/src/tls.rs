//! Certificates that tests make, and a client that speaks TLS and believes them.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use tempfile::TempDir;

/// A directory of certificates, each signed by itself.
pub struct Certificates(TempDir);

impl Certificates {
    /// An empty one.
    ///
    /// # Errors
    /// If there is no room.
    pub fn new() -> Result<Self> {
        Ok(Self(TempDir::new()?))
    }

    /// Writes `NAME.pem` and `NAME.key` for these hosts, valid up to a year. Returns the words of the configuration.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn write(&self, name: &str, hosts: &[&str], until: i32) -> Result<String> {
        let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate()?;
        let (chain, key_file) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        // Moved into place, as careful tools do.
        let write = |path: &PathBuf, text: String| -> Result<()> {
            let aside = path.with_extension("new");
            fs::write(&aside, text)?;
            Ok(fs::rename(&aside, path)?)
        };
        write(&key_file, key.serialize_pem())?;
        write(&chain, params.self_signed(&key)?.pem())?;
        Ok(format!(
            "{{ chain = \"{}\", key = \"{}\" }}",
            chain.display(),
            key_file.display()
        ))
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A connection with TLS.
pub type TlsLine = StreamOwned<ClientConnection, TcpStream>;

/// Connects, asking for a host and offering protocols.
///
/// # Errors
/// If there is no connection, or no handshake.
pub fn connect(address: SocketAddr, host: &str, config: &Arc<ClientConfig>) -> Result<TlsLine> {
    let name = ServerName::try_from(host.to_owned())?;
    let mut connection = ClientConnection::new(Arc::clone(config), name)?;
    let mut stream = TcpStream::connect(address).with_context(|| format!("no answer from {address}"))?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).context("no handshake")?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// A client that believes every certificate.
///
/// # Errors
/// If the library knows none of the versions.
pub fn client(
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The subject alternative names do not matter here; the handshake's signature neither.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
