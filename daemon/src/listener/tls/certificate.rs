//! One certificate with its key, out of two files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::config::CertificateFiles;
use crate::readable;

/// A file of the size of a certificate.
const LARGEST: u64 = 1 << 20;

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file is not there, or not for us.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file has no certificate in it, or one that is none.
    #[error("{} holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// The file has no private key in it, or one of an unknown kind.
    #[error("{} holds no private key in PEM form that can be used (RSA, ECDSA P-256 or P-384, Ed25519)", .0.display())]
    NoKey(PathBuf),
    /// The two do not belong together.
    #[error("the key in {} is not the one of the certificate in {}", key.display(), chain.display())]
    Mismatched {
        /// The certificate.
        chain: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Its time is over.
    #[error("the certificate in {} expired on {at}", path.display())]
    Expired {
        /// Which one.
        path: PathBuf,
        /// When.
        at: String,
    },
    /// Its time has not come.
    #[error("the certificate in {} is not valid before {at}", path.display())]
    NotYetValid {
        /// Which one.
        path: PathBuf,
        /// When it will be.
        at: String,
    },
}

impl CertificateError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { source, .. } => readable::hint(source.kind()),
            Self::NoCertificate(_) => "it begins with `-----BEGIN CERTIFICATE-----`, and the server's own comes first",
            Self::NoKey(_) => "it begins with `-----BEGIN PRIVATE KEY-----`",
            Self::Mismatched { .. } => "`chain` and `key` come from the same request; did two of them get mixed up?",
            Self::Expired { .. } | Self::NotYetValid { .. } => "renew it, or look at the clock of this machine",
        }
    }
}

/// A certificate that is ready to be served.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The names that it is for, in lower case.
    pub(super) names: Vec<String>,
    not_before: ASN1Time,
    not_after: ASN1Time,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// All but those of [`check_validity`](Self::check_validity).
    pub(super) fn load(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let no_certificate = || CertificateError::NoCertificate(files.chain.clone());
        let no_key = || CertificateError::NoKey(files.key.clone());
        let text = read(&files.chain)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let chain = chain.map_err(|_| no_certificate())?;
        let first = chain.first().cloned().ok_or_else(no_certificate)?;
        let (_, parsed) = X509Certificate::from_der(&first).map_err(|_| no_certificate())?;
        let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|_| no_key())?;
        let key = any_supported_type(&key).map_err(|_| no_key())?;
        let certified = CertifiedKey::new(chain, key);
        certified.keys_match().map_err(|_| CertificateError::Mismatched {
            chain: files.chain.clone(),
            key: files.key.clone(),
        })?;
        Ok(Self {
            key: Arc::new(certified),
            names: names(&parsed),
            not_before: parsed.validity().not_before,
            not_after: parsed.validity().not_after,
        })
    }

    /// Whether it is valid now.
    ///
    /// # Errors
    /// [`CertificateError::Expired`], [`CertificateError::NotYetValid`].
    pub(super) fn check_validity(&self, files: &CertificateFiles) -> Result<(), CertificateError> {
        let (now, path) = (ASN1Time::now(), files.chain.clone());
        if now > self.not_after {
            let at = self.not_after.to_string();
            return Err(CertificateError::Expired { path, at });
        }
        if now < self.not_before {
            let at = self.not_before.to_string();
            return Err(CertificateError::NotYetValid { path, at });
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |source| CertificateError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > LARGEST {
        return Err(unreadable(io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(unreadable)
}

/// Subject alternative names. The common name has not been looked at by browsers for years, and is not here either.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.map(|extension| extension.value.general_names.as_slice());
    let dns = names.unwrap_or_default().iter().filter_map(|name| {
        let GeneralName::DNSName(name) = name else { return None };
        Some(name.to_ascii_lowercase())
    });
    dns.collect()
}

/// What tells a file from its next version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([FileStamp; 2]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    changed: SystemTime,
    size: u64,
    inode: u64,
}

impl Stamp {
    /// `None` if a file is not there.
    pub(super) fn of(files: &CertificateFiles) -> Option<Self> {
        Some(Self([FileStamp::of(&files.chain)?, FileStamp::of(&files.key)?]))
    }
}

impl FileStamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            changed: metadata.modified().ok()?,
            size: metadata.size(),
            inode: metadata.ino(),
        })
    }
}
