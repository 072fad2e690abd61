//! Whether a User-Agent can be true of the TLS stack that sends it.
//!
//! No list of fingerprints, which would be old tomorrow: only what all browsers of today have in common, and what the
//! libraries that scripts use have not. A proxy that inspects TLS makes a browser look like a library: it is a sign, never
//! proof.

use super::Fingerprint;

/// Cipher suites that browsers offer; without GREASE it is 15 to 20.
const CIPHERS: std::ops::RangeInclusive<u8> = 14..=24;
/// The fewest extensions that they send; it is 13 to 18.
const EXTENSIONS: u8 = 12;
/// The engines, and the first version that is always TLS 1.3 and HTTP/2.
const ENGINES: [(&str, u32); 3] = [("Chrome/", 90), ("Firefox/", 90), ("Version/", 15)];

impl Fingerprint {
    /// Whether a User-Agent names a browser of today that does not open TLS like this.
    #[must_use]
    pub fn contradicts(&self, agent: &[u8]) -> bool {
        names_a_browser(agent) && !is_a_browser(self.ja4())
    }
}

fn names_a_browser(agent: &[u8]) -> bool {
    let Ok(agent) = std::str::from_utf8(agent) else {
        return false;
    };
    let version = |mark: &str| {
        let (_, rest) = agent.split_once(mark)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest.get(..digits)?.parse::<u32>().ok()
    };
    let is_new = |(mark, first): &(&str, u32)| version(mark).is_some_and(|found| found >= *first);
    agent.starts_with("Mozilla/5.0 ") && ENGINES.iter().any(is_new)
}

/// `t13d1516h2`: transport, version, server name, ciphers, extensions, first protocol.
fn is_a_browser(ja4: &str) -> bool {
    let number = |from: usize| ja4.get(from..from + 2).and_then(|text| text.parse::<u8>().ok());
    let (Some(ciphers), Some(extensions)) = (number(4), number(6)) else {
        return true;
    };
    let speaks_http = ja4.get(8..10).is_some_and(|first| first != "00");
    ja4.get(1..3) == Some("13") && CIPHERS.contains(&ciphers) && extensions >= EXTENSIONS && speaks_http
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROME: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

    fn contradicts(ja4: &str, agent: &str) -> bool {
        names_a_browser(agent.as_bytes()) && !is_a_browser(ja4)
    }

    #[test]
    fn browsers_are_what_they_say() {
        for ja4 in ["t13d1516h2", "t13d1517h2", "t13d1715h2", "t13d2014h2", "t13i1515h1"] {
            assert!(!contradicts(ja4, CHROME), "{ja4}");
        }
    }

    #[test]
    fn libraries_that_call_themselves_browsers_are_seen() {
        // curl with OpenSSL, Node, Go, a library of TLS 1.2, and one that says nothing of HTTP.
        for ja4 in ["t13d3112h2", "t13d5212h1", "t13d1312h2", "t12d1909h2", "t13d171300"] {
            assert!(contradicts(ja4, CHROME), "{ja4}");
        }
    }

    #[test]
    fn whoever_claims_nothing_contradicts_nothing() {
        for agent in [
            "curl/8.14",
            "python-requests/2",
            "",
            "Mozilla/5.0 (compatible; Googlebot/2.1)",
            "Firefox/153",
        ] {
            assert!(!contradicts("t13d3112h2", agent), "{agent}");
        }
        assert!(!names_a_browser(b"Mozilla/5.0 \xff Chrome/156"));
        assert!(
            !contradicts("t13d3112h2", &CHROME.replace("156", "60")),
            "old ones did other things"
        );
        assert!(!contradicts("", CHROME), "what cannot be read is no evidence");
    }
}
