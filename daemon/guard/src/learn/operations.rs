//! From paths to operations: segments that vary become parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use http::Method;

use super::Call;

/// Different words in one place, from which on they are values.
const WORDS: usize = 12;
/// Segments that are looked at.
const DEEPEST: usize = 16;

/// A segment of a template.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    Word(String),
    Int,
    Uuid,
    Text,
}

/// A method and a template.
type Shape = (String, Vec<Segment>);

/// One operation, with the names of its values.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) method: String,
    pub(super) template: String,
    /// The name of each value and the segment where it is.
    pub(super) values: Vec<(String, usize)>,
}

/// All operations that were seen.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) all: Vec<Operation>,
    index: BTreeMap<Shape, usize>,
    crowded: BTreeSet<Vec<Segment>>,
}

fn kind(text: &str) -> Option<Segment> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(Segment::Int)
    } else if is_hex && text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4 {
        Some(Segment::Uuid)
    } else if text.len() >= 12 && text.bytes().any(|byte| byte.is_ascii_digit()) {
        Some(Segment::Text)
    } else {
        None
    }
}

impl Operations {
    pub(super) fn of<'a>(calls: impl Iterator<Item = &'a Call> + Clone) -> Self {
        let mut operations = Self {
            all: Vec::new(),
            index: BTreeMap::new(),
            crowded: BTreeSet::new(),
        };
        // Level by level: whether a place is crowded depends on those before it.
        for depth in 0..DEEPEST {
            let mut words: BTreeMap<Vec<Segment>, BTreeSet<&str>> = BTreeMap::new();
            for call in calls.clone() {
                let Some(word) = call.path.segments().nth(depth).filter(|word| kind(word).is_none()) else {
                    continue;
                };
                let prefix = operations.shape(call.path.segments().take(depth));
                let known = words.entry(prefix).or_default();
                if known.len() <= WORDS {
                    known.insert(word);
                }
            }
            let crowded = words.into_iter().filter(|(_, words)| words.len() > WORDS);
            operations.crowded.extend(crowded.map(|(prefix, _)| prefix));
        }
        for call in calls {
            let shape = (call.method.to_string(), operations.shape(call.path.segments()));
            if !operations.index.contains_key(&shape) {
                let operation = operations.name(&shape);
                operations.index.insert(shape, operations.all.len());
                operations.all.push(operation);
            }
        }
        operations
    }

    fn shape<'a>(&self, segments: impl Iterator<Item = &'a str>) -> Vec<Segment> {
        let mut shape = Vec::new();
        for text in segments.take(DEEPEST) {
            let is_crowded = self.crowded.contains(&shape);
            shape.push(kind(text).unwrap_or_else(|| match is_crowded {
                true => Segment::Text,
                false => Segment::Word(text.to_owned()),
            }));
        }
        shape
    }

    pub(super) fn find(&self, method: &Method, segments: impl Iterator<Item = impl AsRef<str>>) -> Option<usize> {
        let owned: Vec<String> = segments.map(|text| text.as_ref().to_owned()).collect();
        let shape = self.shape(owned.iter().map(String::as_str));
        self.index.get(&(method.to_string(), shape)).copied()
    }

    fn name(&self, (method, shape): &Shape) -> Operation {
        let mut template = String::new();
        let mut values: Vec<(String, usize)> = Vec::new();
        let mut words = vec![method.to_ascii_lowercase()];
        let mut before = "id".to_owned();
        for (place, segment) in shape.iter().enumerate() {
            let mut parameter = |kind: &str| {
                let taken = |name: &String| values.iter().any(|(known, _)| known == name);
                let name = (1..)
                    .map(|n| if n == 1 { before.clone() } else { format!("{before}{n}") })
                    .find(|name| !taken(name))
                    .unwrap_or_default();
                // Writing to a String does not fail.
                let _ = write!(template, "/{{{name}{kind}}}");
                values.push((name, place));
            };
            match segment {
                Segment::Word(word) => {
                    let _ = write!(template, "/{word}");
                    let is_value_next = !matches!(shape.get(place + 1), Some(Segment::Word(_)) | None);
                    before = plain(&singular(word));
                    words.push(if is_value_next { before.clone() } else { plain(word) });
                }
                Segment::Int => parameter(":int"),
                Segment::Uuid => parameter(":uuid"),
                Segment::Text => parameter(""),
            }
        }
        let wanted = words.join("_");
        let taken = |name: &String| self.all.iter().any(|known| known.name == *name);
        let name = (1..)
            .map(|n| {
                if n == 1 {
                    wanted.clone()
                } else {
                    format!("{wanted}_{n}")
                }
            })
            .find(|name| !taken(name))
            .unwrap_or_default();
        Operation {
            name,
            method: method.clone(),
            template: if template.is_empty() { "/".into() } else { template },
            values,
        }
    }
}

/// What rules can call something.
fn plain(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let kept = lower.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_');
    let kept: String = kept.skip_while(|c| !c.is_ascii_lowercase()).collect();
    if kept.is_empty() { "id".into() } else { kept }
}

fn singular(word: &str) -> String {
    match (word.strip_suffix("ies"), word.strip_suffix('s')) {
        (Some(stem), _) if !stem.is_empty() => format!("{stem}y"),
        (_, Some(stem)) if stem.len() > 2 && !stem.ends_with('s') => stem.to_owned(),
        _ => word.to_owned(),
    }
}
