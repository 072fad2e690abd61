//! Reading the head of a request strictly: what two servers could understand differently is refused here, before
//! anything is decided by it.

use std::sync::{Arc, OnceLock};

use http::header::HeaderValue;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Version};
use portcullis_guard::path::NormalPath;
use portcullis_guard::refusal::Refusal;
use portcullis_guard::signature::ticket::Query;

use super::{form, forward};

/// The head of a request that has one reading.
#[derive(Debug)]
pub(super) struct Head {
    /// Host or `:authority` in lower case, without the default port.
    pub authority: Arc<str>,
    /// The path that rules match and the upstream gets.
    pub path: NormalPath,
    /// The query without the ticket; rules see it, and the upstream gets it.
    pub query: Option<String>,
    /// The value of the ticket.
    pub ticket: Option<String>,
    /// What the request does, when it says so in an override field.
    pub operation: Method,
    /// Whether bytes follow.
    pub has_body: bool,
}

/// Whether frameworks let POST stand for another method by this field.
pub(super) fn is_method_override(name: &str) -> bool {
    matches!(name, "x-http-method-override" | "x-http-method" | "x-method-override")
}

/// What the first Host or `:authority` of a connection means. Most clients say the same one in each request. The text is a copy: a field
/// would keep the buffer that its request came in.
#[derive(Debug, Default)]
pub struct FirstHost(OnceLock<(Box<str>, u16, Arc<str>)>);

impl FirstHost {
    fn meaning(&self, field: &str, default_port: u16) -> Option<Arc<str>> {
        let (first, port, authority) = self.0.get()?;
        (*port == default_port && **first == *field).then(|| Arc::clone(authority))
    }

    fn learn(&self, field: &str, default_port: u16, authority: &Arc<str>) {
        // Only the first is kept.
        self.0
            .get_or_init(|| (field.into(), default_port, Arc::clone(authority)));
    }
}

/// Reads a head. `first`: what is known of the connection. `ends_here`: the framing of HTTP/2 says that no bytes follow.
///
/// # Errors
/// [`Refusal::MethodRefused`], [`Refusal::HostInvalid`], [`Refusal::FramingInvalid`], [`Refusal::PathAmbiguous`] or
/// [`Refusal::TicketMisplaced`].
pub(super) fn read(parts: &Parts, first: &FirstHost, default_port: u16, ends_here: bool) -> Result<Head, Refusal> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) || !is_spelled_out(&parts.method) {
        return Err(Refusal::MethodRefused);
    }
    let fields = Fields::of(&parts.headers);
    let authority = authority(parts, &fields, first, default_port)?;
    let has_body = framing(&fields, parts.version, ends_here)?;
    let path = NormalPath::parse(parts.uri.path()).map_err(|_| Refusal::PathAmbiguous)?;
    let query = Query::split(parts.uri.query())?;
    Ok(Head {
        authority,
        path,
        query: query.rest.map(str::to_owned),
        ticket: query.ticket.map(str::to_owned),
        operation: operation(parts, &fields)?,
        has_body,
    })
}

/// Methods are told apart by case (RFC 9110 section 9.1), but not by every framework: `post` would be a POST behind the
/// rules' back.
fn is_spelled_out(method: &Method) -> bool {
    let mut letters = method.as_str().bytes();
    letters.all(|letter| letter.is_ascii_uppercase() || letter == b'-')
}

/// Exactly one Host, the same as in an absolute target (RFC 9112 section 3.2). HTTP/2 says it as `:authority`, and Host
/// may repeat it (RFC 9113 section 8.3.1).
fn authority(parts: &Parts, fields: &Fields<'_>, first: &FirstHost, default_port: u16) -> Result<Arc<str>, Refusal> {
    let field = fields.host.text().map_err(|()| Refusal::HostInvalid)?;
    let target = parts.uri.authority();
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Refusal::HostInvalid);
    }
    if !parts.uri.path().starts_with('/') {
        return Err(Refusal::HostInvalid);
    }
    let only = match (field, target) {
        (Some(field), None) => Some(field),
        (None, Some(target)) if parts.version == Version::HTTP_2 => Some(target.as_str()),
        (None, _) => return Err(Refusal::HostInvalid),
        (Some(_), Some(_)) => None,
    };
    if let Some(known) = only.and_then(|only| first.meaning(only, default_port)) {
        return Ok(known);
    }
    let host: Authority = match (field, target) {
        (None, Some(target)) => target.clone(),
        (field, _) => field.unwrap_or_default().parse().map_err(|_| Refusal::HostInvalid)?,
    };
    if !is_name(host.host()) {
        return Err(Refusal::HostInvalid);
    }
    let port = match host.as_str().strip_prefix(host.host()) {
        Some("") => None,
        Some(port) => Some(
            port.strip_prefix(':')
                .and_then(port_number)
                .ok_or(Refusal::HostInvalid)?,
        ),
        None => return Err(Refusal::HostInvalid),
    };
    if target.is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host.as_str())) {
        return Err(Refusal::HostInvalid);
    }
    let name = host.host().to_ascii_lowercase();
    let authority: Arc<str> = match port {
        Some(port) if port != default_port => format!("{name}:{port}").into(),
        Some(_) | None => name.into(),
    };
    if let Some(only) = only {
        first.learn(only, default_port, &authority);
    }
    Ok(authority)
}

/// A name, or an address; of what else a URI may hold in their place, lists could be made.
fn is_name(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_good = |byte: u8| match address {
        Some(_) => byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'),
        None => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'),
    };
    !host.is_empty() && address.unwrap_or(host).bytes().all(is_good)
}

fn port_number(text: &str) -> Option<u16> {
    let port = number(text).and_then(|port| u16::try_from(port).ok());
    port.filter(|port| *port > 0)
}

/// A number as everybody reads it: without a sign, and without zeros in front, which some read as octal.
pub(super) fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// One way to tell where the body ends (RFC 9112 section 6.3), and no field of ours named as hop-by-hop.
fn framing(fields: &Fields<'_>, version: Version, ends_here: bool) -> Result<bool, Refusal> {
    let length = fields.length.text().map_err(|()| Refusal::FramingInvalid)?;
    let coding = fields.coding.text().map_err(|()| Refusal::FramingInvalid)?;
    if fields.deceives {
        return Err(Refusal::FramingInvalid);
    }
    // Of several, or of one that is no plain text, others could understand another.
    fields.kind.text().map_err(|()| Refusal::FramingInvalid)?;
    if version == Version::HTTP_2 && fields.is_padded {
        return Err(Refusal::FramingInvalid);
    }
    match (length, coding) {
        (None, None) => Ok(version == Version::HTTP_2 && !ends_here),
        (Some(length), None) => number(length).map(|length| length > 0).ok_or(Refusal::FramingInvalid),
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") && version == Version::HTTP_11 => Ok(true),
        (None | Some(_), Some(_)) => Err(Refusal::FramingInvalid),
    }
}

/// A value with space around it, which HTTP/2 forbids (RFC 9113 section 8.2.1): HTTP/1.1 has none there.
fn is_padded(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// The fields that tell how a head is to be read, found by one look at each: that costs less than to look each up.
#[derive(Default)]
struct Fields<'a> {
    host: Only<'a>,
    length: Only<'a>,
    coding: Only<'a>,
    /// The type of the body.
    kind: Only<'a>,
    /// What stands for the method.
    overrides: Only<'a>,
    /// Whether one takes others away, or is read as another than it is.
    deceives: bool,
    /// Whether a value has space around it.
    is_padded: bool,
}

impl<'a> Fields<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            fields.is_padded |= is_padded(value);
            match name.as_str() {
                "host" => fields.host.is(value),
                "content-length" => fields.length.is(value),
                "transfer-encoding" => fields.coding.is(value),
                "content-type" => fields.kind.is(value),
                "connection" => fields.deceives |= names_fields(value.as_bytes()),
                name if is_method_override(name) => fields.overrides.is(value),
                name => fields.deceives |= impersonates(name),
            }
        }
        fields
    }
}

/// The values of a field of which there should be one.
#[derive(Clone, Copy, Default)]
enum Only<'a> {
    #[default]
    None,
    One(&'a HeaderValue),
    Several,
}

impl<'a> Only<'a> {
    fn is(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::None => Self::One(value),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    /// The text, if the field is there. An error if there are several, or it is no text.
    fn text(self) -> Result<Option<&'a str>, ()> {
        match self {
            Self::None => Ok(None),
            Self::One(value) => value.to_str().map(Some).map_err(|_| ()),
            Self::Several => Err(()),
        }
    }
}

/// A `Connection` field that names more than options of the connection: it would take a field away that was signed, or
/// that rules have seen.
fn names_fields(connection: &[u8]) -> bool {
    const OPTIONS: [&[u8]; 8] = [
        b"",
        b"close",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    ];
    let mut tokens = connection.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    tokens.any(|token| !OPTIONS.iter().any(|option| token.eq_ignore_ascii_case(option)))
}

/// A name with an underscore or another sign that applications behind CGI, WSGI or Rack read as one that only the gate may
/// set, that was verified under its true name, or that tells them another path.
fn impersonates(name: &str) -> bool {
    const TAKEN: [&str; 9] = [
        "host",
        "connection",
        "content-length",
        "content-type",
        "content-digest",
        "transfer-encoding",
        "user-agent",
        "script-name",
        "path-info",
    ];
    let is_sign = |byte: u8| !byte.is_ascii_alphanumeric() && byte != b'-';
    // Without an early end, so that many bytes are looked at in one step.
    if !name.bytes().fold(false, |any, byte| any | is_sign(byte)) {
        return false;
    }
    let meant = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    TAKEN.contains(&&*meant) || is_method_override(&meant) || meant.starts_with("signature") || forward::is_ours(&meant)
}

/// What a POST stands for. The application gets this method and no override, so there is one reading.
fn operation(parts: &Parts, fields: &Fields<'_>) -> Result<Method, Refusal> {
    let query = parts.uri.query().unwrap_or_default();
    let parameters = form::overrides(query.as_bytes())?;
    let value = match (fields.overrides, parameters.as_slice()) {
        (Only::None, []) => return Ok(parts.method.clone()),
        (Only::One(value), []) => value.as_bytes(),
        (Only::None, [value]) => value.as_bytes(),
        (Only::None | Only::One(_) | Only::Several, _) => return Err(Refusal::FramingInvalid),
    };
    if parts.method != Method::POST {
        return Err(Refusal::FramingInvalid);
    }
    let meant = value.to_ascii_uppercase();
    [Method::PUT, Method::PATCH, Method::DELETE, Method::POST]
        .into_iter()
        .find(|method| method.as_str().as_bytes() == meant)
        .ok_or(Refusal::FramingInvalid)
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::CONTENT_LANGUAGE;

    use super::*;

    fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let request = fields
            .iter()
            .fold(Request::builder().method(method).uri(target), |r, (n, v)| {
                r.header(*n, *v)
            });
        request.body(()).unwrap().into_parts().0
    }

    fn read_first(parts: &Parts) -> Result<Head, Refusal> {
        read(parts, &FirstHost::default(), 80, true)
    }

    fn get(target: &str, fields: &[(&str, &str)]) -> Result<Head, Refusal> {
        read_first(&parts("GET", target, fields))
    }

    #[test]
    fn host_is_single_and_agrees_with_the_target() {
        let authority = |target, fields: &[_]| get(target, fields).map(|head| head.authority);
        assert_eq!(authority("/", &[("host", "Shop.Example")]), Ok("shop.example".into()));
        assert_eq!(
            authority("/", &[("host", "shop.example:80")]),
            Ok("shop.example".into())
        );
        assert_eq!(
            authority("/", &[("host", "shop.example:8080")]),
            Ok("shop.example:8080".into())
        );
        assert_eq!(authority("/", &[("host", "[::1]:8080")]), Ok("[::1]:8080".into()));
        assert_eq!(
            authority("http://shop.example/x", &[("host", "shop.example")]),
            Ok("shop.example".into())
        );
        for (target, fields) in [
            ("/", &[][..]),
            ("/", &[("host", "a"), ("host", "a")]),
            ("/", &[("host", "")]),
            ("/", &[("host", "user@a")]),
            ("/", &[("host", "a b")]),
            ("/", &[("host", "a,b")]),
            ("/", &[("host", "a:")]),
            ("/", &[("host", "a:+80")]),
            ("/", &[("host", "a:080")]),
            ("/", &[("host", "a:0")]),
            ("/", &[("host", "[::1")]),
            ("/", &[("host", "[fe80::1%25eth0]")]),
            ("http://b/", &[("host", "a")]),
            ("*", &[("host", "a")]),
        ] {
            assert_eq!(
                authority(target, fields),
                Err(Refusal::HostInvalid),
                "{target} {fields:?}"
            );
        }
    }

    #[test]
    fn what_is_known_of_a_host_changes_no_verdict() {
        let first = FirstHost::default();
        let authority = |host: &[&str], target: &str, port| {
            let fields: Vec<_> = host.iter().map(|host| ("host", *host)).collect();
            read(&parts("GET", target, &fields), &first, port, true).map(|head| head.authority)
        };
        for _ in 0..2 {
            assert_eq!(authority(&["A:8080"], "/", 80), Ok("a:8080".into()));
            assert_eq!(authority(&["A:8080"], "/", 8080), Ok("a".into()), "another scheme");
            assert_eq!(authority(&["b"], "/", 80), Ok("b".into()));
            for (hosts, target) in [(&["A:8080", "A:8080"][..], "/"), (&["A:8080"], "http://b/"), (&[], "/")] {
                assert_eq!(authority(hosts, target, 80), Err(Refusal::HostInvalid), "{hosts:?}");
            }
        }
    }

    #[test]
    fn what_is_known_of_an_authority_changes_no_verdict() {
        let first = FirstHost::default();
        let authority = |target: &str, fields: &[(&str, &str)]| {
            let mut parts = parts("GET", target, fields);
            parts.version = Version::HTTP_2;
            read(&parts, &first, 80, true).map(|head| head.authority)
        };
        for _ in 0..2 {
            assert_eq!(authority("http://A:8080/", &[]), Ok("a:8080".into()));
            assert_eq!(authority("http://b/", &[]), Ok("b".into()));
            assert_eq!(authority("http://A:8080/", &[("host", "b")]), Err(Refusal::HostInvalid));
            assert_eq!(authority("/", &[]), Err(Refusal::HostInvalid));
        }
    }

    #[test]
    fn a_body_is_framed_in_one_way() {
        let framed = |fields: &[(&str, &str)]| {
            let all = [&[("host", "a")], fields].concat();
            read_first(&parts("POST", "/", &all)).map(|head| head.has_body)
        };
        assert_eq!(framed(&[]), Ok(false));
        assert_eq!(framed(&[("content-length", "0")]), Ok(false));
        assert_eq!(framed(&[("content-length", "5")]), Ok(true));
        assert_eq!(framed(&[("transfer-encoding", "Chunked")]), Ok(true));
        for fields in [
            &[("content-length", "5"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "+5")],
            &[("content-length", "05")],
            &[("content-length", "")],
            &[("content-type", "a/b"), ("content-type", "a/b")],
            &[("content-type", "\u{a0}application/x-www-form-urlencoded")],
            &[("content-length", "5, 5")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
            &[("connection", "close, Signature")],
            &[("connection", "host")],
        ] {
            assert_eq!(framed(fields), Err(Refusal::FramingInvalid), "{fields:?}");
        }
    }

    #[test]
    fn http2_has_no_space_around_values() {
        let framed = |version, value| {
            let headers = HeaderMap::from_iter([(CONTENT_LANGUAGE, HeaderValue::from_static(value))]);
            framing(&Fields::of(&headers), version, true)
        };
        for value in [" a", "a\t", " "] {
            assert_eq!(
                framed(Version::HTTP_2, value),
                Err(Refusal::FramingInvalid),
                "{value:?}"
            );
        }
        assert_eq!(framed(Version::HTTP_2, "a b"), Ok(false));
    }

    #[test]
    fn an_override_is_what_counts() {
        let operation = |method: &str, fields: &[(&str, &str)]| {
            let all = [&[("host", "a")], fields].concat();
            read_first(&parts(method, "/", &all)).map(|head| head.operation)
        };
        assert_eq!(
            operation("POST", &[("x-http-method-override", "delete")]),
            Ok(Method::DELETE)
        );
        assert_eq!(operation("POST", &[]), Ok(Method::POST));
        assert_eq!(
            operation("GET", &[("x-http-method-override", "DELETE")]),
            Err(Refusal::FramingInvalid)
        );
        assert_eq!(
            operation("POST", &[("x-http-method", "GET")]),
            Err(Refusal::FramingInvalid)
        );
        let two = [("x-http-method", "PUT"), ("x-method-override", "PUT")];
        assert_eq!(operation("POST", &two), Err(Refusal::FramingInvalid));
        for method in ["TRACE", "post", "Post", "!POST"] {
            assert_eq!(operation(method, &[]), Err(Refusal::MethodRefused), "{method}");
        }
        let by_query = |target| read_first(&parts("POST", target, &[("host", "a")])).map(|head| head.operation);
        assert_eq!(by_query("/?a=1&%5Fmethod=delete"), Ok(Method::DELETE));
        assert_eq!(by_query("/?_method=PUT&_method=PUT"), Err(Refusal::FramingInvalid));
        assert_eq!(by_query("/?x_method=PUT"), Ok(Method::POST));
        for query in [
            "/?.method=PUT",
            "/?a=1;_method=PUT",
            "/?_method=PUT;x",
            "/?+_method=PUT",
            "/?_method%00=PUT",
        ] {
            assert_eq!(by_query(query), Err(Refusal::FramingInvalid), "{query}");
        }
    }

    #[test]
    fn names_with_underscores_stand_for_nothing_of_ours() {
        for name in [
            "portcullis_session",
            "x-forwarded_for",
            "x_http_method_override",
            "content_length",
            "x_real-ip",
            "portcullis.user",
            "x~forwarded!for",
            "script_name",
            "path_info",
        ] {
            assert!(impersonates(name), "{name}");
        }
        for name in ["x_custom", "x.custom", "x-forwarded-for", "user-agent"] {
            assert!(!impersonates(name), "{name}");
        }
    }

    #[test]
    fn an_ambiguous_path_is_refused() {
        assert_eq!(get("/a/%2e%2e/b", &[("host", "a")]).unwrap().path.as_str(), "/b");
        assert_eq!(get("/a%2fb", &[("host", "a")]).err(), Some(Refusal::PathAmbiguous));
    }
}
