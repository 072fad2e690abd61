//! Makes the requests of the corpus: a signed one is edited before and after it is signed.
//!
//! What is signed is what a careless signer would sign: whatever the edited fields say, in the profile or not. So a
//! refusal is never due to a wrong MAC where the case is about something else.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_reference::fields::{self, Bare, Member};
use portcullis_reference::serialise;
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha512};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    requests: Requests,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    get: String,
    post: String,
}

/// One request and what is to become of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) why: String,
    /// The name of the problem; empty: it passes.
    #[serde(default)]
    pub(crate) problem: String,
    #[serde(default)]
    of: Of,
    /// Edits before it is signed.
    #[serde(default)]
    signed: Vec<(String, String)>,
    /// Edits afterwards.
    #[serde(default)]
    sent: Vec<(String, String)>,
    #[serde(skip)]
    template: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Of {
    #[default]
    Get,
    Post,
}

/// A session of the gate, or of another one.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) key: [u8; 32],
}

/// Reads the corpus.
pub(crate) fn corpus() -> Result<Vec<Case>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/refused.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let File { requests, mut case } = toml::from_str(&text).context("refused.toml")?;
    for case in &mut case {
        case.template = match case.of {
            Of::Get => requests.get.clone(),
            Of::Post => requests.post.clone(),
        };
        for (old, new) in case.signed.iter().chain(&case.sent) {
            ensure!(old != new, "{}: an edit that changes nothing", case.name);
        }
    }
    Ok(case)
}

impl Case {
    /// The request as it is sent, lines ending with a line feed. The sessions: its own, another one of the same gate, one
    /// of another gate.
    pub(crate) fn text(&self, host: &str, now: u64, sessions: &[Session; 3]) -> String {
        let signed = edited(&self.name, &self.template, &self.signed);
        let body = signed.split_once("\n\n").map_or("", |(_, body)| body).to_owned();
        let fill = |text: &str| filled(text, host, now, &body, sessions);
        let base = base(&fill(&signed));
        let sent = fill(&edited(&self.name, &signed, &self.sent));
        let [own, another, _] = sessions;
        let mac = mac(&own.key, &base);
        let mut flipped = mac;
        flipped[31] ^= 1;
        let macs: [(&str, Vec<u8>); 8] = [
            ("$MAC_OF_ANOTHER", self::mac(&another.key, &base).to_vec()),
            ("$MAC_OF_ZEROS", self::mac(&[0; 32], &base).to_vec()),
            ("$MAC_OF_NOTHING", self::mac(&own.key, "").to_vec()),
            (
                "$MAC_OF_CRLF",
                self::mac(&own.key, &base.replace('\n', "\r\n")).to_vec(),
            ),
            ("$FLIPPED", flipped.to_vec()),
            ("$HALF", mac[..16].to_vec()),
            ("$LONGER", [&mac[..], &[0]].concat()),
            ("$MAC", mac.to_vec()),
        ];
        macs.iter()
            .fold(sent, |text, (mark, bytes)| text.replace(mark, &STANDARD.encode(bytes)))
    }
}

/// Each edit must find its place. `$REST` at the end of what is looked for stands for the rest of the line.
fn edited(name: &str, text: &str, edits: &[(String, String)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (old, new)| {
        let Some(beginning) = old.strip_suffix("$REST\n") else {
            assert!(text.contains(old), "{name}: {old:?} is not in\n{text}");
            return text.replacen(old, new, 1);
        };
        let start = text.find(beginning).unwrap();
        let end = start + text[start..].find('\n').unwrap() + 1;
        format!("{}{new}{}", &text[..start], &text[end..])
    })
}

fn filled(text: &str, host: &str, now: u64, body: &str, [own, another, foreign]: &[Session; 3]) -> String {
    let id = own.id.as_str();
    // The last character but one of the seal: no bits of it are padding.
    let (start, end) = id.split_at(id.len() - 2);
    let forged = format!("{start}{}", if end.starts_with('A') { "BA" } else { "AA" });
    let sha256 = |text: &str| STANDARD.encode(Sha256::digest(text));
    let sha512 = |text: &str| STANDARD.encode(Sha512::digest(text));
    let marks = [
        ("$HOST", host.to_owned()),
        ("$NOW", now.to_string()),
        ("$SOON", (now + 3).to_string()),
        ("$AHEAD", (now + 20).to_string()),
        ("$AGED", (now - 40).to_string()),
        ("$STREAM", "corpus-stream".to_owned()),
        ("$SESSION", own.id.clone()),
        ("$ANOTHER", another.id.clone()),
        ("$FOREIGN", foreign.id.clone()),
        ("$CUT", id[..id.len() - 4].to_owned()),
        ("$FORGED", forged),
        ("$SHA256_OF_ANOTHER", sha256("another body")),
        ("$SHA512_OF_ANOTHER", sha512("another body")),
        ("$SHA256", sha256(body)),
        ("$SHA512", sha512(body)),
    ];
    marks
        .into_iter()
        .fold(text.to_owned(), |text, (mark, value)| text.replace(mark, &value))
}

/// The head of a request, and its body.
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Head {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (head, body) = text.split_once("\n\n").context("no end of the head")?;
        let mut lines = head.lines();
        let mut words = lines.next().context("no request line")?.split(' ');
        let (method, target) = (words.next().context("no method")?, words.next().context("no target")?);
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').with_context(|| format!("no field: {line}"))?;
            headers.append(
                HeaderName::try_from(name)?,
                HeaderValue::from_bytes(value.trim().as_bytes())?,
            );
        }
        Ok(Self {
            method: Method::from_bytes(method.as_bytes())?,
            target: target.to_owned(),
            headers,
            body: body.to_owned(),
        })
    }
}

/// What a careless signer signs; nothing where the fields do not even parse.
fn base(text: &str) -> String {
    let head = Head::parse(text).unwrap();
    let lines: Vec<&[u8]> = head
        .headers
        .get_all("signature-input")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let members = fields::dictionary(&lines.join(&b", "[..])).unwrap_or_default();
    // A signature for somebody else comes first, if there is one.
    let Some((_, Member::List(items, parameters))) = members.last() else {
        return String::new();
    };
    let line = |item: &(Bare, fields::Parameters)| {
        let identifier = serialise::inner_list(std::slice::from_ref(item), &Vec::new());
        let name = if let Bare::Text(name) = &item.0 {
            name.as_str()
        } else {
            ""
        };
        format!("{}: {}\n", identifier.trim_matches(['(', ')']), value(&head, name))
    };
    let lines: String = items.iter().map(line).collect();
    format!(
        "{lines}\"@signature-params\": {}",
        serialise::inner_list(items, parameters)
    )
}

fn value(head: &Head, name: &str) -> String {
    let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
    let host = head
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    match name {
        "@method" => head.method.to_string(),
        "@authority" => host.to_owned(),
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        "@target-uri" => format!("http://{host}{}", head.target),
        "@request-target" => head.target.clone(),
        "@scheme" => "http".to_owned(),
        field => {
            let values = head.headers.get_all(field.to_ascii_lowercase());
            let values: Vec<_> = values
                .iter()
                .map(|value| value.to_str().unwrap_or_default().trim())
                .collect();
            values.join(", ")
        }
    }
}

fn mac(key: &[u8], base: &str) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(base.as_bytes());
    mac.finalize().into_bytes().into()
}
