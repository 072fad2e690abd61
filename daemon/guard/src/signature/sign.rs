//! Making a signature of the profile: for `portcullis sign`, and for tests.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::Mac;
use http::{HeaderMap, HeaderValue};

use super::base::{Message, signature_base};
use super::digest::{self, BodyDigest};
use super::input::{SIGNATURE, SIGNATURE_INPUT};
use super::ticket::TICKET_TAG;
use super::{CONTENT_DIGEST, CONTENT_TYPE, HMAC_SHA256, REQUIRED, TAG};
use crate::refusal::Refusal;
use crate::session::token::SigningKey;

/// Who signs, when.
pub struct Signer<'a> {
    /// The session id as the gate gave it.
    pub session_id: &'a str,
    /// The session's key.
    pub key: &'a SigningKey,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// `<stream>.<counter>`.
    pub nonce: &'a str,
}

/// Adds `Content-Digest` (if there is a body), `Signature-Input` and `Signature` to the header fields of a request.
///
/// # Errors
/// [`Refusal::ComponentUnsupported`] if a field cannot be covered or the session id is no field text.
pub fn sign(signer: &Signer<'_>, message: Message<'_>, body: &[u8]) -> Result<HeaderMap, Refusal> {
    let mut headers = message.headers.clone();
    let mut components = REQUIRED.to_vec();
    if !body.is_empty() {
        let digest = format!("sha-256=:{}:", STANDARD.encode(BodyDigest::of(body).0));
        headers.insert(digest::CONTENT_DIGEST, text(&digest)?);
        components.push(CONTENT_DIGEST);
        if headers.contains_key(CONTENT_TYPE) {
            components.push(CONTENT_TYPE);
        }
    }
    let covered = components
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(" ");
    let parameters = format!(
        "({covered});created={};nonce=\"{}\";keyid=\"{}\";alg=\"{HMAC_SHA256}\";tag=\"{TAG}\"",
        signer.created, signer.nonce, signer.session_id,
    );
    let base = signature_base(
        &Message {
            headers: &headers,
            ..message
        },
        components,
        &parameters,
    )?;
    let mut mac = signer.key.hmac();
    mac.update(&base);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    headers.insert(SIGNATURE_INPUT, text(&format!("portcullis={parameters}"))?);
    headers.insert(SIGNATURE, text(&format!("portcullis=:{signature}:"))?);
    Ok(headers)
}

/// Signs a call by a ticket that lives for `life` seconds, and returns the value of the parameter. `message` has no
/// ticket yet.
///
/// # Errors
/// [`Refusal::ComponentUnsupported`] cannot happen: nothing but derived components is covered.
pub fn sign_ticket(signer: &Signer<'_>, message: &Message<'_>, body: &[u8], life: u64) -> Result<String, Refusal> {
    let digest = if body.is_empty() {
        String::new()
    } else {
        format!(";digest=\"sha-256=:{}:\"", STANDARD.encode(BodyDigest::of(body).0))
    };
    let parameters = format!(
        "(\"@method\" \"@authority\" \"@path\" \"@query\");created={};expires={};nonce=\"{}\";keyid=\"{}\";\
         alg=\"{HMAC_SHA256}\"{digest};tag=\"{TICKET_TAG}\"",
        signer.created,
        signer.created + life,
        signer.nonce,
        signer.session_id,
    );
    let base = signature_base(message, REQUIRED, &parameters)?;
    let mut mac = signer.key.hmac();
    mac.update(&base);
    let signature = URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    Ok(format!("{}.{signature}", URL_SAFE_NO_PAD.encode(parameters)))
}

fn text(value: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(value).map_err(|_| Refusal::ComponentUnsupported)
}
