//! Whole files: what is read, and what is said about mistakes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_guard::path::NormalPath;
use portcullis_guard::policy::BindingPolicy;

use super::*;
use crate::enforcer::AttachMode;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn samples(kind: &str) -> Vec<PathBuf> {
    let directory = repository().join("tests/configs").join(kind);
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn parse(text: &str) -> Config {
    Config::parse(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    Config::parse(text, "portcullis.toml")
        .map(drop)
        .unwrap_err()
        .to_string()
}

#[test]
fn good_samples_are_read() {
    for file in samples("good") {
        if let Err(errors) = Config::load(&file) {
            panic!("{errors}");
        }
    }
}

#[test]
fn bad_samples_say_what_is_wrong() {
    for file in samples("bad") {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let said = format!("{}\n", Config::parse(&text, &name).map(drop).unwrap_err());
        let expected = file.with_extension("errors");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        assert_eq!(
            said,
            fs::read_to_string(&expected).unwrap_or_default(),
            "{name}; BLESS=1 accepts it"
        );
    }
}

#[test]
fn errors_have_place_key_reason_and_hint() {
    let text = "mode = \"monitr\"\n\n[http]\nlisten = [\"127.0.0.1:8080\"]\n  upstream = \"localhost\"\n";
    assert_eq!(
        errors(text),
        "portcullis.toml:1:8: mode: expected \"monitor\" or \"enforce\", got \"monitr\"\n    \
         hint: did you mean \"monitor\"?\n\
         portcullis.toml:5:14: http.upstream: expected a URL like \"http://127.0.0.1:3000\", got \"localhost\"\n    \
         hint: did you mean \"http://localhost\"?"
    );
    let rule = "[http]\nupstream = \"http://a:1\"\n[op]\npay = \"POST /pay\"\n[[rule]]\nid = \"a\"\non = [\"pya\"]\nmax.count = 1\n";
    assert_eq!(
        errors(rule),
        "portcullis.toml:7:7: rule[0].on[0]: there is no operation `pya`\n    hint: did you mean `pay`?"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let missing = Config::load(Path::new("/nonexistent/portcullis.toml")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "/nonexistent/portcullis.toml: cannot be read: No such file or directory (os error 2)"
    );
    let directory = tempfile::tempdir().unwrap();
    let binary = directory.path().join("binary.toml");
    fs::write(&binary, b"mode = \"\xff\"").unwrap();
    let said = Config::load(&binary).unwrap_err().to_string();
    assert!(
        said.ends_with("cannot be read: stream did not contain valid UTF-8"),
        "{said}"
    );
}

#[test]
fn every_section_arrives() {
    let config = Config::load(&repository().join("tests/configs/good/shop.toml")).unwrap();
    assert_eq!(config.mode, Mode::Enforce);
    assert_eq!(
        config.http.listen,
        ["0.0.0.0:80".parse().unwrap(), "[::1]:8080".parse().unwrap()]
    );
    assert_eq!(config.http.upstream.to_string(), "http://app.internal:3000");
    assert_eq!(config.http.public_scheme, Scheme::Https);
    assert_eq!((config.http.max_body, config.http.workers), (256 << 10, 2));
    assert_eq!(config.http.header_timeout, Duration::from_secs(5));
    assert_eq!(config.packet.interfaces, ["eth0", "eth1"]);
    assert_eq!(
        (config.packet.attach, config.packet.exempt_ports),
        (AttachMode::Native, vec![22, 9100])
    );
    assert_eq!(config.control.socket, Path::new("/run/portcullis/other.sock"));
    assert_eq!(config.control.group, "operators");
    assert_eq!(config.state.directory, Path::new("/srv/portcullis"));
    assert_eq!(
        (config.log.format, config.log.level),
        (LogFormat::Json, tracing::Level::DEBUG)
    );

    let policy = config.policy;
    assert_eq!(policy.mode, Mode::Enforce);
    let protects = |path: &str| {
        let path = NormalPath::parse(path).unwrap();
        policy.protected.iter().any(|pattern| pattern.matches(&path))
    };
    assert!(protects("/api/orders") && protects("/cart/7/items") && !protects("/index.html"));
    let route = |path: &str| policy.route(&NormalPath::parse(path).unwrap());
    assert_eq!(
        (route("/api/upload/7").max_body, route("/api").max_body),
        (16 << 20, 256 << 10)
    );
    assert_eq!(route("/api/upload/7").binding, Some(BindingPolicy::Strict));
    assert_eq!(policy.sessions.lifetime, Duration::from_secs(5400));
    assert_eq!(
        (policy.sessions.capacity, policy.sessions.source_capacity),
        (50_000, 100_000)
    );
    assert_eq!(
        (policy.freshness.max_age, policy.freshness.max_ahead),
        (Duration::from_secs(20), Duration::from_secs(5))
    );
    assert_eq!(
        (policy.bind_address, policy.bind_user_agent),
        (BindingPolicy::Ladder, BindingPolicy::Off)
    );
    assert_eq!(policy.networks_per_hour, 10);
    assert_eq!((policy.thresholds.session, policy.thresholds.address), (50.0, 150.5));
    assert_eq!(policy.thresholds.session_ban, Duration::from_secs(86_400));
    assert_eq!((policy.weights.replay, policy.weights.bad_signature), (80.0, 50.0));
    assert_eq!(policy.never_ban.len(), 3);
    assert_eq!(policy.rules.len(), 2);
}

#[test]
fn what_is_not_said_is_the_default_of_the_policy() {
    let config = parse("[http]\nupstream = \"http://127.0.0.1:3000\"\n");
    assert_eq!(format!("{:#?}", config.policy), format!("{:#?}", Policy::default()));
}

fn packaged(uncommented: bool) -> String {
    if uncommented {
        environment::defaults()
    } else {
        PACKAGED.to_owned()
    }
}

#[test]
fn the_packaged_file_shows_the_defaults() {
    let minimal = parse("[http]\nupstream = \"http://127.0.0.1:3000\"\n");
    assert_eq!(format!("{:#?}", parse(&packaged(false))), format!("{minimal:#?}"));
    assert_eq!(format!("{:#?}", parse(&packaged(true))), format!("{minimal:#?}"));
}

#[test]
fn the_examples_of_the_packaged_file_are_right() {
    let text = packaged(true).replace("\n## ", "\n");
    let example = text.split_once("# Example:").unwrap().1;
    let config = format!(
        "[http]\nupstream = \"http://a:1\"\n{}",
        example.split_once('\n').unwrap().1
    );
    assert_eq!(parse(&config).policy.rules.len(), 2);
}

/// All keys that are known, rules with all of theirs included.
fn known_keys() -> Vec<String> {
    let text = fs::read_to_string(repository().join("tests/configs/good/shop.toml")).unwrap();
    let (_, _, mut keys) = read_with(&text, &RuleFiles::default(), &[]);
    keys.retain(|key| !key.contains('['));
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn every_key_is_packaged_and_documented() {
    let packaged = packaged(true);
    let guide = fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let guide = guide + &fs::read_to_string(repository().join("docs/rules.md")).unwrap();
    for key in known_keys().iter().filter(|key| {
        !matches!(
            key.as_str(),
            "listener" | "defaults" | "op" | "route" | "rule" | "threshold" | "upstream"
        )
    }) {
        let name = key.rsplit('.').next().unwrap();
        let (is_section, is_key) = (format!("\n[{key}]\n"), format!("\n{name} = "));
        let inside = key.starts_with("op.") || packaged.contains(&is_section) || packaged.contains(&is_key);
        assert!(inside, "packaging/portcullis.toml does not show {key}");
        let documented = [format!("`{key}`"), format!("`[{key}]`"), format!("`{name}`")];
        assert!(
            documented.iter().any(|text| guide.contains(text)),
            "docs/configuration.md does not tell of {key}"
        );
    }
}

#[test]
fn the_environment_wins_and_is_blamed() {
    let (overrides, _) = environment::overrides(
        [
            ("PORTCULLIS_MODE", "enforce"),
            ("PORTCULLIS_HTTP_LISTEN", "[\"127.0.0.1:7\"]"),
            ("PORTCULLIS_PACKET_INTERFACES", "[\"eth7\"]"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter(),
    );
    let read =
        |text, overrides: &[Override]| Config::read(text, "x.toml", &RuleFiles::default(), overrides, Vec::new());
    let text = "mode = \"monitor\"\n[http]\nlisten = [\"127.0.0.1:1\"]\nupstream = \"http://a:1\"\n";
    let config = read(text, &overrides).unwrap();
    assert_eq!(config.mode, Mode::Enforce);
    assert_eq!(config.http.listen, ["127.0.0.1:7".parse().unwrap()]);
    assert_eq!(config.packet.interfaces, ["eth7"]);
    let (overrides, _) =
        environment::overrides([("PORTCULLIS_HTTP_LISTEN".to_owned(), "[\"x\"]".to_owned())].into_iter());
    let errors = read(text, &overrides).unwrap_err().to_string();
    assert!(
        errors.starts_with("PORTCULLIS_HTTP_LISTEN: http.listen[0]: "),
        "{errors}"
    );
}

#[test]
fn the_guide_is_right() {
    let guide = fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let blocks: Vec<_> = guide
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert!(blocks.len() >= 3);
    for block in blocks {
        let has_upstream = block.contains("upstream =");
        let text = if has_upstream {
            block.to_owned()
        } else {
            format!("{block}\n[http]\nupstream = \"http://a:1\"\n")
        };
        if let Err(errors) = Config::parse(&text, "docs/configuration.md") {
            panic!("{errors}\n{text}");
        }
    }
}

#[test]
fn no_truncated_file_panics() {
    for file in samples("good").iter().chain(&samples("bad")) {
        let text = fs::read_to_string(file).unwrap();
        for end in (0..text.len()).filter(|&end| text.is_char_boundary(end)) {
            let _ = Config::parse(&text[..end], "cut.toml").map_err(|errors| errors.to_string());
        }
    }
}
