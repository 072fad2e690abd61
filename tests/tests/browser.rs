//! Real browsers and a real application: headless Chromium and Firefox load a Backbone page through the daemon from
//! Express. The steps are in `tests/browser/steps`.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use portcullis_tests::client::send;
use portcullis_tests::daemon::{Daemon, Wanted};

/// The work is as hard for all sessions, whatever the steps that offend on purpose have cost the browsers' address.
const CONFIG: &str = r#"
[protect]
paths = ["/api/**"]
[[route]]
paths = ["/api/image", "/api/report", "/api/seen", "/api/events", "/api/socket", "/api/nothing"]
tickets = true
[work]
mode = "always"
bits = 12
max_bits = 12
"#;

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

fn node(script: &str) -> Result<Command> {
    ensure!(
        folder().join("node_modules").is_dir(),
        "tests/browser/node_modules is missing: run `npm ci --prefix tests/browser`, or `cargo xtask test`, which does"
    );
    let mut command = Command::new("node");
    command.arg(folder().join(script));
    Ok(command)
}

/// Starts Express and reads where it listens from its first line.
fn start_backend() -> Result<(Process, SocketAddr)> {
    let child = node("backend.mjs")?
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start node")?;
    let mut process = Process(child);
    let mut line = String::new();
    let stdout = process.0.stdout.take().context("no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let hello: serde_json::Value = serde_json::from_str(&line).with_context(|| format!("the backend said {line:?}"))?;
    let port = hello["port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .context("no port")?;
    Ok((process, SocketAddr::from(([127, 0, 0, 1], port))))
}

#[test]
fn a_page_in_chromium_works_through_the_gate_and_curl_does_not() -> Result<()> {
    work_in("chromium")
}

#[test]
fn a_page_in_firefox_works_through_the_gate() -> Result<()> {
    work_in("firefox")
}

fn work_in(browser: &str) -> Result<()> {
    let (_backend, upstream) = start_backend()?;
    let daemon = Daemon::start(&Wanted::enforcing(upstream, CONFIG))?;
    let address = daemon.address();
    let screenshot = std::env::temp_dir().join(format!("portcullis-{browser}-{}.png", std::process::id()));
    let script = node("run.mjs")?
        .env("BROWSER", browser)
        .env("PORTCULLIS_WORK", "1")
        .env("PORTCULLIS_URL", format!("http://localhost:{}", address.port()))
        .env("PORTCULLIS_RESTART", "stdin")
        .env("PORTCULLIS_SCREENSHOT", &screenshot)
        .env("PORTCULLIS_CALLS", "50")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("failed to start node")?;
    let mut script = Process(script);
    let mut stdin = script.0.stdin.take().context("no stdin")?;
    let stdout = script.0.stdout.take().context("no stdout")?;
    let (mut running, mut said) = (Some(daemon), String::new());
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        if line.contains("restart-please") {
            let home = running.take().context("restarted twice")?.kill()?;
            running = Some(Daemon::start_in(
                home,
                &Wanted {
                    listen: address,
                    ..Wanted::enforcing(upstream, CONFIG)
                },
            )?);
            writeln!(stdin, "restarted")?;
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = script.0.wait()?;
    if !status.success() {
        bail!("the browser found something ({status}):\n{said}");
    }
    ensure!(std::fs::metadata(&screenshot)?.len() > 1000, "the screenshot is empty");
    std::fs::remove_file(&screenshot)?;
    let curl = send(
        address,
        format!("GET /api/orders HTTP/1.1\r\nhost: {address}\r\nuser-agent: curl/8\r\n\r\n").as_bytes(),
    )?;
    ensure!(
        (curl.status, curl.problem().as_str()) == (401, "signature-required"),
        "curl got {}",
        curl.status
    );
    Ok(())
}
