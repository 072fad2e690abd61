//! Tickets: a signature in the query, for what cannot carry header fields (docs/protocol.md section 2, "Tickets").

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, Method};

use super::components::Components;
use super::digest::{self, Claimed};
use super::input::{FIELDS_LIMIT, Fields, Presented};
use super::{SignatureBytes, parse};
use crate::path::hex_digit;
use crate::policy::Freshness;
use crate::refusal::Refusal;
use crate::time::WallMillis;

/// The name of the parameter; it has one spelling.
pub const PARAMETER: &str = "portcullis-ticket";
/// Tells tickets from signatures in fields, so that neither passes for the other.
pub const TICKET_TAG: &str = "portcullis-ticket-1";
/// `expires` lies at most so many seconds after `created`.
pub const LONGEST_LIFE: i64 = 30;

/// A query, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// What is signed, what rules see and what the application gets; `None` if nothing is left.
    pub rest: Option<&'a str>,
    /// The value of the ticket.
    pub ticket: Option<&'a str>,
}

impl<'a> Query<'a> {
    /// Takes the ticket out of a query.
    ///
    /// # Errors
    /// [`Refusal::TicketMisplaced`] if there are two, one is not the last parameter, or its name is spelled in another
    /// way: somebody else may read that differently.
    pub fn split(query: Option<&'a str>) -> Result<Self, Refusal> {
        let Some(query) = query else { return Ok(Self::default()) };
        let (before, last) = match query.rsplit_once('&') {
            Some((before, last)) => (Some(before), last),
            None => (None, query),
        };
        let ticket = last.strip_prefix(PARAMETER).and_then(|rest| rest.strip_prefix('='));
        let rest = if ticket.is_some() { before } else { Some(query) };
        let mut parameters = rest.unwrap_or_default().split('&');
        if parameters.any(is_ticket) {
            return Err(Refusal::TicketMisplaced);
        }
        Ok(Self { rest, ticket })
    }
}

/// Whether an application would take this for a parameter of our name.
fn is_ticket(parameter: &str) -> bool {
    let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
    if name.len() < PARAMETER.len() {
        return false;
    }
    let mut bytes = name.bytes();
    let decoded = std::iter::from_fn(|| match bytes.next()? {
        b'%' => {
            let mut digits = bytes.clone();
            let value = digits.next().and_then(hex_digit).zip(digits.next().and_then(hex_digit));
            let Some((high, low)) = value else { return Some(b'%') };
            bytes = digits;
            Some(high << 4 | low)
        }
        byte => Some(byte),
    });
    decoded.eq(PARAMETER.bytes())
}

/// A ticket in its two halves.
pub struct Ticket {
    /// As a member of `Signature-Input`, which is what it would be in a field.
    input: String,
    signature: SignatureBytes,
}

/// A ticket that was read. Nothing is proved yet.
pub struct PresentedTicket<'a> {
    /// The signature in it.
    pub presented: Presented<'a>,
    digest: Option<Cow<'a, str>>,
}

impl Ticket {
    /// Decodes the value of the parameter.
    ///
    /// # Errors
    /// [`Refusal::SignatureMalformed`].
    pub fn decode(value: &str) -> Result<Self, Refusal> {
        let decoded = || {
            let (parameters, signature) = value.split_once('.').filter(|_| value.len() <= FIELDS_LIMIT)?;
            let parameters = String::from_utf8(URL_SAFE_NO_PAD.decode(parameters).ok()?).ok()?;
            let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
            Some(Self {
                input: format!("t={parameters}"),
                signature: SignatureBytes::new(&signature).unwrap_or(SignatureBytes::NONE),
            })
        };
        decoded().ok_or(Refusal::SignatureMalformed)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Refusal::SignatureMalformed`] if it is not one member with all parameters of a ticket.
    pub fn present(&self) -> Result<PresentedTicket<'_>, Refusal> {
        let read = || {
            let mut members = parse::signature_input(self.input.as_bytes())?;
            let member = members.pop().filter(|_| members.is_empty())?;
            let life = member.expires? - member.created?;
            if member.malformed || member.tag.as_deref() != Some(TICKET_TAG) || !(0..=LONGEST_LIFE).contains(&life) {
                return None;
            }
            let components: Components<'_> = member.components.into_iter().collect::<Option<_>>()?;
            Some(PresentedTicket {
                presented: Presented {
                    components,
                    created: member.created?,
                    expires: member.expires,
                    nonce: member.nonce?,
                    keyid: member.keyid?,
                    alg: member.alg?,
                    parameters: Cow::Owned(member.serialised),
                    signature: self.signature,
                },
                digest: member.digest,
            })
        };
        read().ok_or(Refusal::SignatureMalformed)
    }
}

impl PresentedTicket<'_> {
    /// Whether it covers what it must and stands alone.
    ///
    /// # Errors
    /// [`Refusal::SignatureAmbiguous`] beside a signature of ours in the fields, [`Refusal::SignatureIncomplete`], and
    /// what [`Presented::check_freshness`] returns.
    pub fn check(&self, headers: &HeaderMap, freshness: &Freshness, now: WallMillis) -> Result<(), Refusal> {
        let in_fields = Fields::of(headers).and_then(|fields| fields.present().map(drop));
        if in_fields != Err(Refusal::SignatureMissing) {
            return Err(Refusal::SignatureAmbiguous);
        }
        self.presented.check_coverage(headers, false)?;
        self.presented.check_freshness(freshness, now)
    }

    /// What the body must be.
    ///
    /// # Errors
    /// [`Refusal::DigestMissing`].
    pub fn claimed(&self) -> Result<Claimed, Refusal> {
        let digest = self.digest.as_deref().ok_or(Refusal::DigestMissing)?;
        let value = HeaderValue::from_str(digest).map_err(|_| Refusal::DigestMissing)?;
        digest::claimed(&HeaderMap::from_iter([(digest::CONTENT_DIGEST, value)]))
    }
}

/// Whether requests with this method may carry a ticket: what elements and beacons send.
#[must_use]
pub fn is_for(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::POST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(query: &str) -> Result<(Option<&str>, Option<&str>), Refusal> {
        Query::split(Some(query)).map(|query| (query.rest, query.ticket))
    }

    #[test]
    fn a_ticket_is_the_last_parameter() {
        assert_eq!(Query::split(None), Ok(Query::default()));
        assert_eq!(split(""), Ok((Some(""), None)));
        assert_eq!(split("a=1&b"), Ok((Some("a=1&b"), None)));
        assert_eq!(split("portcullis-ticket=x.y"), Ok((None, Some("x.y"))));
        assert_eq!(split("a=1&&portcullis-ticket=x=y"), Ok((Some("a=1&"), Some("x=y"))));
        assert_eq!(split("&portcullis-ticket="), Ok((Some(""), Some(""))));
        for other in [
            "portcullis-tickets=1",
            "Portcullis-Ticket=1",
            "a=portcullis-ticket",
            "portcullis-ticke%7=1",
            "%",
        ] {
            assert_eq!(split(other), Ok((Some(other), None)), "{other}");
        }
    }

    #[test]
    fn whatever_else_could_be_taken_for_one_is_refused() {
        for query in [
            "portcullis-ticket",
            "portcullis-ticket=x&a=1",
            "portcullis-ticket=x&",
            "portcullis-ticket=x&portcullis-ticket=x",
            "portcullis%2dticket=x",
            "a=1&%70ortcullis-ticket=x",
            "%70ortcullis-ticket&portcullis-ticket=x",
        ] {
            assert_eq!(split(query), Err(Refusal::TicketMisplaced), "{query}");
        }
    }

    const PARAMETERS: &str = r#"("@method" "@authority" "@path" "@query");created=100;expires=130;nonce="n";keyid="k";alg="hmac-sha256";digest="sha-256=:AA==:";tag="portcullis-ticket-1""#;

    fn present(parameters: &str) -> Option<(i64, Option<i64>, usize)> {
        let value = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(parameters),
            URL_SAFE_NO_PAD.encode([7; 32])
        );
        let ticket = Ticket::decode(&value).ok()?;
        let presented = ticket.present().ok()?;
        assert_eq!(presented.presented.parameters, parameters, "as it was signed");
        let PresentedTicket { presented, .. } = presented;
        Some((
            presented.created,
            presented.expires,
            presented.signature.as_slice().len(),
        ))
    }

    #[test]
    fn a_ticket_has_all_its_parameters_and_a_short_life() {
        assert_eq!(present(PARAMETERS), Some((100, Some(130), 32)));
        for (from, to) in [
            ("expires=130", "expires=131"),
            ("expires=130", "expires=99"),
            (";expires=130", ""),
            (";created=100", ""),
            (";nonce=\"n\"", ""),
            (";keyid=\"k\"", ""),
            (";alg=\"hmac-sha256\"", ""),
            ("portcullis-ticket-1", "portcullis-1"),
            ("tag=\"portcullis-ticket-1\"", "tag=\"portcullis-ticket-1\", u=()"),
            ("(", ""),
            ("\"@query\")", "\"@query\";req)"),
        ] {
            let changed = PARAMETERS.replacen(from, to, 1);
            assert_ne!(changed, PARAMETERS);
            assert_eq!(present(&changed), None, "{changed}");
        }
        for value in ["", ".", "a", "a.b.c", "!.!", "KA"] {
            let refused = Ticket::decode(value).and_then(|ticket| ticket.present().map(drop));
            assert_eq!(refused, Err(Refusal::SignatureMalformed), "{value}");
        }
    }
}
