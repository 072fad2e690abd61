//! Finding the one signature that is ours, and reading it strictly.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use http::header::{self, HeaderName};

use super::components::Components;
use super::parse::{self, Member};
use super::{CONTENT_DIGEST, CONTENT_TYPE, REQUIRED, SignatureBytes, TAG, digest, strict};
use crate::head::Head;
use crate::policy::Freshness;
use crate::refusal::Refusal;
use crate::time::WallMillis;

/// The field that describes signatures (RFC 9421 section 4.1).
pub const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");
/// The field that carries them (RFC 9421 section 4.2).
pub const SIGNATURE: HeaderName = HeaderName::from_static("signature");

/// Both fields together may be this long; a client of ours needs 400 bytes.
pub const FIELDS_LIMIT: usize = 4096;

/// Signatures that one request may carry, ours and others'.
const MOST_SIGNATURES: usize = 16;

/// The two fields of a request, joined where they came in several lines.
pub struct Fields<'a> {
    input: Cow<'a, [u8]>,
    signature: Cow<'a, [u8]>,
}

/// A signature that claims to be ours and is complete. Nothing is proved yet.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    /// Names of the covered components, in the client's order.
    pub components: Components<'a>,
    /// Seconds since the Unix epoch.
    pub created: i64,
    /// The client's own limit.
    pub expires: Option<i64>,
    /// As sent.
    pub nonce: Cow<'a, str>,
    /// As sent.
    pub keyid: Cow<'a, str>,
    /// As sent.
    pub alg: Cow<'a, str>,
    /// The value of `@signature-params`.
    pub parameters: Cow<'a, str>,
    /// The bytes of the signature; none where they are too many to be one.
    pub signature: SignatureBytes,
}

impl<'a> Fields<'a> {
    /// Takes the fields of a request.
    ///
    /// # Errors
    /// [`Refusal::SignatureMissing`] without `Signature-Input`; [`Refusal::SignatureMalformed`] if they are too long.
    pub fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let head = Head::of(headers);
        Self::joined(head.input, head.signature)
    }

    /// The same, of fields that were joined already.
    pub(crate) fn joined(input: Option<Cow<'a, [u8]>>, signature: Option<Cow<'a, [u8]>>) -> Result<Self, Refusal> {
        let input = input.ok_or(Refusal::SignatureMissing)?;
        let signature = signature.unwrap_or_default();
        if input.len() > FIELDS_LIMIT || signature.len() > FIELDS_LIMIT {
            Err(Refusal::SignatureMalformed)
        } else {
            Ok(Self { input, signature })
        }
    }

    /// Finds the signature with our tag.
    ///
    /// # Errors
    /// [`Refusal::SignatureMissing`], [`Refusal::SignatureMalformed`] or [`Refusal::SignatureAmbiguous`].
    pub fn present(&self) -> Result<Presented<'_>, Refusal> {
        match self.present_strict() {
            Some(presented) => Ok(presented),
            None => self.present_parsed(),
        }
    }

    /// The short way for what is spelled as our own clients do.
    fn present_strict(&self) -> Option<Presented<'_>> {
        let member = strict::signature_input(&self.input)?;
        let signature = strict::signature(&self.signature, member.label)?;
        Some(Presented {
            components: member.components,
            created: member.created,
            expires: None,
            nonce: Cow::Borrowed(member.nonce),
            keyid: Cow::Borrowed(member.keyid),
            alg: Cow::Borrowed(member.alg),
            parameters: Cow::Borrowed(member.parameters),
            signature,
        })
    }

    fn present_parsed(&self) -> Result<Presented<'_>, Refusal> {
        let inputs = parse::signature_input(&self.input).ok_or(Refusal::SignatureMalformed)?;
        let mut signatures = parse::byte_sequences(&self.signature).ok_or(Refusal::SignatureMalformed)?;
        if inputs.len() > MOST_SIGNATURES || signatures.len() > MOST_SIGNATURES {
            return Err(Refusal::SignatureMalformed);
        }
        if has_double(inputs.iter().map(|member| member.label))
            || has_double(signatures.iter().map(|(label, _)| *label))
        {
            return Err(Refusal::SignatureAmbiguous);
        }
        let mut ours = inputs.into_iter().filter(|member| member.tag.as_deref() == Some(TAG));
        let member = ours.next().ok_or(Refusal::SignatureMissing)?;
        if ours.next().is_some() {
            return Err(Refusal::SignatureAmbiguous);
        }
        let position = signatures.iter().position(|(label, _)| *label == member.label);
        let signature = position.map(|position| signatures.swap_remove(position).1);
        complete(member, signature.flatten()).ok_or(Refusal::SignatureMalformed)
    }
}

fn has_double<'a>(labels: impl Iterator<Item = &'a str>) -> bool {
    let labels: Vec<_> = labels.collect();
    labels
        .iter()
        .enumerate()
        .any(|(index, label)| labels[..index].contains(label))
}

fn complete(member: Member<'_>, signature: Option<Vec<u8>>) -> Option<Presented<'_>> {
    if member.malformed {
        return None;
    }
    Some(Presented {
        components: member.components.into_iter().collect::<Option<_>>()?,
        created: member.created?,
        expires: member.expires,
        nonce: member.nonce?,
        keyid: member.keyid?,
        alg: member.alg?,
        parameters: Cow::Owned(member.serialised),
        signature: SignatureBytes::new(&signature?).unwrap_or(SignatureBytes::NONE),
    })
}

impl Presented<'_> {
    /// Whether everything is covered that this request needs covered, each once.
    ///
    /// # Errors
    /// [`Refusal::SignatureIncomplete`]; [`Refusal::SignatureAmbiguous`] for a component named twice.
    pub fn check_coverage(&self, headers: &HeaderMap, has_body: bool) -> Result<(), Refusal> {
        // So our own clients sign a call without a body.
        if !has_body && self.components.are(&REQUIRED) {
            return Ok(());
        }
        if self.components.has_double() {
            return Err(Refusal::SignatureAmbiguous);
        }
        let covers = |name: &str| self.components.covers(name);
        let body_covered = !has_body
            || (covers(CONTENT_DIGEST) && (covers(CONTENT_TYPE) || !headers.contains_key(header::CONTENT_TYPE)));
        if has_body && !headers.contains_key(digest::CONTENT_DIGEST) {
            return Err(Refusal::DigestMissing);
        }
        if REQUIRED.iter().all(|name| covers(name)) && body_covered {
            Ok(())
        } else {
            Err(Refusal::SignatureIncomplete)
        }
    }
}

impl Presented<'_> {
    /// Whether the type of a body is covered, if it has one: what it is read as is signed, whoever compares the body.
    ///
    /// # Errors
    /// [`Refusal::SignatureIncomplete`].
    pub fn check_content_type(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if self.components.covers(CONTENT_TYPE) || !headers.contains_key(header::CONTENT_TYPE) {
            Ok(())
        } else {
            Err(Refusal::SignatureIncomplete)
        }
    }

    /// Whether the signature was made just now.
    ///
    /// # Errors
    /// [`Refusal::SignatureExpired`] or [`Refusal::SignatureFromFuture`].
    pub fn check_freshness(&self, freshness: &Freshness, now: WallMillis) -> Result<(), Refusal> {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let now = i64::try_from(now.seconds()).unwrap_or(i64::MAX);
        let age = now.saturating_sub(self.created);
        if age > seconds(freshness.max_age) || self.expires.is_some_and(|expires| expires < now) {
            Err(Refusal::SignatureExpired)
        } else if age < -seconds(freshness.max_ahead) {
            Err(Refusal::SignatureFromFuture)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(input: &[&str], signature: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in input {
            headers.append(SIGNATURE_INPUT, HeaderValue::from_str(value).unwrap());
        }
        for value in signature {
            headers.append(SIGNATURE, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn present(headers: &HeaderMap) -> Result<Presented<'static>, Refusal> {
        let fields = Fields::of(headers)?;
        let presented = fields.present()?;
        Ok(Presented {
            components: presented
                .components
                .iter()
                .map(|name| Cow::Owned(name.to_owned()))
                .collect(),
            parameters: presented.parameters.into_owned().into(),
            nonce: presented.nonce.into_owned().into(),
            keyid: presented.keyid.into_owned().into(),
            alg: presented.alg.into_owned().into(),
            ..presented
        })
    }

    const OURS: &str = r#"p=("@method" "@authority" "@path" "@query");created=1;nonce="n";keyid="k";alg="hmac-sha256";tag="portcullis-1""#;

    #[test]
    fn ours_is_found_among_others() {
        let other = r#"x=("@method");created=1;tag="other""#;
        let presented = present(&headers(&[other, OURS], &["x=:AA==:", "p=:AQI=:"])).unwrap();
        assert_eq!(
            presented.components.iter().collect::<Vec<_>>(),
            ["@method", "@authority", "@path", "@query"]
        );
        assert_eq!((presented.signature.as_slice(), presented.created), (&[1, 2][..], 1));
        assert_eq!(format!("p={}", presented.parameters), OURS);
    }

    #[test]
    fn order_and_unknown_parameters_are_kept_and_spelling_is_made_strict() {
        let input = r#"p=( "@query"   "@method" );tag="portcullis-1";odd;x=?0;y=1.50;alg="a";keyid="k\"\\";nonce="n";created=-5"#;
        let presented = present(&headers(&[input], &["p=:AA==:"])).unwrap();
        let strict =
            r#"("@query" "@method");tag="portcullis-1";odd;x=?0;y=1.5;alg="a";keyid="k\"\\";nonce="n";created=-5"#;
        assert_eq!(presented.parameters, strict);
        assert_eq!((presented.keyid.as_ref(), presented.created), ("k\"\\", -5));
    }

    #[test]
    fn each_defect_has_its_refusal() {
        let with = |from: &str, to: &str| OURS.replace(from, to);
        let long = format!("x=(\"{}\")", "a".repeat(FIELDS_LIMIT));
        let cases: [(&[&str], &[&str], Refusal); 17] = [
            (&[], &[], Refusal::SignatureMissing),
            (&[OURS], &[], Refusal::SignatureMalformed),
            (&[], &["p=:AA==:"], Refusal::SignatureMissing),
            (&[OURS], &["q=:AA==:"], Refusal::SignatureMalformed),
            (
                &[&with("portcullis-1", "other")],
                &["p=:AA==:"],
                Refusal::SignatureMissing,
            ),
            (
                &[&with(";tag=\"portcullis-1\"", "")],
                &["p=:AA==:"],
                Refusal::SignatureMissing,
            ),
            (&["p=(\"@method\""], &["p=:AA==:"], Refusal::SignatureMalformed),
            (&[OURS], &["p=AA"], Refusal::SignatureMalformed),
            (&[OURS], &["p=:&:"], Refusal::SignatureMalformed),
            (
                &[&with("created=1", "created=\"1\"")],
                &["p=:AA==:"],
                Refusal::SignatureMalformed,
            ),
            (&[&with("created=1;", "")], &["p=:AA==:"], Refusal::SignatureMalformed),
            (
                &[&with("created=1;", "created=1;created=2;")],
                &["p=:AA==:"],
                Refusal::SignatureMalformed,
            ),
            (
                &[&with("\"@query\"", "\"@query\";req")],
                &["p=:AA==:"],
                Refusal::SignatureMalformed,
            ),
            (&[&long], &["p=:AA==:"], Refusal::SignatureMalformed),
            (&[OURS, OURS], &["p=:AA==:"], Refusal::SignatureAmbiguous),
            (&[OURS], &["p=:AA==:, p=:AA==:"], Refusal::SignatureAmbiguous),
            (
                &[OURS, &with("p=(", "q=(")],
                &["p=:AA==:, q=:AA==:"],
                Refusal::SignatureAmbiguous,
            ),
        ];
        for (input, signature, refusal) in cases {
            assert_eq!(
                present(&headers(input, signature)).err(),
                Some(refusal),
                "{input:?} {signature:?}"
            );
        }
    }

    #[test]
    fn long_lists_are_refused_before_they_are_compared() {
        let many = |item: fn(usize) -> String| (0..100).map(item).collect::<Vec<_>>();
        let components = OURS.replace("\"@query\"", &many(|n| format!("\"x-{n}\"")).join(" "));
        let parameters = format!("{OURS}{}", many(|n| format!(";p{n}")).concat());
        let labels = format!("{OURS}, {}", many(|n| format!("q{n}=()")).join(", "));
        for input in [components, parameters, labels] {
            let refusal = present(&headers(&[&input], &["p=:AA==:"])).err();
            assert_eq!(refusal, Some(Refusal::SignatureMalformed), "{input}");
        }
    }

    #[test]
    fn coverage_depends_on_the_body() {
        let mut fields = headers(&[OURS], &["p=:AA==:"]);
        let presented = present(&fields).unwrap();
        assert_eq!(presented.check_coverage(&fields, false), Ok(()));
        assert_eq!(presented.check_coverage(&fields, true), Err(Refusal::DigestMissing));
        fields.insert(CONTENT_DIGEST, HeaderValue::from_static("sha-256=:AA==:"));
        assert_eq!(
            presented.check_coverage(&fields, true),
            Err(Refusal::SignatureIncomplete)
        );
        let with = |more: &[&str]| {
            let names = presented.components.iter().chain(more.iter().copied());
            Presented {
                components: names.map(|name| Cow::Owned(name.to_owned())).collect(),
                ..presented.clone()
            }
        };
        let with_digest = with(&[CONTENT_DIGEST]);
        assert_eq!(with_digest.check_coverage(&fields, true), Ok(()));
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        assert_eq!(
            with_digest.check_coverage(&fields, true),
            Err(Refusal::SignatureIncomplete)
        );
        let doubled = with(&[CONTENT_DIGEST, "@path"]);
        assert_eq!(doubled.check_coverage(&fields, true), Err(Refusal::SignatureAmbiguous));
    }
}
