//! The request as the upstream gets it, and the answer as the client gets it.

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    RANGE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use portcullis_guard::guard::Permit;
use portcullis_guard::reauth::{PORTCULLIS_SESSION, PORTCULLIS_USER};

use super::Way;
use super::body::{CallBody, Outgoing};
use super::intake::{self, Head, is_method_override};
use super::trace::Trace;

/// Beginnings of names by which applications learn who the client is and what it asked for, where files are that they
/// answer with, and through whom CGI programs call others. Only the gate may set them.
const OURS: [&str; 3] = ["portcullis-", "forwarded", "proxy"];
/// The same behind `x-`.
const OURS_BEHIND_X: [&str; 5] = ["forwarded", "original-", "rewrite-", "accel-", "sendfile-"];
/// Ends of names by which applications are told of the client's address by proxies of all kinds, like `Client-IP`,
/// `True-Client-IP`, `CF-Connecting-IP` or `X-Real-IP`.
const ADDRESSES: [&str; 4] = ["client-ip", "connecting-ip", "real-ip", "user-ip"];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The points of the session.
pub(super) const PORTCULLIS_SCORE: HeaderName = HeaderName::from_static("portcullis-score");

/// What the application is told beside the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Whether it learns of session, user and score.
    pub session: bool,
    /// To which trace the call belongs; `None`: as the client says, if it does.
    pub trace: Option<Trace>,
    /// Whether its answer is read for the ids that it shows.
    pub whole_answer: bool,
}

/// Builds the request for the upstream, with the fields of the client's. It takes the permit's word that the request may
/// pass.
///
/// # Errors
/// Only if the normal path and the query make no URI, which parsing them has ruled out.
pub(super) fn request(way: &mut Way, permit: &Permit, told: Told, body: CallBody) -> Result<Outgoing, http::Error> {
    let Way {
        parts,
        head,
        origin,
        connection,
        ..
    } = way;
    let mut headers = std::mem::take(&mut parts.headers);
    if parts.version == Version::HTTP_2 {
        put_into_http1(&mut headers, &parts.uri);
    }
    remove(&mut headers, |name| {
        is_hop_by_hop(name) || is_not_for_the_application(name)
    });
    headers.insert(X_FORWARDED_FOR, origin.client_text(connection));
    if let Some(host) = headers.get(HOST).cloned() {
        headers.insert(X_FORWARDED_HOST, host);
    }
    if let Some(trace) = told.trace {
        trace.put_into(&mut headers);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(origin.scheme.as_str()));
    if told.session {
        name_session(&mut headers, permit);
    }
    if told.whole_answer {
        ask_for_whole_answer(&mut headers);
    }
    debug_assert!(headers.contains_key(HOST), "intake checked it");
    let mut request = Box::new(Request::new(body));
    *request.method_mut() = head.operation.clone();
    *request.uri_mut() = target(&parts.uri, head)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What HTTP/2 says in another form (RFC 9113 sections 8.2.3 and 8.3.1).
fn put_into_http1(headers: &mut HeaderMap, uri: &Uri) {
    if let (false, Some(authority)) = (headers.contains_key(HOST), uri.authority()) {
        headers.insert(HOST, text(authority.as_str()));
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, whole);
    }
}

/// What shows ids must come as it is: not compressed, not in parts, and not as "you have it already".
fn ask_for_whole_answer(headers: &mut HeaderMap) {
    [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE]
        .iter()
        .for_each(|name| _ = headers.remove(name));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Whose call it is. The fields of these names that the client sent are gone.
pub(super) fn name_session(headers: &mut HeaderMap, permit: &Permit) {
    if let Some(session) = permit.session() {
        headers.insert(PORTCULLIS_SESSION, field(&session.text()));
        headers.insert(PORTCULLIS_SCORE, HeaderValue::from(permit.score().round() as u64));
    }
    if let Some(user) = permit.user() {
        headers.insert(PORTCULLIS_USER, text(user));
    }
}

/// Whether only the gate may set a field.
pub(super) fn is_ours(name: &str) -> bool {
    let (rest, beginnings) = match name.strip_prefix("x-") {
        Some(rest) => (rest, &OURS_BEHIND_X[..]),
        None => (name, &OURS[..]),
    };
    let names_address = || ADDRESSES.iter().any(|end| rest.ends_with(end));
    beginnings.iter().any(|beginning| rest.starts_with(beginning)) || (rest.ends_with("-ip") && names_address())
}

/// Whether an answer says in one way where it ends. One that has a length and chunks as well, or several lengths, is read
/// in another way by somebody.
pub(super) fn is_framed_once(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match ((lengths.next(), lengths.next()), (codings.next(), codings.next())) {
        ((None, _), (None, _)) => true,
        ((Some(length), None), (None, _)) => length.to_str().ok().and_then(intake::number).is_some(),
        ((None, _), (Some(coding), None)) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (_, _) => false,
    }
}

/// What says for whom the application should take the client, which method it should act on, and what was answered here
/// or would bring fields that no rule has seen.
fn is_not_for_the_application(name: &str) -> bool {
    matches!(name, "expect" | "trailer") || is_ours(name) || is_method_override(name)
}

/// The target in origin form, with the path that the rules saw.
fn target(uri: &Uri, head: &Head) -> Result<Uri, http::Error> {
    let is_normal = uri.authority().is_none() && uri.path() == head.path.as_str();
    if is_normal && uri.query() == head.query.as_deref() {
        return Ok(uri.clone());
    }
    let target = match &head.query {
        Some(query) => format!("{}?{query}", head.path.as_str()),
        None => head.path.as_str().to_owned(),
    };
    Uri::builder().path_and_query(target).build()
}

/// Removes what belongs to one hop, with everything that `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    remove(headers, is_hop_by_hop);
}

/// Fields between two hops (RFC 9110 section 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade"
    )
}

/// The fields that a `Connection` field takes away. What is gone anyway is no field worth making a name of.
fn fields_named_by(connection: &[u8]) -> impl Iterator<Item = &[u8]> {
    const GONE_ANYWAY: [&[u8]; 7] = [
        b"",
        b"close",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    ];
    let tokens = connection.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    tokens.filter(|token| !GONE_ANYWAY.iter().any(|gone| token.eq_ignore_ascii_case(gone)))
}

/// Removes fields in one pass, and what `Connection` names.
fn remove(headers: &mut HeaderMap, is_unwanted: impl Fn(&str) -> bool) {
    let mut unwanted = Vec::new();
    for (name, value) in &*headers {
        if is_unwanted(name.as_str()) {
            unwanted.push(name.clone());
        }
        if name == CONNECTION {
            let named = fields_named_by(value.as_bytes());
            unwanted.extend(named.filter_map(|token| HeaderName::from_bytes(token).ok()));
        }
    }
    unwanted.iter().for_each(|name| _ = headers.remove(name));
}

fn text(value: &str) -> HeaderValue {
    field(value.as_bytes())
}

fn field(value: &[u8]) -> HeaderValue {
    // Addresses, names of sessions and users are ASCII.
    HeaderValue::from_bytes(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_gets_a_host_and_one_cookie() {
        let mut headers = HeaderMap::new();
        for crumb in ["a=1", "b=2", "c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        put_into_http1(&mut headers, &Uri::from_static("https://shop.example:8443/x"));
        assert_eq!(
            (&headers[HOST], &headers[COOKIE]),
            (&text("shop.example:8443"), &text("a=1; b=2; c=3"))
        );
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
    }

    #[test]
    fn what_tells_the_clients_address_is_ours() {
        for name in [
            "client-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "x-real-ip",
            "forwarded",
            "forwarded-for",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in ["x-shop-ip", "ip", "client-ip-list", "x-forward", "origin"] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn an_answer_ends_in_one_way() {
        let framed = |fields: &[(&'static str, &'static str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_framed_once(&fields.collect())
        };
        let (length, coding) = (("content-length", "2"), ("transfer-encoding", "Chunked"));
        assert!(framed(&[]) && framed(&[length]) && framed(&[coding]));
        assert!(!framed(&[length, coding]) && !framed(&[length, length]) && !framed(&[coding, coding]));
        for value in ["2, 2", "02", "+2", "", "gzip"] {
            assert!(!framed(&[("content-length", value)]), "{value}");
            assert!(!framed(&[("transfer-encoding", value)]), "{value}");
        }
    }

    #[test]
    fn hop_by_hop_fields_go_with_those_they_name() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret"),
            ("keep-alive", "5"),
            ("upgrade", "websocket"),
            ("x-secret", "1"),
            ("x-kept", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
