//! Verdicts for proxies that ask before they forward a request themselves: nginx `auth_request`, Traefik `forwardAuth`,
//! Caddy `forward_auth`, HAProxy in Lua, Envoy `ext_authz` over HTTP (docs/forward-auth.md).
//!
//! The proxy tells of the request in fields, or asks with the request itself; its body stays where it is. The answer is 200,
//! or a refusal with a status that the proxy can hand on; never is a refusal 2xx.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use portcullis_guard::guard::Permit;
use portcullis_guard::reauth::{PORTCULLIS_SESSION, PORTCULLIS_USER};
use portcullis_guard::refusal::Refusal;

use super::cors::Reader;
use super::forward::PORTCULLIS_SCORE;
use super::intake::{self, Head};
use super::origin::Origin;
use super::{Answered, Call, Proxy, forward, own};
use crate::config::ForwardAuth;
use crate::listener::connections::Connection;
use crate::throttle::{Leave, Throttle};
use crate::{clock, random};

const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// The length of the body, where the proxy knows it.
const X_ORIGINAL_CONTENT_LENGTH: HeaderName = HeaderName::from_static("x-original-content-length");

/// What the application may want to know: the client as the gate sees it.
const PORTCULLIS_CLIENT: HeaderName = HeaderName::from_static("portcullis-client");
/// `unverified`: the body must be compared with `Content-Digest`, which is signed.
const PORTCULLIS_BODY: HeaderName = HeaderName::from_static("portcullis-body");
/// The status and the document of a refusal, for a proxy that hands on neither.
const PORTCULLIS_STATUS: HeaderName = HeaderName::from_static("portcullis-status");
const PORTCULLIS_PROBLEM: HeaderName = HeaderName::from_static("portcullis-problem");

/// Incomplete questions that are written to the log, a second.
static QUESTIONS_TOLD: Throttle = Throttle::new(1);

/// What a proxy is told, or what its client is.
type Verdict = Result<Response<Full<Bytes>>, Answered>;

/// A field that a question lacks, or has twice, or that cannot be read.
type Missing = HeaderName;

impl Proxy {
    /// Answers whether a request may pass.
    pub(super) async fn give_verdict(
        &self,
        connection: &Arc<Connection>,
        question: Request<Incoming>,
        by: ForwardAuth,
    ) -> Response<Full<Bytes>> {
        let (parts, body) = question.into_parts();
        if parts.version != Version::HTTP_2 {
            connection.activity.owe_body(!body.is_end_stream());
        }
        let origin = Origin::of(connection, &parts.headers, &self.proxies);
        let asked = asked(&parts, by).and_then(|asked| {
            let names_client = self.proxies.is_named(&parts.headers);
            names_client
                .then_some(asked)
                .ok_or(HeaderName::from_static("x-forwarded-for"))
        });
        let asked = match asked {
            Ok(asked) => asked,
            Err(missing) => return self.refuse_question(connection, &parts, origin, &missing, by),
        };
        let reader = Reader::of(&self.guard, asked.uri.path(), &asked.headers);
        let verdict = self.weigh(connection, &asked, origin).await;
        verdict.unwrap_or_else(|mut refused| {
            if let Some(reader) = reader {
                reader.may_read(refused.headers_mut());
            }
            denied(*refused, by)
        })
    }

    async fn weigh(&self, connection: &Arc<Connection>, asked: &Parts, origin: Origin) -> Verdict {
        let read = intake::read(asked, &connection.host, origin.scheme.default_port(), true);
        let (head, fault) = match read {
            Ok(head) => {
                let head = self.named(head, connection, &asked.headers, origin.scheme);
                let fault = (asked.uri.path() != head.path.as_str()).then_some(Refusal::PathNotNormal);
                (head, fault)
            }
            Err(refusal) => (Head::unreadable(), Some(refusal)),
        };
        let head = Head {
            has_body: has_body(asked),
            ..head
        };
        let call = Call {
            parts: asked,
            head: &head,
            connection,
            origin,
            reference: random::reference(),
        };
        // The proxy routes the gate's own paths to it and does not ask.
        let fault = fault.or_else(|| own::path(&head.path).map(|_| Refusal::OwnPathUnknown));
        if let Some(refusal) = fault {
            return Err(Box::new(self.refuse(&call, refusal)));
        }
        if let Some(answer) = self.answer_preflight(&call) {
            // What is granted here, the application has to answer.
            return if answer.status().is_success() {
                Ok(self.granted(&call, None, false))
            } else {
                Err(Box::new(answer))
            };
        }
        let (mut permit, has_digest) = self.judge_unread(&call).await?;
        let granted = self.granted(&call, Some(&permit), has_digest);
        if let Some(receipt) = permit.take_receipt() {
            let session = receipt.session();
            self.guard.complete_unseen(receipt, clock::now());
            self.gate.waiting().ring(session);
        }
        Ok(granted)
    }

    fn granted(&self, call: &Call<'_>, permit: Option<&Permit>, has_digest: bool) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // All of them in any case: they take the place of what the client sent under their names.
        for name in [PORTCULLIS_SESSION, PORTCULLIS_USER, PORTCULLIS_SCORE] {
            headers.insert(name, HeaderValue::from_static(""));
        }
        if let Some(permit) = permit.filter(|_| self.told.session) {
            forward::name_session(headers, permit);
        }
        headers.insert(PORTCULLIS_CLIENT, call.origin.client_text(call.connection));
        let body = if has_digest { "unverified" } else { "" };
        headers.insert(PORTCULLIS_BODY, HeaderValue::from_static(body));
        response
    }

    /// A proxy that is set up wrongly: its client is refused and not blamed, and the operator told.
    fn refuse_question(
        &self,
        connection: &Arc<Connection>,
        parts: &Parts,
        origin: Origin,
        missing: &HeaderName,
        by: ForwardAuth,
    ) -> Response<Full<Bytes>> {
        if let Leave::Granted(left_out) = QUESTIONS_TOLD.ask(clock::monotonic()) {
            tracing::warn!(
                proxy = %connection.peer.address,
                field = missing.as_str(),
                left_out,
                "a proxy asks for a verdict without saying about what: this field is missing, doubled or unreadable"
            );
        }
        let call = Call {
            parts,
            head: &Head::unreadable(),
            connection,
            origin,
            reference: random::reference(),
        };
        denied(self.refuse(&call, Refusal::QuestionIncomplete), by)
    }
}

/// The request that a proxy asks about, as the client sent it.
fn asked(question: &Parts, by: ForwardAuth) -> Result<Parts, Missing> {
    let told = |name: &HeaderName| single(&question.headers, name).ok_or_else(|| name.clone());
    let (method, target, host) = match by {
        ForwardAuth::Nginx => (told(&X_ORIGINAL_METHOD)?, told(&X_ORIGINAL_URI)?, None),
        ForwardAuth::Traefik | ForwardAuth::Caddy | ForwardAuth::Haproxy => (
            told(&X_FORWARDED_METHOD)?,
            told(&X_FORWARDED_URI)?,
            Some(told(&X_FORWARDED_HOST)?),
        ),
        ForwardAuth::Envoy => return Ok(without_hop(question.clone())),
    };
    let method_field = if by == ForwardAuth::Nginx {
        X_ORIGINAL_METHOD
    } else {
        X_FORWARDED_METHOD
    };
    let target_field = if by == ForwardAuth::Nginx {
        X_ORIGINAL_URI
    } else {
        X_FORWARDED_URI
    };
    let mut asked = without_hop(question.clone());
    asked.method = Method::from_bytes(method.as_bytes()).map_err(|_| method_field)?;
    let target = target.to_str().ok().filter(|target| target.starts_with('/'));
    let target = target.and_then(|target| PathAndQuery::try_from(target).ok());
    let target = target.and_then(|target| Uri::builder().path_and_query(target).build().ok());
    asked.uri = target.ok_or(target_field)?;
    if let Some(host) = host {
        let host = host.clone();
        asked.headers.insert(HOST, host);
    }
    Ok(asked)
}

/// What belongs to the question and not to the request.
fn without_hop(mut question: Parts) -> Parts {
    for field in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, TE, UPGRADE] {
        question.headers.remove(field);
    }
    question
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether the request has a body that a signature must cover. Where the proxy does not know its length, these methods
/// have one.
fn has_body(asked: &Parts) -> bool {
    let length = single(&asked.headers, &X_ORIGINAL_CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) => length > 0,
        None => matches!(asked.method, Method::POST | Method::PUT | Method::PATCH),
    }
}

/// A refusal in a form that the proxy can hand on. nginx knows 401 and 403 only, and neither document nor status: they
/// come as fields.
fn denied(refused: Response<Full<Bytes>>, by: ForwardAuth) -> Response<Full<Bytes>> {
    match by {
        ForwardAuth::Nginx => {}
        ForwardAuth::Traefik | ForwardAuth::Caddy | ForwardAuth::Haproxy | ForwardAuth::Envoy => return refused,
    }
    let (mut head, body) = refused.into_parts();
    let document = body.into_inner().unwrap_or_default();
    head.headers
        .insert(PORTCULLIS_STATUS, HeaderValue::from(head.status.as_u16()));
    if let Ok(document) = HeaderValue::from_bytes(&document) {
        head.headers.insert(PORTCULLIS_PROBLEM, document);
    }
    if head.status != StatusCode::UNAUTHORIZED {
        head.status = StatusCode::FORBIDDEN;
    }
    Response::from_parts(head, Full::new(document))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(fields: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method("GET").uri("/verdict").header("host", "gate");
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn told(by: ForwardAuth, fields: &[(&str, &str)]) -> Result<String, String> {
        let asked = asked(&question(fields), by).map_err(|missing| missing.to_string())?;
        let host = asked.headers[HOST].to_str().unwrap();
        Ok(format!("{} {host} {}", asked.method, asked.uri))
    }

    #[test]
    fn each_proxy_asks_in_its_own_words() {
        let nginx = [("x-original-method", "PUT"), ("x-original-uri", "/a%20b?c=/d")];
        assert_eq!(told(ForwardAuth::Nginx, &nginx), Ok("PUT gate /a%20b?c=/d".into()));
        let others = [
            ("x-forwarded-method", "DELETE"),
            ("x-forwarded-uri", "/a?"),
            ("x-forwarded-host", "shop.example"),
        ];
        for by in [ForwardAuth::Traefik, ForwardAuth::Caddy, ForwardAuth::Haproxy] {
            assert_eq!(told(by, &others), Ok("DELETE shop.example /a?".into()));
        }
        assert_eq!(told(ForwardAuth::Envoy, &others), Ok("GET gate /verdict".into()));
    }

    #[test]
    fn what_is_missing_doubled_or_unreadable_is_named() {
        let method = ("x-original-method", "GET");
        for (fields, missing) in [
            (&[method][..], "x-original-uri"),
            (&[("x-original-uri", "/")], "x-original-method"),
            (&[method, method, ("x-original-uri", "/")], "x-original-method"),
            (
                &[("x-original-method", "a b"), ("x-original-uri", "/")],
                "x-original-method",
            ),
            (&[method, ("x-original-uri", "http://a/")], "x-original-uri"),
            (&[method, ("x-original-uri", "/a b")], "x-original-uri"),
        ] {
            assert_eq!(told(ForwardAuth::Nginx, fields), Err(missing.into()), "{fields:?}");
        }
        let no_host = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/")];
        assert_eq!(told(ForwardAuth::Caddy, &no_host), Err("x-forwarded-host".into()));
    }

    #[test]
    fn a_body_is_expected_where_nobody_knows() {
        let has = |method: &str, length: Option<&str>| {
            let fields: Vec<_> = length
                .map(|length| ("x-original-content-length", length))
                .into_iter()
                .collect();
            let mut asked = question(&fields);
            asked.method = method.parse().unwrap();
            has_body(&asked)
        };
        assert!(has("POST", None) && has("PATCH", Some("")) && has("GET", Some("5")) && has("PUT", Some("x")));
        assert!(!has("GET", None) && !has("DELETE", None) && !has("POST", Some("0")));
    }

    #[test]
    fn nginx_hands_on_two_statuses() {
        for (status, handed) in [(401, 401), (403, 403), (400, 403), (429, 403), (503, 403)] {
            let mut refused = Response::new(Full::new(Bytes::from_static(b"{\"ref\":\"x\"}")));
            *refused.status_mut() = StatusCode::from_u16(status).unwrap();
            let other = denied(refused.clone(), ForwardAuth::Caddy);
            assert_eq!(other.status(), status);
            let told = denied(refused, ForwardAuth::Nginx);
            assert_eq!(told.status(), handed);
            assert_eq!(told.headers()[PORTCULLIS_STATUS], status.to_string());
            assert_eq!(told.headers()[PORTCULLIS_PROBLEM], "{\"ref\":\"x\"}");
        }
    }
}
