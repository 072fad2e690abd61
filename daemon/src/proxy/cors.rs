//! Answers that pages of other origins may read, and preflights (the Fetch standard, "CORS protocol").

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use portcullis_guard::guard::{Guard, Preflight, is_preflight};
use portcullis_guard::path::NormalPath;

use super::{Call, Proxy, own};
use crate::clock;

/// What scripts may read of an answer beside the safelisted fields.
const EXPOSED: &str = "accept-signature, www-authenticate, retry-after, ratelimit, ratelimit-policy";
/// How long a browser may keep the answer to a preflight: as long as any does.
const MAX_AGE: &str = "7200";
/// What an answer depends on.
const VARIES: &str = "origin, access-control-request-method, access-control-request-headers";
/// The longest list of fields that is repeated.
const LONGEST_LIST: usize = 2048;

/// A page of another origin that may read an answer.
pub(super) struct Reader {
    origin: HeaderValue,
    credentials: bool,
}

impl Reader {
    /// The reader of what this request will be answered; `None` without one, and on public paths, where the application
    /// decides.
    pub(super) fn of(guard: &Guard, path: &str, headers: &HeaderMap) -> Option<Self> {
        let origin = guard.reader(headers)?;
        let path = NormalPath::parse(path).ok()?;
        let is_ours = own::path(&path).is_some() || guard.is_protected(&path);
        let origin = HeaderValue::from_str(origin.as_str()).ok().filter(|_| is_ours)?;
        let credentials = guard.policy().cors.credentials;
        Some(Self { origin, credentials })
    }

    /// Lets it read an answer. The word of the application does not count: there is one who decides.
    pub(super) fn may_read(self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

impl Proxy {
    /// Answers a preflight for a path that is ours. `None` if this is none, or the gate only watches.
    pub(super) fn answer_preflight(&self, call: &Call<'_>) -> Option<Response<Full<Bytes>>> {
        let (parts, path) = (call.parts, &call.head.path);
        let guard = &self.guard;
        if !is_preflight(&parts.method, &parts.headers) || !(own::path(path).is_some() || guard.is_protected(path)) {
            return None;
        }
        match self.settle(call, guard.judge_preflight(&call.view(), clock::now())) {
            Ok(Preflight::Answer) => Some(granted(&parts.headers)),
            Ok(Preflight::Leave) => None,
            Err(answer) => Some(*answer),
        }
    }
}

/// The answer to a preflight. Its origin is allowed, so what the page asks for is: the signature is what counts.
fn granted(asked: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    let method = asked.get(ACCESS_CONTROL_REQUEST_METHOD);
    let is_served = |method: &&HeaderValue| {
        let method = Method::from_bytes(method.as_bytes());
        method.is_ok_and(|method| !matches!(method, Method::CONNECT | Method::TRACE))
    };
    if let Some(method) = method.filter(is_served) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    }
    if let Some(fields) = asked
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .filter(|fields| is_list(fields))
    {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, fields.clone());
    }
    response
}

/// Whether this is a list of names of fields.
fn is_list(fields: &HeaderValue) -> bool {
    let mut names = fields.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    fields.len() <= LONGEST_LIST && names.all(|name| HeaderName::from_bytes(name).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &'static str, fields: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static(method)),
            (ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static(fields)),
        ])
    }

    #[test]
    fn what_an_allowed_page_asks_for_is_granted() {
        let answer = granted(&asked("DELETE", "content-digest, signature,signature-input"));
        assert_eq!(answer.status(), 204);
        let headers = answer.headers();
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_METHODS], "DELETE");
        assert_eq!(
            headers[ACCESS_CONTROL_ALLOW_HEADERS],
            "content-digest, signature,signature-input"
        );
        assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "7200");
    }

    #[test]
    fn what_is_no_method_or_list_is_not_repeated() {
        for (method, fields) in [("CONNECT", "a b"), ("TRACE", ""), ("a b", "x,,y"), ("", "(")] {
            let answer = granted(&asked(method, fields));
            assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS), "{method}");
            assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_HEADERS), "{fields}");
        }
    }
}
