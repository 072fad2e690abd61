//! The fields that every signed call is judged by, found in one look through its head: each look for one of them costs a
//! hash of its name.

use std::borrow::Cow;

use http::HeaderMap;

/// What a head says. Of a field that comes several times, the first counts; the two of signatures are joined.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Head<'a> {
    pub(crate) page: Page<'a>,
    pub(crate) browser: Browser<'a>,
    /// `Signature-Input`.
    pub(crate) input: Option<Cow<'a, [u8]>>,
    /// `Signature`.
    pub(crate) signature: Option<Cow<'a, [u8]>>,
}

/// From what page a request comes, as its browser says (W3C Fetch Metadata).
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Page<'a> {
    pub(crate) site: Option<&'a [u8]>,
    pub(crate) mode: Option<&'a [u8]>,
    pub(crate) dest: Option<&'a [u8]>,
}

/// What a browser says of itself and its user.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Browser<'a> {
    /// `User-Agent`.
    pub(crate) agent: Option<&'a [u8]>,
    /// `Accept-Language`.
    pub(crate) language: Option<&'a [u8]>,
    /// `Sec-CH-UA`.
    pub(crate) brands: Option<&'a [u8]>,
    /// `Sec-CH-UA-Platform`.
    pub(crate) platform: Option<&'a [u8]>,
    /// `Sec-CH-UA-Mobile`.
    pub(crate) mobile: Option<&'a [u8]>,
}

impl<'a> Head<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut head = Self::default();
        for (name, value) in headers {
            let field = match name.as_str() {
                "user-agent" => &mut head.browser.agent,
                "accept-language" => &mut head.browser.language,
                "sec-ch-ua" => &mut head.browser.brands,
                "sec-ch-ua-platform" => &mut head.browser.platform,
                "sec-ch-ua-mobile" => &mut head.browser.mobile,
                "sec-fetch-site" => &mut head.page.site,
                "sec-fetch-mode" => &mut head.page.mode,
                "sec-fetch-dest" => &mut head.page.dest,
                "signature-input" => {
                    join(&mut head.input, value.as_bytes());
                    continue;
                }
                "signature" => {
                    join(&mut head.signature, value.as_bytes());
                    continue;
                }
                _ => continue,
            };
            field.get_or_insert(value.as_bytes());
        }
        head
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        Head::of(headers).browser
    }
}

/// Adds a line to the value of a list or dictionary (RFC 8941 section 4.2).
fn join<'a>(whole: &mut Option<Cow<'a, [u8]>>, line: &'a [u8]) {
    match whole {
        None => *whole = Some(Cow::Borrowed(line)),
        Some(whole) => {
            let whole = whole.to_mut();
            whole.extend_from_slice(b", ");
            whole.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 12] = [
        "user-agent",
        "accept-language",
        "sec-ch-ua",
        "sec-ch-ua-platform",
        "sec-ch-ua-mobile",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-fetch-dest",
        "signature-input",
        "signature",
        "accept-encoding",
        "sec-fetch-user",
    ];

    proptest! {
        #[test]
        fn it_is_what_a_look_for_each_field_finds(lines in prop::collection::vec((0..NAMES.len(), "[a-c]{0,2}"), 0..30)) {
            let mut headers = HeaderMap::new();
            for (name, value) in &lines {
                headers.append(HeaderName::from_static(NAMES[*name]), HeaderValue::from_str(value).unwrap());
            }
            let first = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
            let joined = |name: &str| {
                let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
                headers.contains_key(name).then(|| Cow::Owned(lines.join(&b", "[..])))
            };
            let expected = Head {
                page: Page {
                    site: first("sec-fetch-site"),
                    mode: first("sec-fetch-mode"),
                    dest: first("sec-fetch-dest"),
                },
                browser: Browser {
                    agent: first("user-agent"),
                    language: first("accept-language"),
                    brands: first("sec-ch-ua"),
                    platform: first("sec-ch-ua-platform"),
                    mobile: first("sec-ch-ua-mobile"),
                },
                input: joined("signature-input"),
                signature: joined("signature"),
            };
            prop_assert_eq!(Head::of(&headers), expected);
        }
    }
}
