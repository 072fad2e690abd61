//! Signatures made by independent implementations, and what RFC 9421 prints (tests/vectors/README.md).

#![expect(clippy::unwrap_used, reason = "the vectors are ours: a broken one is a broken test")]

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_guard::policy::Freshness;
use portcullis_guard::refusal::Refusal;
use portcullis_guard::session::agreement::{Agreed, AgreementRequest, agree};
use portcullis_guard::session::nonce::Nonce;
use portcullis_guard::session::token::{SessionKey, SigningKey};
use portcullis_guard::signature::algorithm::Algorithm;
use portcullis_guard::signature::base::{Message, signature_base};
use portcullis_guard::signature::digest;
use portcullis_guard::signature::input::Fields;
use portcullis_guard::signature::verify::PublicKey;
use portcullis_guard::signature::{HMAC_SHA256, mac_matches};
use portcullis_guard::time::WallMillis;
use serde::Deserialize;
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct Request {
    scheme: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Deserialize)]
struct ProfileVectors {
    vectors: Vec<ProfileVector>,
}

#[derive(Deserialize)]
struct ProfileVector {
    name: String,
    now: u64,
    key: String,
    session_id: String,
    request: Request,
    problems: Vec<String>,
    base: Option<String>,
    signature: Option<String>,
}

#[derive(Deserialize)]
struct RfcVectors {
    hmac: Vec<HmacVector>,
    public_key: Vec<PublicKeyVector>,
    bases: Vec<BaseVector>,
    lines: Vec<LineVector>,
}

#[derive(Deserialize)]
struct HmacVector {
    key: String,
    base: String,
    signature: String,
}

#[derive(Deserialize)]
struct PublicKeyVector {
    section: String,
    alg: String,
    public_key: String,
    base: String,
    signature: String,
}

#[derive(Deserialize)]
struct BaseVector {
    section: String,
    signature_input: String,
    base: String,
    request: Option<Request>,
}

#[derive(Deserialize)]
struct LineVector {
    section: String,
    request: Request,
    component: String,
    value: String,
}

#[derive(Deserialize)]
struct AgreementVectors {
    vectors: Vec<AgreementVector>,
    refused_public_keys: Vec<RefusedKey>,
}

#[derive(Deserialize)]
struct AgreementVector {
    name: String,
    client_public: String,
    gate_private: String,
    gate_public: String,
    salt: String,
    key: String,
}

#[derive(Deserialize)]
struct RefusedKey {
    name: String,
    public_key: String,
}

fn load<T: for<'a> Deserialize<'a>>(name: &str) -> Result<T> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(name);
    let text = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("failed to parse {}", path.display()))
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let decoded = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD.decode(text)).unwrap();
    decoded.try_into().unwrap()
}

impl Request {
    fn headers(&self) -> HeaderMap {
        let field = |(name, value): &(String, String)| {
            (
                HeaderName::try_from(name.as_str()).unwrap(),
                HeaderValue::try_from(value.trim()).unwrap(),
            )
        };
        let mut headers = HeaderMap::new();
        self.headers
            .iter()
            .map(field)
            .for_each(|(name, value)| _ = headers.append(name, value));
        headers
    }

    fn authority(&self) -> String {
        let host = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = host
            .map(|(_, value)| value.trim().to_ascii_lowercase())
            .unwrap_or_default();
        let default_port = if self.scheme == "https" { ":443" } else { ":80" };
        host.strip_suffix(default_port).map(str::to_owned).unwrap_or(host)
    }

    fn with_message<T>(&self, act: impl FnOnce(Message<'_>) -> T) -> T {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        let (method, headers, authority) = (
            Method::from_bytes(self.method.as_bytes()).unwrap(),
            self.headers(),
            self.authority(),
        );
        act(Message {
            method: &method,
            authority: &authority,
            path,
            query,
            headers: &headers,
        })
    }
}

/// All that the guard checks of a signature by itself, in its order.
fn verify(vector: &ProfileVector, message: Message<'_>) -> Result<(Vec<u8>, Vec<u8>), Refusal> {
    let body = STANDARD.decode(&vector.request.body).unwrap();
    let fields = Fields::of(message.headers)?;
    let presented = fields.present()?;
    presented.check_coverage(message.headers, !body.is_empty())?;
    if presented.alg != HMAC_SHA256 {
        return Err(Refusal::AlgorithmMismatch);
    }
    Nonce::parse(&presented.nonce).map_err(|_| Refusal::NonceMalformed)?;
    if presented.keyid != vector.session_id {
        return Err(Refusal::SessionForged);
    }
    presented.check_freshness(&Freshness::default(), WallMillis(vector.now * 1000))?;
    let components = presented.components.iter();
    let base = signature_base(&message, components, &presented.parameters)?;
    if !mac_matches(
        &SigningKey(bytes(&vector.key)).hmac(),
        &base,
        presented.signature.as_slice(),
    ) {
        return Err(Refusal::SignatureInvalid);
    }
    if !body.is_empty() {
        digest::claimed(message.headers)?.check(&body)?;
    }
    Ok((presented.signature.as_slice().to_vec(), base))
}

#[test]
fn requests_of_the_profile() -> Result<()> {
    let ProfileVectors { vectors } = load("profile.json")?;
    let (mut good, mut bad) = (0, 0);
    for vector in &vectors {
        let outcome = vector.request.with_message(|message| verify(vector, message));
        match (outcome, &vector.base) {
            (Ok((presented, base)), Some(expected)) => {
                ensure!(base == expected.as_bytes(), "{}: another base", vector.name);
                let signature = vector.signature.as_ref().map(|text| STANDARD.decode(text).unwrap());
                ensure!(Some(presented) == signature, "{}: another signature", vector.name);
                good += 1;
            }
            (Err(refusal), None) => {
                let name = refusal.problem().name;
                ensure!(
                    vector.problems.iter().any(|p| p == name),
                    "{}: {name}, not {:?}",
                    vector.name,
                    vector.problems
                );
                bad += 1;
            }
            (Ok(_), None) => anyhow::bail!("{}: passed, but {:?} was expected", vector.name, vector.problems),
            (Err(refusal), Some(_)) => anyhow::bail!("{}: refused as {refusal:?}", vector.name),
        }
    }
    ensure!(good >= 30 && bad >= 30, "only {good} good and {bad} bad vectors");
    Ok(())
}

#[test]
fn rfc_9421_hmac() -> Result<()> {
    let RfcVectors { hmac, .. } = load("rfc9421.json")?;
    ensure!(!hmac.is_empty());
    for vector in &hmac {
        let (key, signature) = (STANDARD.decode(&vector.key)?, STANDARD.decode(&vector.signature)?);
        let mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&key)?;
        ensure!(mac_matches(&mac, vector.base.as_bytes(), &signature));
        ensure!(
            !mac_matches(&mac, vector.base.as_bytes(), &signature[..31]),
            "a shorter MAC"
        );
        ensure!(
            !mac_matches(&mac, format!("{} ", vector.base).as_bytes(), &signature),
            "another base"
        );
    }
    Ok(())
}

#[test]
fn rfc_9421_public_keys() -> Result<()> {
    let RfcVectors { public_key, .. } = load("rfc9421.json")?;
    ensure!(public_key.len() == 2);
    for vector in &public_key {
        let algorithm = Algorithm::named(&vector.alg).context("an algorithm of the profile")?;
        let key = PublicKey::read(algorithm, &STANDARD.decode(&vector.public_key)?).context("a key")?;
        let signature = STANDARD.decode(&vector.signature)?;
        ensure!(key.matches(vector.base.as_bytes(), &signature), "{}", vector.section);
        ensure!(
            !key.matches(format!("{} ", vector.base).as_bytes(), &signature),
            "{}: another base",
            vector.section
        );
    }
    Ok(())
}

/// The bases that RFC 9421 prints for requests. `@query-param`, `@target-uri` and components of responses are outside
/// of the profile and must be refused, not guessed.
#[test]
fn rfc_9421_bases() -> Result<()> {
    let RfcVectors { bases, lines, .. } = load("rfc9421.json")?;
    let mut built = 0;
    for vector in &bases {
        let Some(request) = &vector.request else { continue };
        let list: sfv::List = sfv::Parser::new(&vector.signature_input).parse()?;
        let [sfv::ListEntry::InnerList(covered)] = list.as_slice() else {
            anyhow::bail!("{}: no list", vector.section)
        };
        if covered.items.iter().any(|component| !component.params.is_empty()) {
            continue;
        }
        let names = covered
            .items
            .iter()
            .filter_map(|component| component.bare_item.as_string())
            .map(sfv::StringRef::as_str);
        let base = request.with_message(|message| signature_base(&message, names, &vector.signature_input));
        match base {
            Ok(base) => {
                ensure!(base == vector.base.as_bytes(), "{}: another base", vector.section);
                built += 1;
            }
            Err(refusal) => ensure!(
                refusal == Refusal::ComponentUnsupported,
                "{}: {refusal:?}",
                vector.section
            ),
        }
    }
    ensure!(built >= 2, "only {built} bases were built");
    for line in &lines {
        let built = line
            .request
            .with_message(|message| signature_base(&message, [line.component.trim_matches('"')], ""));
        let Ok(built) = built else { continue };
        let expected = format!(
            "\"{}\": {}\n\"@signature-params\": ",
            line.component.trim_matches('"'),
            line.value
        );
        ensure!(
            String::from_utf8(built)? == expected,
            "{} {}",
            line.section,
            line.component
        );
    }
    Ok(())
}

#[test]
fn key_agreement() -> Result<()> {
    let AgreementVectors {
        vectors,
        refused_public_keys,
    } = load("agreement.json")?;
    for vector in &vectors {
        let request = AgreementRequest::EcdhP256(URL_SAFE_NO_PAD.decode(&vector.client_public)?);
        let (key, agreed) = agree(
            &request,
            &Zeroizing::new(bytes(&vector.gate_private)),
            bytes(&vector.salt),
        )?;
        let Agreed::EcdhP256 { public_key, .. } = agreed else {
            anyhow::bail!("{}: no point", vector.name)
        };
        ensure!(
            public_key == bytes(&vector.gate_public),
            "{}: another public key",
            vector.name
        );
        let SessionKey::Hmac(key) = key else {
            anyhow::bail!("{}: no key of both sides", vector.name)
        };
        ensure!(key.0 == bytes(&vector.key), "{}: another key", vector.name);
    }
    for refused in &refused_public_keys {
        let Ok(point) = URL_SAFE_NO_PAD.decode(&refused.public_key) else {
            continue;
        };
        let outcome = agree(&AgreementRequest::EcdhP256(point), &Zeroizing::new([1; 32]), [0; 32]);
        ensure!(outcome.is_err(), "{} was accepted", refused.name);
    }
    ensure!(!vectors.is_empty() && !refused_public_keys.is_empty());
    Ok(())
}
