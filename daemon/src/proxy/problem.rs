//! Refusals as HTTP: `application/problem+json` (RFC 9457), never HTML. The document names no rule; `ref` leads the
//! operator to it.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use portcullis_guard::guard::Refused;
use portcullis_guard::reauth::{self, Return};
use portcullis_guard::refusal::Remedy;
use portcullis_guard::session::work::{self, Demand};
use portcullis_guard::time::WallMillis;
use serde::Serialize;

/// Where problem types live.
pub const PROBLEM_BASE: &str = "/.well-known/portcullis/problems/";

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    r#ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reauthenticate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    work: Option<Work<'a>>,
}

/// What has to be done for a session (docs/protocol.md section 1).
#[derive(Serialize)]
struct Work<'a> {
    algorithm: &'static str,
    challenge: &'a str,
    count: usize,
    bits: u8,
    expires_at: u64,
}

impl<'a> From<&'a Demand> for Work<'a> {
    fn from(demand: &'a Demand) -> Self {
        Self {
            algorithm: work::ALGORITHM,
            challenge: &demand.challenge,
            count: work::COUNT,
            bits: demand.bits,
            expires_at: demand.expires.seconds(),
        }
    }
}

/// The answer to a refused request.
#[must_use]
pub fn answer(refused: &Refused, has_body: bool, now: WallMillis) -> Response<Full<Bytes>> {
    let problem = refused.refusal.problem();
    let asks_to_sign = problem.status == StatusCode::UNAUTHORIZED.as_u16();
    let document = Document {
        r#type: format!("{PROBLEM_BASE}{}", problem.name),
        title: problem.title,
        status: problem.status,
        detail: problem.detail,
        r#ref: refused.reference.to_string(),
        server_time: asks_to_sign.then(|| seconds(now)),
        reauthenticate: refused.way_back.map(Return::as_str),
        work: refused.work.as_ref().map(Work::from),
    };
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::FORBIDDEN);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match refused.refusal.remedy() {
        Remedy::None => {}
        Remedy::Wait(wait) => {
            let wait = wait.as_secs().max(1);
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
            if problem.status == StatusCode::TOO_MANY_REQUESTS.as_u16()
                && let Ok(value) = HeaderValue::from_str(&rate_limit(wait))
            {
                headers.insert(RATE_LIMIT, value);
            }
        }
        Remedy::Sign | Remedy::SignWithFreshNonce => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(reauth::WWW_AUTHENTICATE));
            let fresh = refused
                .fresh
                .as_ref()
                .map(|(session_id, nonce)| (session_id.as_str(), nonce.as_str()));
            if let Ok(value) = HeaderValue::from_str(&reauth::accept_signature(has_body, fresh)) {
                headers.insert(ACCEPT_SIGNATURE, value);
            }
        }
    }
    response
}

/// Nothing is left for so many seconds (draft-ietf-httpapi-ratelimit-headers-10). How much there was in the first place
/// is the operator's to tell.
fn rate_limit(wait: u64) -> String {
    format!("\"calls\";r=0;t={wait}")
}

/// Seconds since the Unix epoch, with milliseconds.
#[must_use]
pub fn seconds(at: WallMillis) -> f64 {
    // Exact up to the year 287396.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit into 53 bits")]
    let millis = at.0 as f64;
    millis / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use portcullis_guard::refusal::Refusal;
    use portcullis_guard::request::Reference;

    use super::*;

    fn refused(refusal: Refusal) -> Refused {
        Refused {
            refusal,
            reference: Reference(7),
            fresh: None,
            work: None,
            way_back: None,
            waived: None,
        }
    }

    #[tokio::test]
    async fn a_401_says_how_to_sign_and_what_time_it_is() {
        let response = answer(
            &refused(Refusal::SignatureMissing),
            false,
            WallMillis(1_800_000_000_482),
        );
        assert_eq!(response.status(), 401);
        assert!(
            response.headers().contains_key(WWW_AUTHENTICATE) && response.headers().contains_key("accept-signature")
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document["type"], "/.well-known/portcullis/problems/signature-required");
        assert_eq!(document["server_time"], 1_800_000_000.482);
        assert_eq!(document["ref"], "0000000000007");
    }

    #[test]
    fn a_quota_says_when() {
        let response = answer(&refused(Refusal::Quota(Duration::from_secs(90))), false, WallMillis(0));
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (429, &HeaderValue::from(90))
        );
        assert_eq!(response.headers()["ratelimit"], "\"calls\";r=0;t=90");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    }
}
