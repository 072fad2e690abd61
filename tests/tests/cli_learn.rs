//! From recorded calls to rules that watch, and from those to rules that enforce.

use std::fmt::Write;
use std::fs;

use anyhow::Result;
use portcullis_tests::cli::Cli;

/// Sixty sessions that look at an order before they pay it, and a script that only pays.
fn record() -> String {
    let mut lines = String::new();
    for n in 0..60 {
        let start = n * 100;
        let _ = writeln!(
            lines,
            r#"{{"at":{start},"session":"s{n}","method":"GET","path":"/api/orders/{n}?full=1","status":200}}"#
        );
        let pay = start + 3 + n % 4;
        let _ = writeln!(
            lines,
            r#"{{"at":{pay},"session":"s{n}","method":"POST","path":"/api/orders/{n}/pay","status":200}}"#
        );
        let _ = writeln!(
            lines,
            r#"{{"at":{start},"session":"script","method":"POST","path":"/api/orders/{n}/pay","score":40}}"#
        );
    }
    lines.push_str("{\"method\":\"GET\",\"path\":\"/a%2fb\"}\n");
    lines
}

#[test]
fn what_is_learned_is_valid_only_watches_and_can_be_promoted() -> Result<()> {
    let cli = Cli::alone()?;
    fs::write(cli.home().join("record.jsonl"), record())?;
    let learned = cli.run(&["rules", "learn", "--sessions", "50", "record.jsonl"])?;
    assert!(learned.starts_with("exit status: 0"), "{learned}");
    assert!(learned.contains("180 calls read, 1 left out"), "{learned}");
    let (_, rules) = learned.split_once("----- stdout\n").unwrap_or_default();
    let (rules, _) = rules.split_once("----- stderr").unwrap_or_default();
    let needs = "require = [{ op = \"get_api_order\", within = \"1m\", bind = [\"order\"], status = \"2xx\" }]";
    assert!(rules.contains(needs), "{rules}");

    let file = cli.home().join("learned.toml");
    let config = format!("{rules}\n[http]\nupstream = \"http://127.0.0.1:1\"\n");
    // The rest of a configuration comes before tables.
    fs::write(&file, &config)?;
    let checked = cli.run(&["rules", "check", "--config", "learned.toml"])?;
    assert!(
        checked.starts_with("exit status: 0") && checked.contains(", 0 enforce"),
        "{checked}"
    );

    let rule = "post_api_order_pay-after-get_api_order";
    let early = cli.run(&["rules", "promote", "learned.toml", rule])?;
    assert!(early.starts_with("exit status: 2"), "no daemon to ask: {early}");
    let promoted = cli.run(&["rules", "promote", "--force", "learned.toml", rule])?;
    assert!(promoted.starts_with("exit status: 0"), "{promoted}");
    let checked = cli.run(&["rules", "check", "--config", "learned.toml"])?;
    assert!(checked.contains(", 1 enforce"), "{checked}");
    let unknown = cli.run(&["rules", "promote", "--force", "learned.toml", "nothing"])?;
    assert!(
        unknown.starts_with("exit status: 2") && unknown.contains("there is no rule nothing"),
        "{unknown}"
    );
    Ok(())
}

const STATUS: &str = r#"{"mode":"enforce","version":"0.1.0","started":"2027-01-15T08:00:00Z","uptime_seconds":864000,
    "packet_layer":null,"bans":{"intended":0,"in_kernel":0,"strays":0},"never_ban":4,"sessions":31,
    "calls":{"admitted":1234,"refused":{}}}"#;

#[test]
fn a_rule_that_would_have_refused_somebody_is_not_promoted() -> Result<()> {
    let incidents = r#"{"incidents":[{"reference":"0c7f9nqk2r3ad","at":"2027-01-15T08:00:12Z","cause":"sequence",
        "problem":"sequence-violation","http_status":403,"address":"192.0.2.7","session":"AQECAwQFBgcICQr_",
        "method":"POST","path":"/api/orders/7/pay","rule":"pay-after-view","explanation":"x","session_points":0.0,
        "address_points":0.0,"waived":true}]}"#;
    let cli = Cli::with(&[
        ("GET /v1/status", 200, STATUS),
        ("GET /v1/incidents?limit=10000", 200, incidents),
    ])?;
    let rules = "[[rule]]\nid = \"pay-after-view\"\n[[rule]]\nid = \"quiet\"\n";
    fs::write(cli.home().join("rules.toml"), rules)?;
    let told = cli.run(&["rules", "promote", "rules.toml", "pay-after-view"])?;
    assert!(told.starts_with("exit status: 1"), "{told}");
    assert!(
        told.contains("would have refused 1 calls") && told.contains("why 0c7f9nqk2r3ad"),
        "{told}"
    );
    let early = cli.run(&["rules", "promote", "--after", "30d", "rules.toml", "quiet"])?;
    assert!(early.contains("watched for less than 30d"), "{early}");
    let told = cli.run(&["rules", "promote", "rules.toml", "quiet"])?;
    assert!(told.starts_with("exit status: 0"), "{told}");
    let text = fs::read_to_string(cli.home().join("rules.toml"))?;
    assert_eq!(
        text,
        rules.replace("id = \"quiet\"", "id = \"quiet\"\nmode = \"enforce\"")
    );
    Ok(())
}
