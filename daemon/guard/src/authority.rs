//! The names that the gate answers for, as clients know them.

use http::uri::Authority;

/// `host` or `host:port`, in lower case and without the port that the scheme implies. None: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authorities(Vec<String>);

/// A text that is no authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is HOST, or HOST:PORT if the port is not the usual one")]
pub struct AuthorityError;

impl Authorities {
    /// These names alone.
    ///
    /// # Errors
    /// [`AuthorityError`] for the first that is none.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, AuthorityError> {
        let names = names.into_iter().map(|name| parse(&name).ok_or(AuthorityError));
        names.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the gate answers for a name.
    #[must_use]
    pub fn include(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|known| known == name)
    }

    /// What a client signed that came by a trusted proxy: the name that the proxy was asked for, if it says so and it is
    /// one of ours; the only one there is, if the proxy asks for another.
    #[must_use]
    pub fn behind_proxy<'a>(&'a self, host: &'a str, forwarded: Option<&str>, default_port: u16) -> &'a str {
        let usual = format!(":{default_port}");
        let is_meant = |known: &&String| {
            forwarded.is_some_and(|name| name.strip_suffix(&usual).unwrap_or(name).eq_ignore_ascii_case(known))
        };
        let told = self.0.iter().find(is_meant);
        match (told, self.0.as_slice()) {
            (Some(told), _) => told,
            (None, [only]) => only,
            (None, _) => host,
        }
    }
}

fn parse(name: &str) -> Option<String> {
    let authority: Authority = name.parse().ok()?;
    let host = authority.host();
    let spelled = authority
        .port_u16()
        .map_or(host.len(), |port| host.len() + format!(":{port}").len());
    (!host.is_empty() && spelled == name.len()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Authorities {
        Authorities::new(names.iter().map(|&name| name.to_owned())).unwrap()
    }

    #[test]
    fn without_names_any_will_do() {
        assert!(Authorities::default().include("x"));
        let two = names(&["Shop.Example", "[::1]:8080"]);
        assert!(two.include("shop.example") && two.include("[::1]:8080"));
        assert!(!two.include("shop.example:8080") && !two.include("evil.example"));
        for bad in ["", "a b", "http://a", "a/b", "u@a", "a:", "a:x", "a:99999"] {
            assert_eq!(Authorities::new([bad.to_owned()]), Err(AuthorityError), "{bad}");
        }
    }

    #[test]
    fn a_trusted_proxy_may_ask_by_another_name() {
        let two = names(&["shop.example", "admin.example:8443"]);
        assert_eq!(two.behind_proxy("app", Some("Shop.Example:443"), 443), "shop.example");
        assert_eq!(
            two.behind_proxy("app", Some("admin.example:8443"), 443),
            "admin.example:8443"
        );
        assert_eq!(
            two.behind_proxy("app", Some("evil.example"), 443),
            "app",
            "and is refused"
        );
        assert_eq!(two.behind_proxy("shop.example", None, 443), "shop.example");
        assert_eq!(names(&["shop.example"]).behind_proxy("app", None, 443), "shop.example");
        assert_eq!(Authorities::default().behind_proxy("app", Some("x"), 443), "app");
    }
}
