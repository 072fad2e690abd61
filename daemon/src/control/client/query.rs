//! Parameters of questions.

use form_urlencoded::Serializer;

pub(super) fn with_queries(path: &str, queries: &[(&str, Option<&str>)]) -> String {
    let given = queries.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let query = Serializer::new(String::new()).extend_pairs(given).finish();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    }
}

pub(super) fn with_query(path: &str, name: &str, value: &str) -> String {
    let query = Serializer::new(String::new()).append_pair(name, value).finish();
    format!("{path}?{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_travel_in_the_query() {
        assert_eq!(
            with_query("/bans", "network", "10.0.0.0/24"),
            "/bans?network=10.0.0.0%2F24"
        );
        assert_eq!(
            with_query("/bans", "network", "2001:db8::/32"),
            "/bans?network=2001%3Adb8%3A%3A%2F32"
        );
    }
}
