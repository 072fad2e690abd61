//! A call as a curl command that sends exactly what was signed.

use std::path::Path;

use http::{HeaderMap, Method};

use super::call::{Body, Call};

/// The command, one option a line, for any POSIX shell.
pub(super) fn command(call: &Call, headers: &HeaderMap, ca: Option<&Path>) -> String {
    let mut parts = vec![format!("curl {}", quoted(&call.target.url))];
    parts.extend(method(call));
    parts.extend(as_it_stands(call).map(str::to_owned));
    parts.extend(ca.map(|file| format!("--cacert {}", quoted(&file.to_string_lossy()))));
    for (name, value) in headers {
        parts.push(format!(
            "--header {}",
            quoted(&header(name.as_str(), &String::from_utf8_lossy(value.as_bytes())))
        ));
    }
    parts.extend(data(&call.body));
    parts.join(" \\\n  ")
}

fn method(call: &Call) -> Option<String> {
    let has_data = call.body != Body::None;
    match &call.method {
        &Method::HEAD => Some("--head".to_owned()),
        &Method::GET if !has_data => None,
        &Method::POST if has_data => None,
        method => Some(format!("--request {}", quoted(method.as_str()))),
    }
}

/// curl would otherwise resolve dot segments, and expand braces and brackets.
fn as_it_stands(call: &Call) -> impl Iterator<Item = &'static str> {
    let path_as_is = call.target.path.contains("/.").then_some("--path-as-is");
    let globoff = call.target.url.contains(['{', '}', '[', ']']).then_some("--globoff");
    path_as_is.into_iter().chain(globoff)
}

/// curl drops `Name:`; `Name;` sends it with an empty value.
fn header(name: &str, value: &str) -> String {
    if value.is_empty() {
        format!("{name};")
    } else {
        format!("{name}: {value}")
    }
}

fn data(body: &Body) -> Option<String> {
    match body {
        Body::None => None,
        Body::Inline(text) => Some(format!("--data-raw {}", quoted(text))),
        Body::File { path, .. } => Some(format!("--data-binary {}", quoted(&format!("@{path}")))),
    }
}

fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::*;

    fn call(method: Method, url: &str, body: Body) -> Call {
        let target = Target::parse(url).unwrap();
        Call {
            method,
            authority: target.authority.clone(),
            target,
            headers: HeaderMap::new(),
            body,
        }
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("http://h:1/a"), "http://h:1/a");
        assert_eq!(quoted("it's $HOME `x` \\ \"y\"\n"), "'it'\\''s $HOME `x` \\ \"y\"\n'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_get_is_short() {
        let call = call(Method::GET, "http://h/a?b=1", Body::None);
        let headers = HeaderMap::from_iter([(http::header::ACCEPT, "a/b; q=1".parse().unwrap())]);
        assert_eq!(
            command(&call, &headers, None),
            "curl 'http://h/a?b=1' \\\n  --header 'accept: a/b; q=1'"
        );
    }

    #[test]
    fn curl_is_kept_from_changing_the_url() {
        let call = call(Method::DELETE, "http://[::1]/a/../b", Body::None);
        assert_eq!(
            command(&call, &HeaderMap::new(), None),
            "curl 'http://[::1]/a/../b' \\\n  --request DELETE \\\n  --path-as-is \\\n  --globoff"
        );
    }

    #[test]
    fn bodies_are_sent_as_they_are() {
        let inline = call(Method::POST, "http://h/", Body::Inline("@it's".into()));
        assert_eq!(
            command(&inline, &HeaderMap::new(), None),
            "curl http://h/ \\\n  --data-raw '@it'\\''s'"
        );
        let file = call(
            Method::PUT,
            "http://h/",
            Body::File {
                path: "a b".into(),
                content: vec![],
            },
        );
        assert_eq!(
            command(&file, &HeaderMap::new(), None),
            "curl http://h/ \\\n  --request PUT \\\n  --data-binary '@a b'"
        );
    }
}
