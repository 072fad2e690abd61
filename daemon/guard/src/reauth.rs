//! What a client is told to do to get in: the `WWW-Authenticate` and `Accept-Signature` fields of a 401; and how a session
//! that cannot go on comes back through the application's login.

mod route;
mod word;

pub use route::{LoginRoute, LoginRoutes, Return};
pub use word::{PORTCULLIS_SESSION, PORTCULLIS_USER, SessionWord, WordError};

use crate::signature::{HMAC_SHA256, TAG};

/// The challenge of every 401.
pub const WWW_AUTHENTICATE: &str = "Signature realm=\"portcullis\", profile=\"portcullis-1\"";

/// `Accept-Signature` (RFC 9421 section 5.1); with a nonce of the gate's choice where one is needed.
#[must_use]
pub fn accept_signature(has_body: bool, fresh: Option<(&str, &str)>) -> String {
    let body = if has_body {
        " \"content-digest\" \"content-type\""
    } else {
        ""
    };
    let nonce = match fresh {
        Some((session_id, nonce)) => format!(";keyid=\"{session_id}\";nonce=\"{nonce}\""),
        None => String::new(),
    };
    format!(
        "portcullis=(\"@method\" \"@authority\" \"@path\" \"@query\"{body});created{nonce};alg=\"{HMAC_SHA256}\";tag=\"{TAG}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_may_be_asked() {
        assert_eq!(
            accept_signature(false, None),
            r#"portcullis=("@method" "@authority" "@path" "@query");created;alg="hmac-sha256";tag="portcullis-1""#
        );
        assert_eq!(
            accept_signature(true, Some(("KEY", "~abc.0"))),
            concat!(
                r#"portcullis=("@method" "@authority" "@path" "@query" "content-digest" "content-type");created;"#,
                r#"keyid="KEY";nonce="~abc.0";alg="hmac-sha256";tag="portcullis-1""#
            )
        );
    }
}
