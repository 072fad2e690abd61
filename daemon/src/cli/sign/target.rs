//! A URL, taken apart without changing what goes on the wire.

use http::Uri;
use http::uri::Scheme;

use super::super::failure::Failure;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As given.
    pub(super) url: String,
    /// Whether TLS is needed to get there.
    pub(super) https: bool,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// Lower case, without the default port: docs/protocol.md section 2.
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let invalid = || {
            Failure::error("url-invalid", format!("'{url}' is not a URL that can be called"))
                .hint("write it in full, like http://127.0.0.1:8080/api/orders?page=2")
        };
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(_) | None => return Err(invalid()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        let plain = with_port(host, uri.port_u16());
        if uri.authority().is_none_or(|authority| authority.as_str() != plain) {
            // A user name, or a port that is none.
            return Err(invalid());
        }
        Ok(Self {
            url: url.to_owned(),
            https,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(default_port(https)),
            authority: authority(&plain, https),
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// The same with a parameter at the end of the query.
    pub(super) fn with_parameter(self, name: &str, value: &str) -> Self {
        // What is behind `#` never goes on the wire.
        let (url, _) = self.url.split_once('#').unwrap_or((&self.url, ""));
        let separator = match self.query.as_deref() {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        let url = format!("{url}{separator}{name}={value}");
        let query = self.query.as_deref().filter(|query| !query.is_empty());
        let query = query.map_or_else(|| format!("{name}={value}"), |query| format!("{query}&{name}={value}"));
        Self {
            url,
            query: Some(query),
            ..self
        }
    }

    /// Another path of the same origin.
    pub(super) fn at_path(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            query: None,
            ..self.clone()
        }
    }

    /// This path if it has none of its own.
    pub(super) fn or_path(self, path: &str) -> Self {
        if self.path == "/" { self.at_path(path) } else { self }
    }
}

/// `@authority` of a Host field: lower case, without the default port.
pub(super) fn authority(host: &str, https: bool) -> String {
    let host = host.to_ascii_lowercase();
    match host.strip_suffix(&format!(":{}", default_port(https))) {
        Some(without) => without.to_owned(),
        None => host,
    }
}

fn with_port(host: &str, port: Option<u16>) -> String {
    port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_as_it_stands() {
        let target = Target::parse("http://Shop.Example:80/a/%7Eb/../c?x=%20&y").unwrap();
        assert_eq!(target.authority, "shop.example");
        assert_eq!(
            (target.port, target.path.as_str(), target.query.as_deref()),
            (80, "/a/%7Eb/../c", Some("x=%20&y"))
        );
    }

    #[test]
    fn ports_families_and_queries() {
        let target = Target::parse("http://[2001:db8::1]:8080?").unwrap();
        assert_eq!(
            (target.host.as_str(), target.authority.as_str()),
            ("2001:db8::1", "[2001:db8::1]:8080")
        );
        assert_eq!((target.path.as_str(), target.query.as_deref()), ("/", Some("")));
        let target = Target::parse("https://shop.example:80/").unwrap();
        assert_eq!(
            (target.authority.as_str(), target.port, target.query),
            ("shop.example:80", 80, None)
        );
        assert_eq!(
            Target::parse("https://shop.example:443").unwrap().authority,
            "shop.example"
        );
    }

    #[test]
    fn what_cannot_be_called() {
        let relative = ["", "/api", "shop.example/api", "http://", "http:///x"];
        let malformed = [
            "ftp://shop.example/",
            "http://a b/",
            "http://h:99999/",
            "http://h:/",
            "http://me:secret@h/",
        ];
        for url in relative.into_iter().chain(malformed) {
            let message = Target::parse(url).unwrap_err().message;
            assert_eq!(message, format!("'{url}' is not a URL that can be called"));
        }
    }

    #[test]
    fn a_session_url_may_name_the_origin_alone() {
        let path = |url: &str| Target::parse(url).unwrap().or_path("/session").path;
        assert_eq!(path("http://h"), "/session");
        assert_eq!(path("http://h/"), "/session");
        assert_eq!(path("http://h/other"), "/other");
    }
}
