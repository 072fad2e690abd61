//! Which certificate a client gets, by the name that it asks for (RFC 6066 section 3).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// Certificates by the names that they are for.
#[derive(Debug, Default)]
pub(super) struct Choice {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcards: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Choice {
    /// Of two for the same name, the earlier one is served.
    pub(super) fn between<'a>(certificates: impl Iterator<Item = &'a Certificate>) -> Self {
        let mut choice = Self::default();
        for certificate in certificates {
            choice.first.get_or_insert_with(|| Arc::clone(&certificate.key));
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut choice.wildcards, parent),
                    None => (&mut choice.exact, name.as_str()),
                };
                names
                    .entry(name.to_owned())
                    .or_insert_with(|| Arc::clone(&certificate.key));
            }
        }
        choice
    }

    /// The one for a name, or the first.
    pub(super) fn of(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let found = name.as_deref().and_then(|name| {
            // A wildcard stands for one label (RFC 9525 section 6.3).
            let wildcard = || self.wildcards.get(name.split_once('.')?.1);
            self.exact.get(name).or_else(wildcard)
        });
        found.or(self.first.as_ref()).cloned()
    }
}
