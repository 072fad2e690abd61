//! One connection to the application that carries many calls at a time, by HTTP/2. A task of its own drives it.

use std::pin::pin;

use http::header::HOST;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioExecutor;

use super::body::{CallBody, Outgoing};
use super::lane::{Broken, Patience};
use crate::listener::timer::CoarseTimer;

/// A connection; its copies are the same one.
#[derive(Clone)]
pub(super) struct Trunk {
    sender: SendRequest<CallBody>,
    scheme: Scheme,
    timer: CoarseTimer,
}

impl Trunk {
    /// Speaks HTTP/2 over something that is connected.
    ///
    /// # Errors
    /// What hyper says.
    pub(super) async fn over(
        io: impl Read + Write + Unpin + Send + 'static,
        scheme: Scheme,
        timer: &CoarseTimer,
    ) -> hyper::Result<Self> {
        let mut builder = Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.timer(timer.clone()).handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the application broke off");
            }
        });
        Ok(Self {
            sender,
            scheme,
            timer: timer.clone(),
        })
    }

    /// Whether it takes calls.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a call and waits for the head of its answer.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) async fn exchange(
        mut self,
        mut request: Outgoing,
        patience: &Patience<'_>,
    ) -> Result<Response<Incoming>, Broken> {
        if to_http2(&mut request, &self.scheme).is_none() {
            // Intake looked at Host and path: both can be said in HTTP/2.
            return Err(Broken::Unsent(request));
        }
        let mut answer = pin!(self.sender.try_send_request(*request));
        loop {
            match self.timer.timeout(patience.step(), answer.as_mut()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(mut error)) => {
                    return Err(match error.take_message() {
                        Some(request) => Broken::Unsent(Box::new(to_http1(request))),
                        None => Broken::Sent(error.into_error()),
                    });
                }
                Err(_) => {
                    if let Some(over) = patience.over() {
                        return Err(over);
                    }
                }
            }
        }
    }
}

/// Says by pseudo-header fields what HTTP/1.1 says by Host (RFC 9113 section 8.3.1).
fn to_http2(request: &mut Request<CallBody>, scheme: &Scheme) -> Option<()> {
    let host = request.headers().get(HOST)?;
    let mut parts = Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    parts.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(HOST);
    Some(())
}

/// The opposite, for a call that was not sent.
fn to_http1(mut request: Request<CallBody>) -> Request<CallBody> {
    let authority = request.uri().authority().map(Authority::as_str);
    if let Some(host) = authority.and_then(|authority| HeaderValue::from_str(authority).ok()) {
        request.headers_mut().insert(HOST, host);
    }
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
    request
}

#[cfg(test)]
mod tests {
    use http_body_util::{Either, Full};

    use super::*;

    #[test]
    fn a_call_can_be_said_in_both_versions() {
        let request = || {
            let request = Request::get("/a?b=c").header(HOST, "shop.example:8443");
            request.body(Either::Left(Full::default())).unwrap()
        };
        let mut other = request();
        to_http2(&mut other, &Scheme::HTTPS).unwrap();
        assert_eq!(other.uri(), "https://shop.example:8443/a?b=c");
        assert!(other.headers().is_empty() && other.version() == Version::HTTP_2);
        let back = to_http1(other);
        assert_eq!((back.uri(), back.headers()), (request().uri(), request().headers()));
        let mut nameless = Request::get("/").body(Either::Left(Full::default())).unwrap();
        assert!(to_http2(&mut nameless, &Scheme::HTTP).is_none());
    }
}
