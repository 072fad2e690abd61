//! `portcullis rules check|test|diff|import-openapi|promote|learn`: the real binary, with good input and bad.

use std::fs;
use std::thread;

use anyhow::{Context, Result, ensure};
use portcullis_tests::backend::Backend;
use portcullis_tests::cli::Cli;
use portcullis_tests::client::Client;
use portcullis_tests::daemon::{Daemon, Wanted};

const GATE: &str = "rules = [\"shop.toml\"]\n[http]\nupstream = \"http://127.0.0.1:1\"\n[protect]\npaths = [\"/api/**\", \"/v2/**\"]\n";
const SHOP: &str = r#"version = 1
[op]
view = "GET /api/orders/{id:int}"
pay = "POST /api/orders/{id:int}/pay"
idle = "GET /api/idle"

[[rule]]
id = "pay-after-view"
on = ["pay"]
require = [{ op = "view", within = "10m", bind = ["id"] }]
mode = "enforce"

[[rule]]
id = "strict"
on = ["pay"]
max = { count = 1, per = "1h" }
mode = "enforce"

[[rule]]
id = "loose"
on = ["pay"]
max = { count = 5, per = "10m" }
mode = "enforce"
"#;

fn shop(rules: &str) -> Result<Cli> {
    let cli = Cli::alone()?;
    fs::write(cli.home().join("gate.toml"), GATE)?;
    fs::write(cli.home().join("shop.toml"), rules)?;
    Ok(cli)
}

fn has(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    Ok(())
}

#[test]
fn check_warns_with_places_of_what_does_nothing() -> Result<()> {
    let cli = shop(SHOP)?;
    let told = cli.run(&["rules", "check", "--config", "gate.toml"])?;
    has(
        &told,
        &[
            "exit status: 0\n",
            "3 rules are valid, 3 enforce",
            "warning: gate.toml:5:21: protect.paths[1]: no rule speaks of any call below `/v2/**`",
            "shop.toml:5:8: op.idle: no rule names the operation `idle`",
            "shop.toml:19:1: rule[2]: rule loose can never fire: strict allows no more calls in no less time",
        ],
    )?;
    let told = cli.run(&["rules", "check", "--config", "gate.toml", "--json"])?;
    has(&told, &["\"rules\": 3", "\"warnings\": ["])
}

#[test]
fn check_tells_every_mistake_with_its_place() -> Result<()> {
    let wrong = SHOP
        .replace("op = \"view\"", "op = \"veiw\"")
        .replace("\"1h\"", "\"an hour\"")
        .replace(
            "id = \"loose\"",
            "id = \"loose\"\nexcept = { headers = { \"X Role\" = [] } }",
        );
    let cli = shop(&wrong)?;
    let told = cli.run(&["rules", "check", "--config", "gate.toml"])?;
    has(
        &told,
        &[
            "exit status: 2\n",
            "did you mean `view`?",
            "shop.toml:16:26",
            "except.headers",
            "is no name of a header field",
        ],
    )?;
    let told = cli.run(&["rules", "check", "--config", "missing.toml"])?;
    has(&told, &["exit status: 2\n", "missing.toml"])
}

#[test]
fn test_plays_a_record_and_refuses_what_is_none() -> Result<()> {
    let cli = shop(SHOP)?;
    let record = cli.home().join("record.jsonl");
    let view = r#"{"at": 0, "session": "A", "method": "GET", "path": "/api/orders/7"}"#;
    let pay = r#"{"at": 1, "session": "A", "method": "POST", "path": "/api/orders/7/pay"}"#;
    fs::write(&record, format!("{view}\n{pay}\n"))?;
    let run = |file: &str| cli.run(&["rules", "test", "--config", "gate.toml", file]);
    has(
        &run("record.jsonl")?,
        &["exit status: 0\n", "2 calls, 0 would be refused"],
    )?;
    fs::write(&record, format!("{pay}\n{view}\n"))?;
    has(
        &run("record.jsonl")?,
        &["exit status: 1\n", "pay-after-view", "2 calls, 1 would be refused"],
    )?;
    for wrong in [
        "{\"method\": 7}",
        "not JSON",
        "{\"method\": \"GET\", \"path\": \"/a%2fb\"}",
    ] {
        fs::write(&record, wrong)?;
        let told = run("record.jsonl")?;
        ensure!(!told.contains("panicked"), "{told}");
        has(&told, &["exit status: 2\n", "record.jsonl"]).or_else(|_| has(&told, &["exit status: 0\n"]))?;
    }
    has(&run("nowhere.jsonl")?, &["exit status: 2\n", "cannot be read"])
}

#[test]
fn operations_come_from_json_and_yaml() -> Result<()> {
    let cli = Cli::alone()?;
    let yaml = "openapi: 3.0.3\npaths:\n  /orders/{id}:\n    get:\n      operationId: viewOrder\n      parameters:\n        - {name: id, in: path, schema: {type: integer}}\n";
    let json = r#"{"paths": {"/orders/{id}": {"get": {"operationId": "viewOrder", "parameters": [{"name": "id", "in": "path", "schema": {"type": "integer"}}]}}}}"#;
    for (name, text) in [("api.yaml", yaml), ("api.json", json)] {
        fs::write(cli.home().join(name), text)?;
        let told = cli.run(&["rules", "import-openapi", name])?;
        has(&told, &["exit status: 0\n", "view_order = \"GET /orders/{id:int}\""])?;
    }
    for wrong in ["", "{", "paths: [", "just words", "[1, 2]"] {
        fs::write(cli.home().join("wrong.yaml"), wrong)?;
        let told = cli.run(&["rules", "import-openapi", "wrong.yaml"])?;
        has(&told, &["exit status: 2\n", "wrong.yaml: "])?;
    }
    let told = cli.run(&["rules", "import-openapi", "nowhere.yaml"])?;
    has(&told, &["exit status: 2\n", "cannot be read"])
}

#[test]
fn diff_and_promote_speak_of_the_running_gate() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(backend.address(), "rules = [\"shop*.toml\"]\n"))?;
    let home = daemon.control().parent().context("no home")?.to_owned();
    let config = home.join("portcullis.toml").to_string_lossy().into_owned();
    let file = home.join("shop.toml");
    let rules = SHOP.replace("mode = \"enforce\"", "mode = \"monitor\"");
    fs::write(&file, &rules)?;
    let refused = |arguments: &[&str]| -> Result<String> {
        let told = daemon.cli(arguments);
        Ok(told.err().context("it was done")?.to_string())
    };
    let told = refused(&["rules", "diff", "--config", &config])?;
    has(&told, &["0 rules stay as they are"])?;
    daemon.cli(&["reload"])?;
    let told = daemon.cli(&["rules", "diff", "--config", &config, "--json"])?;
    has(&told, &["\"unchanged\": 3"])?;

    let name = file.to_string_lossy().into_owned();
    let told = refused(&["rules", "promote", &name, "strict"])?;
    has(&told, &["the gate has watched for less than 7d", "--force"])?;
    let told = refused(&["rules", "promote", "--after", "0s", &name, "none"])?;
    has(&told, &["there is no rule none"])?;
    Client::open(daemon.address())?.call("POST", "/api/orders/7/pay", "")?;
    let told = refused(&["rules", "promote", "--after", "0s", &name, "pay-after-view"])?;
    has(
        &told,
        &["rule pay-after-view would have refused 1 calls", "portcullis why"],
    )?;
    let told = refused(&["rules", "promote", "--after", "soon", &name, "strict"])?;
    has(&told, &["'soon' is not a duration"])?;
    ensure!(fs::read_to_string(&file)? == rules, "nothing was written");
    daemon.cli(&["rules", "promote", "--after", "0s", &name, "strict"])?;
    let written = fs::read_to_string(&file)?;
    ensure!(written.matches("\"enforce\"").count() == 1, "{written}");
    Ok(())
}

#[test]
fn rules_are_learned_from_live_calls_of_good_sessions() -> Result<()> {
    let backend = Backend::start()?;
    let daemon = Daemon::start(&Wanted::enforcing(
        backend.address(),
        "[protect]\npaths = [\"/api/**\"]\n",
    ))?;
    let (address, control) = (daemon.address(), daemon.control());
    let cli = Cli::alone()?;
    let mut learn = cli.command(&["rules", "learn", "--live", "3s", "--sessions", "3", "--certainty", "90"])?;
    let learn = learn.env("PORTCULLIS_SOCKET", control);
    let learn = learn
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    // The command starts the recording; calls before that are not seen, and teach nothing.
    while daemon.cli(&["audit"])?.matches("record").count() == 0 {
        thread::yield_now();
    }
    for order in 0..6 {
        let mut client = Client::open(address)?;
        client.call("GET", &format!("/api/orders/{order}"), "")?;
        client.call("POST", &format!("/api/orders/{order}/pay"), "")?;
    }
    let told = cli.written_down(&learn.wait_with_output()?);
    has(
        &told,
        &["exit status: 0\n", "[op]", "/api/orders/{", "12 calls read", "require"],
    )?;
    let told = cli.run(&["rules", "learn"])?;
    has(&told, &["exit status: 2\n"])?;
    let told = cli.run(&["rules", "learn", "--live", "soon"])?;
    has(&told, &["exit status: 2\n", "'soon' is not a duration"])?;
    let told = cli.run(&["rules", "learn", "--live", "2d"])?;
    has(&told, &["exit status: 2\n", "it is from 1s to 1d"])?;
    let told = cli.run(&["rules", "learn", "--live", "1s"])?;
    has(&told, &["exit status: 2\n", "portcullis is not running"])
}
