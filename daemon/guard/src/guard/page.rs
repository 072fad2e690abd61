//! From what page a request comes: whether it is a call at all, and whether that page may make it.
//!
//! Browsers say so (W3C Fetch Metadata, and the field Origin), and no script can change it. Other clients say what they
//! like: what is not there is no evidence, and what is there is no proof.

use std::time::Duration;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN};
use http::{HeaderMap, HeaderValue, Method};

use super::{Guard, Judgement};
use crate::cors::{self, Origin};
use crate::head::Page;
use crate::path::NormalPath;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::time::Now;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What to do with a preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preflight {
    /// Answer it: the page may ask.
    Answer,
    /// The gate only watches: take it for any other request.
    Leave,
}

impl Guard {
    /// Whether calls to a path must be signed.
    #[must_use]
    pub fn is_protected(&self, path: &NormalPath) -> bool {
        self.policy.protected.iter().any(|pattern| pattern.matches(path))
    }

    /// The origin that an answer is meant for, if its pages may read it.
    #[must_use]
    pub fn reader(&self, headers: &HeaderMap) -> Option<Origin> {
        origin(headers).ok()?.filter(|origin| self.policy.cors.allows(origin))
    }

    /// Judges a preflight (the Fetch standard, "CORS protocol"). It is unsigned, and no rule hears of it.
    pub fn judge_preflight(&self, request: &Request<'_>, now: Now) -> Judgement<Preflight> {
        let source = request.client.source();
        let checked = self.check_caller(request, now).and_then(|()| {
            self.reader(request.headers).ok_or(Refusal::OriginRefused)?;
            let sent = self.preflights.recent(source, now.mono).source;
            let limit = self.policy.cors.preflights;
            // Counts fade from the first moment on.
            if sent >= 0.99 * limit {
                return Err(Refusal::PreflightLimit(time_to_fade(sent, limit)).into());
            }
            self.preflights.count(source, now.mono);
            Ok(())
        });
        match checked {
            Ok(()) => Judgement::clean(Preflight::Answer),
            Err(fault) => self.refuse(request, fault, now),
        }
    }

    /// Whether this is a call, from a page that may make it.
    pub(super) fn check_page(&self, request: &Request<'_>, page: &Page<'_>) -> Result<(), Refusal> {
        let Page { site, mode, dest } = *page;
        // The page may send the browser to a download by a ticket; nobody types one.
        let is_navigation = mode == Some(b"navigate") && request.ticket.is_none();
        if site == Some(b"none") || is_navigation {
            return Err(Refusal::Navigation);
        }
        self.check_origin(request, site)?;
        let is_call = mode.is_none_or(|mode| matches!(mode, b"cors" | b"same-origin" | b"websocket"))
            && dest.is_none_or(|dest| matches!(dest, b"empty" | b"websocket"));
        if is_call || request.ticket.is_some() {
            Ok(())
        } else {
            Err(Refusal::Embedded)
        }
    }

    /// Whether a page of this origin may call.
    pub(super) fn check_origin(&self, request: &Request<'_>, site: Option<&[u8]>) -> Result<(), Refusal> {
        if site == Some(b"same-origin") {
            return Ok(());
        }
        let cors = &self.policy.cors;
        let may = match (origin(request.headers), site) {
            (Ok(Some(origin)), _) => origin.authority() == request.authority || cors.allows(&origin),
            // Elements of a page do not say whose they are. With a ticket, one of ours made them.
            (Ok(None), Some(_)) => request.ticket.is_some() && !cors.origins.is_empty(),
            (Ok(None), None) => true,
            // A page that does not want to be known, or a client that is no browser.
            (Err(()), site) => site.is_none(),
        };
        if may { Ok(()) } else { Err(Refusal::OriginRefused) }
    }

    /// The same for the gate's own paths.
    pub(super) fn check_opener(&self, request: &Request<'_>) -> Result<(), Refusal> {
        self.check_origin(request, request.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes))
    }
}

/// Whether a request asks whether another may be made.
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The origin of the page; an error if there are several or it is none.
fn origin(headers: &HeaderMap) -> Result<Option<Origin>, ()> {
    let mut values = headers.get_all(ORIGIN).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| ())?;
            Origin::parse(text).map(Some).map_err(|_| ())
        }
        (Some(_), Some(_)) => Err(()),
    }
}

/// Until a count has faded to one below its limit.
fn time_to_fade(count: f32, limit: f32) -> Duration {
    let halvings = (count / (limit - 1.0).max(0.5)).log2().max(0.0);
    cors::HALF_LIFE.mul_f32(halvings.min(10.0))
}
