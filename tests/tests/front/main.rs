//! The front from outside: TLS, HTTP/2, sockets, proxies in front. No privilege needed.

mod cases;
mod heads;
mod http2;
mod limits;
mod mutations;
mod nginx;
mod nonsense;
mod pools;
mod proxies;
mod pseudo;
mod raw;
mod servers;
mod shortage;
mod smuggling;
mod streaming;
mod tls;
mod websocket;

use anyhow::{Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::client::Answer;
use portcullis_tests::daemon::{Daemon, Wanted};

const PROTECT: &str = "[protect]\npaths = [\"/api/**\"]\n";

/// A daemon with these further keys of `[http]` and further sections.
fn gate(http: &str, extra: &str) -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let extra = format!("{PROTECT}{extra}");
    let wanted = Wanted {
        http,
        ..Wanted::enforcing(backend.address(), &extra)
    };
    let daemon = Daemon::start(&wanted)?;
    Ok((backend, daemon))
}

fn refused(answer: &Answer, status: u16, problem: &str) -> Result<()> {
    ensure!(
        (answer.status, answer.problem().as_str()) == (status, problem),
        "{} {}, not {status} {problem}",
        answer.status,
        answer.body
    );
    Ok(())
}
