//! The signature base: the exact bytes that a signature covers (RFC 9421 section 2.5).

use http::header::{self, GetAll};
use http::{HeaderMap, HeaderValue, Method};

use super::{CONTENT_DIGEST, CONTENT_TYPE, digest};
use crate::refusal::Refusal;

/// The message that was signed.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The method.
    pub method: &'a Method,
    /// Host in lower case without the default port (RFC 9421 section 2.2.3).
    pub authority: &'a str,
    /// The path as sent (section 2.2.6).
    pub path: &'a str,
    /// The query as sent, without `?` (section 2.2.7).
    pub query: Option<&'a str>,
    /// Header fields.
    pub headers: &'a HeaderMap,
}

/// Builds the base of `components` and the serialised parameters.
///
/// # Errors
/// [`Refusal::ComponentUnsupported`] for a derived component outside the profile, or a field that is not there or not
/// ASCII.
pub fn signature_base<'c>(
    message: &Message<'_>,
    components: impl IntoIterator<Item = &'c str>,
    parameters: &str,
) -> Result<Vec<u8>, Refusal> {
    let mut base = Vec::with_capacity(512);
    for name in components {
        match derived(message, name) {
            Some((begin, value)) => {
                base.extend_from_slice(begin);
                base.extend_from_slice(value.as_bytes());
            }
            None => push_field(message.headers, name, &mut base)?,
        }
        base.push(b'\n');
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    base.extend_from_slice(parameters.as_bytes());
    Ok(base)
}

/// How the line of a derived component begins, and its value; `None` for a field.
fn derived<'a>(message: &Message<'a>, name: &str) -> Option<(&'static [u8], &'a str)> {
    Some(match name {
        "@method" => (b"\"@method\": ", message.method.as_str()),
        "@authority" => (b"\"@authority\": ", message.authority),
        "@path" if message.path.is_empty() => (b"\"@path\": ", "/"),
        "@path" => (b"\"@path\": ", message.path),
        "@query" => (b"\"@query\": ?", message.query.unwrap_or_default()),
        _ => return None,
    })
}

/// The line of a field: all its values, trimmed, joined by a comma and a space (RFC 9421 section 2.1).
fn push_field(headers: &HeaderMap, name: &str, base: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut values = lines_of(headers, name)
        .ok_or(Refusal::ComponentUnsupported)?
        .iter()
        .peekable();
    if values.peek().is_none() {
        return Err(Refusal::ComponentUnsupported);
    }
    base.push(b'"');
    base.extend_from_slice(name.as_bytes());
    base.extend_from_slice(b"\": ");
    for (index, value) in values.enumerate() {
        if index > 0 {
            base.extend_from_slice(b", ");
        }
        let text = value.to_str().map_err(|_| Refusal::ComponentUnsupported)?;
        base.extend_from_slice(text.trim_matches([' ', '\t']).as_bytes());
    }
    Ok(())
}

/// The lines of a field; `None` if it is spelled as none is. Those of the profile have names that need not be read.
fn lines_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<GetAll<'a, HeaderValue>> {
    match name {
        CONTENT_DIGEST => Some(headers.get_all(digest::CONTENT_DIGEST)),
        CONTENT_TYPE => Some(headers.get_all(header::CONTENT_TYPE)),
        other => {
            let is_lower_case = !other.bytes().any(|byte| byte.is_ascii_uppercase());
            (is_lower_case && !other.starts_with('@')).then(|| headers.get_all(other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_components_and_fields() {
        let mut headers = HeaderMap::new();
        headers.append("x-two", HeaderValue::from_static("  a, b "));
        headers.append("x-two", HeaderValue::from_static("c"));
        headers.append("x-empty", HeaderValue::from_static(""));
        let message = Message {
            method: &Method::GET,
            authority: "example.com",
            path: "",
            query: Some("a=%20"),
            headers: &headers,
        };
        let names = ["@method", "@authority", "@path", "@query", "x-two", "x-empty"];
        let base = signature_base(&message, names, "()").unwrap();
        let expected = "\"@method\": GET\n\"@authority\": example.com\n\"@path\": /\n\"@query\": ?a=%20\n\
                        \"x-two\": a, b, c\n\"x-empty\": \n\"@signature-params\": ()";
        assert_eq!(String::from_utf8(base).unwrap(), expected);
        for bad in ["@scheme", "@target-uri", "x-missing", "X-Two", "", "x y"] {
            assert_eq!(
                signature_base(&message, [bad], "()").err(),
                Some(Refusal::ComponentUnsupported),
                "{bad}"
            );
        }
    }
}
