//! `sign`, against a gate with canned answers. That what it signs is accepted is shown in `cli_daemon`.

#![expect(clippy::unwrap_used, reason = "a helper of tests may fail as a test may")]

use expect_test::expect;
use portcullis_tests::canned::{Canned, CannedServer};
use portcullis_tests::cli::Cli;

const OPEN: &str = "POST /.well-known/portcullis/session";
const SESSION: &str = r#"{"session_id":"AQ3f-_","alg":"hmac-sha256","key_agreement":"server-key",
    "key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","expires_at":1800003600,"server_time":1800000000.482,
    "profile":{"tag":"portcullis-1","components":["@method","@authority","@path","@query"],
    "body_components":["content-digest","content-type"],"digest":"sha-256","max_age":30}}"#;

/// What `sign` does at this gate, with its port, nonce and signature covered.
fn signed(answers: &[Canned], path: &str, options: &[&str]) -> String {
    let (gate, address) = CannedServer::on_loopback(answers).unwrap();
    let url = format!("http://{address}{path}");
    let said = Cli::alone()
        .unwrap()
        .run(&[&["sign", "POST", &url], options].concat())
        .unwrap();
    assert_eq!(gate.seen(), [format!(r#"{OPEN} {{"key_agreement":"server-key"}}"#)]);
    let said = said.replace(&address.to_string(), "[GATE]");
    let said = covered(&said, "nonce=\"", "\";");
    let said = covered(&said, "nonce=\\\"", "\\\";");
    covered(&said, "portcullis=:", ":")
}

fn covered(text: &str, before: &str, after: &str) -> String {
    let mut parts = text.split(before);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part.split_once(after).unwrap();
        shown += &format!("{before}[…]{after}{rest}");
    }
    shown
}

#[test]
fn a_curl_command() {
    let shown = signed(&[(OPEN, 201, SESSION)], "/api/orders?page=2", &["--data", r#"{"a":1}"#]);
    expect![[r#"
        exit status: 0
        ----- stdout
        curl 'http://[GATE]/api/orders?page=2' \
          --header 'content-type: application/json' \
          --header 'user-agent: portcullis/0.1.0' \
          --header 'content-digest: sha-256=:AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX+GI=:' \
          --header 'signature-input: portcullis=("@method" "@authority" "@path" "@query" "content-digest" "content-type");created=1800000000;nonce="[…]";keyid="AQ3f-_";alg="hmac-sha256";tag="portcullis-1"' \
          --header 'signature: portcullis=:[…]:' \
          --data-raw '{"a":1}'
        ----- stderr
        note: good for one call within 30s
    "#]].assert_eq(&shown);
}

#[test]
fn parts_for_programs() {
    expect![[r#"
        exit status: 0
        ----- stdout
        {
          "method": "POST",
          "url": "http://[GATE]/api",
          "headers": [
            [
              "x-empty",
              ""
            ],
            [
              "user-agent",
              "portcullis/0.1.0"
            ],
            [
              "signature-input",
              "portcullis=(\"@method\" \"@authority\" \"@path\" \"@query\");created=1800000000;nonce=\"[…]\";keyid=\"AQ3f-_\";alg=\"hmac-sha256\";tag=\"portcullis-1\""
            ],
            [
              "signature",
              "portcullis=:[…]:"
            ]
          ],
          "session_id": "AQ3f-_",
          "session_expires": "2027-01-15T09:00:00Z",
          "valid_seconds": 30,
          "curl": "curl http://[GATE]/api \\\n  --request POST \\\n  --header 'x-empty;' \\\n  --header 'user-agent: portcullis/0.1.0' \\\n  --header 'signature-input: portcullis=(\"@method\" \"@authority\" \"@path\" \"@query\");created=1800000000;nonce=\"[…]\";keyid=\"AQ3f-_\";alg=\"hmac-sha256\";tag=\"portcullis-1\"' \\\n  --header 'signature: portcullis=:[…]:'"
        }
    "#]].assert_eq(&signed(&[(OPEN, 201, SESSION)], "/api", &["--json", "-H", "X-Empty:"]));
}

#[test]
fn a_refusal_names_its_reference() {
    let banned = r#"{"type":"/.well-known/portcullis/problems/banned","title":"Banned for a while","status":403,
        "detail":"Wait.","ref":"0c7f9nqk2r3ad"}"#;
    expect![[r#"
        exit status: 1
        ----- stderr
        error: [GATE] opened no session: Banned for a while (403)
        hint: the operator learns more by `portcullis why 0c7f9nqk2r3ad`
    "#]]
    .assert_eq(&signed(&[(OPEN, 403, banned)], "/", &[]));
}

#[test]
fn not_a_gate() {
    expect![[r#"
        exit status: 1
        ----- stderr
        error: [GATE] opened no session: 404 Not Found
        hint: is it portcullis that answers there? --session-url names another door
    "#]]
    .assert_eq(&signed(&[], "/", &[]));
    expect![[r#"
        exit status: 1
        ----- stderr
        error: [GATE] gave no session that can be used: expected value at line 1 column 1
        hint: is it portcullis that answers there? --session-url names another door
    "#]]
    .assert_eq(&signed(&[(OPEN, 201, "<html>")], "/", &[]));
    expect![[r#"
        exit status: 1
        ----- stderr
        error: [GATE] gave no session that can be used: the key or the session id is malformed
        hint: is it portcullis that answers there? --session-url names another door
    "#]]
    .assert_eq(&signed(
        &[(OPEN, 201, SESSION.replace("AQ3f", "A'\\n3").leak())],
        "/",
        &[],
    ));
}

#[test]
fn nobody_there() {
    let cli = Cli::alone().unwrap();
    // Port 1 on loopback: reserved (tcpmux), and served by nobody for decades.
    expect![[r#"
        exit status: 2
        ----- stderr
        error: failed to reach 127.0.0.1:1: Connection refused (os error 111)
        hint: URL is that of the gate, not of the application behind it; --session-url names another door
    "#]]
    .assert_eq(&cli.run(&["sign", "GET", "http://127.0.0.1:1/"]).unwrap());
}

#[test]
fn what_cannot_be_signed() {
    let cli = Cli::alone().unwrap();
    let (_gate, address) = CannedServer::on_loopback(&[]).unwrap();
    let without_tls = cli
        .run(&["sign", "GET", &format!("https://{address}/"), "--ca", "/nonexistent"])
        .unwrap();
    expect![[r#"
        exit status: 2
        ----- stderr
        error: '/api/orders' is not a URL that can be called
        hint: write it in full, like http://127.0.0.1:8080/api/orders?page=2
    "#]]
    .assert_eq(&cli.run(&["sign", "GET", "/api/orders"]).unwrap());
    expect![[r#"
        exit status: 2
        ----- stderr
        error: failed to read /nonexistent: I/O error: No such file or directory (os error 2)
        hint: it has certificates in PEM form
    "#]]
    .assert_eq(&without_tls);
    expect![[r#"
        exit status: 2
        ----- stderr
        error: 'G T' is not an HTTP method
        hint: write it like GET or POST
    "#]]
    .assert_eq(&cli.run(&["sign", "G T", "http://shop.example/"]).unwrap());
    expect![[r#"
        exit status: 2
        ----- stderr
        error: 'nonsense' is not a header field
        hint: write it like --header 'Accept: application/json'
    "#]]
    .assert_eq(
        &cli.run(&["sign", "GET", "http://shop.example/", "-H", "nonsense"])
            .unwrap(),
    );
    expect![[r#"
        exit status: 2
        ----- stderr
        error: failed to read none: No such file or directory (os error 2)
    "#]]
    .assert_eq(
        &cli.run(&["sign", "POST", "http://shop.example/", "--data", "@none"])
            .unwrap(),
    );
}
