//! What rules would have said to calls that were recorded: one JSON object a line.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis_guard::path::NormalPath;
use portcullis_guard::policy::Mode;
use portcullis_guard::request::ClientAddress;
use portcullis_guard::sequence::{
    Admission, BindingKey, CallParts, Facts, Moment, Outcome, Resolved, Rules, SharedFacts, Verdict, Violation, Who,
};
use portcullis_guard::session::SessionId;
use portcullis_guard::time::MonoMillis;
use serde::{Deserialize, Serialize};

/// Nobody can choose values that collide in a record.
const KEY: [u8; 16] = [0; 16];
/// Sessions and others that are remembered.
const MOST: usize = 1_000_000;

/// A recorded call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Seconds from any start; calls are in their order.
    #[serde(default)]
    at: f64,
    /// The session; calls without one are of the same one.
    #[serde(default)]
    session: String,
    /// Whom the session is bound to.
    user: Option<String>,
    /// From where.
    address: Option<IpAddr>,
    method: String,
    /// With the query.
    path: String,
    #[serde(default)]
    headers: HashMap<String, String>,
    /// The JSON of the body.
    body: Option<serde_json::Value>,
    /// What the application answered.
    #[serde(default = "ok")]
    status: u16,
    /// The JSON of the answer.
    answer: Option<serde_json::Value>,
}

fn ok() -> u16 {
    200
}

/// What the rules say to a call.
#[derive(Debug, Serialize)]
pub struct Said {
    /// The line in the record, from 1.
    pub line: usize,
    /// The call.
    pub call: String,
    /// `passes`, `refused` or `held`.
    pub verdict: &'static str,
    /// Each rule that it violates, in words; those that only watch among them.
    pub rules: Vec<String>,
}

/// A line that is no call.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct LineError {
    /// From 1.
    line: usize,
    message: String,
}

/// Rules and what they remember of a record.
pub struct Rehearsal<'a> {
    rules: &'a Rules,
    sessions: HashMap<String, (SessionId, Facts)>,
    shared: SharedFacts,
}

impl<'a> Rehearsal<'a> {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            sessions: HashMap::new(),
            shared: SharedFacts::new(MOST, BindingKey::new(KEY)),
        }
    }

    /// Plays a record.
    ///
    /// # Errors
    /// The first line that is no call.
    pub fn play(&mut self, record: &str) -> Result<Vec<Said>, LineError> {
        let lines = record.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let said = lines.map(|(index, line)| {
            let line_error = |message| LineError {
                line: index + 1,
                message,
            };
            let recorded: Recorded = serde_json::from_str(line).map_err(|error| line_error(error.to_string()))?;
            self.play_one(index + 1, &recorded).map_err(line_error)
        });
        said.collect()
    }

    fn play_one(&mut self, line: usize, recorded: &Recorded) -> Result<Said, String> {
        let (path, query) = match recorded.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (recorded.path.as_str(), None),
        };
        let method = Method::from_bytes(recorded.method.as_bytes()).map_err(|error| error.to_string())?;
        let path = NormalPath::parse(path).map_err(|error| error.to_string())?;
        let body = recorded.body.as_ref().map(ToString::to_string);
        let headers = headers(&recorded.headers)?;
        let parts = CallParts {
            method: &method,
            path: &path,
            query,
            headers: &headers,
            body: body.as_deref().map(str::as_bytes),
        };
        let said = |verdict, rules| Said {
            line,
            call: format!("{method} {}", path.as_str()),
            verdict,
            rules,
        };
        let call = match self.rules.resolve(&BindingKey::new(KEY), parts) {
            Resolved::Free => return Ok(said("passes", Vec::new())),
            Resolved::Unlisted => {
                let violation = self.rules.unlisted(Mode::Enforce);
                let verdict = if violation.as_ref().is_some_and(Violation::refuses) {
                    "refused"
                } else {
                    "passes"
                };
                return Ok(said(verdict, violation.iter().map(shown).collect()));
            }
            Resolved::Call(call) => call,
        };
        let seconds = Duration::try_from_secs_f64(recorded.at).map_err(|error| error.to_string())?;
        let now = MonoMillis(0).after(seconds);
        let count = self.sessions.len() as u64;
        let (id, facts) = self.sessions.entry(recorded.session.clone()).or_insert_with(|| {
            let mut id = [0; 12];
            id[4..].copy_from_slice(&count.to_be_bytes());
            (SessionId(id), Facts::default())
        });
        let who = Who {
            session: *id,
            user: recorded.user.as_deref(),
            client: ClientAddress::new(recorded.address.unwrap_or(IpAddr::from([127, 0, 0, 1]))),
            fingerprint: None,
            trusted: false,
            headers: &headers,
        };
        let moment = Moment {
            mode: Mode::Enforce,
            now,
            arrived: now,
        };
        let Admission { verdict, observed } = facts.admit(call, &who, &self.shared, moment);
        let mut rules: Vec<String> = observed.iter().map(shown).collect();
        match verdict {
            Verdict::Refused(violation) => {
                rules.insert(0, shown(&violation));
                Ok(said("refused", rules))
            }
            Verdict::Held(_) => Ok(said("held", rules)),
            Verdict::Passed(reservation) => {
                let outcome = Outcome {
                    status: recorded.status,
                    now,
                };
                let watch = facts.complete(reservation, &self.shared, outcome);
                if let (Some(mut watch), Some(answer)) = (watch, &recorded.answer) {
                    let seen = watch.push(&BindingKey::new(KEY), answer.to_string().as_bytes());
                    facts.see(&watch, &seen, &self.shared, now);
                }
                Ok(said("passes", rules))
            }
        }
    }
}

fn headers(given: &HashMap<String, String>) -> Result<HeaderMap, String> {
    let field = |(name, value): (&String, &String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
        Ok((name, value))
    };
    given.iter().map(field).collect()
}

fn shown(violation: &Violation) -> String {
    let watches = if violation.enforced { "" } else { " (only watches)" };
    format!("{violation}{watches}: {}", violation.action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_record_is_played() {
        let config = "[http]\nupstream = \"http://a:1\"\n[op]\nlist = \"GET /orders\"\nview = \"GET /orders/{id}\"\n\
            [[rule]]\nid = \"shown\"\non = [\"view\"]\nmode = \"enforce\"\n\
            shown = { param = \"id\", by = [{ op = \"list\", at = \"/*/id\" }] }\n";
        let rules = Config::parse(config, "test.toml").unwrap().policy.rules;
        let record = r#"
            {"method": "GET", "path": "/orders/7"}
            {"method": "GET", "path": "/orders", "answer": [{"id": 7}]}
            {"at": 5, "method": "GET", "path": "/orders/7"}
            {"at": 6, "session": "b", "method": "GET", "path": "/orders/7"}
            {"method": "GET", "path": "/other"}
        "#;
        let said = Rehearsal::new(&rules).play(record).unwrap();
        let verdicts: Vec<_> = said.iter().map(|said| (said.line, said.verdict)).collect();
        assert_eq!(
            verdicts,
            [
                (2, "refused"),
                (3, "passes"),
                (4, "passes"),
                (5, "refused"),
                (6, "passes")
            ]
        );
        assert_eq!(
            said[0].rules,
            ["rule shown: view: `id` must have been shown by `list`; this one was not: deny"]
        );
        let error = Rehearsal::new(&rules).play("{\"method\": 1}").unwrap_err();
        assert!(error.to_string().starts_with("line 1: "), "{error}");
    }
}
