//! `[[listener]]`: places to listen at that differ from those of `http.listen`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use portcullis_guard::sequence::Rules;
use toml::de::DeValue;

use super::error::Mistake;
use super::http::Scheme;
use super::section::{Parsed, Section};
use super::service::{group, socket};
use super::value::{absolute_path, boolean, socket_address, text, word};

/// Certificates of one listener.
const MOST_CERTIFICATES: usize = 1000;

/// Where connections come in, and what is spoken over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub place: Place,
    /// The group that may connect to a unix socket, beside the daemon's own user.
    pub group: Option<String>,
    /// TLS ends here; `None`: clear text.
    pub tls: Option<Tls>,
    /// Whether HTTP/2 is spoken: offered in the TLS handshake, or with prior knowledge in clear text (RFC 9113 section 3).
    pub http2: bool,
    /// Whether every connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Whose questions are answered here, if nothing is forwarded.
    pub forward_auth: Option<ForwardAuth>,
}

/// A proxy that asks for a verdict before it forwards a request itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuth {
    /// By `auth_request`.
    Nginx,
    /// By `forwardAuth`.
    Traefik,
    /// By `forward_auth`.
    Caddy,
    /// By an action in Lua.
    Haproxy,
    /// By `ext_authz` over HTTP.
    Envoy,
}

const FORWARD_AUTH: &[(&str, ForwardAuth)] = &[
    ("nginx", ForwardAuth::Nginx),
    ("traefik", ForwardAuth::Traefik),
    ("caddy", ForwardAuth::Caddy),
    ("haproxy", ForwardAuth::Haproxy),
    ("envoy", ForwardAuth::Envoy),
];

/// An address, or the file of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Port 0 is any free one.
    Tcp(SocketAddr),
    /// Who may connect there is trusted like a trusted proxy.
    Unix(PathBuf),
    /// What was handed over to the process under this name; several sockets may have it.
    Handed(String),
}

/// The TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// At least one; the first is for clients that name no server, or one that none is for.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub oldest: TlsVersion,
}

/// A certificate with its chain, and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate of the server, then those that it hangs on.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246, with authenticated encryption and forward secrecy only.
    Tls12,
    /// RFC 8446.
    Tls13,
}

const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

impl Listener {
    /// One of `http.listen`.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            place: Place::Tcp(address),
            group: None,
            tls: None,
            http2: false,
            proxy_protocol: false,
            forward_auth: None,
        }
    }

    /// How clients reach it, if nothing in front of it says something else.
    #[must_use]
    pub fn scheme(&self, public: Scheme) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { public }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Handed(name) => write!(f, "fd:{name}"),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        f.write_str(if self.tls.is_some() { " (TLS)" } else { "" })
    }
}

/// Reads all of them; `None` where one is wrong.
pub(super) fn read(root: &Section<'_>) -> Vec<Option<Listener>> {
    root.sections("listener", |_, section| read_one(section))
}

fn read_one(section: &Section<'_>) -> Option<Listener> {
    let place = section.required("address", "\"0.0.0.0:443\"", place);
    let tls = section.optional_section("tls", read_tls);
    let http2 = section.read("http2", tls.is_some(), boolean);
    let group = section.optional("group", group);
    if group.is_some() && matches!(place, Some(Place::Tcp(_) | Place::Handed(_))) {
        let mistake = Mistake::new("only the socket of a file has a group");
        section.error("group", mistake.hint("everybody can connect to an address"));
    }
    Some(Listener {
        proxy_protocol: section.read("proxy_protocol", false, boolean),
        forward_auth: section.optional("forward_auth", word(FORWARD_AUTH)),
        place: place?,
        group,
        // What is wrong with it was said.
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        http2,
    })
}

fn read_tls(section: &Section<'_>) -> Option<Tls> {
    let mistakes = section.mistakes();
    let certificates = section.sections("certificates", |_, section| read_certificate(section));
    let certificates: Vec<_> = certificates.into_iter().flatten().collect();
    let oldest = section.read("min_version", TlsVersion::Tls12, word(VERSIONS));
    if certificates.is_empty() && section.mistakes() == mistakes {
        let like = "add `certificates = [{ chain = \"/etc/…/fullchain.pem\", key = \"/etc/…/privkey.pem\" }]`";
        section.error("certificates", Mistake::new("TLS needs a certificate").hint(like));
    }
    if certificates.len() > MOST_CERTIFICATES {
        let mistake = Mistake::new(format!("at most {MOST_CERTIFICATES} certificates fit"));
        section.error("certificates", mistake);
    }
    (!certificates.is_empty()).then_some(Tls { certificates, oldest })
}

fn read_certificate(section: &Section<'_>) -> Option<CertificateFiles> {
    let chain = section.required("chain", "\"/etc/…/fullchain.pem\"", absolute_path);
    let key = section.required("key", "\"/etc/…/privkey.pem\"", absolute_path);
    Some(CertificateFiles {
        chain: chain?,
        key: key?,
    })
}

fn place(value: &DeValue<'_>) -> Parsed<Place> {
    let text = text(value)?;
    match (text.strip_prefix("unix:"), text.strip_prefix("fd:")) {
        (Some(path), _) => socket(&DeValue::String(path.into())).map(Place::Unix),
        (None, Some(name)) => handed(name),
        (None, None) => socket_address(value).map(Place::Tcp),
    }
}

/// What sockets are called that are no listeners for clients, if they are handed over: the control socket and the admin
/// listener.
pub const OWN_SOCKETS: [&str; 2] = ["control", "admin"];

/// The name of a handed socket, as systemd limits it (systemd.socket(5), `FileDescriptorName=`).
fn handed(name: &str) -> Parsed<Place> {
    if OWN_SOCKETS.contains(&name) {
        let mistake = Mistake::new(format!("`fd:{name}` is not for clients"));
        return Err(
            mistake.hint("`control` is the control socket, and `admin` what admin.listen is for; name it otherwise")
        );
    }
    let is_name = (1..=255).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    is_name.then(|| Place::Handed(name.to_owned())).ok_or_else(|| {
        Mistake::new(format!("`fd:{name}` names no socket"))
            .hint("`FileDescriptorName=` of the .socket unit says the name: letters without a colon or space")
    })
}

/// Reports listeners for verdicts that nobody may ask, and rules that cannot work where only verdicts are given.
pub(super) fn check_verdicts(root: &Section<'_>, listeners: &[Option<Listener>], proxies: &[IpNet], rules: &Rules) {
    let asked = listeners.iter().enumerate().filter_map(|(index, listener)| {
        let listener = listener.as_ref().filter(|listener| listener.forward_auth.is_some())?;
        Some((index, listener))
    });
    for (index, listener) in asked {
        let report = |mistake| root.element_error("listener", index, mistake);
        if proxies.is_empty() && matches!(listener.place, Place::Tcp(_)) {
            let mistake = Mistake::new("forward_auth: only trusted proxies may ask, and there are none");
            report(mistake.hint("name the proxy in http.trusted_proxies"));
        }
        for (rule, what) in rules.needs_response() {
            let mistake = Mistake::new(format!(
                "forward_auth: rule {rule} needs {what}, which does not pass the gate where it gives verdicts only"
            ));
            report(
                mistake.hint(
                    "let the gate forward, or let any answer count: `status = \"any\"`, no `count_if`, no `shown`",
                ),
            );
        }
        for operation in rules.reads_bodies() {
            let mistake = Mistake::new(format!(
                "forward_auth: rules compare values in bodies of {operation}, which do not pass the gate where it gives verdicts only"
            ));
            report(mistake.hint("let the gate forward, or bind a value of the path, the query or a header"));
        }
    }
}

/// Reports places that are there twice.
pub(super) fn check(root: &Section<'_>, listen: &[SocketAddr], listeners: &[Option<Listener>]) {
    for (index, listener) in listeners.iter().enumerate() {
        let Some(listener) = listener else { continue };
        let is_fixed = match &listener.place {
            Place::Tcp(address) => address.port() != 0,
            Place::Unix(_) | Place::Handed(_) => true,
        };
        let earlier = listeners.iter().take(index).flatten().map(|listener| &listener.place);
        let mut others = listen
            .iter()
            .map(|address| Place::Tcp(*address))
            .chain(earlier.cloned());
        if is_fixed && others.any(|place| place == listener.place) {
            let mistake = Mistake::new(format!("{} is there twice", listener.place));
            root.element_error("listener", index, mistake.hint("each place has one listener"));
        }
    }
}
