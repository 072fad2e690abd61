//! Plays the examples of docs/rules.md.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Method};
use portcullis_guard::path::NormalPath;
use portcullis_guard::policy::Mode;
use portcullis_guard::request::ClientAddress;
use portcullis_guard::sequence::{
    Action, Admission, BindingKey, CallParts, Facts, Moment, Outcome, Reservation, Resolved, Rules, SharedFacts,
    Verdict, Violation, Who,
};
use portcullis_guard::session::SessionId;
use portcullis_guard::time::MonoMillis;

use super::super::Config;
use crate::span;

const KEY: [u8; 16] = [5; 16];

/// Everybody that an example speaks of.
struct World {
    rules: Rules,
    sessions: BTreeMap<u8, Facts>,
    shared: SharedFacts,
    now: MonoMillis,
    unanswered: Vec<Reservation>,
}

/// One row of a table.
struct Row {
    request: String,
    status: Option<u16>,
    body: Option<String>,
    shows: String,
    user: Option<String>,
    address: String,
    session: u8,
    after: Duration,
}

impl Row {
    /// Reads `` `POST /path?query`, with `{json}`, answered 404, after 5s ``.
    fn read(cell: &str) -> Self {
        let mut row = Self {
            request: String::new(),
            status: Some(200),
            body: None,
            shows: String::new(),
            user: None,
            address: "192.0.2.1".into(),
            session: b'A',
            after: Duration::ZERO,
        };
        let quoted = |text: &str| text.trim_matches('`').to_owned();
        for item in split(cell) {
            let (word, rest) = item.split_once(' ').unwrap_or((item, ""));
            match word {
                "answered" => row.status = Some(rest.parse().unwrap()),
                "unanswered" => row.status = None,
                "with" => row.body = Some(quoted(rest)),
                "showing" => row.shows = quoted(rest),
                "as" => row.user = Some(rest.to_owned()),
                "from" => row.address = rest.to_owned(),
                "in" => row.session = *rest.strip_prefix("session ").unwrap().as_bytes().first().unwrap(),
                "after" => row.after = span::parse(rest).unwrap(),
                _ => row.request = quoted(item),
            }
        }
        row
    }
}

/// Splits at commas that are not between backticks.
fn split(cell: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let at_comma = |letter: char| {
        is_quoted ^= letter == '`';
        letter == ',' && !is_quoted
    };
    cell.split(at_comma).map(str::trim).collect()
}

impl World {
    fn play(&mut self, row: &Row) -> String {
        self.now = self.now.after(row.after);
        let (method, target) = row.request.split_once(' ').unwrap();
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let parts = CallParts {
            method: &Method::from_bytes(method.as_bytes()).unwrap(),
            path: &NormalPath::parse(path).unwrap(),
            query,
            headers: &HeaderMap::new(),
            body: row.body.as_deref().map(str::as_bytes),
        };
        let call = match self.rules.resolve(&BindingKey::new(KEY), parts) {
            Resolved::Free => return "passes".into(),
            Resolved::Unlisted => {
                return self
                    .rules
                    .unlisted(Mode::Enforce)
                    .map_or("passes".into(), |violation| told(&violation));
            }
            Resolved::Call(call) => call,
        };
        let who = Who {
            session: SessionId([row.session; 12]),
            user: row.user.as_deref(),
            client: ClientAddress::new(row.address.parse().unwrap()),
            fingerprint: None,
            trusted: false,
            headers: &HeaderMap::new(),
        };
        let moment = Moment {
            mode: Mode::Enforce,
            now: self.now,
            arrived: self.now,
        };
        let facts = self.sessions.entry(row.session).or_default();
        let Admission { verdict, observed } = facts.admit(call, &who, &self.shared, moment);
        match verdict {
            Verdict::Refused(violation) => return told(&violation),
            Verdict::Held(_) => return "held".into(),
            Verdict::Passed(reservation) => match row.status {
                None => self.unanswered.push(reservation),
                Some(status) => {
                    let outcome = Outcome { status, now: self.now };
                    if let Some(mut watch) = facts.complete(reservation, &self.shared, outcome) {
                        let shown = watch.push(&BindingKey::new(KEY), row.shows.as_bytes());
                        facts.see(&watch, &shown, &self.shared, self.now);
                    }
                }
            },
        }
        let noted = observed.iter().map(|violation| format!(", notes {}", violation.rule));
        format!("passes{}", noted.collect::<String>())
    }
}

fn told(violation: &Violation) -> String {
    match violation.action {
        Action::Deny | Action::Delay => violation.kind.refusal().problem().status.to_string(),
        action @ (Action::Log | Action::Score | Action::Reauth | Action::Challenge | Action::Ban(_)) => {
            action.to_string()
        }
    }
}

fn rules(block: &str) -> Rules {
    let config = Config::parse(
        &format!("{block}\n[http]\nupstream = \"http://a:1\"\n"),
        "docs/rules.md",
    );
    config.unwrap_or_else(|errors| panic!("{errors}\n{block}")).policy.rules
}

#[test]
fn every_example_does_what_it_says() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let mut rows = 0;
    let mut examples = 0;
    for section in guide.split("```toml\n").skip(1) {
        let (block, after) = section.split_once("```").unwrap();
        let mut world = World {
            rules: rules(block),
            sessions: BTreeMap::new(),
            shared: SharedFacts::new(100, BindingKey::new(KEY)),
            now: MonoMillis(1_000_000),
            unanswered: Vec::new(),
        };
        let table = after.trim_start().lines().take_while(|line| line.starts_with('|'));
        let table: Vec<_> = table.collect();
        if !table.first().is_some_and(|head| head.starts_with("| the session does")) {
            continue;
        }
        examples += 1;
        for line in table.iter().skip(2) {
            let (call, says) = line.trim_matches(['|', ' ']).split_once(" | ").unwrap();
            let said = world.play(&Row::read(call));
            let says = says.split([':', ';']).next().unwrap();
            let says = says.split(" and ").next().unwrap();
            assert!(
                says == said || says.starts_with(&format!("{said} ")) || says.starts_with(&format!("{said},")),
                "{line}\nthe gate says {said}"
            );
            rows += 1;
        }
    }
    assert!(examples >= 14 && rows >= 80, "{examples} examples, {rows} rows");
}
