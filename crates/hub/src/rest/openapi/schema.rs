//! Messages as JSON Schemas: the canonical JSON form of proto3.
//!
//! Invariant: what the hub answers is valid by the schema of its message, and what the schema of a
//! request allows is read by the transcoder. Constraints stand only in the schemas of requests: an
//! answer leaves out what is at its default value, whether the same field is required in a request
//! or not. A message with constraints therefore has a second component, named `….Input`.

use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value as Json, json};

use super::super::scalar::is_wrapper;
use super::comments::Comments;
use super::constraints::{Constraints, Keywords, Options};

/// Where schemas refer to each other.
const COMPONENTS: &str = "#/components/schemas/";

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the hub.
    Input,
    /// From the hub.
    Output,
}

/// The schemas made so far.
#[derive(Debug)]
pub(super) struct Schemas {
    pub comments: Comments,
    pub options: Options,
    components: Map<String, Json>,
}

impl Schemas {
    pub fn new(pool: &DescriptorPool) -> Self {
        Self {
            comments: Comments::read(pool),
            options: Options::find(pool),
            components: Map::new(),
        }
    }

    /// Adds a schema that no message of the contract has.
    pub fn add(&mut self, name: &str, schema: Json) -> Json {
        self.components.insert(name.to_owned(), schema);
        reference(name)
    }

    /// All components, by name.
    pub fn into_components(mut self) -> Map<String, Json> {
        self.components.sort_keys();
        self.components
    }

    /// The schema of `message`: a reference to a component, or the form JSON has of its own.
    pub fn of_message(&mut self, message: &MessageDescriptor, direction: Direction) -> Json {
        if let Some(schema) = self.well_known(message, direction) {
            return schema;
        }
        let is_narrowed = direction == Direction::Input && self.options.constrain(message);
        let name = if is_narrowed {
            format!("{}.Input", message.full_name())
        } else {
            message.full_name().to_owned()
        };
        if !self.components.contains_key(&name) {
            // A message may hold itself.
            self.components.insert(name.clone(), Json::Null);
            let schema = self.object(message, direction, &[]);
            self.components.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// The object form of `message` without the fields in `left_out`, by their names.
    pub fn object(
        &mut self,
        message: &MessageDescriptor,
        direction: Direction,
        left_out: &[&str],
    ) -> Json {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields() {
            if left_out.contains(&field.name()) {
                continue;
            }
            let schema = self.of_field(&field, direction);
            if direction == Direction::Input && self.is_required(&field) {
                required.push(Json::from(field.json_name()));
            }
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut description = self.comments.of(message).to_owned();
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let names: Vec<String> = oneof
                .fields()
                .filter(|field| !left_out.contains(&field.name()))
                .map(|field| field.json_name().to_owned())
                .collect();
            let is_exact = self.options.is_exactly_one(&oneof);
            if names.len() < 2 && !is_exact {
                continue;
            }
            let how_many = if is_exact { "Exactly" } else { "At most" };
            let words = format!("{how_many} one of {}.", names.join(", "));
            add_paragraph(&mut description, &words);
            if is_exact && direction == Direction::Input {
                let choices: Vec<Json> = names
                    .iter()
                    .map(|name| json!({"required": [name]}))
                    .collect();
                schema.insert("oneOf".into(), choices.into());
            }
        }
        if !description.is_empty() {
            schema.insert("description".into(), description.into());
        }
        if !properties.is_empty() {
            schema.insert("properties".into(), properties.into());
        }
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        schema.into()
    }

    /// Whether a request must give `field`.
    pub fn is_required(&self, field: &FieldDescriptor) -> bool {
        let constraints = self.options.of(field);
        constraints.is_required || constraints.is_size_positive()
    }

    /// The schema of the value of `field` in a body.
    pub fn of_field(&mut self, field: &FieldDescriptor, direction: Direction) -> Json {
        let constraints = match direction {
            Direction::Input => self.options.of(field),
            Direction::Output => Constraints::default(),
        };
        let kind = field.kind();
        let schema = match (&kind, field.is_map()) {
            (Kind::Message(entry), true) => self.of_map(entry, &constraints, direction),
            _ if field.is_list() => self.of_list(&kind, &constraints, direction),
            _ => self.of_value(&kind, &constraints, direction),
        };
        self.described(schema, field, &constraints)
    }

    /// The schema of `field` written as text in a path or a query; `None` for what has no such
    /// form. Numbers of 64 bits are plain numbers there.
    pub fn of_parameter(&mut self, field: &FieldDescriptor) -> Option<Json> {
        let constraints = self.options.of(field);
        let kind = field.kind();
        if field.is_map() || !has_text_form(&kind) {
            return None;
        }
        let plain = match &kind {
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => number("int64", &constraints),
            Kind::Uint64 | Kind::Fixed64 => number("uint64", &constraints),
            Kind::Message(message) => match message.get_field(1) {
                // A parameter cannot be null.
                Some(wrapped) if is_wrapper(message.full_name()) => {
                    self.of_value(&wrapped.kind(), &constraints, Direction::Output)
                }
                _ => self.of_value(&kind, &constraints, Direction::Input),
            },
            _ => self.of_value(&kind, &constraints, Direction::Input),
        };
        if !field.is_list() {
            return Some(plain);
        }
        Some(list_of(plain, &constraints))
    }

    fn described(
        &self,
        mut schema: Json,
        field: &FieldDescriptor,
        constraints: &Constraints,
    ) -> Json {
        let mut description = self.comments.of(field).to_owned();
        if let Some(words) = constraints.in_words(&field.kind()) {
            add_paragraph(&mut description, &words);
        }
        let is_deprecated = field
            .field_descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated());
        if let Some(keywords) = schema.as_object_mut() {
            if !description.is_empty() {
                keywords.insert("description".into(), description.into());
            }
            if is_deprecated {
                keywords.insert("deprecated".into(), true.into());
            }
        }
        schema
    }

    fn of_list(&mut self, kind: &Kind, constraints: &Constraints, direction: Direction) -> Json {
        // What the options say about length and form holds for each item.
        let items = self.of_value(kind, constraints, direction);
        list_of(items, constraints)
    }

    fn of_map(
        &mut self,
        entry: &MessageDescriptor,
        constraints: &Constraints,
        direction: Direction,
    ) -> Json {
        let value = self.of_value(
            &entry.map_entry_value_field().kind(),
            constraints,
            direction,
        );
        let mut keywords = Keywords::new();
        keywords.insert("type".into(), "object".into());
        keywords.insert("additionalProperties".into(), value);
        constraints.limit_items(&mut keywords, "Properties");
        if let Some(keys) = constraints.key_keywords() {
            keywords.insert("propertyNames".into(), keys.into());
        }
        keywords.into()
    }

    fn of_value(&mut self, kind: &Kind, constraints: &Constraints, direction: Direction) -> Json {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => {
                let mut keywords = Keywords::new();
                keywords.insert("type".into(), "string".into());
                constraints.limit_text(&mut keywords);
                keywords.into()
            }
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => number("int32", constraints),
            Kind::Uint32 | Kind::Fixed32 => number("uint32", constraints),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"})
            }
            Kind::Uint64 | Kind::Fixed64 => {
                json!({"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"})
            }
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Enum(choices) => self.of_enum(choices, constraints, direction),
            Kind::Message(message) => self.of_message(message, direction),
        }
    }

    fn of_enum(
        &self,
        choices: &EnumDescriptor,
        constraints: &Constraints,
        direction: Direction,
    ) -> Json {
        let is_allowed =
            |number: i32| direction == Direction::Output || !constraints.is_required || number != 0;
        let (mut names, mut lines) = (Vec::new(), Vec::new());
        for value in choices.values().filter(|value| is_allowed(value.number())) {
            let comment = self.comments.of(&value);
            if !comment.is_empty() {
                lines.push(format!("- {}: {comment}", value.name()));
            }
            names.push(Json::from(value.name()));
        }
        let mut schema = json!({"type": "string", "enum": names});
        if let (Some(keywords), false) = (schema.as_object_mut(), lines.is_empty()) {
            keywords.insert("x-enum-descriptions".into(), lines.into());
        }
        schema
    }

    fn well_known(&mut self, message: &MessageDescriptor, direction: Direction) -> Option<Json> {
        let name = message.full_name();
        Some(match name {
            "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
            "google.protobuf.Duration" => json!({
                "type": "string",
                "pattern": r"^-?[0-9]{1,12}(?:\.[0-9]{1,9})?s$",
                "examples": ["900s"],
            }),
            "google.protobuf.FieldMask" => json!({
                "type": "string",
                "pattern": "^(?:[a-zA-Z0-9_.]+(?:,[a-zA-Z0-9_.]+)*)?$",
                "examples": ["name,description"],
            }),
            "google.protobuf.Value" => json!({}),
            "google.protobuf.ListValue" => json!({"type": "array"}),
            "google.protobuf.Struct" | "google.protobuf.Empty" => json!({"type": "object"}),
            "google.protobuf.Any" => self.add(
                name,
                json!({
                    "type": "object",
                    "description": "Any message. `@type` says which; its fields stand beside it.",
                    "properties": {"@type": {
                        "type": "string",
                        "description": "Such as type.googleapis.com/google.rpc.ErrorInfo.",
                    }},
                    "required": ["@type"],
                    "additionalProperties": true,
                }),
            ),
            _ if is_wrapper(name) => {
                let wrapped = message.get_field(1)?.kind();
                let mut schema = self.of_value(&wrapped, &Constraints::default(), direction);
                if let Some(keywords) = schema.as_object_mut()
                    && let Some(Json::String(plain)) = keywords.get("type").cloned()
                {
                    keywords.insert("type".into(), json!([plain, "null"]));
                }
                schema
            }
            _ => return None,
        })
    }
}

/// A reference to a component.
pub(super) fn reference(name: &str) -> Json {
    json!({"$ref": format!("{COMPONENTS}{name}")})
}

fn number(format: &str, constraints: &Constraints) -> Json {
    let mut keywords = Keywords::new();
    keywords.insert("type".into(), "integer".into());
    keywords.insert("format".into(), format.into());
    constraints.limit_number(&mut keywords);
    keywords.into()
}

fn list_of(items: Json, constraints: &Constraints) -> Json {
    let mut keywords = Keywords::new();
    keywords.insert("type".into(), "array".into());
    keywords.insert("items".into(), items);
    constraints.limit_items(&mut keywords, "Items");
    if constraints.is_unique {
        keywords.insert("uniqueItems".into(), true.into());
    }
    keywords.into()
}

fn has_text_form(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => {
            let name = message.full_name();
            is_wrapper(name)
                || matches!(
                    name,
                    "google.protobuf.Timestamp"
                        | "google.protobuf.Duration"
                        | "google.protobuf.FieldMask"
                )
        }
        _ => true,
    }
}

fn add_paragraph(text: &mut String, paragraph: &str) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(paragraph);
}
