//! What in a body or a query makes frameworks take a POST for another method: a parameter `_method`, as each of them reads
//! names. The method was judged before the body came, so such a body is refused.

use std::borrow::Cow;
use std::collections::HashMap;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method};
use memchr::{memchr_iter, memmem};
use portcullis_guard::refusal::Refusal;
use serde::de::IgnoredAny;

/// The parameter, and what its name begins with; PHP makes `_` of a dot.
const OVERRIDE: &str = "_method";
const BEGINNINGS: [char; 2] = ['_', '.'];
/// Space behind `name=` in a part of a form, and behind its quote, that nobody needs.
const MOST_SPACE: usize = 16;
/// What is kept of the bytes before, to find a name wherever the pieces of a body break: the longest that is looked at.
pub(super) const OVERLAP: usize = "name*=".len() + 2 * MOST_SPACE + "\"".len() + OVERRIDE.len() + 1;

/// Whether a body is a form whose names can only be read as a whole. A POST that does not say what it is counts as one:
/// Rack takes it for that.
pub(super) fn is_plain(parts: &Parts) -> bool {
    let says_nothing = content_type(&parts.headers).trim_ascii().is_empty();
    is_of(&parts.headers, b"application/x-www-form-urlencoded") || (says_nothing && parts.method == Method::POST)
}

/// Whether a body is a form of parts.
pub(super) fn is_multipart(headers: &HeaderMap) -> bool {
    is_of(headers, b"multipart/")
}

/// Laravel reads parameters from JSON as from forms.
fn is_json(headers: &HeaderMap) -> bool {
    let given = content_type(headers).to_ascii_lowercase();
    given.windows(5).any(|part| part == b"/json" || part == b"+json")
}

fn is_of(headers: &HeaderMap, kind: &[u8]) -> bool {
    let given = content_type(headers).get(..kind.len());
    given.is_some_and(|given| given.eq_ignore_ascii_case(kind))
}

fn content_type(headers: &HeaderMap) -> &[u8] {
    headers.get(CONTENT_TYPE).map_or(&[], HeaderValue::as_bytes)
}

/// Whether a form can be looked into: some frameworks decode one that is encoded.
///
/// # Errors
/// [`Refusal::FramingInvalid`].
pub(super) fn check_head(parts: &Parts) -> Result<(), Refusal> {
    let mut encodings = parts.headers.get_all(CONTENT_ENCODING).iter();
    let is_encoded = encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_encoded && (is_plain(parts) || is_multipart(&parts.headers)) {
        return Err(Refusal::FramingInvalid);
    }
    Ok(())
}

/// Whether a body carries an override.
///
/// # Errors
/// [`Refusal::FramingInvalid`].
pub(super) fn check(parts: &Parts, body: &[u8]) -> Result<(), Refusal> {
    let has_override = if is_plain(parts) {
        parameters(body).any(|(name, _)| is_override(&name))
    } else if is_multipart(&parts.headers) {
        is_in_parts(body)
    } else {
        is_json(&parts.headers) && is_in_json(body)
    };
    if has_override {
        Err(Refusal::FramingInvalid)
    } else {
        Ok(())
    }
}

/// The parameters of a query or form, as those read them who take `;` for a separator as well.
pub(super) fn parameters(text: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pieces = text.split(|&byte| byte == b';');
    pieces.flat_map(form_urlencoded::parse)
}

/// The values of overrides in a query.
///
/// # Errors
/// [`Refusal::FramingInvalid`] if not everybody would find the same.
pub(super) fn overrides(query: &[u8]) -> Result<Vec<Cow<'_, str>>, Refusal> {
    let all: Vec<_> = parameters(query).filter(|(name, _)| is_override(name)).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let plain: Vec<_> = form_urlencoded::parse(query)
        .filter(|(name, _)| name == OVERRIDE)
        .collect();
    if all != plain {
        return Err(Refusal::FramingInvalid);
    }
    Ok(all.into_iter().map(|(_, value)| value).collect())
}

/// Whether a name means the override to somebody. PHP leaves out space in front, and what comes after NUL.
pub(super) fn is_override(name: &str) -> bool {
    let name = name.split('\0').next().unwrap_or_default().trim_start_matches(' ');
    name.strip_prefix(BEGINNINGS) == OVERRIDE.strip_prefix('_')
}

/// Whether the bytes so far name an override in a part of a form; keeps the last of them in `tail`.
pub(super) fn is_in_pieces(tail: &mut Vec<u8>, data: &[u8]) -> bool {
    tail.extend_from_slice(data);
    let found = is_in_parts(tail);
    tail.drain(..tail.len().saturating_sub(OVERLAP));
    found
}

/// `name=_method`, with quotes or not, with space or not. What has an encoded name (`name*=`) is no form (RFC 7578
/// section 4.2).
fn is_in_parts(bytes: &[u8]) -> bool {
    memchr_iter(b'=', bytes).any(|at| {
        let before = &bytes[..at];
        let (before, is_encoded) = before
            .strip_suffix(b"*")
            .map_or((before, false), |before| (before, true));
        let Some((rest, word)) = before.split_last_chunk::<4>() else {
            return false;
        };
        let is_name = word.eq_ignore_ascii_case(b"name") && !rest.last().is_some_and(u8::is_ascii_alphanumeric);
        is_name && (is_encoded || begins_with_override(&bytes[at + 1..]))
    })
}

fn begins_with_override(value: &[u8]) -> bool {
    let Some(value) = without_space(value) else { return true };
    let quoted = value.strip_prefix(b"\"").or(value.strip_prefix(b"'"));
    let Some(name) = without_space(quoted.unwrap_or(value)) else {
        return true;
    };
    let mut letters = name.iter();
    let begins = letters
        .next()
        .is_some_and(|first| BEGINNINGS.contains(&char::from(*first)));
    let rest = letters.as_slice().strip_prefix(b"method");
    begins
        && rest.is_some_and(|rest| {
            !rest
                .first()
                .is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_')
        })
}

/// `None`: there is more in front than anybody needs.
fn without_space(text: &[u8]) -> Option<&[u8]> {
    let rest = text.trim_ascii_start();
    (text.len() - rest.len() < MOST_SPACE).then_some(rest)
}

/// What cannot be read may still be read by somebody.
fn is_in_json(body: &[u8]) -> bool {
    let has = |words: &[u8]| memmem::find(body, words).is_some();
    // Of most bodies this is all that is looked at.
    if !has(OVERRIDE.as_bytes()) && !has(b"\\u") {
        return false;
    }
    match serde_json::from_slice::<HashMap<String, IgnoredAny>>(body) {
        Ok(members) => members.contains_key(OVERRIDE),
        Err(_) => has(b"\"_method\""),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn refuses(kind: &str, body: &str) -> bool {
        let request = Request::post("/").header(CONTENT_TYPE, kind);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, body.as_bytes()).is_err()
    }

    #[test]
    fn a_form_may_not_change_the_method() {
        for body in [
            "a=1&_method=DELETE",
            "%5Fmethod=DELETE",
            "a=1;_method=DELETE",
            ".method=DELETE",
            "+_method=DELETE",
            "_method%00x=DELETE",
            "_method",
        ] {
            assert!(refuses("application/x-www-form-urlencoded", body), "{body}");
            assert!(
                refuses("Application/X-WWW-form-urlencoded; charset=utf-8", body),
                "{body}"
            );
            assert!(refuses("", body), "{body} without a type");
            assert!(!refuses("text/plain", body), "{body} as text");
        }
        for body in ["a=_method", "x_method=1", "method=1", "_methods=1", "a=1&b=.method"] {
            assert!(!refuses("application/x-www-form-urlencoded", body), "{body}");
        }
        let (parts, ()) = Request::put("/").body(()).unwrap().into_parts();
        assert!(!is_plain(&parts), "only a POST is taken for a form");
    }

    #[test]
    fn a_form_may_not_be_encoded() {
        let refuses = |kind: &str, encoding: &str| {
            let request = Request::post("/")
                .header(CONTENT_TYPE, kind)
                .header(CONTENT_ENCODING, encoding);
            check_head(&request.body(()).unwrap().into_parts().0).is_err()
        };
        assert!(refuses("application/x-www-form-urlencoded", "gzip") && refuses("multipart/form-data", "br"));
        assert!(!refuses("application/json", "gzip") && !refuses("multipart/form-data", "Identity"));
    }

    #[test]
    fn neither_may_json() {
        for body in [
            "{\"_method\":\"DELETE\"}",
            "{\"a\":{},\"\\u005fmethod\":\"DELETE\"}",
            "{\"_method\":1,\"_method\":2}",
            "{\"_method\":\"DELETE\"",
        ] {
            assert!(
                refuses("application/json", body) && refuses("application/vnd.api+JSON", body),
                "{body}"
            );
        }
        for body in [
            "{\"method\":\"DELETE\"}",
            "{\"a\":{\"_method\":\"DELETE\"}}",
            "[\"_method\"",
            "{}",
        ] {
            assert_eq!(refuses("application/json", body), body.starts_with('['), "{body}");
        }
    }

    const NAMES: [&str; 10] = [
        "name=\"_method\"",
        "name=_method",
        "NAME='_method'",
        "name= \"_method\"",
        "name=\t_method",
        "name=\".method\"",
        "name=\" _method\"",
        "name*=utf-8''%5Fmethod",
        "name=                  \"_method\"",
        "name=\"                              _method\"",
    ];

    #[test]
    fn a_name_in_a_part_is_found_wherever_the_pieces_break() {
        for name in NAMES {
            let form = format!("--x\r\nContent-Disposition: form-data; {name}\r\n\r\nDELETE\r\n--x--");
            assert!(refuses("Multipart/Form-Data; boundary=x", &form), "{name}");
            for size in 1..form.len() {
                let mut tail = Vec::new();
                let found = form.as_bytes().chunks(size).any(|piece| is_in_pieces(&mut tail, piece));
                assert!(found && tail.len() <= OVERLAP, "{name} in pieces of {size}");
            }
        }
        for other in [
            "name=\"method\"",
            "filename=\"_method\"",
            "filename*=utf-8''_method",
            "name=\"_methods\"",
            "name=\"a\"; x=_method",
        ] {
            assert!(!is_in_parts(other.as_bytes()), "{other}");
        }
    }
}
