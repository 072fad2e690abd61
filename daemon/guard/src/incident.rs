//! What was refused and why, kept for a while so that `portcullis why REF` can explain it.

use std::collections::{HashMap, VecDeque};

use crate::fingerprint::Fingerprint;
use crate::refusal::Refusal;
use crate::request::{ClientAddress, Reference};
use crate::session::SessionId;
use crate::time::WallMillis;
use crate::verdict::{Consequence, Mood};

/// One refusal, with what the operator needs to understand it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// What the client was told.
    pub reference: Reference,
    /// When.
    pub at: WallMillis,
    /// The cause.
    pub refusal: Refusal,
    /// Who asked.
    pub client: ClientAddress,
    /// What its TLS handshake said of its program, where TLS ends at the gate.
    pub fingerprint: Option<Fingerprint>,
    /// By which session; `None` if none was proved.
    pub session: Option<SessionId>,
    /// The method.
    pub method: String,
    /// The path, cut to [`PATH_KEPT`] bytes; never the query.
    pub path: String,
    /// The rule that fired.
    pub rule: Option<String>,
    /// In words, for the operator.
    pub explanation: String,
    /// Points that it added to the session.
    pub session_points: f32,
    /// Points that it added to the address.
    pub address_points: f32,
    /// Whether the request passed all the same, because the gate only watches.
    pub waived: bool,
    /// What followed.
    pub consequences: Vec<Consequence>,
    /// Whether it did, or only would have.
    pub mood: Mood,
}

/// How much of a path is kept.
pub const PATH_KEPT: usize = 256;
/// How much of a method is kept.
pub const METHOD_KEPT: usize = 32;

/// The last incidents, bounded: the oldest is forgotten first.
#[derive(Debug)]
pub struct Incidents {
    by_reference: HashMap<Reference, Incident>,
    order: VecDeque<Reference>,
    capacity: usize,
}

impl Incidents {
    /// Room for `capacity` incidents.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            by_reference: HashMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// Remembers an incident. A second one of the same request replaces the first.
    pub fn record(&mut self, incident: Incident) {
        let reference = incident.reference;
        if self.by_reference.insert(reference, incident).is_none() {
            self.order.push_back(reference);
        }
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_reference.remove(&oldest);
        }
    }

    /// The incident of a reference, if it is still remembered.
    #[must_use]
    pub fn find(&self, reference: Reference) -> Option<&Incident> {
        self.by_reference.get(&reference)
    }

    /// The last incidents, newest first.
    pub fn recent(&self) -> impl Iterator<Item = &Incident> {
        self.order
            .iter()
            .rev()
            .filter_map(|reference| self.by_reference.get(reference))
    }
}

/// The first `most` bytes of a client's text, cut at a character boundary.
#[must_use]
pub fn kept(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(reference: u64) -> Incident {
        Incident {
            reference: Reference(reference),
            at: WallMillis(0),
            refusal: Refusal::Replay,
            client: ClientAddress::new("10.0.0.1".parse().unwrap()),
            fingerprint: None,
            session: None,
            method: "GET".into(),
            path: "/".into(),
            rule: None,
            explanation: String::new(),
            session_points: 0.0,
            address_points: 0.0,
            waived: false,
            consequences: Vec::new(),
            mood: Mood::Did,
        }
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut incidents = Incidents::new(2);
        (1..=3).for_each(|reference| incidents.record(incident(reference)));
        assert!(incidents.find(Reference(1)).is_none());
        assert_eq!(incidents.recent().map(|i| i.reference.0).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        let kept_path = |path: &str| kept(path, PATH_KEPT);
        assert_eq!(kept_path("/short"), "/short");
        assert_eq!(kept_path(&"ä".repeat(200)).len(), PATH_KEPT);
        assert_eq!(kept_path(&format!("/{}", "ä".repeat(200))).len(), PATH_KEPT - 1);
    }
}
