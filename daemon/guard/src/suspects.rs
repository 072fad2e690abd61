//! The usual suspects: programs that say in their User-Agent what they are. That is a hint and no proof: whoever means
//! harm says something else, and some of these are the operator's own.

use http::HeaderMap;
use http::header::USER_AGENT;

/// How much of a User-Agent is looked at.
const LOOKED_AT: usize = 512;

/// What the usual suspects call themselves: tools, libraries, and browsers that a program drives.
pub const USUAL: [&str; 23] = [
    "aiohttp",
    "axios/",
    "curl/",
    "go-http-client",
    "guzzlehttp",
    "headlesschrome",
    "httpie/",
    "httpx",
    "java/",
    "libwww-perl",
    "node-fetch",
    "okhttp",
    "phantomjs",
    "playwright",
    "postmanruntime",
    "puppeteer",
    "python-requests",
    "python-urllib",
    "ruby",
    "scrapy",
    "selenium",
    "undici",
    "wget/",
];

/// Parts of User-Agents, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspects(Vec<String>);

impl Suspects {
    /// These parts, whatever their case.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = String>) -> Self {
        Self(parts.into_iter().map(|part| part.to_ascii_lowercase()).collect())
    }

    /// Whether a client calls itself like one of them.
    #[must_use]
    pub fn include(&self, headers: &HeaderMap) -> bool {
        let agent = headers.get(USER_AGENT).map_or(&[][..], http::HeaderValue::as_bytes);
        let agent = agent[..agent.len().min(LOOKED_AT)].to_ascii_lowercase();
        let contains = |part: &String| agent.windows(part.len()).any(|window| window == part.as_bytes());
        self.0.iter().any(contains)
    }
}

impl Default for Suspects {
    fn default() -> Self {
        Self::new(USUAL.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_suspect(agent: &str) -> bool {
        let value = HeaderValue::from_str(agent).unwrap();
        Suspects::default().include(&HeaderMap::from_iter([(USER_AGENT, value)]))
    }

    #[test]
    fn tools_and_driven_browsers_are_known_and_people_are_not() {
        for agent in [
            "curl/8.14.1",
            "python-requests/2.32.3",
            "Wget/1.25.0",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/148.0.0.0 Safari/537.36",
            "Go-http-client/2.0",
        ] {
            assert!(is_suspect(agent), "{agent}");
        }
        for agent in [
            "",
            "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
        ] {
            assert!(!is_suspect(agent), "{agent}");
        }
        assert!(
            !is_suspect(&format!("{}curl/8", "x".repeat(LOOKED_AT))),
            "not looked at"
        );
        assert!(!Suspects::default().include(&HeaderMap::new()));
        assert!(!Suspects::new([]).include(&HeaderMap::from_iter([(
            USER_AGENT,
            HeaderValue::from_static("curl/8")
        )])));
    }
}
