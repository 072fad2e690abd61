//! What the program writes of itself: completions, man pages, the configuration, the document of the control API.

#![expect(clippy::unwrap_used, reason = "a helper of tests may fail as a test may")]

use std::fs;
use std::path::Path;

use portcullis_tests::cli::Cli;

fn out(cli: &Cli, arguments: &[&str]) -> String {
    let output = cli.command(arguments).unwrap().output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", cli.written_down(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_shell_completes_every_command() {
    let cli = Cli::alone().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&cli, &["completions", shell]);
        for word in ["portcullis", "import", "--dry-run", "events", "--follow"] {
            assert!(
                script.contains(word.trim_start_matches('-')),
                "{shell} does not know {word}"
            );
        }
    }
}

#[test]
fn every_command_has_a_man_page() {
    let cli = Cli::alone().unwrap();
    assert!(out(&cli, &["man"]).contains(".TH portcullis 1"));
    let pages = cli.home().join("man");
    out(&cli, &["man", pages.to_str().unwrap()]);
    for page in [
        "portcullis.1",
        "portcullis-ban.1",
        "portcullis-ban-import.1",
        "portcullis-config-show.1",
    ] {
        assert!(pages.join(page).is_file(), "{page}");
    }
}

#[test]
fn the_default_configuration_is_one() {
    let cli = Cli::alone().unwrap();
    let file = cli.home().join("portcullis.toml");
    fs::write(&file, out(&cli, &["config", "default"])).unwrap();
    let checked = cli.run(&["check", "--config", file.to_str().unwrap()]).unwrap();
    assert!(checked.contains("is valid"), "{checked}");
}

#[test]
fn the_environment_is_told_and_blamed() {
    let cli = Cli::alone().unwrap();
    let file = cli.home().join("portcullis.toml");
    fs::write(
        &file,
        "[http]\nupstream = \"http://127.0.0.1:3000\"\nlisten = [\"127.0.0.1:1\"]\n",
    )
    .unwrap();
    let show = |variables: &[(&str, &str)], json: bool| {
        let mut command = cli
            .command(&["config", "show", "--config", file.to_str().unwrap()])
            .unwrap();
        command.args(json.then_some("--json")).envs(variables.iter().copied());
        cli.written_down(&command.output().unwrap())
    };
    let shown = show(&[("PORTCULLIS_HTTP_MAX_BODY", "2MiB")], false);
    for line in [
        "http.upstream\t\"http://127.0.0.1:3000\"\tline 2",
        "http.max_body\t\"2MiB\"\tPORTCULLIS_HTTP_MAX_BODY",
        "mode\t\"monitor\"\tdefault",
    ] {
        assert!(shown.contains(line), "{line} is not in {shown}");
    }
    assert!(show(&[], true).contains("\"from\": \"file\""));
    let wrong = show(&[("PORTCULLIS_HTTP_MAX_BODY", "much")], false);
    assert!(
        wrong.starts_with("exit status: 2") && wrong.contains("PORTCULLIS_HTTP_MAX_BODY: http.max_body: "),
        "{wrong}"
    );
    let unknown = show(&[("PORTCULLIS_HTTP_MAX_BODDY", "1MiB")], false);
    assert!(unknown.contains("did you mean PORTCULLIS_HTTP_MAX_BODY?"), "{unknown}");
}

#[test]
fn lists_and_rule_files_are_told_too() {
    let cli = Cli::alone().unwrap();
    let text = "[http]\nupstream = \"http://127.0.0.1:3000\"\n[[listener]]\naddress = \"127.0.0.1:8081\"\n\
        [op]\nview = \"GET /api/orders/{id:int}\"\n";
    fs::write(
        cli.home().join("gate.toml"),
        format!("rules_version = 1\nrules = [\"more.toml\"]\n{text}"),
    )
    .unwrap();
    let more = "version = 1\n[op]\npay = \"POST /api/orders/{id:int}/pay\"\n[[rule]]\nid = \"first\"\non = [\"pay\"]\n\
        require = [\n  { op = \"view\", within = \"10m\", bind = [\"id\"] },\n]\n";
    fs::write(cli.home().join("more.toml"), more).unwrap();
    let shown = out(&cli, &["config", "show", "--config", "gate.toml", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let told = |key: &str| {
        let settings = shown["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["key"] == key);
        setting.unwrap_or_else(|| panic!("{key} is not in {shown:#}")).clone()
    };
    let listener = told("listener[0].address");
    assert_eq!(
        (&listener["value"], &listener["line"]),
        (&"\"127.0.0.1:8081\"".into(), &6.into())
    );
    assert_eq!(told("rules")["line"], 2);
    assert_eq!(told("op.view")["from"], "file");
    assert_eq!(told("mode")["from"], "default");
    let require = told("rule[0].require");
    assert_eq!(
        (&require["file"], &require["line"]),
        (&"more.toml".into(), &7.into()),
        "{require}"
    );
    assert!(require["value"].as_str().unwrap().contains("within = \"10m\""));
    let page = out(&cli, &["config", "show", "--config", "gate.toml"]);
    assert!(page.contains("rule[0].id\t\"first\"\tmore.toml:5\n"), "{page}");
}

#[test]
fn top_without_a_terminal_says_what_to_do() {
    let said = Cli::alone().unwrap().run(&["top"]).unwrap();
    assert!(
        said.starts_with("exit status: 2") && said.contains("top --once"),
        "{said}"
    );
}

/// `cargo xtask papers`, or this test with UPDATE_EXPECT, writes it anew.
#[test]
fn the_document_of_the_control_api_is_the_one_in_the_repository() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/control-api.json");
    let document = out(&Cli::alone().unwrap(), &["openapi"]);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &document).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == document,
        "docs/control-api.json is not what the program says: run `cargo xtask papers`"
    );
}
