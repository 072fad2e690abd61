//! What holds for some paths only: how bodies are checked, how tight the binding is, whether tickets are taken.

use super::BindingPolicy;
use crate::path::{NormalPath, PathPattern};

/// How the body of a signed call is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyMode {
    /// Read whole and compared with its digest before the application sees a byte.
    #[default]
    Verify,
    /// Compared while it passes; the application's connection is aborted before the last byte if it differs.
    Stream,
    /// Not compared: the signature covers the head only.
    Unsigned,
}

/// What holds for one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutePolicy {
    /// How bodies are checked.
    pub body: BodyMode,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// What happens when a session comes from elsewhere or from another browser; `None`: as everywhere.
    pub binding: Option<BindingPolicy>,
    /// Whether a ticket in the query stands for a signature.
    pub tickets: bool,
}

impl Default for RoutePolicy {
    fn default() -> Self {
        Self {
            body: BodyMode::Verify,
            max_body: 1 << 20,
            binding: None,
            tickets: false,
        }
    }
}

/// One `[[route]]`: paths, and what it says of them. `None` leaves the word to the next route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// For which paths.
    pub paths: Vec<PathPattern>,
    /// See [`RoutePolicy::body`].
    pub body: Option<BodyMode>,
    /// See [`RoutePolicy::max_body`].
    pub max_body: Option<usize>,
    /// See [`RoutePolicy::binding`].
    pub binding: Option<BindingPolicy>,
    /// See [`RoutePolicy::tickets`].
    pub tickets: Option<bool>,
}

/// All routes, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    routes: Vec<Route>,
    otherwise: RoutePolicy,
}

impl Routes {
    /// Routes, and what holds where none says otherwise.
    #[must_use]
    pub fn new(routes: Vec<Route>, otherwise: RoutePolicy) -> Self {
        Self { routes, otherwise }
    }

    /// What holds for a path: for each property, the first route in file order that matches and names it.
    #[must_use]
    pub fn of(&self, path: &NormalPath) -> RoutePolicy {
        let matches = |route: &&Route| route.paths.iter().any(|pattern| pattern.matches(path));
        // From the last to the first, so that the first has the last word.
        self.routes
            .iter()
            .rev()
            .filter(matches)
            .fold(self.otherwise, |policy, route| RoutePolicy {
                body: route.body.unwrap_or(policy.body),
                max_body: route.max_body.unwrap_or(policy.max_body),
                binding: route.binding.or(policy.binding),
                tickets: route.tickets.unwrap_or(policy.tickets),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(paths: &[&str]) -> Route {
        Route {
            paths: paths.iter().map(|path| PathPattern::parse(path).unwrap()).collect(),
            ..Route::default()
        }
    }

    #[test]
    fn the_first_route_that_says_something_wins_for_each_property() {
        let routes = Routes::new(
            vec![
                Route {
                    tickets: Some(true),
                    ..route(&["/api/files/*/raw", "/events"])
                },
                Route {
                    body: Some(BodyMode::Stream),
                    max_body: Some(5),
                    ..route(&["/api/files/**"])
                },
                Route {
                    max_body: Some(7),
                    binding: Some(BindingPolicy::Strict),
                    tickets: Some(false),
                    ..route(&["/api/**"])
                },
            ],
            RoutePolicy::default(),
        );
        let of = |path: &str| routes.of(&NormalPath::parse(path).unwrap());
        let api = RoutePolicy {
            max_body: 7,
            binding: Some(BindingPolicy::Strict),
            ..RoutePolicy::default()
        };
        assert_eq!(of("/other"), RoutePolicy::default());
        assert_eq!(of("/api/orders"), api);
        let files = RoutePolicy {
            body: BodyMode::Stream,
            max_body: 5,
            ..api
        };
        assert_eq!(of("/api/files"), files);
        assert_eq!(of("/api/files/7/raw"), RoutePolicy { tickets: true, ..files });
        assert_eq!(
            of("/events"),
            RoutePolicy {
                tickets: true,
                ..RoutePolicy::default()
            }
        );
    }
}
