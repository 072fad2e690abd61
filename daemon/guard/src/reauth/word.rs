//! What the application says of a session: the `Portcullis-Session` field of its answers, a dictionary of RFC 8941 with
//! exactly one member, `bind="alice"` (or a token or an integer) or `end`.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

/// The field of an answer; towards the application it names the session.
pub const PORTCULLIS_SESSION: HeaderName = HeaderName::from_static("portcullis-session");
/// Towards the application: the user that the session is bound to.
pub const PORTCULLIS_USER: HeaderName = HeaderName::from_static("portcullis-user");

/// All fields by which gate and application talk begin like this. Nobody else sees or sends them.
const OURS: &str = "portcullis-";

/// Longest name of a user, in characters.
const LONGEST_USER: usize = 128;

/// What the application wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionWord {
    /// The session belongs to this user, who has just authenticated.
    Bind(Arc<str>),
    /// The session is over: its user logged out.
    End,
}

/// A field that says neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Portcullis-Session must be `bind=\"USER\"` with 1 to {LONGEST_USER} printable characters, or `end`")]
pub struct WordError;

impl SessionWord {
    /// Takes the gate's fields out of an answer, and reads what they say. `None` if they say nothing.
    ///
    /// # Errors
    /// [`WordError`] for whatever is not exactly one word; the fields are gone all the same.
    pub fn take(headers: &mut HeaderMap) -> Option<Result<Self, WordError>> {
        let ours: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with(OURS))
            .cloned()
            .collect();
        let said = ours.contains(&PORTCULLIS_SESSION).then(|| Self::read(headers));
        ours.iter().for_each(|name| _ = headers.remove(name));
        said
    }

    fn read(headers: &HeaderMap) -> Result<Self, WordError> {
        let mut fields = headers.get_all(PORTCULLIS_SESSION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return Err(WordError);
        };
        let words: sfv::Dictionary = sfv::Parser::new(field.as_bytes()).parse().map_err(|_| WordError)?;
        let mut words = words.iter();
        let (Some((key, sfv::ListEntry::Item(item))), None) = (words.next(), words.next()) else {
            return Err(WordError);
        };
        if !item.params.is_empty() {
            return Err(WordError);
        }
        match (key.as_str(), &item.bare_item) {
            ("end", sfv::BareItem::Boolean(true)) => Ok(Self::End),
            ("bind", sfv::BareItem::String(user)) => bind(user.as_str()),
            ("bind", sfv::BareItem::Token(user)) => bind(user.as_str()),
            ("bind", sfv::BareItem::Integer(user)) => bind(&user.to_string()),
            (_, _) => Err(WordError),
        }
    }
}

fn bind(user: &str) -> Result<SessionWord, WordError> {
    if user.is_empty() || user.len() > LONGEST_USER {
        return Err(WordError);
    }
    Ok(SessionWord::Bind(user.into()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn said(fields: &[&str]) -> Option<Result<SessionWord, WordError>> {
        let mut headers = HeaderMap::new();
        headers.insert("x-kept", HeaderValue::from_static("1"));
        headers.insert("portcullis-other", HeaderValue::from_static("1"));
        for field in fields {
            headers.append(PORTCULLIS_SESSION, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        let said = SessionWord::take(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
        said
    }

    #[test]
    fn the_words() {
        let bound = |field| match said(&[field]) {
            Some(Ok(SessionWord::Bind(user))) => user.to_string(),
            other => panic!("{field}: {other:?}"),
        };
        assert_eq!(bound("bind=alice"), "alice");
        assert_eq!(bound("bind=\"alice@example.com\""), "alice@example.com");
        assert_eq!(bound("bind=42"), "42");
        assert_eq!(bound(&format!("bind=\"{}\"", "x".repeat(128))).len(), 128);
        assert_eq!(said(&["end"]), Some(Ok(SessionWord::End)));
        assert_eq!(said(&["end=?1"]), Some(Ok(SessionWord::End)));
        assert_eq!(said(&[]), None);
    }

    #[test]
    fn whatever_else_is_an_error_and_gone() {
        let long = format!("bind=\"{}\"", "x".repeat(129));
        for fields in [
            &["bind"][..],
            &["bind="],
            &["bind=\"\""],
            &[&long],
            &["bind=alice, end"],
            &["bind=alice, x=1"],
            &["bind=alice;admin"],
            &["bind=(alice)"],
            &["bind=:YWxpY2U=:"],
            &["bind=1.5"],
            &["bind=alice@example.com"],
            &["bind=\"\u{fc}mit\""],
            &["end=?0"],
            &["end=1"],
            &["END"],
            &["other"],
            &[""],
            &["bind=alice", "bind=bob"],
            &["end", "end"],
        ] {
            assert_eq!(said(fields), Some(Err(WordError)), "{fields:?}");
        }
    }
}
