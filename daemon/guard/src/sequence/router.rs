//! Finds the operation of a call: a tree of segments, searched from the most to the least specific branch.

use http::Method;

use super::operation::{Operation, Segment};
use super::value::Kind;
use crate::path::{Literal, NormalPath};

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
    /// Sorted, for search by halves.
    literals: Vec<(Literal, usize)>,
    int: Option<usize>,
    uuid: Option<usize>,
    text: Option<usize>,
    ends: Vec<(Method, OperationIndex)>,
    rests: Vec<(Method, OperationIndex)>,
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
                let literals = &mut self.nodes[node].literals;
                match literals.binary_search_by(|(found, _)| found.cmp(literal)) {
                    Ok(position) => return literals[position].1,
                    Err(position) => literals.insert(position, (literal.clone(), next)),
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
        let exact = self
            .search(0, path.segments(), method, Kind::accepts)
            .map(Found::Exactly);
        exact.or_else(|| {
            self.search(0, path.segments(), method, Kind::resembles)
                .map(Found::Nearly)
        })
    }

    /// Each node is reached by one way only, so a search visits no node twice.
    fn search<'a>(
        &self,
        node: usize,
        mut segments: impl Iterator<Item = &'a str> + Clone,
        method: &Method,
        fits: fn(Kind, &[u8]) -> bool,
    ) -> Option<OperationIndex> {
        let node = self.nodes.get(node)?;
        let Some(segment) = segments.next() else {
            return find_method(&node.ends, method).or_else(|| find_method(&node.rests, method));
        };
        let literal = node
            .literals
            .binary_search_by(|(literal, _)| literal.order(segment))
            .ok();
        let literal = literal.map(|position| node.literals[position].1);
        let typed = |child: Option<usize>, kind: Kind| child.filter(|_| fits(kind, segment.as_bytes()));
        [
            literal,
            typed(node.int, Kind::Int),
            typed(node.uuid, Kind::Uuid),
            node.text,
        ]
        .into_iter()
        .flatten()
        .find_map(|child| self.search(child, segments.clone(), method, fits))
        .or_else(|| find_method(&node.rests, method))
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
