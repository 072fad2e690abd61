//! The properties of the fuzz targets, over inputs that are whole but for a few changes. `cargo xtask fuzz` goes on
//! where this ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a broken vector is a broken test")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_reference::session::Issued;
use portcullis_reference::{Agreed, property, ticket, work};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use serde_json::Value;

const CASES: u32 = 2000;

/// What whole fields are made of, and what almost looks like it.
const PIECES: [&str; 56] = [
    "p=",
    "q=",
    "(",
    ")",
    "()",
    "\"@method\"",
    "\"@authority\"",
    "\"@path\"",
    "\"@query\"",
    "\"content-digest\"",
    "\"x\"",
    "\"@path\";req",
    " ",
    "  ",
    "\t",
    ";",
    "; ",
    ",",
    ", ",
    ",\t",
    "=",
    ":",
    "\"",
    "\\\"",
    "\\\\",
    "*",
    "-",
    "_",
    ".",
    "~",
    "0",
    "1",
    "9",
    "=1",
    "=-1",
    "=01",
    "=1.0",
    "=1.500",
    "=?1",
    "=?0",
    "=tok/en",
    "=@5",
    "=%\"f%c3%bc\"",
    ";created=1800000000",
    ";expires=1800000001",
    ";nonce=\"abcdefgh.1\"",
    ";keyid=\"k\"",
    ";alg=\"hmac-sha256\"",
    ";tag=\"portcullis-1\"",
    ";tag=portcullis-1",
    ":AQID:",
    ":AQI:",
    ":AQI=:",
    ":AA==:",
    "\n",
    "999999999999999",
];

/// A text with a few pieces put in, taken out or doubled.
fn nearly(seeds: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            0usize..4,
            prop::sample::select(PIECES.to_vec()),
            0u8..8,
        ),
        0..4,
    );
    (prop::sample::select(seeds), changes).prop_map(|(seed, changes)| {
        let mut bytes = seed.into_bytes();
        for (at, dropped, piece, kind) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + dropped).min(bytes.len());
            match kind {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(..at),
                2 if at < bytes.len() => bytes[at] ^= 1 << dropped,
                _ => _ = bytes.splice(at..end, piece.bytes()),
            }
        }
        bytes
    })
}

/// Runs a property; some of the inputs must be accepted and some not, or nothing was tested.
fn holds(seeds: Vec<String>, property: impl Fn(&[u8]) -> Agreed) {
    let accepted = AtomicUsize::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
    let outcome = runner.run(&nearly(seeds), |input| match property(&input) {
        Ok(was_accepted) => {
            accepted.fetch_add(usize::from(was_accepted), Ordering::Relaxed);
            Ok(())
        }
        Err(disagreement) => Err(TestCaseError::fail(disagreement.0)),
    });
    if let Err(TestError::Fail(reason, input)) = &outcome {
        panic!("{reason}\n{:?}", String::from_utf8_lossy(input));
    }
    outcome.unwrap();
    let accepted = accepted.into_inner();
    assert!(
        (50..CASES as usize - 50).contains(&accepted),
        "{accepted} of {CASES} were accepted"
    );
}

/// The requests of `tests/vectors/profile.json`, good ones and bad ones.
fn requests() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/profile.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap().clone();
    vectors.into_iter().map(|vector| vector["request"].clone()).collect()
}

fn fields(request: &Value) -> impl Iterator<Item = (&str, &str)> {
    let pairs = request["headers"].as_array().unwrap().iter();
    pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
}

fn values(name: &str) -> Vec<String> {
    let requests = requests();
    let all = requests.iter().flat_map(fields);
    all.filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect()
}

#[test]
fn signature_input() {
    holds(values("Signature-Input"), property::signature_input);
}

#[test]
fn signature() {
    let seeds = values("Signature")
        .into_iter()
        .map(|value| value.replacen("portcullis=", "p=", 1));
    holds(seeds.collect(), property::signature);
}

#[test]
fn content_digest() {
    let seeds = [
        "sha-256=:$SHA256:\nbody",
        "sha-512=:$SHA512:, sha-256=:$SHA256:\n",
        "md5=:AA==:, sha-256=:$SHA256:;x=1\n{}",
        "sha-256=:$SHA256:, sha-512=:AA==:\n{}",
    ];
    holds(seeds.map(str::to_owned).to_vec(), property::content_digest);
}

#[test]
fn nonce() {
    let seeds = [
        "abcdefgh.0",
        "~AZ3kAZ3kAZ3kAZ3kAZ3kAZ3kAZ3k.281474976710655",
        "a-b_c-d_e.12",
    ];
    holds(seeds.map(str::to_owned).to_vec(), property::nonce);
}

#[test]
fn base() {
    let head = |request: &Value| {
        let lines: String = fields(request)
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect();
        format!(
            "{} {}\n{lines}",
            request["method"].as_str().unwrap(),
            request["target"].as_str().unwrap()
        )
    };
    holds(requests().iter().map(head).collect(), property::base);
}

#[test]
fn session_ids() {
    let issued = Issued::new();
    holds(issued.tokens().map(str::to_owned).collect(), |text| issued.check(text));
}

#[test]
fn queries_with_tickets() {
    let seeds = [
        "portcullis-ticket=x.y",
        "a=1&portcullis-ticket=x.y",
        "%70ortcullis-ticket=x&a",
        "a=portcullis-ticket&&b",
        "portcullis%2dticket=x&portcullis-ticket=y",
    ];
    holds(seeds.map(str::to_owned).to_vec(), ticket::query);
}

#[test]
fn tickets() {
    let whole = "(\"@method\" \"@authority\" \"@path\" \"@query\");created=1800000000;expires=1800000030;\
                 nonce=\"abcdefgh.1\";keyid=\"k\";alg=\"hmac-sha256\";tag=\"portcullis-ticket-1\"";
    let seeds = [
        format!("{whole}\nMAC"),
        format!("{whole};digest=\"sha-256=:AA==:\"\nMAC"),
    ];
    holds(seeds.to_vec(), ticket::ticket);
}

#[test]
fn proof_of_work() {
    let seeds = [
        "    ",
        "    !!!!    \"\"\"\"",
        "    \u{1f}   !   \"   ",
        "   \u{7f}    ",
        "  #   # ",
    ];
    holds(seeds.map(str::to_owned).to_vec(), work::answers);
}
