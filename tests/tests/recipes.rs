//! The clients for servers that docs/server-clients.md shows, each against the daemon: the very text of the page.

#[path = "../recipes/client.rs"]
#[expect(unreachable_pub, reason = "a module of somebody's program, as the page shows it")]
mod client;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::daemon::{Daemon, Wanted};
use ureq::http::Method;

const PAGE: &str = include_str!("../../docs/server-clients.md");
const CONFIG: &str = "[protect]\npaths = [\"/api/**\"]\n[work]\nmode = \"always\"\nbits = 6\nmax_bits = 6\n";
const AGENT: &str = "shop-importer/1.0";

/// The one block of this language.
fn block(language: &str) -> Result<&'static str> {
    let start = format!("```{language}\n");
    let (_, rest) = PAGE.split_once(&start).context("no such block")?;
    ensure!(!rest.contains(&start), "more than one block of {language}");
    let (block, _) = rest.split_once("```\n").context("the block has no end")?;
    Ok(block)
}

fn gate() -> Result<(Backend, Daemon)> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), CONFIG))?;
    Ok((backend, daemon))
}

fn rust_client(daemon: &Daemon) -> Result<client::Client> {
    client::Client::new(&format!("http://{}", daemon.address()), AGENT).map_err(|error| anyhow!(error))
}

fn passes(client: &client::Client, method: &Method, target: &str, body: &str) -> Result<()> {
    let answer = client.request(method, target, "application/json", body.as_bytes());
    let answer = answer.map_err(|error| anyhow!(error))?;
    ensure!(answer.status() == 200, "{} {}", answer.status(), answer.body());
    ensure!(
        answer.body().starts_with(&format!("{method} {target} ")),
        "{}",
        answer.body()
    );
    Ok(())
}

#[test]
fn the_page_shows_what_is_tested() -> Result<()> {
    for (language, file) in [("rust", "client.rs"), ("python", "portcullis_client.py")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(file);
        let source = fs::read_to_string(&path)?;
        ensure!(
            block(language)? == source,
            "docs/server-clients.md does not show {}: copy it there",
            path.display()
        );
    }
    Ok(())
}

#[test]
fn the_client_in_rust_works_and_recovers() -> Result<()> {
    let (backend, daemon) = gate()?;
    let client = rust_client(&daemon)?;
    passes(&client, &Method::GET, "/api/orders?from=2026-01-01", "")?;
    passes(&client, &Method::POST, "/api/orders", "{\"item\":\"Winch\"}")?;
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..20).try_for_each(|_| passes(&client, &Method::GET, "/api/a", ""))))
            .collect();
        calls
            .into_iter()
            .try_for_each(|call| call.join().map_err(|_| anyhow!("panicked"))?)
    })?;
    ensure!(backend.requests() == 82);
    // After a restart the gate wants a nonce of its own; after a revocation, a new session.
    let (address, upstream) = (daemon.address(), backend.address());
    let daemon = Daemon::start_in(
        daemon.kill()?,
        &Wanted {
            listen: address,
            ..Wanted::enforcing(upstream, CONFIG)
        },
    )?;
    passes(&client, &Method::GET, "/api/a", "")?;
    passes(&client, &Method::POST, "/api/a", "{}")?;
    let list: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "session", "list"])?)?;
    let name = list["sessions"][0]["id"].as_str().with_context(|| format!("{list}"))?;
    daemon.cli(&["session", "revoke", name])?;
    passes(&client, &Method::POST, "/api/b", "{}")
}

#[test]
fn the_client_in_python_works() -> Result<()> {
    let (backend, daemon) = gate()?;
    let home = tempfile::tempdir()?;
    let script = home.path().join("portcullis_client.py");
    fs::write(&script, block("python")?)?;
    let run = |arguments: &[&str]| -> Result<String> {
        let output = Command::new("python3")
            .args(arguments)
            .current_dir(home.path())
            .output()
            .context("failed to start python3")?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{errors}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let origin = format!("http://{}", daemon.address());
    let said = run(&["portcullis_client.py", &origin])?;
    ensure!(said.contains("200 GET /api/orders?from=2026-01-01 "), "{said}");
    ensure!(said.contains("200 POST /api/orders "), "{said}");
    // A clock that is wrong, a nonce that the gate does not know, a session that it does not know.
    let said = run(&["-c", RECOVERIES, &origin])?;
    ensure!(said.trim() == "200 200 200 200", "{said}");
    ensure!(backend.requests() == 6, "{}", backend.requests());
    Ok(())
}

const RECOVERIES: &str = r#"
import sys
from portcullis_client import Client
client = Client(sys.argv[1], "shop-importer/1.0")
said = [client.request("GET", "/api/a")[0]]
client.session["offset"] = -1000
said.append(client.request("POST", "/api/a", b"x")[0])
client.session["stream"] = "~" + "A" * 24
said.append(client.request("POST", "/api/a", b"x")[0])
client.session["id"] = "unknown"
said.append(client.request("GET", "/api/a")[0])
print(*said)
"#;
