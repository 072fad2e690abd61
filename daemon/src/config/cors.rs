//! `[cors]`: pages of other origins that may call.

use portcullis_guard::cors::{CorsPolicy, Origin};
use toml::de::DeValue;

use super::error::Mistake;
use super::section::{Parsed, Section};
use super::value::{boolean, describe, points};

pub(super) fn read(section: &Section<'_>) -> CorsPolicy {
    let defaults = CorsPolicy::default();
    let origins = section.elements("origins", origin).unwrap_or_default();
    section.reject_twice("origins", &origins);
    CorsPolicy {
        origins: origins.into_iter().flatten().collect(),
        credentials: section.read("credentials", defaults.credentials, boolean),
        preflights: section.read("preflights", defaults.preflights, points(1.0..=1_000_000.0)),
    }
}

fn origin(value: &DeValue<'_>) -> Parsed<Origin> {
    let like = "expected an origin like \"https://app.example\"";
    let text = value.as_str().unwrap_or_default();
    Origin::parse(text).map_err(|_| {
        let mistake = Mistake::new(format!("{like}, got {}", describe(value)));
        let mut parts = text.splitn(4, '/');
        let beginning = match (parts.next(), parts.next(), parts.next()) {
            (Some(scheme), Some(""), Some(host)) => format!("{scheme}//{host}"),
            _ => format!("https://{text}"),
        };
        match Origin::parse(&beginning) {
            _ if text == "*" => mistake.hint("name each origin; a page of any origin could use the visitor's session"),
            Ok(origin) if text != "null" => mistake.hint(format!("did you mean \"{origin}\"?")),
            Ok(_) | Err(_) => mistake,
        }
    })
}
