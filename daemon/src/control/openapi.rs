//! The OpenAPI document of the control API: its paths from the routes, its shapes from the types that travel, with
//! their documentation. `docs/control-api.json` is a copy.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::api::Problem;
use super::routes::{Answer, Body, Kind, Parameter, ROUTES, Route};

/// The document, OpenAPI 3.1.
#[must_use]
pub fn document() -> Value {
    // OpenAPI 3.1 has the JSON Schema of 2020-12.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.to_lowercase()] = operation(route, &mut generator);
    }
    let problem = generator.subschema_for::<Problem>();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis control API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "HTTP over the unix socket of the gate. Who may connect is a matter of its file permissions; \
                who did is told by the kernel. New fields may appear within /v1; existing ones neither change nor go.",
        },
        "paths": paths,
        "components": {
            "responses": {
                "Problem": {
                    "description": "What went wrong (RFC 9457). Programs go by `code`.",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
        },
    });
    document["components"]["schemas"] = Value::Object(generator.take_definitions(true));
    document
}

/// The document as the repository keeps it.
#[must_use]
pub fn text() -> String {
    let text = serde_json::to_string_pretty(&document());
    text.map(|text| text + "\n").unwrap_or_default()
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let in_path = route.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
    });
    let parameters: Vec<Value> = in_path.chain(route.query.iter().map(parameter)).collect();
    let content = match route.answer {
        Answer::Json(shape) => json!({ "application/json": { "schema": shape(generator) } }),
        Answer::Lines(shape) => json!({ "application/x-ndjson": { "schema": shape(generator) } }),
        Answer::Document => json!({ "application/json": { "schema": { "type": "object" } } }),
    };
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "responses": {
            route.status.to_string(): { "description": "Done.", "content": content },
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(route, generator) {
        operation["requestBody"] = body;
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let kind = match parameter.kind {
        Kind::Text => "string",
        Kind::Number => "integer",
        Kind::Flag => "boolean",
    };
    json!({
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.what,
        "schema": { "type": kind },
    })
}

fn body(route: &Route, generator: &mut SchemaGenerator) -> Option<Value> {
    let json = |required: bool, schema| json!({ "required": required, "content": { "application/json": { "schema": schema } } });
    match route.body {
        Body::None => None,
        Body::Json(shape) => Some(json(true, shape(generator))),
        Body::JsonIfAny(shape) => Some(json(false, shape(generator))),
        Body::List => Some(json!({
            "required": true,
            "description": "A plain list, FireHOL's, Spamhaus DROP, CrowdSec's decisions or an export.",
            "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let path = reference.split('"').next().unwrap();
            assert!(document.pointer(path).is_some(), "{path}");
        }
        let ban = document.pointer("/components/schemas/Ban/properties/until").unwrap();
        assert!(
            ban.to_string().contains("When it ends"),
            "documentation comes along: {ban}"
        );
    }

    #[test]
    fn names_of_operations_are_unique() {
        let mut ids: Vec<_> = ROUTES.iter().map(|route| route.id).collect();
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}
