//! Tickets (docs/protocol.md section 2, "Tickets"): the query around them, and what they say.

use portcullis_guard::signature::ticket::{Query, Ticket};

use super::fields::{Bare, Member};
use super::profile::{self, Seen};
use super::{Agreed, Disagreement, base64, same};

const NAME: &str = "portcullis-ticket";

/// A query. Nobody who decodes names may find a ticket where the guard found none, or more than one.
///
/// # Errors
/// [`Disagreement`].
pub fn query(data: &[u8]) -> Agreed {
    let Ok(text) = std::str::from_utf8(data) else {
        return Ok(false);
    };
    let Ok(split) = Query::split(Some(text)) else {
        return Ok(false);
    };
    let parameters: Vec<&str> = text.split('&').collect();
    let named: Vec<usize> = (0..parameters.len())
        .filter(|&place| name(parameters[place]) == NAME.as_bytes())
        .collect();
    let (rest, ticket) = match named[..] {
        [] => (Some(text.to_owned()), None),
        [place] if place + 1 == parameters.len() && parameters[place].starts_with(&format!("{NAME}=")) => {
            let before = &parameters[..place];
            (
                (!before.is_empty()).then(|| before.join("&")),
                parameters[place].split_once('=').map(|(_, value)| value),
            )
        }
        _ => return Err(Disagreement(format!("{text:?} was taken apart"))),
    };
    same("the rest", &split.rest, &rest.as_deref())?;
    same("the ticket", &split.ticket, &ticket)?;
    Ok(true)
}

/// The name of a parameter as an application decodes it.
fn name(parameter: &str) -> Vec<u8> {
    let text = parameter.split('=').next().unwrap_or_default().as_bytes();
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = hex
            .filter(|digits| text[at] == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(text[at]));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    bytes
}

/// The parameters of a ticket, a line feed and the bytes of the signature; or, without line feed, a whole value.
///
/// # Errors
/// [`Disagreement`].
pub fn ticket(data: &[u8]) -> Agreed {
    let end = data.iter().rposition(|byte| *byte == b'\n');
    let value = match end {
        Some(end) => {
            let encode = |bytes| base64::encode(base64::URL_SAFE, bytes);
            format!("{}.{}", encode(&data[..end]), encode(&data[end + 1..]))
        }
        None => String::from_utf8_lossy(data).into_owned(),
    };
    let Ok(ticket) = Ticket::decode(&value) else {
        return Ok(false);
    };
    let Ok(read) = ticket.present() else { return Ok(false) };
    let guard = &read.presented;
    let seen = present(&value).ok_or_else(|| Disagreement(format!("the ticket {value:?} was accepted")))?;
    let guard = Seen {
        label: "t".to_owned(),
        components: guard.components.iter().map(str::to_owned).collect(),
        created: guard.created,
        expires: guard.expires,
        nonce: guard.nonce.to_string(),
        keyid: guard.keyid.to_string(),
        alg: guard.alg.to_string(),
        parameters: guard.parameters.to_string(),
        signature: guard.signature.as_slice().to_vec(),
    };
    same("the ticket", &guard, &seen)?;
    Ok(true)
}

/// Reads a value; `None` if it is to be refused.
fn present(value: &str) -> Option<Seen> {
    let (parameters, signature) = value.split_once('.')?;
    let (text, signature) = (decode(parameters)?, decode(signature)?);
    let members = super::fields::dictionary(&[b"t=", &text[..]].concat())?;
    let [(label, Member::List(items, parameters))] = &members[..] else {
        return None;
    };
    let is_whole = value.len() <= 4096 && label == "t";
    // The same as a member of the field, but for its tag.
    let seen = profile::read(label, items, parameters, "portcullis-ticket-1", signature)?;
    let digest = profile::last(parameters, "digest");
    let is_text = digest.is_none_or(|digest| matches!(digest, Bare::Text(_)));
    let life = seen.expires? - seen.created;
    (is_whole && is_text && (0..=30).contains(&life)).then_some(seen)
}

/// Bare base64url that is spelled as it is encoded.
fn decode(text: &str) -> Option<Vec<u8>> {
    let standard = text.replace('-', "+").replace('_', "/");
    let bytes = base64::decode(standard.as_bytes())?;
    (base64::encode(base64::URL_SAFE, &bytes) == text).then_some(bytes)
}
