//! `[http]`: where requests come from, where they go, and how long anything may take.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::authority::Authorities;
use portcullis_guard::forwarded::Spokesman;
use toml::de::DeValue;

use super::error::Mistake;
use super::listener::{Listener, Place};
use super::section::{Parsed, Section};
use super::upstream::{self, Pool};
use super::value::{boolean, describe, duration, integer, network, size, socket_address, text, word};

/// The HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Addresses to listen on in clear text.
    pub listen: Vec<SocketAddr>,
    /// `[[listener]]`: the others.
    pub listeners: Vec<Listener>,
    /// Networks of the proxies that are believed whom they speak for.
    pub trusted_proxies: Vec<IpNet>,
    /// How they say it.
    pub client_address: Spokesman,
    /// Threads that serve requests; 0 is one for each processor.
    pub workers: usize,
    /// The application.
    pub upstream: Pool,
    /// `[[upstream]]`: servers for some hosts or paths.
    pub upstreams: Vec<Pool>,
    /// How clients reach the gate, which decides the port that Host leaves out.
    pub public_scheme: Scheme,
    /// The names that the gate answers for; none: any.
    pub authorities: Authorities,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
    /// The largest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// From the end of a request to the whole head of the next; so also how long a connection may be idle.
    pub header_timeout: Duration,
    /// For the whole body.
    pub body_timeout: Duration,
    /// From the upgrade of a WebSocket to its end.
    pub websocket_lifetime: Duration,
    /// How long a WebSocket may be silent.
    pub websocket_idle: Duration,
    /// Until the application answers.
    pub upstream_timeout: Duration,
    /// From the word to stop until open requests are cut off.
    pub drain_timeout: Duration,
    /// Connections of clients at a time.
    pub max_connections: usize,
    /// Connections of one source at a time.
    pub max_connections_per_source: usize,
    /// Requests at a time over one HTTP/2 connection.
    pub max_streams: u32,
    /// Whether the application learns session, user and score, by `Portcullis-Session`, `Portcullis-User` and
    /// `Portcullis-Score`.
    pub session_fields: bool,
    /// Whether calls without a `traceparent` get one.
    pub traceparent: bool,
}

impl Http {
    /// All listeners: those of `http.listen` first.
    pub fn all_listeners(&self) -> impl Iterator<Item = Listener> {
        let plain = self.listen.iter().map(|&address| Listener::plain(address));
        plain.chain(self.listeners.iter().cloned())
    }

    /// The ports of all listeners.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let others = self.listeners.iter().filter_map(|listener| match &listener.place {
            Place::Tcp(address) => Some(address.port()),
            Place::Unix(_) | Place::Handed(_) => None,
        });
        self.listen.iter().map(SocketAddr::port).chain(others).collect()
    }
}

/// `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Clear text all the way.
    Http,
    /// Something in front of the gate terminates TLS.
    Https,
}

impl Scheme {
    /// As in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL with this scheme need not name.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

pub(super) fn read(section: &Section<'_>, listeners: &[Option<Listener>], upstreams: Vec<Pool>) -> Option<Http> {
    let listen = section.elements("listen", socket_address);
    let listen = listen.unwrap_or_else(|| match listeners {
        [] => vec![Some(SocketAddr::from(([127, 0, 0, 1], 8080)))],
        [_, ..] => Vec::new(),
    });
    let upstream = upstream::read_default(section);
    check_listen(section, &listen, listeners, upstream.as_ref());
    let http = Http {
        workers: section.read("workers", 0, integer(0..=1024)),
        public_scheme: section.read("public_scheme", Scheme::Http, word(SCHEMES)),
        authorities: authorities(section),
        max_body: section.read("max_body", 1 << 20, size("1B"..="1GiB")),
        max_header_bytes: section.read("max_header_bytes", 16 << 10, size("8KiB"..="1MiB")),
        header_timeout: section.read("header_timeout", Duration::from_secs(10), duration("100ms"..="10m")),
        body_timeout: section.read("body_timeout", Duration::from_secs(30), duration("100ms"..="1h")),
        upstream_timeout: section.read("upstream_timeout", Duration::from_secs(30), duration("100ms"..="1h")),
        websocket_lifetime: section.read(
            "websocket_lifetime",
            Duration::from_secs(12 * 3600),
            duration("1s"..="30d"),
        ),
        websocket_idle: section.read("websocket_idle", Duration::from_secs(600), duration("1s"..="1d")),
        drain_timeout: section.read("drain_timeout", Duration::from_secs(10), duration("0s"..="1h")),
        max_connections: section.read("max_connections", 10_000, integer(1..=10_000_000)),
        max_connections_per_source: section.read("max_connections_per_source", 1000, integer(1..=10_000_000)),
        max_streams: section.read("max_streams", 100, integer(1..=10_000)),
        trusted_proxies: section.list("trusted_proxies", Vec::new, network),
        client_address: section.read("client_address", Spokesman::XForwardedFor, spokesman),
        session_fields: section.read("session_fields", true, boolean),
        traceparent: section.read("traceparent", false, boolean),
        // All keys are read before the one that may be missing matters.
        upstream: upstream?,
        upstreams,
        listen: listen.into_iter().flatten().collect(),
        listeners: listeners.iter().flatten().cloned().collect(),
    };
    Some(http)
}

fn authorities(section: &Section<'_>) -> Authorities {
    let names = section.elements("authorities", authority).unwrap_or_default();
    section.reject_twice("authorities", &names);
    Authorities::new(names.into_iter().flatten()).unwrap_or_default()
}

fn authority(value: &DeValue<'_>) -> Parsed<String> {
    let text = value.as_str().unwrap_or_default();
    let is_name = |name: &str| Authorities::new([name.to_owned()]).is_ok();
    if is_name(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let like = "expected a name like \"shop.example\" or \"shop.example:8443\"";
    let mistake = Mistake::new(format!("{like}, got {}", describe(value)));
    let host = text
        .split_once("://")
        .map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    Err(match host.filter(|host| is_name(host)) {
        Some(host) => mistake.hint(format!("did you mean \"{host}\"?")),
        None => mistake,
    })
}

const SCHEMES: &[(&str, Scheme)] = &[("http", Scheme::Http), ("https", Scheme::Https)];

fn spokesman(value: &DeValue<'_>) -> Parsed<Spokesman> {
    let name = text(value)?;
    Spokesman::named(&name).ok_or_else(|| {
        let mistake = Mistake::new(format!("expected the name of a field, got {}", describe(value)));
        mistake.hint("\"X-Forwarded-For\", \"Forwarded\", or a field that holds one address, like \"X-Real-IP\"")
    })
}

fn check_listen(
    section: &Section<'_>,
    listen: &[Option<SocketAddr>],
    listeners: &[Option<Listener>],
    upstream: Option<&Pool>,
) {
    if listen.is_empty() && listeners.is_empty() {
        section.error(
            "listen",
            Mistake::new("the gate needs at least one address to listen on"),
        );
    }
    // Port 0 is another port each time.
    let fixed: Vec<_> = listen
        .iter()
        .map(|address| address.filter(|address| address.port() != 0))
        .collect();
    section.reject_twice("listen", &fixed);
    let others = listeners.iter().flatten().filter_map(|listener| match &listener.place {
        Place::Tcp(address) => Some(address),
        Place::Unix(_) | Place::Handed(_) => None,
    });
    let itself = fixed
        .iter()
        .flatten()
        .chain(others)
        .find(|address| upstream.is_some_and(|upstream| upstream.is(**address)));
    if let Some(address) = itself {
        let mistake = Mistake::new(format!("this is {address}, where the gate itself listens"));
        section.error("upstream", mistake.hint("give the application another port"));
    }
}
