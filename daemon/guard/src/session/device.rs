//! The short form of a User-Agent, for the operator: which browser on which system. It claims nothing; a client may
//! send what it likes.

use std::fmt;

use http::HeaderMap;
use http::header::USER_AGENT;

const ROOM: usize = 31;

/// Browsers by the mark that only they have; those that carry others' marks as well come first.
const BROWSERS: &[(&str, &str)] = &[
    ("HeadlessChrome/", "HeadlessChrome"),
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Version/", "Safari"),
];

const SYSTEMS: &[(&str, &str)] = &[
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// `Firefox 153, Linux`, or the first word of what is no browser. Printable ASCII.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Device {
    text: [u8; ROOM],
    length: u8,
}

impl Device {
    /// Reads the field of a request.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(USER_AGENT).map_or(&[][..], http::HeaderValue::as_bytes);
        let agent = std::str::from_utf8(agent).unwrap_or("?");
        let browser = BROWSERS
            .iter()
            .find_map(|(mark, name)| Some((name, version(agent, mark)?)));
        let system = SYSTEMS
            .iter()
            .find(|(mark, _)| agent.contains(mark))
            .map(|(_, name)| *name);
        match (browser, system) {
            (Some((name, version)), Some(system)) => Self::shown(&[name, " ", version, ", ", system]),
            (Some((name, version)), None) => Self::shown(&[name, " ", version]),
            (None, _) => Self::shown(&[agent.split(' ').next().unwrap_or_default()]),
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }

    fn shown(parts: &[&str]) -> Self {
        let mut device = Self::default();
        let bytes = parts.iter().flat_map(|part| part.bytes());
        for (place, byte) in device.text.iter_mut().zip(bytes) {
            *place = if matches!(byte, b' '..=b'~') { byte } else { b'?' };
            device.length += 1;
        }
        device
    }
}

/// The major version behind a mark.
fn version<'a>(agent: &'a str, mark: &str) -> Option<&'a str> {
    let (_, rest) = agent.split_once(mark)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count().min(5);
    rest.get(..digits).filter(|digits| !digits.is_empty())
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn device(agent: &[u8]) -> String {
        let value = HeaderValue::from_bytes(agent).unwrap();
        Device::of(&HeaderMap::from_iter([(USER_AGENT, value)])).to_string()
    }

    #[test]
    fn browsers_are_named() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
                "Firefox 153, Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
                "Chrome 148, Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.1",
                "Edge 148, Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
                "Safari 19, iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36",
                "Chrome 148, Android",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/148.0.0.0 Safari/537.36",
                "HeadlessChrome 148, Linux",
            ),
            ("curl/8.14.1", "curl/8.14.1"),
            ("python-requests/2.32.3 or so", "python-requests/2.32.3"),
            ("", ""),
        ] {
            assert_eq!(device(agent.as_bytes()), expected);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_does_not_get_through() {
        assert_eq!(device("a\tb\u{9b}31m".as_bytes()), "a?b??31m");
        assert_eq!(device(&[0xff, b'x']), "?");
        assert_eq!(device("x".repeat(100).as_bytes()).len(), ROOM);
        assert_eq!(Device::of(&HeaderMap::new()).as_str(), "");
    }
}
