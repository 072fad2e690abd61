//! Where requests go: `http.upstream`, and `[[upstream]]` for hosts and paths that differ.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use portcullis_guard::path::{NormalPath, PathPattern};
use toml::de::DeValue;

use super::error::Mistake;
use super::section::{Parsed, Section};
use super::service::socket;
use super::value::{absolute_path, boolean, describe, duration, integer, pattern, text};

/// Servers of one pool.
const MOST_SERVERS: usize = 256;
/// The certificates that Debian and its relatives trust.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Servers that do the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Hosts that it is for, in lower case; empty: all.
    pub hosts: Vec<String>,
    /// Paths that it is for; empty: all.
    pub paths: Vec<PathPattern>,
    /// At least one.
    pub servers: Vec<Server>,
    /// How it is kept.
    pub care: Care,
}

/// How a pool is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Care {
    /// A path that is asked for to see whether a server is well.
    pub health: Option<String>,
    /// How often, and how long an answer may take.
    pub health_interval: Duration,
    /// Failures in a row after which a server gets no calls for a while.
    pub max_failures: u32,
    /// For how long.
    pub retry_after: Duration,
    /// To connect.
    pub connect_timeout: Duration,
    /// Calls at a time for each server.
    pub max_calls: usize,
    /// Nothing is forwarded, and clients are told to come back.
    pub maintenance: bool,
    /// The authorities that sign certificates of servers with TLS, in PEM.
    pub authorities: PathBuf,
    /// Whether HTTP/2 is spoken: with TLS if the server agrees, in clear text in any case.
    pub http2: bool,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            health: None,
            health_interval: Duration::from_secs(5),
            max_failures: 3,
            retry_after: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_calls: 10_000,
            maintenance: false,
            authorities: SYSTEM_AUTHORITIES.into(),
            http2: false,
        }
    }
}

/// One server of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// How it is reached.
    pub route: Route,
    /// How much of the load it gets, compared with the others.
    pub weight: u32,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `host:port`, in clear text.
    Clear(String),
    /// `host:port`, with TLS.
    Tls(String),
    /// The file of a unix socket.
    Unix(PathBuf),
}

impl Pool {
    /// Whether requests for this host and path are for it.
    #[must_use]
    pub fn is_for(&self, authority: &str, path: &NormalPath) -> bool {
        (self.hosts.is_empty() || self.is_for_host(authority))
            && (self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.matches(path)))
    }

    fn is_for_host(&self, authority: &str) -> bool {
        let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                host
            } else {
                authority
            }
        });
        self.hosts.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => host
                .strip_suffix(parent)
                .is_some_and(|label| label.len() > 1 && label.ends_with('.')),
            None => host == name,
        })
    }

    /// Whether a connection to it would reach this listening address.
    pub(super) fn is(&self, listen: SocketAddr) -> bool {
        self.servers.iter().any(|server| server.route.is(listen))
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            server.route.fmt(f)?;
        }
        Ok(())
    }
}

impl Route {
    fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        let is_bare = uri.path() == "/" && uri.query().is_none() && !authority.as_str().contains('@');
        let (make, default): (fn(String) -> Self, u16) = match uri.scheme_str()? {
            "http" => (Self::Clear, 80),
            "https" => (Self::Tls, 443),
            _ => return None,
        };
        let host = authority.host();
        let port = match authority.port_u16() {
            Some(port) => port,
            // A port that is there but no number.
            None if authority.as_str().len() > host.len() => return None,
            None => default,
        };
        (is_bare && !host.is_empty() && port != 0).then(|| make(format!("{host}:{port}")))
    }

    fn is(&self, listen: SocketAddr) -> bool {
        let (Self::Clear(authority) | Self::Tls(authority)) = self else {
            return false;
        };
        let Some((host, port)) = authority.rsplit_once(':') else {
            return false;
        };
        let host = host.trim_matches(['[', ']']);
        let address = match host {
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            host => host.parse().ok(),
        };
        let reaches = |address: IpAddr| {
            address == listen.ip()
                || (host == "localhost" && listen.ip().is_loopback())
                || (listen.ip().is_unspecified() && (address.is_loopback() || address.is_unspecified()))
        };
        port.parse() == Ok(listen.port()) && address.is_some_and(reaches)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear(authority) => write!(f, "http://{authority}"),
            Self::Tls(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads `upstream` of `[http]`, and how it is kept.
pub(super) fn read_default(section: &Section<'_>) -> Option<Pool> {
    let servers = section.required("upstream", "\"http://127.0.0.1:3000\"", servers);
    let care = section.section("pool", read_care);
    Some(Pool {
        hosts: Vec::new(),
        paths: Vec::new(),
        servers: servers?,
        care,
    })
}

/// Reads all `[[upstream]]`.
pub(super) fn read(root: &Section<'_>) -> Vec<Pool> {
    let pools = root.sections("upstream", |_, section| read_one(section));
    pools.into_iter().flatten().collect()
}

fn read_one(section: &Section<'_>) -> Option<Pool> {
    let hosts = section.list("hosts", Vec::new, host);
    let mistakes = section.mistakes();
    let paths = section.list("paths", Vec::new, pattern);
    if hosts.is_empty() && paths.is_empty() && section.mistakes() == mistakes {
        let mistake = Mistake::new("without `hosts` or `paths` it would be for everything");
        section.error("servers", mistake.hint("`http.upstream` is for everything else"));
    }
    let servers = section.required("servers", "[\"http://127.0.0.1:3000\"]", servers);
    let care = read_care(section);
    Some(Pool {
        hosts,
        paths,
        servers: servers?,
        care,
    })
}

fn read_care(section: &Section<'_>) -> Care {
    let defaults = Care::default();
    Care {
        health: section.read("health", None, path),
        health_interval: section.read("health_interval", defaults.health_interval, duration("100ms"..="1h")),
        max_failures: section.read("max_failures", defaults.max_failures, integer(1..=1_000_000)),
        retry_after: section.read("retry_after", defaults.retry_after, duration("100ms"..="1h")),
        connect_timeout: section.read("connect_timeout", defaults.connect_timeout, duration("100ms"..="10m")),
        max_calls: section.read("max_calls", defaults.max_calls, integer(1..=10_000_000)),
        maintenance: section.read("maintenance", defaults.maintenance, boolean),
        authorities: section.read("authorities", defaults.authorities, absolute_path),
        http2: section.read("http2", defaults.http2, boolean),
    }
}

fn host(value: &DeValue<'_>) -> Parsed<String> {
    let name = text(value)?.to_ascii_lowercase();
    let bare = name.strip_prefix("*.").unwrap_or(&name);
    let is_name = bare
        .parse::<http::uri::Authority>()
        .is_ok_and(|authority| authority.host() == bare);
    if is_name {
        return Ok(name);
    }
    let mistake = Mistake::new(format!("expected the name of a host, got {}", describe(value)));
    Err(mistake.hint("without scheme and port; `*.shop.example` is any name of one label before it"))
}

/// An empty one is none.
fn path(value: &DeValue<'_>) -> Parsed<Option<String>> {
    let path = text(value)?;
    if path.is_empty() {
        return Ok(None);
    }
    let is_path = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    let mistake = || Mistake::new(format!("expected a path like \"/healthz\", got {}", describe(value)));
    if is_path { Ok(Some(path)) } else { Err(mistake()) }
}

/// One server as a text, or several in an array.
fn servers(value: &DeValue<'_>) -> Parsed<Vec<Server>> {
    let Some(array) = value.as_array() else {
        return Ok(vec![server(value)?]);
    };
    if array.is_empty() || array.len() > MOST_SERVERS {
        return Err(Mistake::new(format!(
            "expected 1 to {MOST_SERVERS} servers, got {}",
            array.len()
        )));
    }
    array.iter().map(|element| server(element.get_ref())).collect()
}

/// A URL, or a table of a URL and a weight.
fn server(value: &DeValue<'_>) -> Parsed<Server> {
    let Some(table) = value.as_table() else {
        return Ok(Server {
            route: route(value)?,
            weight: 1,
        });
    };
    let known = ["url", "weight"];
    if let Some(unknown) = table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
        let mistake = Mistake::new(format!("unknown key `{}` of a server", unknown.get_ref()));
        return Err(mistake.hint_from(unknown.get_ref(), known.into_iter()));
    }
    let url = table.get("url");
    let url = url.ok_or_else(|| Mistake::new("a server needs a `url`"))?;
    let weight = table
        .get("weight")
        .map(|weight| integer(1..=1_000_000)(weight.get_ref()));
    Ok(Server {
        route: route(url.get_ref())?,
        weight: weight.transpose()?.unwrap_or(1),
    })
}

fn route(value: &DeValue<'_>) -> Parsed<Route> {
    let text = value.as_str().unwrap_or_default();
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(&DeValue::String(path.into())).map(Route::Unix);
    }
    Route::parse(text).ok_or_else(|| {
        let like = "expected a URL like \"http://127.0.0.1:3000\"";
        let mistake = Mistake::new(format!("{like}, got {}", describe(value)));
        let with_scheme = format!("http://{text}");
        match text.split_once("://").map(|(_, rest)| rest.split_once('/')) {
            None if Route::parse(&with_scheme).is_some() => mistake.hint(format!("did you mean \"{with_scheme}\"?")),
            Some(Some((_, path))) if !path.is_empty() => {
                mistake.hint("paths are forwarded as they are; leave the path out here")
            }
            None | Some(_) => mistake,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("http://app.internal", Some("http://app.internal:80")),
            ("http://[::1]:3000/", Some("http://[::1]:3000")),
            ("http://[::1]", Some("http://[::1]:80")),
            ("https://app.internal", Some("https://app.internal:443")),
            ("ftp://127.0.0.1:3000", None),
            ("http://127.0.0.1:3000/api", None),
            ("http://127.0.0.1:3000/?a", None),
            ("http://user@127.0.0.1:3000", None),
            ("http://127.0.0.1:0", None),
            ("http://127.0.0.1:", None),
            ("http://127.0.0.1:99999", None),
            ("127.0.0.1:3000", None),
            ("localhost", None),
            ("/", None),
            ("", None),
        ] {
            let route = Route::parse(text).map(|route| route.to_string());
            assert_eq!(route.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_gate_that_is_its_own_application_is_found() {
        for (upstream, listen, same) in [
            ("http://127.0.0.1:80", "127.0.0.1:80", true),
            ("http://127.0.0.1:80", "127.0.0.1:81", false),
            ("http://127.0.0.1:80", "0.0.0.0:80", true),
            ("http://[::1]:80", "[::]:80", true),
            ("http://localhost:80", "[::1]:80", true),
            ("http://192.0.2.1:80", "0.0.0.0:80", false),
            ("http://app:80", "0.0.0.0:80", false),
        ] {
            let route = Route::parse(upstream).unwrap();
            assert_eq!(route.is(listen.parse().unwrap()), same, "{upstream} {listen}");
        }
    }

    #[test]
    fn hosts_and_paths_decide() {
        let pool = |hosts: &[&str], paths: &[&str]| Pool {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(|path| PathPattern::parse(path).unwrap()).collect(),
            servers: Vec::new(),
            care: Care::default(),
        };
        for (hosts, paths, authority, path, expected) in [
            (&["a.example"][..], &[][..], "a.example", "/", true),
            (&["a.example"], &[], "a.example:8080", "/", true),
            (&["a.example"], &[], "b.example", "/", false),
            (&["*.example"], &[], "b.example", "/", true),
            (&["*.example"], &[], "example", "/", false),
            (&[], &["/api/**"], "x", "/api/1", true),
            (&[], &["/api/**"], "x", "/", false),
            (&["a.example"], &["/api/**"], "b.example", "/api/1", false),
            (&[], &[], "[::1]", "/", true),
        ] {
            let path = NormalPath::parse(path).unwrap();
            assert_eq!(
                pool(hosts, paths).is_for(authority, &path),
                expected,
                "{hosts:?} {authority} {path}"
            );
        }
    }
}
