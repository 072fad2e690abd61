//! Operations from an OpenAPI description (3.x or Swagger 2.0, as JSON or YAML), as TOML to go on from.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

/// Methods that operations can have.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Why a description cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenApiError {
    /// It is no JSON.
    #[error("this is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is no YAML.
    #[error("this is neither JSON nor YAML: {0}")]
    Yaml(String),
    /// It can be read, and is no description.
    #[error("there are no `paths`: this is no OpenAPI description")]
    NoPaths,
}

/// The `[op]` table of a description. What cannot become an operation is a comment.
///
/// # Errors
/// [`OpenApiError`].
pub fn operations(description: &str) -> Result<String, OpenApiError> {
    let description: Value = if description.trim_start().starts_with('{') {
        serde_json::from_str(description)?
    } else {
        serde_saphyr::from_str(description).map_err(|error| OpenApiError::Yaml(error.to_string()))?
    };
    let paths = description["paths"].as_object().ok_or(OpenApiError::NoPaths)?;
    let base = base_of(&description);
    let mut names = BTreeSet::new();
    let mut text = String::from("version = 1\n\n[op]\n");
    for (path, item) in paths {
        for method in METHODS {
            let Some(operation) = item.get(method).filter(|operation| operation.is_object()) else {
                continue;
            };
            let template = template(&description, &format!("{base}{path}"), item, operation);
            let on = format!("{} {template}", method.to_uppercase());
            let line = match template.split('/').any(is_odd) {
                true => format!("# {on}: a parameter is a whole segment"),
                false => {
                    let name = unique(&mut names, &name(method, path, operation));
                    format!("{name} = {}", Value::String(on))
                }
            };
            // Writing to a String does not fail.
            let _ = writeln!(text, "{line}");
        }
    }
    Ok(text)
}

/// The path that all others are below.
fn base_of(description: &Value) -> String {
    let server = description["servers"][0]["url"].as_str();
    let path = match server {
        Some(url) => match url.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
            None => url,
        },
        None => description["basePath"].as_str().unwrap_or_default(),
    };
    let path = path.trim_end_matches('/');
    // A server with variables says nothing.
    if path.contains('{') {
        String::new()
    } else {
        path.to_owned()
    }
}

/// The path with the types of its parameters.
fn template(description: &Value, path: &str, item: &Value, operation: &Value) -> String {
    let segment = |segment: &str| {
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = inner.filter(|name| !name.contains(['{', '}'])) else {
            return segment.to_owned();
        };
        let kind = [operation, item].iter().find_map(|at| kind(description, at, name));
        match kind.flatten() {
            Some(kind) => format!("{{{}:{kind}}}", word(name)),
            None => format!("{{{}}}", word(name)),
        }
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The type of a parameter: `None` if it is not described here.
fn kind(description: &Value, at: &Value, name: &str) -> Option<Option<&'static str>> {
    let resolve = |parameter: &'_ Value| -> Value {
        let pointer = parameter["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
        pointer
            .and_then(|pointer| description.pointer(pointer))
            .unwrap_or(parameter)
            .clone()
    };
    let parameters = at["parameters"].as_array()?.iter().map(resolve);
    let parameter = parameters
        .filter(|parameter| parameter["in"] == "path")
        .find(|parameter| parameter["name"] == name)?;
    let schema = if parameter["schema"].is_object() {
        &parameter["schema"]
    } else {
        &parameter
    };
    Some(match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => Some("int"),
        (Some("string"), Some("uuid")) => Some("uuid"),
        (_, _) => None,
    })
}

fn is_odd(segment: &str) -> bool {
    let is_parameter = segment.starts_with('{') && segment.ends_with('}') && segment.matches('{').count() == 1;
    segment.contains(['{', '}', '*']) && !is_parameter
}

fn name(method: &str, path: &str, operation: &Value) -> String {
    match operation["operationId"].as_str() {
        Some(id) => word(id),
        None => word(&format!("{method}{path}")),
    }
}

/// A name as rules write it: `getOrder` is `get_order`.
fn word(text: &str) -> String {
    let mut word = String::new();
    let mut was_lower = false;
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            if letter.is_ascii_uppercase() && was_lower {
                word.push('_');
            }
            was_lower = !letter.is_ascii_uppercase();
            word.push(letter.to_ascii_lowercase());
        } else if !word.is_empty() && !word.ends_with('_') {
            word.push('_');
            was_lower = false;
        }
    }
    let word = word.trim_end_matches('_');
    match word.chars().next() {
        Some(first) if first.is_ascii_lowercase() => word.to_owned(),
        Some(_) | None => format!("op_{word}").trim_end_matches('_').to_owned(),
    }
}

fn unique(names: &mut BTreeSet<String>, name: &str) -> String {
    let numbered = (2..).map(|number| format!("{name}_{number}"));
    let mut candidates = std::iter::once(name.to_owned()).chain(numbered);
    let free = candidates.find(|candidate| names.insert(candidate.clone()));
    free.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn operations_come_with_their_types() {
        let description = r##"{
            "openapi": "3.0.3",
            "servers": [{"url": "https://shop.example/api/"}],
            "paths": {
                "/orders": {"get": {"operationId": "listOrders"}, "post": {}},
                "/orders/{orderId}": {
                    "parameters": [{"$ref": "#/components/parameters/order"}],
                    "get": {"operationId": "getOrder"},
                    "delete": {"operationId": "getOrder"}
                },
                "/users/{id}": {"put": {"parameters": [{"name": "id", "in": "path", "schema": {"type": "string", "format": "uuid"}}]}},
                "/files/{name}.{ext}": {"get": {}},
                "/tags/{tag}": {"get": {"operationId": "2 tags!"}}
            },
            "components": {"parameters": {"order": {"name": "orderId", "in": "path", "schema": {"type": "integer"}}}}
        }"##;
        let toml = operations(description).unwrap();
        let expected = "version = 1\n\n[op]\n\
            op_2_tags = \"GET /api/tags/{tag}\"\n";
        for line in [
            "list_orders = \"GET /api/orders\"",
            "post_orders = \"POST /api/orders\"",
            "get_order = \"GET /api/orders/{order_id:int}\"",
            "get_order_2 = \"DELETE /api/orders/{order_id:int}\"",
            "put_users_id = \"PUT /api/users/{id:uuid}\"",
            "# GET /api/files/{name}.{ext}: a parameter is a whole segment",
            expected.lines().last().unwrap(),
        ] {
            assert!(toml.lines().any(|found| found == line), "{line}\n{toml}");
        }
        let config = toml.replace("version = 1", "[http]\nupstream = \"http://a:1\"");
        Config::parse(&config, "test.toml").unwrap();
    }

    #[test]
    fn swagger_2_has_its_types_elsewhere() {
        let description = r#"{"swagger": "2.0", "basePath": "/v2", "paths": {"/pets/{id}": {"get":
            {"parameters": [{"name": "id", "in": "path", "type": "integer"}]}}}}"#;
        assert!(
            operations(description)
                .unwrap()
                .ends_with("get_pets_id = \"GET /v2/pets/{id:int}\"\n")
        );
        assert!(matches!(operations("{}"), Err(OpenApiError::NoPaths)));
        assert!(matches!(operations("openapi: 3.0.0"), Err(OpenApiError::NoPaths)));
        assert!(matches!(operations("{\"paths\""), Err(OpenApiError::Json(_))));
        assert!(matches!(operations("paths: [\n"), Err(OpenApiError::Yaml(_))));
    }

    #[test]
    fn yaml_says_the_same() {
        let description = "openapi: 3.0.3\nservers:\n  - url: https://shop.example/api\npaths:\n  /orders/{id}:\n    \
            get:\n      operationId: viewOrder\n      parameters: &id\n        - name: id\n          in: path\n          \
            schema: {type: integer}\n      responses:\n        200: {description: it}\n    \
            delete:\n      parameters: *id\n";
        let toml = operations(description).unwrap();
        for line in [
            "view_order = \"GET /api/orders/{id:int}\"",
            "delete_orders_id = \"DELETE /api/orders/{id:int}\"",
        ] {
            assert!(toml.contains(line), "{toml}");
        }
    }

    /// Aliases that grow without bound end before the memory does.
    #[test]
    fn a_bomb_does_not_go_off() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let before = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", before.trim_end_matches(", ")));
        }
        assert!(matches!(operations(&bomb), Err(OpenApiError::Yaml(_))));
    }
}
