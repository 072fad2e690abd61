//! Reading the whole configuration anew: what it puts in force, what it names, what it refuses, and that nobody notices.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::backend::Backend;
use portcullis_tests::client::{Client, Wire};
use portcullis_tests::daemon::{Daemon, Wanted};
use portcullis_tests::load::Load;
use portcullis_tests::tls::{self, Certificates};
use rustls::version::TLS13;

const EXTRA: &str = "never_ban = [\"192.0.2.0/24\"]\n[protect]\npaths = [\"/api/**\"]\n";
const GET: &[u8] = b"GET /api/a HTTP/1.1\r\nhost: shop.example\r\n\r\n";

fn file(daemon: &Daemon) -> PathBuf {
    daemon.control().with_file_name("portcullis.toml")
}

/// Writes other words into the configuration.
fn rewrite(daemon: &Daemon, words: &[(&str, &str)]) -> Result<()> {
    let mut text = fs::read_to_string(file(daemon))?;
    for (old, new) in words {
        ensure!(text.contains(old), "{old} is not in {text}");
        text = text.replace(old, new);
    }
    Ok(fs::write(file(daemon), text)?)
}

#[test]
fn what_can_change_changes_and_the_answer_says_what() -> Result<()> {
    let (first, second) = (Backend::start()?, Backend::start()?);
    let daemon = Daemon::start(&Wanted::enforcing(first.address(), EXTRA))?;
    let mut open = Wire::connect(daemon.address())?;
    ensure!(open.exchange(GET)?.status == 401);
    rewrite(
        &daemon,
        &[
            ("/api/**", "/private/**"),
            (&first.address().to_string(), &second.address().to_string()),
            ("192.0.2.0/24", "198.51.100.0/24"),
            ("[log]", "[log]\nlevel = \"debug\""),
            (
                "[http]",
                "[http]\nworkers = 7\nmax_body = \"10B\"\ntrusted_proxies = [\"127.0.0.1\"]",
            ),
        ],
    )?;
    let told = daemon.cli(&["reload"])?;
    for line in [
        "+ http.max_body = \"10B\"",
        "~ never_ban = [\"198.51.100.0/24\"], was [\"192.0.2.0/24\"]",
        "~ protect.paths = [\"/private/**\"], was [\"/api/**\"]",
        "+ log.level = \"debug\"",
    ] {
        ensure!(told.contains(line), "{line}: {told}");
    }
    ensure!(!told.contains("workers"), "it is not in force: {told}");
    ensure!(
        open.exchange(GET)?.status == 200,
        "the same connection, by the new words"
    );
    ensure!((first.requests(), second.requests()) == (0, 1), "another application");
    let behind = b"GET /x HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 203.0.113.7\r\n\r\n";
    let answer = Wire::connect(daemon.address())?.exchange(behind)?;
    ensure!(answer.body.contains("x-forwarded-for: 203.0.113.7"), "{}", answer.body);
    let large = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 11\r\n\r\nhello world";
    ensure!(open.exchange(large)?.status == 413, "a smaller limit");
    ensure!(daemon.cli(&["ban", "add", "192.0.2.7"]).is_ok(), "no longer exempt");
    ensure!(
        daemon.cli(&["ban", "add", "198.51.100.7"]).is_err(),
        "exempt from now on"
    );
    let again: serde_json::Value = serde_json::from_str(&daemon.cli(&["--json", "reload"])?)?;
    let changed = again["changed"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(changed.len() == 1 && changed[0]["key"] == "http.workers", "{again}");
    ensure!(changed[0]["restart"] == "threads are started at the start", "{again}");
    Ok(())
}

#[test]
fn a_mistake_is_told_with_its_place_and_changes_nothing() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), EXTRA))?;
    rewrite(
        &daemon,
        &[("/api/**", "/private/**"), ("[http]", "[http]\nmax_bdy = \"1MiB\"")],
    )?;
    let refused = daemon.cli(&["reload"]).unwrap_err().to_string();
    for words in [
        "the running configuration stays",
        "portcullis.toml:4:1: http.max_bdy: unknown key",
        "did you mean `max_body`?",
    ] {
        ensure!(refused.contains(words), "{words}: {refused}");
    }
    daemon.signal(Signal::SIGHUP)?;
    let told = daemon.await_logged("the running configuration stays", "error", 1)?;
    ensure!(told[0].contains("http.max_bdy"), "{told:?}");
    ensure!(
        Wire::connect(daemon.address())?.exchange(GET)?.status == 401,
        "the old words hold"
    );
    let missing = "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificates = [{ chain = \"/no.pem\", key = \"/no.key\" }] }\n[protect]";
    rewrite(&daemon, &[("max_bdy = \"1MiB\"\n", ""), ("[protect]", missing)])?;
    let refused = daemon.cli(&["reload"]).unwrap_err().to_string();
    ensure!(refused.contains("/no.pem cannot be read"), "{refused}");
    ensure!(Wire::connect(daemon.address())?.exchange(GET)?.status == 401);
    Ok(())
}

#[test]
fn a_listener_gets_other_certificates() -> Result<()> {
    let (backend, certificates) = (Backend::start()?, Certificates::new()?);
    let (one, other) = (
        certificates.write("one", &["shop.example"], 2090)?,
        certificates.write("other", &["shop.example"], 2090)?,
    );
    let extra = format!("{EXTRA}[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{one}] }}\n");
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), &extra))?;
    let presented = || -> Result<Vec<u8>> {
        let line = tls::connect(daemon.listener(1)?, "shop.example", &tls::client(&[&TLS13], &[])?)?;
        let certificates = line.conn.peer_certificates().unwrap_or_default();
        Ok(certificates.first().map(|first| first.to_vec()).unwrap_or_default())
    };
    let before = presented()?;
    rewrite(&daemon, &[(&one, &other)])?;
    ensure!(
        daemon
            .cli(&["reload"])?
            .contains("~ listener[0].tls.certificates[0].chain")
    );
    ensure!(presented()? != before);
    Ok(())
}

#[test]
fn a_reload_on_trial_is_taken_back_as_a_whole() -> Result<()> {
    let (first, second) = (Backend::start()?, Backend::start()?);
    let daemon = Daemon::start(&Wanted::enforcing(first.address(), EXTRA))?;
    daemon.cli(&["mode", "monitor"])?;
    rewrite(
        &daemon,
        &[
            ("/api/**", "/private/**"),
            (&first.address().to_string(), &second.address().to_string()),
            ("192.0.2.0/24", "198.51.100.0/24"),
        ],
    )?;
    daemon.cli(&["reload", "--confirm", "1h"])?;
    ensure!(daemon.cli(&["reload"]).is_err(), "one change at a time");
    ensure!(Wire::connect(daemon.address())?.exchange(GET)?.status == 200);
    ensure!(second.requests() == 1, "the new words are in force");
    daemon.cli(&["confirm", "--take-back"])?;
    ensure!(daemon.cli(&["mode"])?.contains("monitor"), "the operator's word stays");
    daemon.cli(&["mode", "enforce"])?;
    ensure!(
        Wire::connect(daemon.address())?.exchange(GET)?.status == 401,
        "protected as before"
    );
    ensure!(daemon.cli(&["ban", "add", "192.0.2.7"]).is_err(), "exempt as before");
    let told = daemon.cli(&["reload"])?;
    ensure!(told.contains("~ protect.paths"), "the file still says it: {told}");
    Ok(())
}

/// What a trial replaced was made of files that may be gone by the time that it is taken back.
#[test]
fn a_certificate_that_is_gone_from_the_disk_is_taken_back_and_one_that_was_renewed_is_not() -> Result<()> {
    let (backend, certificates) = (Backend::start()?, Certificates::new()?);
    let (one, other) = (
        certificates.write("one", &["shop.example"], 2090)?,
        certificates.write("other", &["shop.example"], 2090)?,
    );
    certificates.write("authorities", &["localhost"], 2090)?;
    let authorities = certificates.path("authorities.pem");
    let extra = format!(
        "{EXTRA}[[listener]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{one}] }}\n\
         [[upstream]]\npaths = [\"/tls\"]\nservers = [\"https://localhost:1\"]\nauthorities = \"{}\"\n",
        authorities.display()
    );
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), &extra))?;
    let presented = || -> Result<Vec<u8>> {
        let line = tls::connect(daemon.listener(1)?, "shop.example", &tls::client(&[&TLS13], &[])?)?;
        let certificates = line.conn.peer_certificates().unwrap_or_default();
        Ok(certificates.first().map(|first| first.to_vec()).unwrap_or_default())
    };
    let first = presented()?;
    let ca = format!("authorities = \"{}\"\n", authorities.display());
    rewrite(&daemon, &[(&one, &other), (&ca, "")])?;
    daemon.cli(&["reload", "--confirm", "1h"])?;
    ensure!(presented()? != first, "the other one is in use");
    for name in ["one.pem", "one.key", "authorities.pem"] {
        fs::remove_file(certificates.path(name))?;
    }
    daemon.cli(&["confirm", "--take-back"])?;
    ensure!(presented()? == first, "it is taken back");
    // The same files with something else in them: they are followed in any case.
    certificates.write("one", &["shop.example"], 2090)?;
    certificates.write("authorities", &["localhost"], 2090)?;
    rewrite(&daemon, &[(&other, &one), ("/api/**", "/private/**")])?;
    daemon.cli(&["reload", "--confirm", "1h"])?;
    let renewed = presented()?;
    ensure!(renewed != first, "it was read anew");
    daemon.cli(&["confirm", "--take-back"])?;
    ensure!(presented()? == renewed, "what is in the file holds");
    ensure!(Wire::connect(daemon.address())?.exchange(GET)?.status == 401);
    Ok(())
}

#[test]
fn nobody_notices_a_reload() -> Result<()> {
    let (first, second) = (Backend::start()?, Backend::start()?);
    let daemon = Daemon::start(&Wanted::enforcing(first.address(), EXTRA))?;
    let load = Load::start(daemon.address(), "/public", 3);
    let mut client = Client::open(daemon.address())?;
    let (one, other) = (first.address().to_string(), second.address().to_string());
    for turn in 0..10 {
        load.await_answers(50)?;
        let (from, to) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        rewrite(&daemon, &[(from, to)])?;
        daemon.cli(&["reload"])?;
        let answer = client.call("POST", "/api/a", "{}")?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
    }
    load.await_answers(50)?;
    let answered = load.stop()?;
    ensure!(
        answered >= 550 && first.requests() > 0 && second.requests() > 0,
        "{answered}"
    );
    Ok(())
}
