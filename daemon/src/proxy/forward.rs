//! The request as the upstream gets it, and the answer as the client gets it.

use super::body::CallBody;
use super::intake::{Head, METHOD_OVERRIDES};
use super::origin::Origin;
use http::header::{CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use portcullis_guard::guard::Permit;
use portcullis_guard::reauth::{PORTCULLIS_SESSION, PORTCULLIS_USER};

/// Fields between two hops (RFC 9110 section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Beginnings of names by which applications learn who the client is and what it asked for. Only the gate may set them.
const OURS: [&str; 5] = ["portcullis-", "x-forwarded", "x-original-", "x-rewrite-", "x-real-ip"];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the application is told beside the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Whether it learns of session and user.
    pub session: bool,
}

/// Builds the request for the upstream. It takes the permit's word that the request may pass.
///
/// # Errors
/// Only if the normal path and the query make no URI, which parsing them has ruled out.
pub(super) fn request(
    parts: Parts,
    head: &Head,
    permit: &Permit,
    origin: Origin,
    told: Told,
    body: CallBody,
) -> Result<Request<CallBody>, http::Error> {
    let mut headers = parts.headers;
    if parts.version == Version::HTTP_2 {
        put_into_http1(&mut headers, &parts.uri);
    }
    remove_hop_by_hop(&mut headers);
    remove_ours(&mut headers);
    // Answered here when the body is read; and fields of trailers would be seen by no rule.
    [EXPECT, TRAILER].iter().for_each(|name| _ = headers.remove(name));
    headers.insert(X_FORWARDED_FOR, text(&origin.client.to_string()));
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(origin.scheme.as_str()));
    if told.session {
        name_session(&mut headers, permit);
    }
    debug_assert!(headers.contains_key(HOST), "intake checked it");
    let mut request = Request::builder()
        .method(head.operation.clone())
        .uri(target(head)?)
        .body(body)?;
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

/// Whose call it is. The fields of these names that the client sent are gone.
fn name_session(headers: &mut HeaderMap, permit: &Permit) {
    if let Some(session) = permit.session() {
        headers.insert(PORTCULLIS_SESSION, text(&session.to_string()));
    }
    if let Some(user) = permit.user() {
        headers.insert(PORTCULLIS_USER, text(user));
    }
}

/// Whether only the gate may set a field.
pub(super) fn is_ours(name: &HeaderName) -> bool {
    name == FORWARDED || OURS.iter().any(|beginning| name.as_str().starts_with(beginning))
}

fn remove_ours(headers: &mut HeaderMap) {
    let theirs: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name)).cloned().collect();
    theirs
        .iter()
        .chain(&METHOD_OVERRIDES)
        .for_each(|name| _ = headers.remove(name));
}

/// The target in origin form, with the path that the rules saw.
fn target(head: &Head) -> Result<Uri, http::Error> {
    let target = match &head.query {
        Some(query) => format!("{}?{query}", head.path.as_str()),
        None => head.path.as_str().to_owned(),
    };
    Uri::builder().path_and_query(target).build()
}

/// Removes what belongs to one hop, with everything that `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect();
    named
        .iter()
        .chain(&HOP_BY_HOP)
        .for_each(|name| _ = headers.remove(name));
}

fn text(value: &str) -> HeaderValue {
    // Addresses, names of sessions and users are ASCII.
    HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static(""))
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
