//! The OpenAPI 3.1 document of the interface, made from the same descriptors and rules that the
//! transcoder works with.
//!
//! Invariant: every rule is in the document and nothing else is, so that documentation and
//! behaviour cannot differ. Deliberately absent: streaming rpcs, which have no REST form, and the
//! rules of the product that no option of the contract tells.

mod comments;
mod constraints;
mod operation;
mod schema;
mod served;

use std::collections::HashMap;

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value as Json, json};

use super::rules::{Rule, RuleTable};
use schema::{Direction, Schemas};
pub use served::{Document, PATH};

const INTRODUCTION: &str = "The same interface as over gRPC, in canonical proto3 JSON.\n\n\
    Names may be written in camelCase or snake_case; answers use camelCase and leave out fields \
    at their default value. Unknown fields and query parameters are ignored. 64-bit numbers are \
    text in bodies. A changing call answers with an operation: `done` says whether it has ended, \
    and GET /operations/{operationId} shows it again. Without a field mask an update replaces \
    every field.";

/// What the document says beside the contract.
pub struct Facts<'a> {
    /// Name of the interface.
    pub title: &'a str,
    /// Version of the program.
    pub version: &'a str,
    /// Whether the method at a gRPC path answers callers without a token.
    pub is_anonymous: &'a dyn Fn(&str) -> bool,
}

/// The document for the rules of `table`, whose messages are in `pool`.
#[must_use]
pub fn render(pool: &DescriptorPool, table: &RuleTable, facts: &Facts<'_>) -> Json {
    let mut schemas = Schemas::new(pool);
    let mut rules: Vec<&Rule> = table.rules().collect();
    rules.sort_by_key(|rule| (rule.template_text.clone(), rule.method.to_string()));
    let ids = operation_ids(&rules);
    let mut paths: Map<String, Json> = Map::new();
    let mut tags: Map<String, Json> = Map::new();
    for (rule, id) in rules.iter().zip(&ids) {
        let operation = operation::render(rule, id, &mut schemas, facts);
        let methods = paths.entry(rule.readable_path()).or_insert(json!({}));
        if let Some(methods) = methods.as_object_mut() {
            methods.insert(rule.method.as_str().to_lowercase(), operation);
        }
        let service = rule.rpc.parent_service();
        tags.entry(service.name()).or_insert_with(
            || json!({"name": service.name(), "description": schemas.comments.of(service)}),
        );
    }
    tags.sort_keys();
    let (responses, error) = (error_responses(), error_schema(pool, &mut schemas));
    schemas.add("Error", error);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": facts.title,
            "version": facts.version,
            "description": INTRODUCTION,
        },
        "servers": [{"url": "/", "description": "The hub that serves this document."}],
        "security": [{"bearer": []}],
        "tags": tags.into_iter().map(|(_, tag)| tag).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "responses": responses,
            "parameters": {"IdempotencyKey": idempotency_key()},
            "headers": headers(),
            "securitySchemes": {"bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of IamTokenService.Create.",
            }},
        },
    })
}

/// `Service_Method`; a second way to call the same rpc has its HTTP method behind it.
fn operation_ids(rules: &[&Rule]) -> Vec<String> {
    let mut uses: HashMap<String, usize> = HashMap::new();
    rules
        .iter()
        .map(|rule| {
            let id = format!("{}_{}", rule.rpc.parent_service().name(), rule.rpc.name());
            let count = uses.entry(id.clone()).or_default();
            *count += 1;
            match *count {
                1 => id,
                2 => format!("{id}_{}", rule.method.as_str().to_lowercase()),
                _ => format!("{id}_{}_{count}", rule.method.as_str().to_lowercase()),
            }
        })
        .collect()
}

fn error_schema(pool: &DescriptorPool, schemas: &mut Schemas) -> Json {
    let status = match pool.get_message_by_name("google.rpc.Status") {
        Some(status) => schemas.of_message(&status, Direction::Output),
        None => json!({"type": "object"}),
    };
    json!({
        "allOf": [status],
        "description": "Why a call failed. Details are BadRequest (the fields at fault), ErrorInfo \
            (a stable reason), RetryInfo (when to come again) and RequestInfo (the name of the \
            call in the log of the hub).",
        "required": ["code", "message", "details"],
    })
}

/// The answers of failed calls, by their component's name.
fn error_responses() -> Json {
    const RESPONSES: [(&str, &str); 14] = [
        (
            "BadRequest",
            "INVALID_ARGUMENT, FAILED_PRECONDITION or OUT_OF_RANGE: the details name the fields, \
             or the reason",
        ),
        (
            "Unauthenticated",
            "UNAUTHENTICATED: no token, or one that is unknown or has ended",
        ),
        (
            "PermissionDenied",
            "PERMISSION_DENIED: no role of the caller allows the call",
        ),
        ("NotFound", "NOT_FOUND: something named does not exist"),
        (
            "BodyTooSlow",
            "DEADLINE_EXCEEDED: the body did not arrive in time",
        ),
        (
            "Conflict",
            "ALREADY_EXISTS, or ABORTED: another call changed the same thing",
        ),
        ("BodyTooLong", "INVALID_ARGUMENT: the body is too long"),
        (
            "AddressTooLong",
            "INVALID_ARGUMENT: path and query are too long",
        ),
        (
            "WrongContentType",
            "INVALID_ARGUMENT: the body is not application/json",
        ),
        (
            "TooManyRequests",
            "RESOURCE_EXHAUSTED: a quota is reached, or calls come too fast",
        ),
        (
            "Internal",
            "INTERNAL, UNKNOWN or DATA_LOSS: the hub failed; its log has the request id",
        ),
        (
            "Unavailable",
            "UNAVAILABLE: the hub is busy; the same call may succeed in a few seconds",
        ),
        (
            "DeadlineExceeded",
            "DEADLINE_EXCEEDED: the call took too long",
        ),
        ("Error", "Any other failure"),
    ];
    let mut responses = Map::new();
    for (name, description) in RESPONSES {
        let mut headers = json!({"x-request-id": {"$ref": "#/components/headers/RequestId"}});
        if let (Some(headers), "TooManyRequests") = (headers.as_object_mut(), name) {
            headers.insert(
                "retry-after".into(),
                json!({"$ref": "#/components/headers/RetryAfter"}),
            );
        }
        responses.insert(
            name.to_owned(),
            json!({
                "description": description,
                "headers": headers,
                "content": {"application/json": {"schema": schema::reference("Error")}},
            }),
        );
    }
    responses.into()
}

fn idempotency_key() -> Json {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Names the logical call, such as a UUID: a repetition returns the operation \
            of the first call and changes nothing.",
        "schema": {"type": "string", "maxLength": 128, "pattern": "^[!-~]+$"},
    })
}

fn headers() -> Json {
    json!({
        "RequestId": {
            "description": "Name of the call in the log of the hub.",
            "schema": {"type": "string"},
        },
        "RetryAfter": {
            "description": "Seconds to wait before the same call is made again; absent when \
                waiting does not help.",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        },
    })
}
