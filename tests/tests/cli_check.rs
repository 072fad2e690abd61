//! `check`, and `run` with a configuration that is not valid.

#![expect(clippy::unwrap_used, reason = "a helper of tests may fail as a test may")]

use std::fs;

use expect_test::expect;
use portcullis_tests::cli::Cli;

fn with_file(text: &str) -> Cli {
    let cli = Cli::alone().unwrap();
    fs::write(cli.home().join("gate.toml"), text).unwrap();
    cli
}

const BAD: &str = "mode = \"enforced\"\n\n[http]\nlisen = [\"127.0.0.1:8080\"]\nupstream = 3000\n";

#[test]
fn every_mistake_at_once() {
    let cli = with_file(BAD);
    expect![[r#"
        exit status: 2
        ----- stderr
        error: gate.toml has 3 mistakes
        gate.toml:1:8: mode: expected "monitor" or "enforce", got "enforced"
            hint: did you mean "enforce"?
        gate.toml:4:1: http.lisen: unknown key
            hint: did you mean `listen`?
        gate.toml:5:12: http.upstream: expected a URL like "http://127.0.0.1:3000", got 3000
    "#]]
    .assert_eq(&cli.run(&["check", "--config", "gate.toml"]).unwrap());
    expect![[r#"
        exit status: 2
        ----- stdout
        {
          "file": "gate.toml",
          "valid": false,
          "errors": [
            {
              "line": 1,
              "column": 8,
              "key": "mode",
              "message": "expected \"monitor\" or \"enforce\", got \"enforced\"",
              "hint": "did you mean \"enforce\"?"
            },
            {
              "line": 4,
              "column": 1,
              "key": "http.lisen",
              "message": "unknown key",
              "hint": "did you mean `listen`?"
            },
            {
              "line": 5,
              "column": 12,
              "key": "http.upstream",
              "message": "expected a URL like \"http://127.0.0.1:3000\", got 3000",
              "hint": null
            }
          ]
        }
    "#]]
    .assert_eq(&cli.run(&["check", "--config", "gate.toml", "--json"]).unwrap());
}

#[test]
fn nothing_runs_with_mistakes() {
    let cli = with_file(BAD);
    expect![[r#"
        exit status: 2
        ----- stderr
        error: gate.toml has 3 mistakes
        gate.toml:1:8: mode: expected "monitor" or "enforce", got "enforced"
            hint: did you mean "enforce"?
        gate.toml:4:1: http.lisen: unknown key
            hint: did you mean `listen`?
        gate.toml:5:12: http.upstream: expected a URL like "http://127.0.0.1:3000", got 3000
    "#]]
    .assert_eq(&cli.run(&["run", "--config", "gate.toml"]).unwrap());
}

#[test]
fn what_would_run() {
    let cli = with_file(
        "mode = \"enforce\"\nnever_ban = [\"10.0.0.0/8\"]\n\n[http]\nlisten = [\"0.0.0.0:80\"]\n\
         upstream = \"http://127.0.0.1:3000\"\n\n[packet]\ninterfaces = [\"eth0\"]\n",
    );
    expect![[r#"
        exit status: 0
        ----- stdout
        mode:       enforce
        listen:     0.0.0.0:80
        upstream:   http://127.0.0.1:3000
        protected:  /**
        rules:      0
        interfaces: eth0
        never-ban:  10.0.0.0/8
        control:    /run/portcullis/control.sock
        state:      /var/lib/portcullis
        ----- stderr
        gate.toml is valid
    "#]]
    .assert_eq(&cli.run(&["check", "--config", "gate.toml"]).unwrap());
    expect![[r#"
        exit status: 0
        ----- stdout
        {
          "file": "gate.toml",
          "valid": true,
          "summary": {
            "mode": "enforce",
            "listen": [
              "0.0.0.0:80"
            ],
            "upstream": "http://127.0.0.1:3000",
            "protected": [
              "/**"
            ],
            "rules": 0,
            "interfaces": [
              "eth0"
            ],
            "never_ban": [
              "10.0.0.0/8"
            ],
            "control_socket": "/run/portcullis/control.sock",
            "state_directory": "/var/lib/portcullis"
          }
        }
    "#]]
    .assert_eq(&cli.run(&["check", "--config", "gate.toml", "--json"]).unwrap());
}

#[test]
fn no_such_file() {
    let cli = Cli::alone().unwrap();
    expect![[r#"
        exit status: 2
        ----- stderr
        error: none.toml: cannot be read: No such file or directory (os error 2)
    "#]]
    .assert_eq(&cli.run(&["check", "--config", "none.toml"]).unwrap());
    expect![[r#"
        exit status: 2
        ----- stderr
        error: none.toml: cannot be read: No such file or directory (os error 2)
    "#]]
    .assert_eq(&cli.run(&["run", "--config", "none.toml"]).unwrap());
}
