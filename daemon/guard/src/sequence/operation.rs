//! Operations: the calls that rules speak of, named once by method and path.

use http::{HeaderName, Method};

use super::json::{MOST_POINTERS, Pointer};
use super::spec::{OperationSpec, Place, RuleError};
use super::suggest::closest;
use super::value::{Kind, Source};
use crate::path::Literal;

/// The methods that operations can have. HEAD counts as GET.
const METHODS: [&str; 20] = [
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "QUERY",
    "SEARCH",
    "REPORT",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "LINK",
    "UNLINK",
    "PURGE",
    "ACL",
];

/// A segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Stands for itself.
    Literal(Literal),
    /// Stands for any segment of a kind.
    Parameter(Kind),
}

/// An operation, read.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) on: String,
    pub(super) methods: Vec<Method>,
    pub(super) segments: Vec<Segment>,
    /// Whether anything may follow the segments.
    pub(super) rest: bool,
    /// The values that the operation has, by name.
    pub(super) values: Vec<(String, Source, Kind)>,
    /// Where values of its bodies are.
    pub(super) pointers: Vec<Pointer>,
}

impl Operation {
    /// Reads an operation; what is wrong with it goes to `errors`.
    pub(super) fn parse(spec: &OperationSpec, errors: &mut Vec<RuleError>) -> Option<Self> {
        let place = Place::operation(&spec.name);
        let before = errors.len();
        if !is_name(&spec.name) {
            errors.push(
                RuleError::new(place.clone(), format!("`{}` cannot be a name", spec.name))
                    .hint("names have lower-case letters, digits and `_`, and begin with a letter"),
            );
        }
        let on = match spec.bind.is_empty() {
            true => place.clone(),
            false => place.clone().key("on"),
        };
        let Some((methods, template)) = spec.on.split_once(' ') else {
            let message = format!(
                "expected a method and a path like \"GET /orders/{{id}}\", got \"{}\"",
                spec.on
            );
            errors.push(RuleError::new(on, message));
            return None;
        };
        let mut operation = Self {
            name: spec.name.clone(),
            on: spec.on.clone(),
            methods: parse_methods(methods, &on, errors),
            segments: Vec::new(),
            rest: false,
            values: Vec::new(),
            pointers: Vec::new(),
        };
        if let Err(error) = operation.parse_template(template.trim_start(), &on) {
            errors.push(error);
        }
        for (name, source) in &spec.bind {
            if let Err(error) = operation.parse_source(name, source, place.clone().key("bind").key(name)) {
                errors.push(error);
            }
        }
        (errors.len() == before).then_some(operation)
    }

    fn parse_template(&mut self, template: &str, place: &Place) -> Result<(), RuleError> {
        let error = |message: String| RuleError::new(place.clone(), message);
        let inner = template
            .strip_prefix('/')
            .ok_or_else(|| error(format!("expected a path that starts with `/`, got \"{template}\"")))?;
        for segment in inner.split('/').filter(|segment| !segment.is_empty()) {
            if self.rest {
                return Err(error("`**` can only be the last segment".into()));
            }
            match segment {
                "**" => self.rest = true,
                "." | ".." => {
                    return Err(error(
                        "dot segments never arrive here: requests are normalised first".into(),
                    ));
                }
                _ if segment.starts_with('{') && segment.ends_with('}') => self.parse_parameter(segment, place)?,
                _ if segment.contains(['{', '}', '*']) => {
                    return Err(error(format!("`{segment}`: a parameter is a whole segment"))
                        .hint("write `{name}`, `{name:int}` or `{name:uuid}` for one segment, `**` for the rest"));
                }
                _ => {
                    let literal = Literal::parse(segment)
                        .map_err(|cause| error(format!("`{segment}` never matches a request: {cause}")))?;
                    self.segments.push(Segment::Literal(literal));
                }
            }
        }
        Ok(())
    }

    fn parse_parameter(&mut self, segment: &str, place: &Place) -> Result<(), RuleError> {
        let inner = segment.trim_matches(['{', '}']);
        let (name, kind) = inner.split_once(':').unwrap_or((inner, "text"));
        let kind = match kind {
            "text" => Kind::Plain,
            "int" => Kind::Int,
            "uuid" => Kind::Uuid,
            other => {
                let message = format!("`{segment}`: there is no type `{other}`");
                return Err(RuleError::new(place.clone(), message).hint("types are `int` and `uuid`"));
            }
        };
        self.segments.push(Segment::Parameter(kind));
        self.add_value(name, Source::Path(self.segments.len() - 1), kind, place.clone())
    }

    fn parse_source(&mut self, name: &str, source: &str, place: Place) -> Result<(), RuleError> {
        let (from, key) = source.split_once(':').unwrap_or((source, ""));
        let source = match from {
            "query" if !key.is_empty() => Source::Query(key.into()),
            "header" => match HeaderName::from_bytes(key.as_bytes()) {
                Ok(header) => Source::Header(header),
                Err(_) => return Err(RuleError::new(place, format!("`{key}` is no name of a header field"))),
            },
            "json" => self.add_pointer(key, &place)?,
            _ => {
                let message = format!("expected `query:name`, `header:name` or `json:/pointer`, got \"{source}\"");
                return Err(RuleError::new(place, message));
            }
        };
        self.add_value(name, source, Kind::Plain, place)
    }

    fn add_pointer(&mut self, text: &str, place: &Place) -> Result<Source, RuleError> {
        let error = |message: String| RuleError::new(place.clone(), message);
        let pointer = Pointer::parse(text).map_err(|cause| error(format!("\"{text}\" is no pointer: {cause}")))?;
        if pointer.is_plural() {
            return Err(error("a value of a call is one value: `*` would be many".into()));
        }
        if self.pointers.len() == MOST_POINTERS {
            return Err(error(format!(
                "an operation has at most {MOST_POINTERS} values of its body"
            )));
        }
        self.pointers.push(pointer);
        Ok(Source::Json(self.pointers.len() - 1))
    }

    fn add_value(&mut self, name: &str, source: Source, kind: Kind, place: Place) -> Result<(), RuleError> {
        if !is_name(name) {
            return Err(RuleError::new(place, format!("`{name}` cannot be the name of a value"))
                .hint("names have lower-case letters, digits and `_`, and begin with a letter"));
        }
        if self.value(name).is_some() {
            return Err(RuleError::new(
                place,
                format!("the name `{name}` is used twice in this operation"),
            ));
        }
        self.values.push((name.to_owned(), source, kind));
        Ok(())
    }

    /// The value of a name.
    pub(super) fn value(&self, name: &str) -> Option<(&Source, Kind)> {
        self.values
            .iter()
            .find(|(found, ..)| found == name)
            .map(|(_, source, kind)| (source, *kind))
    }
}

fn parse_methods(methods: &str, place: &Place, errors: &mut Vec<RuleError>) -> Vec<Method> {
    let mut parsed = Vec::new();
    for name in methods.split('|') {
        if METHODS.contains(&name) {
            parsed.extend(Method::from_bytes(name.as_bytes()));
            continue;
        }
        let error = RuleError::new(place.clone(), format!("there is no method `{name}`"));
        errors.push(match name {
            "HEAD" => RuleError::new(place.clone(), "HEAD cannot be named").hint("HEAD counts as GET: write `GET`"),
            "CONNECT" | "TRACE" => RuleError::new(place.clone(), format!("{name} never passes the gate")),
            _ => match closest(name, METHODS) {
                Some(method) => error.hint(format!("did you mean `{method}`?")),
                None => error.hint("an operation is `METHOD /path` or `METHOD|METHOD /path`"),
            },
        });
    }
    parsed
}

/// Whether a text can name an operation or a value.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(on: &str, bind: &[(&str, &str)]) -> Result<Operation, Vec<String>> {
        let bind = bind
            .iter()
            .map(|(name, source)| ((*name).to_owned(), (*source).to_owned()))
            .collect();
        let mut errors = Vec::new();
        let operation = Operation::parse(
            &OperationSpec {
                name: "x".into(),
                on: on.into(),
                bind,
            },
            &mut errors,
        );
        operation.ok_or_else(|| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn templates_are_read() {
        let operation = parse("GET|POST /a/{id:int}/{name}/**", &[("acct", "query:account")]).unwrap();
        assert_eq!(operation.methods, [Method::GET, Method::POST]);
        assert_eq!(operation.segments.len(), 3);
        assert!(operation.rest);
        assert_eq!(operation.value("id"), Some((&Source::Path(1), Kind::Int)));
        assert_eq!(operation.value("name"), Some((&Source::Path(2), Kind::Plain)));
        assert_eq!(
            operation.value("acct"),
            Some((&Source::Query("account".into()), Kind::Plain))
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (on, expected) in [
            (
                "/orders",
                "op.x: expected a method and a path like \"GET /orders/{id}\", got \"/orders\"",
            ),
            ("GTE /orders", "op.x: there is no method `GTE`"),
            ("HEAD /orders", "op.x: HEAD cannot be named"),
            ("TRACE /orders", "op.x: TRACE never passes the gate"),
            (
                "GET orders",
                "op.x: expected a path that starts with `/`, got \"orders\"",
            ),
            ("GET /a/**/b", "op.x: `**` can only be the last segment"),
            (
                "GET /a/../b",
                "op.x: dot segments never arrive here: requests are normalised first",
            ),
            ("GET /a/x{id}", "op.x: `x{id}`: a parameter is a whole segment"),
            ("GET /a/{id:float}", "op.x: `{id:float}`: there is no type `float`"),
            ("GET /a/{Id}", "op.x: `Id` cannot be the name of a value"),
            (
                "GET /a/{id}/{id}",
                "op.x: the name `id` is used twice in this operation",
            ),
            (
                "GET /a%2fb",
                "op.x: `a%2fb` never matches a request: an encoded slash (%2f)",
            ),
        ] {
            assert_eq!(parse(on, &[]).unwrap_err(), [expected], "{on}");
        }
        for (source, expected) in [
            (
                "json:a",
                "op.x.bind.v: \"a\" is no pointer: a pointer starts with `/`, like `/order/id`",
            ),
            (
                "json:/a/*",
                "op.x.bind.v: a value of a call is one value: `*` would be many",
            ),
            (
                "query:",
                "op.x.bind.v: expected `query:name`, `header:name` or `json:/pointer`, got \"query:\"",
            ),
            ("header:a b", "op.x.bind.v: `a b` is no name of a header field"),
        ] {
            assert_eq!(parse("GET /a", &[("v", source)]).unwrap_err(), [expected], "{source}");
        }
    }
}
