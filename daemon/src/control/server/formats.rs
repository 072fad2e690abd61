//! Reads lists of others: plain lists and FireHOL's, Spamhaus DROP as text and JSON, CrowdSec's decisions, our own export.
//!
//! The format is seen, not told: JSON begins with a bracket, and each kind of object has its own fields.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_guard::blacklist::Origin;
use portcullis_guard::request::Reference;
use portcullis_guard::time::WallMillis;
use serde::Deserialize;

use crate::control::api::{Moment, parse_network};

/// An entry as its list has it.
#[derive(Debug, PartialEq)]
pub(super) struct Listed<'a> {
    pub(super) network: IpNet,
    /// Why, if the list says so.
    pub(super) reason: Option<std::borrow::Cow<'a, str>>,
    /// For how long from now, if the list says so.
    pub(super) ttl: Option<Duration>,
    /// What only our own export knows.
    pub(super) own: Option<Own>,
}

/// How a ban of our own export was, as far as its line says so.
#[derive(Debug, PartialEq)]
pub(super) struct Own {
    pub(super) origin: Option<Origin>,
    pub(super) list: Option<String>,
    pub(super) reference: Option<Reference>,
    pub(super) since: Option<WallMillis>,
    pub(super) until: Option<WallMillis>,
}

/// What of a list is no entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// The line, from 1; in a JSON array, the element.
    pub(super) place: usize,
    /// What is wrong.
    pub(super) problem: String,
}

/// Hands every entry to `entry`, and everything that is none to `unreadable`.
pub(super) fn read(text: &str, mut entry: impl FnMut(usize, Listed<'_>), mut unreadable: impl FnMut(Unreadable)) {
    match text.trim_start().as_bytes().first() {
        Some(b'[') => read_document(text, &mut entry, &mut unreadable),
        Some(b'{') if serde_json::from_str::<Document>(text).is_ok() => {
            read_document(text, &mut entry, &mut unreadable);
        }
        Some(_) | None => {
            for (index, line) in text.lines().enumerate() {
                let read = match line.trim_start().as_bytes().first() {
                    None | Some(b'#' | b';') => Ok(None),
                    Some(b'{') => json_line(line),
                    Some(_) => plain_line(line).map(Some),
                };
                match read {
                    Ok(Some(listed)) => entry(index + 1, listed),
                    Ok(None) => {}
                    Err(problem) => unreadable(Unreadable {
                        place: index + 1,
                        problem,
                    }),
                }
            }
        }
    }
}

/// `ADDRESS|NETWORK`, then nothing or a remark.
fn plain_line(line: &str) -> Result<Listed<'_>, String> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || matches!(c, ';' | '#' | ','));
    let (network, rest) = line.split_at(end.unwrap_or(line.len()));
    let remark = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | '#' | ','));
    Ok(Listed {
        network: fast_network(network)?,
        reason: (!remark.is_empty()).then(|| remark.into()),
        ttl: None,
        own: None,
    })
}

/// Most lines are addresses.
fn fast_network(text: &str) -> Result<IpNet, String> {
    if let Ok(v4) = text.parse::<std::net::Ipv4Addr>() {
        return Ok(IpAddr::V4(v4).into());
    }
    parse_network(text).map_err(|error| error.to_string())
}

/// A line of Spamhaus DROP, or of our own export.
#[derive(Deserialize)]
struct Line {
    /// Spamhaus.
    cidr: Option<String>,
    sblid: Option<String>,
    /// Ours.
    network: Option<String>,
    reason: Option<String>,
    origin: Option<String>,
    list: Option<String>,
    reference: Option<String>,
    since: Option<Moment>,
    until: Option<Moment>,
}

/// `None` for what describes the list itself.
fn json_line(line: &str) -> Result<Option<Listed<'static>>, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if let Some(cidr) = line.cidr {
        return Ok(Some(Listed {
            network: fast_network(&cidr)?,
            reason: line.sblid.map(Into::into),
            ttl: None,
            own: None,
        }));
    }
    let Some(network) = line.network else { return Ok(None) };
    let origin = line.origin.map(|origin| {
        let known = Origin::ALL.into_iter().find(|known| known.as_str() == origin);
        known.ok_or_else(|| format!("the origin '{origin}' is not known"))
    });
    let reference = line.reference.map(|text| text.parse());
    Ok(Some(Listed {
        network: fast_network(&network)?,
        reason: line.reason.map(Into::into),
        ttl: None,
        own: Some(Own {
            origin: origin.transpose()?,
            list: line.list,
            reference: reference.transpose().map_err(|_| "the reference is none".to_owned())?,
            since: line.since.map(Into::into),
            until: line.until.map(Into::into),
        }),
    }))
}

/// What CrowdSec writes: decisions, alerts with decisions, or the stream of its API.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Stream {
        new: Option<Vec<Decision>>,
        #[serde(rename = "deleted")]
        _deleted: serde::de::IgnoredAny,
    },
    List(Vec<AlertOrDecision>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AlertOrDecision {
    Decision(Decision),
    Alert { decisions: Option<Vec<Decision>> },
}

#[derive(Deserialize)]
struct Decision {
    value: String,
    scope: Option<String>,
    duration: Option<String>,
    scenario: Option<String>,
    reason: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn read_document(text: &str, entry: &mut impl FnMut(usize, Listed<'_>), unreadable: &mut impl FnMut(Unreadable)) {
    let decisions: Vec<Decision> = match serde_json::from_str(text) {
        Ok(Document::Stream { new, .. }) => new.unwrap_or_default(),
        Ok(Document::List(list)) => list.into_iter().flat_map(AlertOrDecision::decisions).collect(),
        Err(_) => {
            let problem = "the JSON has neither CrowdSec's decisions nor a line for each entry".to_owned();
            return unreadable(Unreadable { place: 1, problem });
        }
    };
    for (index, decision) in decisions.into_iter().enumerate() {
        let place = index + 1;
        match decision.listed() {
            Ok(Some(listed)) => entry(place, listed),
            Ok(None) => {}
            Err(problem) => unreadable(Unreadable { place, problem }),
        }
    }
}

impl AlertOrDecision {
    fn decisions(self) -> Vec<Decision> {
        match self {
            Self::Alert { decisions } => decisions.unwrap_or_default(),
            Self::Decision(decision) => vec![decision],
        }
    }
}

impl Decision {
    /// `None` if it bans nobody: a captcha, or a scope that is no address.
    fn listed(self) -> Result<Option<Listed<'static>>, String> {
        let is = |text: &Option<String>, words: &[&str]| {
            text.as_deref()
                .is_none_or(|text| words.iter().any(|word| text.eq_ignore_ascii_case(word)))
        };
        if !is(&self.kind, &["ban"]) || !is(&self.scope, &["ip", "range"]) {
            return Ok(None);
        }
        let ttl = match self.duration.as_deref() {
            None => None,
            Some(text) if text.starts_with('-') => Some(Duration::ZERO),
            Some(text) => Some(go_duration(text).ok_or_else(|| format!("'{text}' is not a duration"))?),
        };
        Ok(Some(Listed {
            network: fast_network(&self.value)?,
            reason: self.scenario.or(self.reason).map(Into::into),
            ttl,
            own: None,
        }))
    }
}

/// Like `3h59m56.5s`, as Go writes it.
fn go_duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (0.0_f64, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> (Vec<String>, Vec<Unreadable>) {
        let (mut read_all, mut bad) = (Vec::new(), Vec::new());
        read(
            text,
            |place, listed| {
                let reason = listed.reason.as_deref().unwrap_or("-");
                let ttl = listed.ttl.map_or(0, |ttl| ttl.as_secs());
                read_all.push(format!("{place} {} {reason} {ttl}", listed.network));
            },
            |unreadable| bad.push(unreadable),
        );
        (read_all, bad)
    }

    #[test]
    fn plain_lists_and_their_remarks() {
        let (read, bad) = entries(
            "# FireHOL\n\n192.0.2.7\n 198.51.100.0/24 ; SBL1\n2001:db8::/32\n; drop\n192.0.2.9,seen 4 times\nexample.com\n10.0.0.7/24\n",
        );
        assert_eq!(
            read,
            [
                "3 192.0.2.7/32 - 0",
                "4 198.51.100.0/24 SBL1 0",
                "5 2001:db8::/32 - 0",
                "7 192.0.2.9/32 seen 4 times 0"
            ]
        );
        assert_eq!(bad.iter().map(|bad| bad.place).collect::<Vec<_>>(), [8, 9]);
        assert!(bad[1].problem.contains("did you mean 10.0.0.0/24"));
    }

    #[test]
    fn spamhaus_json() {
        let text = "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n{\"type\":\"metadata\",\"records\":1}\n";
        assert_eq!(
            entries(text),
            (vec!["1 1.10.16.0/20 SBL256894 0".to_owned()], Vec::new())
        );
    }

    #[test]
    fn crowdsec_in_three_forms() {
        let ban = r#"{"duration":"1h29m57.9s","scenario":"x","scope":"Range","type":"ban","value":"192.0.2.128/25"}"#;
        let captcha = r#"{"duration":"1h","scenario":"x","scope":"Ip","type":"captcha","value":"192.0.2.1"}"#;
        let expected = ["1 192.0.2.128/25 x 5397"];
        for text in [
            format!("[{ban},{captcha}]"),
            format!("[{{\"id\":1,\"decisions\":[{ban},{captcha}]}}]"),
            format!("{{\"deleted\":null,\"new\":[{ban},{captcha}]}}"),
        ] {
            let (read, bad) = entries(&text);
            assert_eq!(
                (read.as_slice(), bad.len()),
                (expected.map(str::to_owned).as_slice(), 0),
                "{text}"
            );
        }
        assert_eq!(entries("[{\"a\":1").1.len(), 1);
        assert_eq!(go_duration("soon"), None);
    }

    #[test]
    fn the_own_export() {
        let text = r#"{"network":"192.0.2.7/32","reason":"r","origin":"list","list":"drop","since":"2027-01-15T08:00:00Z","until":"2027-01-15T09:00:00Z"}"#;
        let mut own = None;
        read(text, |_, listed| own = listed.own, |bad| panic!("{bad:?}"));
        let own = own.unwrap();
        assert_eq!((own.origin, own.list.as_deref()), (Some(Origin::List), Some("drop")));
        assert_eq!(own.until.unwrap().0 - own.since.unwrap().0, 3_600_000);
        assert_eq!(
            entries(&text.replace("\"list\",\"list\"", "\"fate\",\"list\"")).1.len(),
            1
        );
    }
}
