//! One way to call one rpc as an OpenAPI operation.
//!
//! Invariant: every parameter, body and answer the transcoder takes or gives for a rule is in its
//! operation. Deliberately absent: fields of a `body: "*"` rule given in the query, and names in
//! snake_case, which the transcoder reads, too, but which nobody should start to use.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use rollcall_proto::find_method;
use serde_json::{Map, Value as Json, json};

use super::super::field_path::FIELD_PATH_DEPTH_MAX;
use super::super::rules::{BodyRule, Rule};
use super::Facts;
use super::comments::first_sentence;
use super::schema::{Direction, Schemas, reference};

const JSON: &str = "application/json";
/// The answers of every call, by the names of their components.
const ERRORS: [(&str, &str); 10] = [
    ("400", "BadRequest"),
    ("401", "Unauthenticated"),
    ("403", "PermissionDenied"),
    ("404", "NotFound"),
    ("409", "Conflict"),
    ("414", "AddressTooLong"),
    ("429", "TooManyRequests"),
    ("500", "Internal"),
    ("503", "Unavailable"),
    ("504", "DeadlineExceeded"),
];
/// The answers of calls with a body.
const BODY_ERRORS: [(&str, &str); 3] = [
    ("408", "BodyTooSlow"),
    ("413", "BodyTooLong"),
    ("415", "WrongContentType"),
];

/// The operation object of `rule`, named `id`.
pub(super) fn render(rule: &Rule, id: &str, schemas: &mut Schemas, facts: &Facts<'_>) -> Json {
    let service = rule.rpc.parent_service();
    let mut operation = Map::new();
    operation.insert("operationId".into(), id.into());
    operation.insert("tags".into(), json!([service.name()]));
    let comment = schemas.comments.of(&rule.rpc).to_owned();
    if !comment.is_empty() {
        operation.insert("summary".into(), first_sentence(&comment).into());
        operation.insert("description".into(), comment.into());
    }
    let parameters = parameters(rule, schemas);
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some(body) = request_body(rule, schemas) {
        operation.insert("requestBody".into(), body);
    }
    operation.insert("responses".into(), responses(rule, schemas));
    if (facts.is_anonymous)(rule.grpc_path.path()) {
        operation.insert("security".into(), json!([]));
    }
    if rule
        .rpc
        .options()
        .get_field_by_name("deprecated")
        .is_some_and(|flag| flag.as_bool() == Some(true))
    {
        operation.insert("deprecated".into(), true.into());
    }
    operation.insert("x-grpc-method".into(), rule.grpc_path.path().into());
    operation.into()
}

fn parameters(rule: &Rule, schemas: &mut Schemas) -> Vec<Json> {
    let mut parameters = Vec::new();
    for variable in &rule.variables {
        let field = variable.last();
        let mut schema = schemas.of_parameter(field).unwrap_or_else(|| json!({}));
        // An empty segment matches no path.
        if let Some(keywords) = schema.as_object_mut()
            && keywords.get("type").is_some_and(|kind| kind == "string")
            && !keywords.contains_key("enum")
        {
            keywords.entry("minLength").or_insert(1.into());
        }
        parameters.push(json!({
            "name": variable.json_name(),
            "in": "path",
            "required": true,
            "description": described(schemas, field),
            "schema": schema,
        }));
    }
    if rule.body != BodyRule::Whole {
        let mut place = Place {
            prefix: String::new(),
            depth: 0,
            left_out: bound_fields(rule),
            is_required: true,
        };
        if let BodyRule::Field(field) = &rule.body {
            place.left_out.push(field.name().to_owned());
        }
        add_query(&rule.rpc.input(), &place, schemas, &mut parameters);
    }
    if makes_operation(rule) {
        parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
    }
    parameters
}

/// Whether a repeated call with the same key is answered with the first operation (decision U73).
fn makes_operation(rule: &Rule) -> bool {
    let path = format!(
        "/{}/{}",
        rule.rpc.parent_service().full_name(),
        rule.rpc.name()
    );
    find_method(&path).is_some_and(|method| method.operation.is_some())
}

/// Where in a request the fields of a message are.
struct Place {
    prefix: String,
    depth: usize,
    left_out: Vec<String>,
    /// Whether the message itself must be given.
    is_required: bool,
}

fn add_query(
    message: &MessageDescriptor,
    place: &Place,
    schemas: &mut Schemas,
    parameters: &mut Vec<Json>,
) {
    for field in message.fields() {
        if place.left_out.iter().any(|name| name == field.name()) {
            continue;
        }
        let name = format!("{}{}", place.prefix, field.json_name());
        let is_required = place.is_required && schemas.is_required(&field);
        if let Some(schema) = schemas.of_parameter(&field) {
            let mut parameter = json!({
                "name": name,
                "in": "query",
                "description": described(schemas, &field),
                "schema": schema,
            });
            if let (Some(keywords), true) = (parameter.as_object_mut(), is_required) {
                keywords.insert("required".into(), true.into());
            }
            parameters.push(parameter);
        } else if let Kind::Message(inner) = field.kind()
            && !field.is_list()
            && !field.is_map()
            && place.depth + 1 < FIELD_PATH_DEPTH_MAX
            && inner != *message
        {
            let place = Place {
                prefix: format!("{name}."),
                depth: place.depth + 1,
                left_out: Vec::new(),
                is_required,
            };
            add_query(&inner, &place, schemas, parameters);
        }
    }
}

fn described(schemas: &Schemas, field: &FieldDescriptor) -> String {
    schemas.comments.of(field).to_owned()
}

/// Names of the fields of the message itself that the path fills.
fn bound_fields(rule: &Rule) -> Vec<String> {
    rule.variables.iter().map(|path| path.name()).collect()
}

fn request_body(rule: &Rule, schemas: &mut Schemas) -> Option<Json> {
    let (schema, is_required) = match &rule.body {
        BodyRule::None => return None,
        BodyRule::Field(field) => (
            schemas.of_field(field, Direction::Input),
            schemas.is_required(field),
        ),
        BodyRule::Whole => {
            let bound = bound_fields(rule);
            let bound: Vec<&str> = bound.iter().map(String::as_str).collect();
            let input = rule.rpc.input();
            let mut schema = schemas.object(&input, Direction::Input, &bound);
            let is_required = schema.get("required").is_some() || schema.get("oneOf").is_some();
            if let Some(keywords) = schema.as_object_mut() {
                keywords.insert("title".into(), input.name().into());
            }
            (schema, is_required)
        }
    };
    Some(json!({"required": is_required, "content": {JSON: {"schema": schema}}}))
}

fn responses(rule: &Rule, schemas: &mut Schemas) -> Json {
    let output = rule.rpc.output();
    let mut schema = schemas.of_message(&output, Direction::Output);
    let types = find_method(rule.grpc_path.path()).and_then(|method| method.operation);
    if let Some(types) = types {
        let (metadata, response) = (
            packed(rule, types.metadata, schemas),
            packed(rule, types.response, schemas),
        );
        schema = json!({
            "allOf": [schema],
            "properties": {"metadata": metadata, "response": response},
        });
    }
    let comment = schemas.comments.of(&output);
    let description = match first_sentence(comment) {
        "" => output.name(),
        sentence => sentence,
    };
    let mut responses = Map::new();
    responses.insert(
        "200".into(),
        json!({
            "description": description,
            "headers": {"x-request-id": {"$ref": "#/components/headers/RequestId"}},
            "content": {JSON: {"schema": schema}},
        }),
    );
    let body_errors: &[(&str, &str)] = match rule.body {
        BodyRule::None => &[],
        BodyRule::Whole | BodyRule::Field(_) => &BODY_ERRORS,
    };
    for (status, name) in ERRORS.iter().chain(body_errors) {
        let reference = format!("#/components/responses/{name}");
        responses.insert((*status).to_owned(), json!({"$ref": reference}));
    }
    responses.sort_keys();
    responses.insert(
        "default".into(),
        json!({"$ref": "#/components/responses/Error"}),
    );
    responses.into()
}

/// A `google.protobuf.Any` that holds one known message.
fn packed(rule: &Rule, type_name: &str, schemas: &mut Schemas) -> Json {
    let known = rule.rpc.parent_pool().get_message_by_name(type_name);
    let inner = match known {
        Some(message) => schemas.of_message(&message, Direction::Output),
        None => reference("google.protobuf.Any"),
    };
    json!({
        "allOf": [inner],
        "properties": {"@type": {"const": format!("type.googleapis.com/{type_name}")}},
        "required": ["@type"],
    })
}
