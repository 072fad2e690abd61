//! The call that is to be signed, read from the command line.

use std::fs;

use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::super::args::SignArgs;
use super::super::failure::Failure;
use super::target::{Target, authority};

/// A session is bound to its User-Agent, so opening and call must name the same.
const OUR_USER_AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
/// Said, as curl would otherwise add a type that is not signed.
const DEFAULT_TYPE: &str = "application/json";

/// One HTTP call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: Target,
    /// `@authority`: from a Host field, if one is given.
    pub(super) authority: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// What is sent with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    None,
    Inline(String),
    File { path: String, content: Vec<u8> },
}

impl Body {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Inline(text) => text.as_bytes(),
            Self::File { content, .. } => content,
        }
    }
}

impl Call {
    pub(super) fn resolve(args: &SignArgs) -> Result<Self, Failure> {
        let target = Target::parse(&args.url)?;
        let body = body(args.data.as_deref())?;
        let mut headers = headers(&args.headers)?;
        if !body.bytes().is_empty() {
            headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(DEFAULT_TYPE));
        }
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(OUR_USER_AGENT));
        let authority = match headers.get(HOST).and_then(|host| host.to_str().ok()) {
            Some(host) => authority(host, target.https),
            None => target.authority.clone(),
        };
        Ok(Self {
            method: method(&args.method)?,
            target,
            authority,
            headers,
            body,
        })
    }
}

fn method(text: &str) -> Result<Method, Failure> {
    // Methods are case-sensitive (RFC 9110 section 9.1), and nobody means `get`.
    text.to_ascii_uppercase().parse().map_err(|_| {
        Failure::error("method-invalid", format!("'{text}' is not an HTTP method")).hint("write it like GET or POST")
    })
}

fn body(data: Option<&str>) -> Result<Body, Failure> {
    let Some(data) = data else { return Ok(Body::None) };
    let Some(path) = data.strip_prefix('@') else {
        return Ok(Body::Inline(data.to_owned()));
    };
    match fs::read(path) {
        Ok(content) => Ok(Body::File {
            path: path.to_owned(),
            content,
        }),
        Err(error) => Err(Failure::error(
            "data-unreadable",
            format!("failed to read {path}: {error}"),
        )),
    }
}

fn headers(lines: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = header(line).ok_or_else(|| {
            Failure::error("header-invalid", format!("'{line}' is not a header field"))
                .hint("write it like --header 'Accept: application/json'")
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.parse().ok()?, HeaderValue::from_str(value.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(data: Option<&str>, headers: &[&str]) -> Result<Call, Failure> {
        Call::resolve(&SignArgs {
            method: "post".into(),
            url: "http://127.0.0.1:8080/api".into(),
            data: data.map(str::to_owned),
            headers: headers.iter().map(|&line| line.to_owned()).collect(),
            session_url: None,
            ticket: false,
            ca: None,
        })
    }

    #[test]
    fn defaults_are_said_out_loud() {
        let call = resolve(Some("{}"), &[]).unwrap();
        assert_eq!(call.method, Method::POST);
        assert_eq!(call.headers[CONTENT_TYPE], DEFAULT_TYPE);
        assert_eq!(call.headers[USER_AGENT], OUR_USER_AGENT);
        assert!(
            !resolve(Some(""), &[]).unwrap().headers.contains_key(CONTENT_TYPE),
            "an empty body is none"
        );
    }

    #[test]
    fn what_is_given_wins() {
        let call = resolve(
            Some("a=1"),
            &["content-type: text/plain", "User-Agent:x", "Host: Shop.Example:80"],
        )
        .unwrap();
        assert_eq!(call.headers[CONTENT_TYPE], "text/plain");
        assert_eq!(call.headers[USER_AGENT], "x");
        assert_eq!(call.authority, "shop.example");
    }

    #[test]
    fn bad_headers_and_files_are_named() {
        let message = |data, headers: &[&str]| resolve(data, headers).unwrap_err().message;
        assert_eq!(message(None, &["no colon"]), "'no colon' is not a header field");
        assert_eq!(message(None, &["a b: c"]), "'a b: c' is not a header field");
        assert!(message(Some("@/no/such/file"), &[]).starts_with("failed to read /no/such/file: "));
    }
}
