//! Origins: which pages may call, beside those of the gate's own (RFC 6454; the Fetch standard, "CORS protocol").

use std::fmt;
use std::time::Duration;

use http::uri::{Authority, Scheme};

/// The time in which the number of preflights of a source halves.
pub const HALF_LIFE: Duration = Duration::from_secs(60);

/// `scheme://host` or `scheme://host:port`, in lower case and without a port that the scheme implies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    text: String,
    scheme_length: usize,
}

/// A text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is https://HOST or http://HOST, with :PORT if it has one, and nothing behind it")]
pub struct OriginError;

impl Origin {
    /// Reads an origin as browsers send it.
    ///
    /// # Errors
    /// [`OriginError`]; so is `null`, which is what pages without an origin send.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginError)?;
        let default = match scheme.parse::<Scheme>().map_err(|_| OriginError)? {
            scheme if scheme == Scheme::HTTPS => 443,
            scheme if scheme == Scheme::HTTP => 80,
            _ => return Err(OriginError),
        };
        let authority: Authority = rest.parse().map_err(|_| OriginError)?;
        let host = authority.host();
        let port = authority.port_u16().filter(|port| *port != default);
        let has_odd_port = authority.port_u16().is_none() && rest.len() != host.len();
        if host.is_empty() || rest.contains('@') || has_odd_port {
            return Err(OriginError);
        }
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self {
            text: format!("{scheme}://{host}{port}").to_ascii_lowercase(),
            scheme_length: scheme.len() + "://".len(),
        })
    }

    /// As browsers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host, and the port unless the scheme implies it.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.get(self.scheme_length..).unwrap_or_default()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Who may call from another origin.
#[derive(Clone, Debug, PartialEq)]
pub struct CorsPolicy {
    /// The origins of such pages.
    pub origins: Vec<Origin>,
    /// Whether they may send cookies along.
    pub credentials: bool,
    /// Preflights that a source may send within a minute.
    pub preflights: f32,
}

impl Default for CorsPolicy {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            credentials: false,
            preflights: 600.0,
        }
    }
}

impl CorsPolicy {
    /// Whether pages of an origin may call.
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        self.origins.contains(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for (text, spelled, authority) in [
            ("https://App.Example", "https://app.example", "app.example"),
            ("https://app.example:443", "https://app.example", "app.example"),
            ("http://app.example:443", "http://app.example:443", "app.example:443"),
            ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"),
            ("http://localhost:80", "http://localhost", "localhost"),
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!((origin.as_str(), origin.authority()), (spelled, authority));
        }
    }

    #[test]
    fn what_is_no_origin() {
        for text in [
            "",
            "null",
            "*",
            "app.example",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "https://u@a",
            "https://a:",
            "https://a:x",
            "https://a:99999",
            "https://*.a b",
            "file://a",
            "https://a, https://b",
        ] {
            assert_eq!(Origin::parse(text), Err(OriginError), "{text}");
        }
    }
}
