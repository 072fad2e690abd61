//! `[reauth]`: where users of the application log in.

use portcullis_guard::path::{NormalPath, PathPattern};
use portcullis_guard::reauth::{LoginRoute, LoginRoutes};
use toml::de::DeValue;

use super::error::Mistake;
use super::section::{Parsed, Section};
use super::value::{describe, path_set};

/// Reads the login routes. Each must be protected: an unsigned call belongs to no session that it could restore.
pub(super) fn read(section: &Section<'_>, protected: &[PathPattern]) -> LoginRoutes {
    let routes = section.elements("routes", route).unwrap_or_default();
    for (index, route) in routes.iter().enumerate() {
        if let Some(route) = route
            && !is_protected(route, protected)
        {
            let mistake = Mistake::new(format!("{} is not protected, so nobody signs it", route.paths));
            section.element_error("routes", index, mistake.hint("add it to `paths` of `[protect]`"));
        }
    }
    LoginRoutes(routes.into_iter().flatten().collect())
}

fn route(value: &DeValue<'_>) -> Parsed<LoginRoute> {
    let like = || {
        let like = "expected a method and a path like \"POST /api/login\"";
        Mistake::new(format!("{like}, got {}", describe(value)))
    };
    let (method, path) = value.as_str().and_then(|text| text.split_once(' ')).ok_or_else(like)?;
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = http::Method::from_bytes(method.as_bytes()).ok().filter(|_| is_method);
    Ok(LoginRoute {
        method: method.ok_or_else(like)?,
        paths: path_set(path.trim_start())?,
    })
}

/// Judged by one path of the set, as good as any: no set of protected paths begins within a segment.
fn is_protected(route: &LoginRoute, protected: &[PathPattern]) -> bool {
    let example = route.paths.as_str().replace("**", "x/x").replace('*', "x");
    let example = NormalPath::parse(&example);
    example.is_ok_and(|path| protected.iter().any(|pattern| pattern.matches(&path)))
}
