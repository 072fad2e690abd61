//! Reading the head of a request strictly: what two servers could understand differently is refused here, before
//! anything is decided by it.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use portcullis_guard::path::NormalPath;
use portcullis_guard::refusal::Refusal;

/// The head of a request that has one reading.
#[derive(Debug)]
pub(super) struct Head {
    /// Host in lower case, without the default port.
    pub authority: String,
    /// The path that rules match and the upstream gets.
    pub path: NormalPath,
    /// What the request does, when it says so in an override field.
    pub operation: Method,
    /// Whether bytes follow.
    pub has_body: bool,
}

/// Fields by which frameworks let POST stand for another method.
static METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// Reads a head.
///
/// # Errors
/// [`Refusal::MethodRefused`], [`Refusal::HostInvalid`], [`Refusal::FramingInvalid`] or [`Refusal::PathAmbiguous`].
pub(super) fn read(parts: &Parts, default_port: u16) -> Result<Head, Refusal> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodRefused);
    }
    let authority = authority(parts, default_port)?;
    let has_body = framing(&parts.headers, parts.version)?;
    let path = NormalPath::parse(parts.uri.path()).map_err(|_| Refusal::PathAmbiguous)?;
    Ok(Head {
        authority,
        path,
        operation: operation(&parts.method, &parts.headers)?,
        has_body,
    })
}

/// Exactly one Host, the same as in an absolute target (RFC 9112 section 3.2).
fn authority(parts: &Parts, default_port: u16) -> Result<String, Refusal> {
    let host = single(&parts.headers, &HOST)
        .map_err(|()| Refusal::HostInvalid)?
        .ok_or(Refusal::HostInvalid)?;
    let host: http::uri::Authority = host.parse().map_err(|_| Refusal::HostInvalid)?;
    if host.as_str().contains('@') || host.host().is_empty() {
        return Err(Refusal::HostInvalid);
    }
    if parts
        .uri
        .authority()
        .is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host.as_str()))
    {
        return Err(Refusal::HostInvalid);
    }
    if parts.uri.path().is_empty() || !parts.uri.path().starts_with('/') {
        return Err(Refusal::HostInvalid);
    }
    let name = host.host().to_ascii_lowercase();
    Ok(match host.port_u16() {
        Some(port) if port != default_port => format!("{name}:{port}"),
        Some(_) | None => name,
    })
}

/// One way to tell where the body ends (RFC 9112 section 6.3), and no field of ours named as hop-by-hop.
fn framing(headers: &HeaderMap, version: Version) -> Result<bool, Refusal> {
    let length = single(headers, &CONTENT_LENGTH).map_err(|()| Refusal::FramingInvalid)?;
    let coding = single(headers, &TRANSFER_ENCODING).map_err(|()| Refusal::FramingInvalid)?;
    if headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| names_our_fields(value.as_bytes()))
    {
        return Err(Refusal::FramingInvalid);
    }
    match (length, coding) {
        (None, None) => Ok(false),
        (Some(length), None) => {
            let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
            let length = length.parse::<u64>().ok().filter(|_| is_number);
            length.map(|length| length > 0).ok_or(Refusal::FramingInvalid)
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") && version == Version::HTTP_11 => Ok(true),
        (None | Some(_), Some(_)) => Err(Refusal::FramingInvalid),
    }
}

/// The only value of a field. An error if there are several, or one is no text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// A `Connection` field that asks a hop to remove what the signature or the framing depends on.
fn names_our_fields(connection: &[u8]) -> bool {
    const OURS: [&str; 6] = [
        "host",
        "signature",
        "signature-input",
        "content-digest",
        "content-length",
        "content-type",
    ];
    connection.split(|&byte| byte == b',').any(|token| {
        let token = token.trim_ascii();
        OURS.iter().any(|name| token.eq_ignore_ascii_case(name.as_bytes()))
    })
}

/// What a POST stands for. Rules must see the method that the application will act on.
fn operation(method: &Method, headers: &HeaderMap) -> Result<Method, Refusal> {
    let mut overrides = METHOD_OVERRIDES.iter().flat_map(|name| headers.get_all(name));
    let Some(value) = overrides.next() else {
        return Ok(method.clone());
    };
    if overrides.next().is_some() || method != Method::POST {
        return Err(Refusal::FramingInvalid);
    }
    let meant = value.as_bytes().to_ascii_uppercase();
    [Method::PUT, Method::PATCH, Method::DELETE, Method::POST]
        .into_iter()
        .find(|method| method.as_str().as_bytes() == meant)
        .ok_or(Refusal::FramingInvalid)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let request = fields
            .iter()
            .fold(Request::builder().method(method).uri(target), |r, (n, v)| {
                r.header(*n, *v)
            });
        request.body(()).unwrap().into_parts().0
    }

    fn get(target: &str, fields: &[(&str, &str)]) -> Result<Head, Refusal> {
        read(&parts("GET", target, fields), 80)
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
    fn a_body_is_framed_in_one_way() {
        let framed = |fields: &[(&str, &str)]| {
            let all = [&[("host", "a")], fields].concat();
            read(&parts("POST", "/", &all), 80).map(|head| head.has_body)
        };
        assert_eq!(framed(&[]), Ok(false));
        assert_eq!(framed(&[("content-length", "0")]), Ok(false));
        assert_eq!(framed(&[("content-length", "5")]), Ok(true));
        assert_eq!(framed(&[("transfer-encoding", "Chunked")]), Ok(true));
        for fields in [
            &[("content-length", "5"), ("transfer-encoding", "chunked")][..],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "+5")],
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
    fn an_override_is_what_counts() {
        let operation = |method: &str, fields: &[(&str, &str)]| {
            let all = [&[("host", "a")], fields].concat();
            read(&parts(method, "/", &all), 80).map(|head| head.operation)
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
        assert_eq!(operation("TRACE", &[]), Err(Refusal::MethodRefused));
    }

    #[test]
    fn an_ambiguous_path_is_refused() {
        assert_eq!(get("/a/%2e%2e/b", &[("host", "a")]).unwrap().path.as_str(), "/b");
        assert_eq!(get("/a%2fb", &[("host", "a")]).err(), Some(Refusal::PathAmbiguous));
    }
}
