//! What docs/protocol.md section 2 and 3 say of a signed request.

use http::{HeaderMap, Method};

use super::fields::{self, Bare, Member};
use super::serialise;

/// Both signature fields may be this long each.
const LONGEST_FIELD: usize = 4096;
const MOST_SIGNATURES: usize = 16;
const MOST_ITEMS: usize = 32;
const LONGEST_SIGNATURE: usize = 64;

/// The signature of a request that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its label.
    pub label: String,
    /// Covered components.
    pub components: Vec<String>,
    /// Seconds.
    pub created: i64,
    /// Seconds.
    pub expires: Option<i64>,
    /// As sent.
    pub nonce: String,
    /// As sent.
    pub keyid: String,
    /// As sent.
    pub alg: String,
    /// The value of `@signature-params`.
    pub parameters: String,
    /// The bytes; none if they are too many to be a signature.
    pub signature: Vec<u8>,
}

/// Finds the one signature with our tag. `None`: the request is to be refused.
#[must_use]
pub fn present(headers: &HeaderMap) -> Option<Seen> {
    let inputs = dictionary(headers, "signature-input")?;
    let signatures = dictionary(headers, "signature")?;
    let is_ours = |(_, member): &&(String, Member)| {
        let (Member::Item(_, parameters) | Member::List(_, parameters)) = member;
        last(parameters, "tag") == Some(&Bare::Text("portcullis-1".to_owned()))
    };
    let ours: Vec<_> = inputs.iter().filter(is_ours).collect();
    let [(label, Member::List(items, parameters))] = ours[..] else {
        return None;
    };
    let (_, signature) = signatures.iter().find(|(name, _)| name == label)?;
    let Member::Item(Bare::Bytes(signature), _) = signature else {
        return None;
    };
    read(label, items, parameters, "portcullis-1", signature.clone())
}

/// A member with this tag and all that it must say.
pub(crate) fn read(
    label: &str,
    items: &[(Bare, fields::Parameters)],
    parameters: &fields::Parameters,
    tag: &str,
    signature: Vec<u8>,
) -> Option<Seen> {
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    if items.len() > MOST_ITEMS || parameters.len() > MOST_ITEMS || has_double(&names) {
        return None;
    }
    let component = |(item, parameters): &(Bare, _)| match (item, parameters) {
        (Bare::Text(name), parameters) if Vec::is_empty(parameters) => Some(name.clone()),
        _ => None,
    };
    let text = |name| match last(parameters, name) {
        Some(Bare::Text(text)) => Some(text.clone()),
        _ => None,
    };
    text("tag").filter(|own| own == tag)?;
    Some(Seen {
        label: label.to_owned(),
        components: items.iter().map(component).collect::<Option<_>>()?,
        created: integer(last(parameters, "created")?)?,
        expires: match last(parameters, "expires") {
            Some(value) => Some(integer(value)?),
            None => None,
        },
        nonce: text("nonce")?,
        keyid: text("keyid")?,
        alg: text("alg")?,
        parameters: serialise::inner_list(items, parameters),
        signature: if signature.len() > LONGEST_SIGNATURE {
            Vec::new()
        } else {
            signature
        },
    })
}

/// A field whose labels are all different and not too many.
fn dictionary(headers: &HeaderMap, name: &str) -> Option<Vec<(String, Member)>> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    let whole = lines.join(&b", "[..]);
    if lines.is_empty() || whole.len() > LONGEST_FIELD {
        return None;
    }
    let members = fields::dictionary(&whole)?;
    let labels: Vec<&str> = members.iter().map(|(label, _)| label.as_str()).collect();
    (members.len() <= MOST_SIGNATURES && !has_double(&labels)).then_some(members)
}

fn integer(item: &Bare) -> Option<i64> {
    if let Bare::Integer(value) = item {
        Some(*value)
    } else {
        None
    }
}

pub(crate) fn last<'a>(parameters: &'a fields::Parameters, name: &str) -> Option<&'a Bare> {
    let mut same = parameters.iter().rev().filter(|(own, _)| own == name);
    same.next().map(|(_, value)| value)
}

fn has_double(names: &[&str]) -> bool {
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// A request, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// As sent.
    pub method: &'a Method,
    /// Lower case, without the default port.
    pub authority: &'a str,
    /// Path and query as sent.
    pub target: &'a str,
    /// All fields.
    pub headers: &'a HeaderMap,
    /// Whether bytes follow.
    pub has_body: bool,
}

/// Whether all is covered that must be, each once.
#[must_use]
pub fn covers_enough(seen: &Seen, parts: &Parts<'_>) -> bool {
    let mut wanted = vec!["@method", "@authority", "@path", "@query"];
    if parts.has_body {
        wanted.push("content-digest");
        if parts.headers.contains_key("content-type") {
            wanted.push("content-type");
        }
    }
    let names: Vec<&str> = seen.components.iter().map(String::as_str).collect();
    !has_double(&names)
        && wanted.iter().all(|name| names.contains(name))
        && (!parts.has_body || parts.headers.contains_key("content-digest"))
}

/// The signature base (RFC 9421 section 2.5); `None` for components outside of the profile.
#[must_use]
pub fn base(seen: &Seen, parts: &Parts<'_>) -> Option<String> {
    let (path, query) = parts.target.split_once('?').unwrap_or((parts.target, ""));
    let mut lines = Vec::new();
    for name in &seen.components {
        let value = match name.as_str() {
            "@method" => parts.method.to_string(),
            "@authority" => parts.authority.to_owned(),
            "@path" if path.is_empty() => "/".to_owned(),
            "@path" => path.to_owned(),
            "@query" => format!("?{query}"),
            field => field_value(parts.headers, field)?,
        };
        lines.push(format!("\"{name}\": {value}"));
    }
    lines.push(format!("\"@signature-params\": {}", seen.parameters));
    Some(lines.join("\n"))
}

fn field_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let is_field = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && byte != b'@';
    if !name.bytes().all(is_field) || !headers.contains_key(name) {
        return None;
    }
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let value = |value: &http::HeaderValue| {
        let text = String::from_utf8(value.as_bytes().to_vec()).ok()?;
        text.bytes()
            .all(|byte| is_text(&byte))
            .then(|| text.trim_matches([' ', '\t']).to_owned())
    };
    let values: Option<Vec<String>> = headers.get_all(name).iter().map(value).collect();
    values.map(|values| values.join(", "))
}

/// Stream and counter of a nonce (section 3).
#[must_use]
pub fn nonce(text: &str) -> Option<(String, u64)> {
    let dot = text.rfind('.')?;
    let (stream, counter) = (&text[..dot], &text[dot + 1..]);
    let name = stream.strip_prefix('~').unwrap_or(stream);
    let is_name = name
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    let value: u64 = counter.parse().ok()?;
    let is_plain = value.to_string() == counter && value < 1 << 48;
    (is_name && (8..=32).contains(&name.len()) && is_plain).then(|| (stream.to_owned(), value))
}

/// Whether a signature was made at most 30 seconds ago and 5 ahead, and is not over.
#[must_use]
pub fn is_fresh(seen: &Seen, now: i64) -> bool {
    let (created, now) = (i128::from(seen.created), i128::from(now));
    let is_over = seen.expires.is_some_and(|expires| i128::from(expires) < now);
    created >= now - 30 && created <= now + 5 && !is_over
}
