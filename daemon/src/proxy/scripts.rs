//! The JavaScript client, as browsers get it: by its name, which is looked at again after five minutes, or by a name with
//! the hash of its content, which never changes.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LOCATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use sha2::{Digest, Sha256};

use super::own::PREFIX;

/// Characters of the hash that are part of a name: 64 bits, against accidents only.
const HASH_LENGTH: usize = 16;

/// One file of the client.
pub(super) struct Script {
    stem: &'static str,
    extension: &'static str,
    source: &'static [u8],
    hash: String,
}

static SCRIPTS: LazyLock<[Script; 3]> = LazyLock::new(|| {
    [
        Script::new("client", "js", include_bytes!("../../../sdk/js/dist/portcullis.js")),
        Script::new("client", "mjs", include_bytes!("../../../sdk/js/dist/portcullis.mjs")),
        Script::new("work", "js", include_bytes!("../../../sdk/js/dist/portcullis.work.js")),
    ]
});

/// The script of this name, and whether the name has its hash.
pub(super) fn named(name: &str) -> Option<(&'static Script, bool)> {
    SCRIPTS.iter().find_map(|script| script.matches(name))
}

impl Script {
    fn new(stem: &'static str, extension: &'static str, source: &'static [u8]) -> Self {
        let digest = Sha256::digest(source);
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            stem,
            extension,
            source,
            hash: hash.chars().take(HASH_LENGTH).collect(),
        }
    }

    fn matches(&'static self, name: &str) -> Option<(&'static Self, bool)> {
        let middle = name.strip_prefix(self.stem)?.strip_suffix(self.extension)?;
        match middle {
            "." => Some((self, false)),
            _ => (middle == format!(".{}.", self.hash)).then_some((self, true)),
        }
    }

    /// What a GET or HEAD of it gets.
    pub(super) fn answer(&self, by_hash: bool, request: &HeaderMap) -> Response<Full<Bytes>> {
        let tag = format!("\"{}\"", self.hash);
        let is_known = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|known| known.trim().trim_start_matches("W/") == tag);
        let (status, body) = if is_known {
            (StatusCode::NOT_MODIFIED, Bytes::new())
        } else {
            (StatusCode::OK, Bytes::from_static(self.source))
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let age = if by_hash {
            "public, max-age=31536000, immutable"
        } else {
            "public, max-age=300"
        };
        let location = format!("{PREFIX}{}.{}.{}", self.stem, self.hash, self.extension);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(age));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in [(ETAG, tag), (CONTENT_LOCATION, location)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_two_names() {
        let (script, by_hash) = named("client.js").unwrap();
        assert!(!by_hash);
        let long = format!("client.{}.js", script.hash);
        assert!(named(&long).unwrap().1);
        assert_eq!(named("work.js").unwrap().0.stem, "work");
        assert_ne!(named("client.mjs").unwrap().0.hash, script.hash);
        for none in [
            "",
            "client",
            "client.",
            "client..js",
            "client.0123456789abcdef.js",
            "clientjs",
            "work.mjs",
        ] {
            assert!(named(none).is_none(), "{none}");
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let (script, _) = named("client.mjs").unwrap();
        let ask = |field: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = field {
                headers.insert(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap());
            }
            script.answer(false, &headers).status().as_u16()
        };
        assert_eq!(ask(None), 200);
        assert_eq!(ask(Some("\"other\"")), 200);
        assert_eq!(ask(Some(&format!("\"other\", \"{}\"", script.hash))), 304);
        assert_eq!(ask(Some(&format!("W/\"{}\"", script.hash))), 304);
    }
}
