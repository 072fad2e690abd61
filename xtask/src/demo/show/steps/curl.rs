//! The real curl.

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_tests::client::Answer;

use crate::{
    demo::show::{narrator::Narrator, place::Place, world::GATE},
    process,
};

/// Runs curl, and shows the command and the essential part of what it prints.
pub(super) fn curl(tell: Narrator, place: &Place, path: &str, fields: &[&str]) -> Result<Answer> {
    let url = format!("http://{GATE}{path}");
    let options: String = fields.iter().map(|field| format!(" -H '{field}'")).collect();
    tell.types(place.who, &format!("curl -i{options} {url}"));
    let mut command = place.command("curl");
    command.args(["-i", "--silent", "--show-error", "--max-time", "5", "--noproxy", "*"]);
    for field in fields {
        command.args(["-H", field]);
    }
    let answer = read(&process::output(command.arg(url))?)?;
    tell.shows(&shown(&answer));
    Ok(answer)
}

fn read(output: &str) -> Result<Answer> {
    let (head, body) = output.split_once("\r\n\r\n").context("curl printed no answer")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value.trim())?);
    }
    let status = status.context("curl printed no status")?;
    ensure!(!body.is_empty(), "the answer is empty");
    Ok(Answer {
        status,
        headers,
        body: body.to_owned(),
    })
}

fn shown(answer: &Answer) -> String {
    let kind = answer.headers.get("content-type").map(HeaderValue::to_str);
    let kind = kind.and_then(Result::ok).unwrap_or_default();
    // A problem document is flat.
    let document = answer.body.replace(",\"", ",\n \"");
    format!("HTTP/1.1 {}\ncontent-type: {kind}\n{document}", answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_prints_is_read() {
        let answer = read("HTTP/1.1 401 Unauthorized\r\ncontent-type: a/b\r\n\r\n{\"a\":1,\"b\":2}").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (401, "{\"a\":1,\"b\":2}"));
        let expected = "HTTP/1.1 401\ncontent-type: a/b\n{\"a\":1,\n \"b\":2}";
        assert_eq!(shown(&answer), expected);
        assert!(read("").is_err());
    }
}
