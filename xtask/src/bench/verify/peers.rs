//! Other implementations on the same call. They check the signature alone: neither freshness nor replay nor binding.

use std::hint::black_box;

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Empty;
use httpsig_hyper::MessageSignatureReqSync as _;
use httpsig_hyper::prelude::message_component::HttpMessageComponentId;
use httpsig_hyper::prelude::{HttpSignatureParams, SharedKey};

use super::fixture::{AUTHORITY, Fixture, PATH, now, per_item};
use crate::bench::report::{Rounds, Row};

const VERIFY: &str = "guard/verify";

#[derive(Default)]
pub(super) struct Rows {
    sfv_ring: Rounds,
    httpsig: Rounds,
}

impl Rows {
    pub(super) fn measure(&mut self, fixture: &Fixture) -> Result<()> {
        self.sfv_ring.push(sfv_and_ring(fixture)?);
        self.httpsig.push(httpsig_hyper(fixture)?);
        Ok(())
    }

    pub(super) fn rows(&self, ours: &Rounds) -> Vec<Row> {
        vec![
            Row::new("peer/sfv-ring", "ns", &self.sfv_ring).versus(VERIFY, ours, None),
            Row::new("peer/httpsig-hyper", "ns", &self.httpsig).versus(VERIFY, ours, None),
        ]
    }
}

/// The usual way with good parts: both fields parsed by `sfv` into its own types, the base built from the raw
/// parameters, the MAC by ring.
fn sfv_and_ring(fixture: &Fixture) -> Result<f64> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &fixture.key.0);
    fixture.each(|headers| by_sfv_and_ring(&key, headers).is_some())
}

fn by_sfv_and_ring(key: &ring::hmac::Key, headers: &HeaderMap) -> Option<()> {
    let field = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    let raw = field("signature-input")?;
    let inputs: sfv::Dictionary = sfv::Parser::new(raw).parse().ok()?;
    let signatures: sfv::Dictionary = sfv::Parser::new(field("signature")?).parse().ok()?;
    let (label, sfv::ListEntry::InnerList(covered)) = inputs.first()? else {
        return None;
    };
    let mut base = Vec::with_capacity(512);
    for component in &covered.items {
        let name = component.bare_item.as_string()?.as_str();
        let value = match name {
            "@method" => "GET",
            "@authority" => AUTHORITY,
            "@path" => PATH,
            "@query" => "?",
            field => headers.get(field)?.to_str().ok()?,
        };
        for part in ["\"", name, "\": ", value, "\n"] {
            base.extend_from_slice(part.as_bytes());
        }
    }
    base.extend_from_slice(b"\"@signature-params\": ");
    base.extend_from_slice(raw.get(label.as_str().len() + 1..)?);
    let sfv::ListEntry::Item(signature) = signatures.get(label)? else {
        return None;
    };
    ring::hmac::verify(key, &base, signature.bare_item.as_byte_sequence()?).ok()
}

/// The crate for hyper. It accepts only its own order of parameters, so it signs for itself; one request, again and
/// again, since it remembers nothing.
fn httpsig_hyper(fixture: &Fixture) -> Result<f64> {
    let key = SharedKey::from_base64(
        &httpsig_hyper::prelude::AlgorithmName::HmacSha256,
        &STANDARD.encode(fixture.key.0),
    )?;
    let names = ["@method", "@authority", "@path", "@query"];
    let covered = names
        .map(HttpMessageComponentId::try_from)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let theirs = fixture.requests.first().context("no requests")?;
    let input = theirs
        .get("signature-input")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let keyid = input
        .split("keyid=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default();
    let mut parameters = HttpSignatureParams::try_new(&covered)?;
    parameters
        .set_created(now().wall.seconds())
        .set_nonce("q1Zx8Rk0pA2m.0")
        .set_keyid(keyid)
        .set_tag("portcullis-1")
        .set_alg(&httpsig_hyper::prelude::AlgorithmName::HmacSha256);
    let uri = format!("https://{AUTHORITY}{PATH}");
    let mut request = http::Request::get(uri).body(Empty::<Bytes>::new())?;
    request.headers_mut().extend(theirs.clone());
    request.headers_mut().remove("signature");
    request.headers_mut().remove("signature-input");
    request
        .set_message_signature_sync(&parameters, &key, Some("portcullis"))
        .map_err(|error| anyhow!("httpsig-hyper did not sign: {error}"))?;
    let count = fixture.count() / 10;
    let mut right = 0;
    let each = per_item(count, || {
        for _ in 0..count {
            right += u32::from(black_box(&request).verify_message_signature_sync(&key, None).is_ok());
        }
    });
    ensure!(right == count, "{right} of {count} were right");
    Ok(each)
}
