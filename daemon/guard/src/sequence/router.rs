//! Finds the operation of a call: a tree of segments, searched from the most to the least specific branch. How many
//! operations there are does not matter: at each segment the next one is found by a hash.

use http::Method;

use super::operation::{Operation, Segment};
use super::value::Kind;
use crate::path::{Literal, NormalPath, Step, Steps};

/// An operation by its position in the compiled rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OperationIndex(pub(super) u16);

/// How a call meets an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Every value is what the template says.
    Exactly(OperationIndex),
    /// A value is not, but the application may think so.
    Nearly(OperationIndex),
}

/// The tree.
#[derive(Debug)]
pub(super) struct Router {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: Literals,
    int: Option<usize>,
    uuid: Option<usize>,
    text: Option<usize>,
    ends: Vec<(Method, OperationIndex)>,
    rests: Vec<(Method, OperationIndex)>,
}

/// Nodes by the literals that lead to them.
#[derive(Debug, Default)]
struct Literals {
    entries: Vec<(Literal, usize)>,
    /// Positions of entries plus one, by hash; 0 is free, and at least half of them are. A power of two, or none.
    slots: Vec<u32>,
}

impl Literals {
    fn find(&self, step: Step<'_>) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        self.probe(step.hash, |literal| step.is(literal)).ok()
    }

    /// The node of a literal; `next`, if there is none yet.
    fn find_or_insert(&mut self, literal: &Literal, next: usize) -> usize {
        let hash = literal.hash();
        if !self.slots.is_empty()
            && let Ok(known) = self.probe(hash, |other| other == literal)
        {
            return known;
        }
        self.entries.push((literal.clone(), next));
        let size = (2 * self.entries.len()).next_power_of_two();
        self.slots = vec![0; size];
        for (position, (literal, _)) in (1..).zip(&self.entries) {
            if let Err(slot) = self.probe(literal.hash(), |_| false) {
                self.slots[slot] = position;
            }
        }
        next
    }

    /// The node of a literal, or the free slot for it.
    fn probe(&self, hash: u64, is_it: impl Fn(&Literal) -> bool) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        // The low bits are as good as the others.
        let mut slot = hash as usize & mask;
        loop {
            let Some((literal, node)) = self.slots[slot]
                .checked_sub(1)
                .and_then(|position| self.entries.get(position as usize))
            else {
                return Err(slot);
            };
            if is_it(literal) {
                return Ok(*node);
            }
            slot = (slot + 1) & mask;
        }
    }
}

impl Router {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }

    /// Adds an operation.
    ///
    /// # Errors
    /// The operation that has these calls already.
    pub(super) fn insert(&mut self, operation: &Operation, index: OperationIndex) -> Result<(), OperationIndex> {
        let mut node = 0;
        for segment in &operation.segments {
            node = self.child(node, segment);
        }
        let ends = match operation.rest {
            true => &mut self.nodes[node].rests,
            false => &mut self.nodes[node].ends,
        };
        for method in &operation.methods {
            match find_method(ends, method) {
                Some(other) if other != index => return Err(other),
                Some(_) => {}
                None => ends.push((method.clone(), index)),
            }
        }
        Ok(())
    }

    fn child(&mut self, node: usize, segment: &Segment) -> usize {
        let next = self.nodes.len();
        let slot = match segment {
            Segment::Literal(literal) => {
                let found = self.nodes[node].literals.find_or_insert(literal, next);
                if found != next {
                    return found;
                }
                None
            }
            Segment::Parameter(Kind::Int) => Some(&mut self.nodes[node].int),
            Segment::Parameter(Kind::Uuid) => Some(&mut self.nodes[node].uuid),
            Segment::Parameter(Kind::Plain) => Some(&mut self.nodes[node].text),
        };
        if let Some(slot) = slot {
            match slot {
                Some(child) => return *child,
                None => *slot = Some(next),
            }
        }
        self.nodes.push(Node::default());
        next
    }

    /// The operation of a call.
    pub(super) fn find(&self, method: &Method, path: &NormalPath) -> Option<Found> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let mut search = Search {
            nodes: &self.nodes,
            method,
            fits: Kind::accepts,
            has_rejected: false,
        };
        if let Some(found) = search.run(0, path.steps()) {
            return Some(Found::Exactly(found));
        }
        if !search.has_rejected {
            return None;
        }
        search.fits = Kind::resembles;
        search.run(0, path.steps()).map(Found::Nearly)
    }
}

/// A search for the operation of a call.
struct Search<'a> {
    nodes: &'a [Node],
    method: &'a Method,
    fits: fn(Kind, &[u8]) -> bool,
    /// Whether a value did not fit its parameter. Otherwise a search for those that nearly fit finds nothing else.
    has_rejected: bool,
}

impl Search<'_> {
    /// Each node is reached by one way only, so a search visits no node twice.
    fn run(&mut self, node: usize, mut steps: Steps<'_>) -> Option<OperationIndex> {
        let node = self.nodes.get(node)?;
        let Some(step) = steps.next() else {
            return find_method(&node.ends, self.method).or_else(|| find_method(&node.rests, self.method));
        };
        if let Some(child) = node.literals.find(step)
            && let Some(found) = self.run(child, steps.clone())
        {
            return Some(found);
        }
        for (child, kind) in [(node.int, Kind::Int), (node.uuid, Kind::Uuid), (node.text, Kind::Plain)] {
            let Some(child) = child else { continue };
            if !(self.fits)(kind, step.segment.as_bytes()) {
                self.has_rejected = true;
            } else if let Some(found) = self.run(child, steps.clone()) {
                return Some(found);
            }
        }
        find_method(&node.rests, self.method)
    }
}

fn find_method(ends: &[(Method, OperationIndex)], method: &Method) -> Option<OperationIndex> {
    ends.iter().find(|(found, _)| found == method).map(|(_, index)| *index)
}

#[cfg(test)]
mod tests {
    use super::super::spec::OperationSpec;
    use super::*;

    fn router(operations: &[&str]) -> Result<Router, (usize, u16)> {
        let mut router = Router::new();
        for (index, on) in operations.iter().enumerate() {
            let spec = OperationSpec {
                name: "x".into(),
                on: (*on).into(),
                bind: Vec::new(),
            };
            let operation = Operation::parse(&spec, &mut Vec::new()).unwrap();
            let number = OperationIndex(u16::try_from(index).unwrap());
            router.insert(&operation, number).map_err(|other| (index, other.0))?;
        }
        Ok(router)
    }

    fn exact(found: Found) -> Option<OperationIndex> {
        match found {
            Found::Exactly(index) => Some(index),
            Found::Nearly(_) => None,
        }
    }

    #[test]
    fn what_an_application_may_take_for_a_number_is_nearly_one() {
        let router = router(&["POST /orders/{id:int}/pay"]).unwrap();
        let find = |path: &str| router.find(&Method::POST, &NormalPath::parse(path).unwrap());
        let index = OperationIndex(0);
        assert_eq!(find("/orders/7/pay"), Some(Found::Exactly(index)));
        for near in ["7abc", "7.0", "+7", "7e0", "%207", "0x7", "7,0"] {
            assert_eq!(
                find(&format!("/orders/{near}/pay")),
                Some(Found::Nearly(index)),
                "{near}"
            );
        }
        assert_eq!(find("/orders/new/pay"), None);
    }

    #[test]
    fn an_escaped_percent_sign_is_no_escape() {
        // The literal is `%20`, and so is the segment of a path with a space, which means something else.
        for escape in ["20", "22", "3C", "3E", "5B", "5D", "5E", "60", "7B", "7C", "7D"] {
            let router = router(&[&format!("GET /%25{escape}")]).unwrap();
            let find = |path: &str| router.find(&Method::GET, &NormalPath::parse(path).unwrap());
            assert_eq!(find(&format!("/%{escape}")), None);
            assert!(find(&format!("/%25{escape}")).is_some());
        }
    }

    #[test]
    fn the_most_specific_operation_wins() {
        let operations = [
            "GET /orders/{id}",
            "GET /orders/{id:int}",
            "GET /orders/{id:uuid}",
            "GET /orders/new",
            "GET|DELETE /orders/**",
            "POST /orders/{id}",
            "POST /orders/{id}/pay",
            "GET /orders/{id:int}/lines",
            "GET /orders/new/draft/**",
            "PUT /",
        ];
        let router = router(&operations).unwrap();
        for (method, path, expected) in [
            ("GET", "/orders/new", Some("GET /orders/new")),
            ("GET", "/Orders/%6eEW/", Some("GET /orders/new")),
            ("HEAD", "/orders/new", Some("GET /orders/new")),
            ("GET", "/orders/7", Some("GET /orders/{id:int}")),
            ("GET", "/orders/-7", Some("GET /orders/{id:int}")),
            ("GET", "/orders/7a", Some("GET /orders/{id}")),
            (
                "GET",
                "/orders/0190a5f2-7c3e-7bbb-8aaa-0123456789ab",
                Some("GET /orders/{id:uuid}"),
            ),
            ("GET", "/orders", Some("GET|DELETE /orders/**")),
            ("GET", "/orders/7/lines", Some("GET /orders/{id:int}/lines")),
            ("GET", "/orders/7/other", Some("GET|DELETE /orders/**")),
            ("GET", "/orders/new/draft", Some("GET /orders/new/draft/**")),
            ("GET", "/orders/new/draft/1/2", Some("GET /orders/new/draft/**")),
            ("DELETE", "/orders/7", Some("GET|DELETE /orders/**")),
            ("POST", "/orders/new", Some("POST /orders/{id}")),
            ("POST", "/orders/new/pay", Some("POST /orders/{id}/pay")),
            ("POST", "/orders", None),
            ("PUT", "/", Some("PUT /")),
            ("PUT", "/orders", None),
            ("GET", "/other", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = router.find(&method, &NormalPath::parse(path).unwrap());
            assert_eq!(
                found.and_then(exact).map(|index| operations[usize::from(index.0)]),
                expected,
                "{method} {path}"
            );
        }
    }

    #[test]
    fn two_operations_cannot_have_the_same_calls() {
        for operations in [
            ["GET /orders/{id}", "GET /orders/{number}"],
            ["GET /orders", "POST|GET /Orders/"],
            ["GET /a%41", "GET /aa"],
            ["GET /a/**", "GET /a/**"],
        ] {
            assert_eq!(router(&operations).unwrap_err(), (1, 0), "{operations:?}");
        }
        assert!(router(&["GET /a", "GET /a/**"]).is_ok(), "a path beats the rest");
    }
}
