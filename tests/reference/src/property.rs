//! The properties, each over plain bytes, so that a fuzzer can start from anything.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_guard::session::nonce::Nonce;
use portcullis_guard::signature::base::{Message, signature_base};
use portcullis_guard::signature::digest;
use portcullis_guard::signature::input::{Fields, Presented};

use super::profile::{self, Parts, Seen};
use super::{Agreed, Disagreement, same};

/// Stands for the digest of the body in `Content-Digest` inputs: a fuzzer does not guess one.
pub const DIGEST_MARK: &str = "$SHA256";
/// The same for SHA-512.
pub const LONG_DIGEST_MARK: &str = "$SHA512";

/// A `Signature-Input` field; each label in it has a signature.
///
/// # Errors
/// [`Disagreement`].
pub fn signature_input(field: &[u8]) -> Agreed {
    let mut headers = HeaderMap::new();
    for line in field.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else {
            return Ok(false);
        };
        headers.append("signature-input", value);
    }
    let signatures: Vec<String> = labels(field).iter().map(|label| format!("{label}=:AQID:")).collect();
    let Ok(signatures) = HeaderValue::from_str(&signatures.join(", ")) else {
        return Ok(false);
    };
    headers.insert("signature", signatures);
    read(&headers)
}

/// A `Signature` field, beside a `Signature-Input` with the label `p`.
///
/// # Errors
/// [`Disagreement`].
pub fn signature(field: &[u8]) -> Agreed {
    let input = super::seed::input("p", "n", "k");
    let (Ok(input), Ok(value)) = (HeaderValue::from_str(&input), HeaderValue::from_bytes(field)) else {
        return Ok(false);
    };
    let headers = HeaderMap::from_iter([
        (HeaderName::from_static("signature-input"), input),
        (HeaderName::from_static("signature"), value),
    ]);
    read(&headers)
}

/// A nonce.
///
/// # Errors
/// [`Disagreement`].
pub fn nonce(text: &[u8]) -> Agreed {
    let Ok(text) = std::str::from_utf8(text) else {
        return Ok(false);
    };
    let accepted = Nonce::parse(text).is_ok();
    if accepted && profile::nonce(text).is_none() {
        return Err(Disagreement(format!("the nonce {text:?} was accepted")));
    }
    Ok(accepted)
}

/// A `Content-Digest` field, a line feed and the body. Marks stand for the right digests.
///
/// # Errors
/// [`Disagreement`].
pub fn content_digest(data: &[u8]) -> Agreed {
    use sha2::Digest as _;
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (field, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let encode = |digest: &[u8]| super::base64::encode(super::base64::STANDARD, digest);
    let field = match String::from_utf8_lossy(field) {
        // Marks are rare, and without them the bytes stay what they are.
        Cow::Borrowed(text) => text
            .replace(DIGEST_MARK, &encode(&sha2::Sha256::digest(body)))
            .replace(LONG_DIGEST_MARK, &encode(&sha2::Sha512::digest(body)))
            .into_bytes(),
        Cow::Owned(_) => field.to_vec(),
    };
    let Ok(value) = HeaderValue::from_bytes(&field) else {
        return Ok(false);
    };
    let headers = HeaderMap::from_iter([(digest::CONTENT_DIGEST, value)]);
    let accepted = digest::claimed(&headers)
        .and_then(|claimed| claimed.check(body))
        .is_ok();
    if accepted && !super::digest::is_right(&headers, body) {
        return Err(Disagreement(format!(
            "{:?} was accepted",
            String::from_utf8_lossy(&field)
        )));
    }
    Ok(accepted)
}

/// The head of a request as on the wire: `METHOD target`, fields, an empty line. Lines end with a line feed.
///
/// # Errors
/// [`Disagreement`].
pub fn base(data: &[u8]) -> Agreed {
    let Some((method, target, headers)) = head(data) else {
        return Ok(false);
    };
    let Ok(fields) = Fields::of(&headers) else {
        return Ok(false);
    };
    let Ok(presented) = fields.present() else {
        return Ok(false);
    };
    let seen = agree_on(&headers, &presented)?;
    let has_body = headers.contains_key("content-length");
    let parts = Parts {
        method: &method,
        authority: "shop.example",
        target: &target,
        headers: &headers,
        has_body,
    };
    let covered = presented.check_coverage(&headers, has_body).is_ok();
    if covered && !profile::covers_enough(&seen, &parts) {
        return Err(Disagreement(format!("{:?} cover enough", seen.components)));
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target.as_str(), None),
    };
    let message = Message {
        method: &method,
        authority: "shop.example",
        path,
        query,
        headers: &headers,
    };
    let Ok(built) = signature_base(&message, presented.components.iter(), &presented.parameters) else {
        return Ok(false);
    };
    let reference = profile::base(&seen, &parts).map(String::into_bytes);
    same("the base", &Some(built), &reference)?;
    Ok(covered)
}

/// Method, target and fields of a head.
pub(crate) fn head(data: &[u8]) -> Option<(Method, String, HeaderMap)> {
    let text = std::str::from_utf8(data).ok()?;
    let mut lines = text.split('\n');
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut headers = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.append(
            HeaderName::try_from(name).ok()?,
            HeaderValue::try_from(value.trim()).ok()?,
        );
    }
    Some((Method::from_bytes(method.as_bytes()).ok()?, target.to_owned(), headers))
}

/// Reads the signature fields in both ways.
fn read(headers: &HeaderMap) -> Agreed {
    let Ok(fields) = Fields::of(headers) else {
        return Ok(false);
    };
    let Ok(presented) = fields.present() else {
        return Ok(false);
    };
    agree_on(headers, &presented).map(|_| true)
}

/// What the guard read, if the reference reads the same.
pub(crate) fn agree_on(headers: &HeaderMap, presented: &Presented<'_>) -> Result<Seen, Disagreement> {
    let Some(seen) = profile::present(headers) else {
        return Err(Disagreement(format!("the fields were accepted: {headers:?}")));
    };
    let guard = Seen {
        label: seen.label.clone(),
        components: presented.components.iter().map(str::to_owned).collect(),
        created: presented.created,
        expires: presented.expires,
        nonce: presented.nonce.to_string(),
        keyid: presented.keyid.to_string(),
        alg: presented.alg.to_string(),
        parameters: presented.parameters.to_string(),
        signature: presented.signature.as_slice().to_vec(),
    };
    same("the signature", &guard, &seen)?;
    Ok(seen)
}

/// Whatever may be a label: what stands before a `=`.
fn labels(field: &[u8]) -> Vec<String> {
    let is_key = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(byte);
    let mut labels: Vec<String> = Vec::new();
    for part in field.split(|byte| *byte == b'=') {
        let length = part.iter().rev().take_while(|byte| is_key(byte)).count();
        let label = String::from_utf8_lossy(&part[part.len() - length..]).into_owned();
        if label.starts_with(|first: char| first.is_ascii_lowercase() || first == '*') && !labels.contains(&label) {
            labels.push(label);
        }
    }
    // One of many could be ours; a field with more members than that is refused anyway.
    labels.truncate(16);
    labels
}
