//! Verdicts for proxies that forward by themselves: real ones with the configurations of docs/examples/forward-auth, and
//! the questions of those that Debian does not have.

mod questions;
mod real;

use anyhow::{Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::Answer;
use portcullis_tests::daemon::{Daemon, Wanted};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.1\"]";
const RULES: &str = "[protect]\npaths = [\"/api/**\"]\n[cors]\norigins = [\"https://app.example\"]\n\
    [op]\npay = \"POST /api/pay\"\n[[rule]]\nid = \"once\"\non = [\"pay\"]\nmax = { count = 1, per = \"1h\" }\nscore = 0\nmode = \"enforce\"\n";

/// A gate that forwards its own paths at its first listener, and gives verdicts to this proxy at the second.
fn gate(proxy: &str, http: &str, extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let listener = format!("{RULES}{extra}[[listener]]\naddress = \"127.0.0.1:0\"\nforward_auth = \"{proxy}\"\n");
    let wanted = Wanted {
        http,
        ..Wanted::enforcing(backend.address(), &listener)
    };
    Ok((backend, Daemon::start(&wanted)?))
}

fn refused(answer: &Answer, status: u16, problem: &str) -> Result<()> {
    ensure!(
        (answer.status, answer.problem().as_str()) == (status, problem),
        "{} {:?} {}, not {status} {problem}",
        answer.status,
        answer.headers,
        answer.body
    );
    Ok(())
}

fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("(none)")
}
