//! The application's login: the only calls of a suspended session that pass.

use http::Method;

use crate::path::{NormalPath, PathPattern};

/// Where users authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRoute {
    /// The method.
    pub method: Method,
    /// The paths.
    pub paths: PathPattern,
}

/// How a session that cannot go on comes back, as its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// By the application's login, with the same session.
    Login,
    /// The application has none that is known here: by a new session.
    Session,
}

impl Return {
    /// The word in the problem document.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Session => "session",
        }
    }
}

/// All login routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginRoutes(pub Vec<LoginRoute>);

impl LoginRoutes {
    /// Whether a call is a login.
    #[must_use]
    pub fn contain(&self, method: &Method, path: &NormalPath) -> bool {
        self.0
            .iter()
            .any(|route| route.method == method && route.paths.matches(path))
    }

    /// How a suspended session comes back.
    #[must_use]
    pub fn way_back(&self) -> Return {
        if self.0.is_empty() {
            Return::Session
        } else {
            Return::Login
        }
    }
}
