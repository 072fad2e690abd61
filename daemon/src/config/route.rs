//! `[[route]]`: what holds for some paths only.

use portcullis_guard::policy::{BodyMode, Route, RoutePolicy, Routes};

use super::error::Mistake;
use super::policy::BINDINGS;
use super::section::Section;
use super::value::{boolean, pattern, size, word};

const BODIES: &[(&str, BodyMode)] = &[
    ("verify", BodyMode::Verify),
    ("stream", BodyMode::Stream),
    ("unsigned", BodyMode::Unsigned),
];

/// Reads all routes; `max_body` is what `[http]` says for the rest.
pub(super) fn read(root: &Section<'_>, max_body: Option<usize>) -> Routes {
    let routes = root.sections("route", |_, section| read_route(section));
    let defaults = RoutePolicy::default();
    let otherwise = RoutePolicy {
        max_body: max_body.unwrap_or(defaults.max_body),
        ..defaults
    };
    Routes::new(routes, otherwise)
}

fn read_route(section: &Section<'_>) -> Route {
    let paths = section.required("paths", "[\"/api/upload/**\"]", |_| Ok(()));
    let mistakes = section.mistakes();
    let patterns = section.list("paths", Vec::new, pattern);
    if paths.is_some() && patterns.is_empty() && section.mistakes() == mistakes {
        section.error("paths", Mistake::new("a route without a path does nothing"));
    }
    Route {
        paths: patterns,
        body: section.optional("body", word(BODIES)),
        max_body: section.optional("max_body", size("1B"..="1GiB")),
        binding: section.optional("binding", word(BINDINGS)),
        tickets: section.optional("tickets", boolean),
    }
}
