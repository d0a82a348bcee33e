//! A JSON body read into a message of the contract.
//!
//! The canonical proto3 JSON mapping, with these decisions: names in camelCase or snake_case;
//! unknown fields ignored, because other clients may be newer; unknown enum names refused, because
//! taking them for "not given" could reset a setting; a field given twice refused; null means not
//! given. Invariant: the reader keeps where it is, so that an error names its field, and it counts
//! values and depth, so that a small body cannot become a large message.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use rollcall_kit::secret::with_wiped_deep_stack;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::field_path::find_field;
use super::refusal::Refusal;
use super::scalar::{is_wrapper, parse_message, parse_text};

/// Messages and lists inside each other.
pub(super) const JSON_DEPTH_MAX: usize = 32;
/// Values, list elements included, in one body: bounds the memory a body can ask for.
pub(super) const JSON_VALUES_MAX: usize = 100_000;

/// Reads `bytes` as one JSON value for a message of type `descriptor`.
pub(super) fn read_message(
    descriptor: &MessageDescriptor,
    bytes: &[u8],
) -> Result<DynamicMessage, Refusal> {
    read_with(bytes, |place, json| {
        MessageSeed { descriptor, place }.deserialize(json)
    })
}

/// Reads `bytes` as the JSON value of one field. None: null.
pub(super) fn read_field(field: &FieldDescriptor, bytes: &[u8]) -> Result<Option<Value>, Refusal> {
    read_with(bytes, |place, json| {
        place.enter::<serde_json::Error>(Step::Field(field.name().to_owned()))?;
        let value = FieldSeed {
            field,
            place: &mut *place,
        }
        .deserialize(json)?;
        place.leave();
        Ok(value)
    })
}

/// A body may hold a password, and what looks for its end in many bytes at once leaves some of them
/// on the stack.
fn read_with<T>(
    bytes: &[u8],
    read: impl FnOnce(
        &mut Place,
        &mut serde_json::Deserializer<serde_json::de::SliceRead<'_>>,
    ) -> Result<T, serde_json::Error>,
) -> Result<T, Refusal> {
    with_wiped_deep_stack(|| {
        let mut place = Place::default();
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let value = read(&mut place, &mut json).map_err(|error| place.refusal(&error))?;
        // Only a complete value ends here, so what follows it belongs to no field.
        json.end()
            .map_err(|error| Place::default().refusal(&error))?;
        Ok(value)
    })
}

/// Where the reader is.
#[derive(Debug, Default)]
struct Place {
    steps: Vec<Step>,
    values: usize,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Index(usize),
    Key(String),
}

impl Place {
    fn enter<E: Error>(&mut self, step: Step) -> Result<(), E> {
        self.values += 1;
        if self.values > JSON_VALUES_MAX {
            return Err(E::custom(format!(
                "the body has more than {JSON_VALUES_MAX} values"
            )));
        }
        self.steps.push(step);
        if self.steps.len() > JSON_DEPTH_MAX {
            return Err(E::custom(format!(
                "the body is nested deeper than {JSON_DEPTH_MAX} levels"
            )));
        }
        Ok(())
    }

    /// Called after success only, so that on an error the steps still lead to the culprit.
    fn leave(&mut self) {
        self.steps.pop();
    }

    fn name(&self) -> String {
        let mut name = String::new();
        for step in &self.steps {
            match step {
                Step::Field(field) if name.is_empty() => name.push_str(field),
                Step::Field(field) => {
                    name.push('.');
                    name.push_str(field);
                }
                Step::Index(index) => name.push_str(&format!("[{index}]")),
                Step::Key(key) => name.push_str(&format!("[{key}]")),
            }
        }
        name
    }

    fn refusal(&self, error: &serde_json::Error) -> Refusal {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        // serde_json adds the position to the text; we say it in our own words.
        let text = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(text, _)| text);
        // Of a wrong type say only what is expected: the value may be a secret.
        let text = match text.strip_prefix("invalid type: ") {
            Some(rest) => match rest.rsplit_once(", expected ") {
                Some((_, expected)) => format!("must be {expected}"),
                None => "has the wrong type".to_owned(),
            },
            None => text.to_owned(),
        };
        let why = if line == 0 {
            text
        } else {
            format!("{text} (line {line}, column {column} of the body)")
        };
        match error.classify() {
            serde_json::error::Category::Data => Refusal::invalid(self.name(), why),
            _ => Refusal::invalid(self.name(), format!("the body is not valid JSON: {why}")),
        }
    }
}

/// Reads one message.
struct MessageSeed<'a> {
    descriptor: &'a MessageDescriptor,
    place: &'a mut Place,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = DynamicMessage;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<DynamicMessage, D::Error> {
        match self.descriptor.full_name() {
            // Their JSON forms have no fields of ours to name, and their size is that of the text.
            "google.protobuf.Any"
            | "google.protobuf.Empty"
            | "google.protobuf.Struct"
            | "google.protobuf.Value"
            | "google.protobuf.ListValue" => {
                DynamicMessage::deserialize(self.descriptor.clone(), json)
            }
            "google.protobuf.FieldMask"
            | "google.protobuf.Timestamp"
            | "google.protobuf.Duration" => json.deserialize_any(TextualVisitor(self.descriptor)),
            name if is_wrapper(name) => {
                let Some(field) = self.descriptor.get_field(1) else {
                    return Err(D::Error::custom("cannot be given"));
                };
                let kind = field.kind();
                let mut message = DynamicMessage::new(self.descriptor.clone());
                if let Some(value) = json.deserialize_any(ScalarVisitor(&kind))? {
                    message.set_field(&field, value);
                }
                Ok(message)
            }
            _ => json.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = DynamicMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicMessage, A::Error> {
        let mut message = DynamicMessage::new(self.descriptor.clone());
        let mut given: Vec<u32> = Vec::new();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let Some(field) = find_field(self.descriptor, &name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.place.enter(Step::Field(field.name().to_owned()))?;
            if given.contains(&field.number()) {
                return Err(A::Error::custom("is given more than once"));
            }
            given.push(field.number());
            let place = &mut *self.place;
            if let Some(value) = map.next_value_seed(FieldSeed {
                field: &field,
                place,
            })? {
                if let Some(oneof) = field.containing_oneof()
                    && let Some(other) = oneof.fields().find(|other| message.has_field(other))
                {
                    return Err(A::Error::custom(format!(
                        "cannot be given together with {}",
                        other.name()
                    )));
                }
                message.set_field(&field, value);
            }
            self.place.leave();
        }
        Ok(message)
    }
}

/// Reads the value of one field: a list, a map, or one value. None: null.
struct FieldSeed<'a> {
    field: &'a FieldDescriptor,
    place: &'a mut Place,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        let kind = self.field.kind();
        let place = self.place;
        if self.field.is_list() {
            json.deserialize_any(ListVisitor { kind: &kind, place })
        } else if let (true, Kind::Message(entry)) = (self.field.is_map(), &kind) {
            let (key, value) = (
                entry.map_entry_key_field().kind(),
                entry.map_entry_value_field().kind(),
            );
            json.deserialize_any(MapVisitor {
                key: &key,
                value: &value,
                place,
            })
        } else {
            ValueSeed { kind: &kind, place }.deserialize(json)
        }
    }
}

/// Reads one value that is neither list nor map. None: null.
struct ValueSeed<'a> {
    kind: &'a Kind,
    place: &'a mut Place,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        match self.kind {
            // Here null is a value.
            Kind::Message(descriptor) if descriptor.full_name() == "google.protobuf.Value" => {
                DynamicMessage::deserialize(descriptor.clone(), json)
                    .map(|message| Some(Value::Message(message)))
            }
            Kind::Message(descriptor) => json.deserialize_option(OptionalMessageVisitor {
                descriptor,
                place: self.place,
            }),
            scalar => json.deserialize_any(ScalarVisitor(scalar)),
        }
    }
}

struct OptionalMessageVisitor<'a> {
    descriptor: &'a MessageDescriptor,
    place: &'a mut Place,
}

impl<'de> Visitor<'de> for OptionalMessageVisitor<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        let seed = MessageSeed {
            descriptor: self.descriptor,
            place: self.place,
        };
        seed.deserialize(json)
            .map(|message| Some(Value::Message(message)))
    }
}

struct ListVisitor<'a> {
    kind: &'a Kind,
    place: &'a mut Place,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Value>, A::Error> {
        let mut values = Vec::new();
        loop {
            self.place.enter(Step::Index(values.len()))?;
            let seed = ValueSeed {
                kind: self.kind,
                place: &mut *self.place,
            };
            match list.next_element_seed(seed)? {
                Some(Some(value)) => values.push(value),
                Some(None) => return Err(A::Error::custom("must not be null")),
                None => break,
            }
            self.place.leave();
        }
        self.place.leave();
        Ok(Some(Value::List(values)))
    }
}

struct MapVisitor<'a> {
    key: &'a Kind,
    value: &'a Kind,
    place: &'a mut Place,
}

impl<'de> Visitor<'de> for MapVisitor<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Value>, A::Error> {
        let mut values = HashMap::new();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            self.place.enter(Step::Key(name.clone().into_owned()))?;
            let key = parse_text(self.key, &name)
                .ok()
                .and_then(into_map_key)
                .ok_or_else(|| A::Error::custom("is not a valid key"))?;
            let seed = ValueSeed {
                kind: self.value,
                place: &mut *self.place,
            };
            let Some(value) = map.next_value_seed(seed)? else {
                return Err(A::Error::custom("must not be null"));
            };
            if values.insert(key, value).is_some() {
                return Err(A::Error::custom("is given more than once"));
            }
            self.place.leave();
        }
        Ok(Some(Value::Map(values)))
    }
}

fn into_map_key(value: Value) -> Option<MapKey> {
    match value {
        Value::Bool(key) => Some(MapKey::Bool(key)),
        Value::I32(key) => Some(MapKey::I32(key)),
        Value::I64(key) => Some(MapKey::I64(key)),
        Value::U32(key) => Some(MapKey::U32(key)),
        Value::U64(key) => Some(MapKey::U64(key)),
        Value::String(key) => Some(MapKey::String(key)),
        _ => None,
    }
}

/// Reads a message whose JSON form is one text.
struct TextualVisitor<'a>(&'a MessageDescriptor);

impl Visitor<'_> for TextualVisitor<'_> {
    type Value = DynamicMessage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DynamicMessage, E> {
        parse_message(self.0, text).map_err(E::custom)
    }
}

/// Reads a scalar. None: null.
struct ScalarVisitor<'a>(&'a Kind);

impl Visitor<'_> for ScalarVisitor<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Bool => "true or false",
            Kind::String | Kind::Bytes => "a text",
            Kind::Enum(_) => "the name of a value",
            Kind::Message(_) => "an object",
            _ => "a number",
        })
    }

    fn visit_unit<E: Error>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<Value>, E> {
        match self.0 {
            Kind::Bool => Ok(Some(Value::Bool(value))),
            _ => Err(E::invalid_type(serde::de::Unexpected::Bool(value), &self)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<Value>, E> {
        match self.0 {
            // JSON has its own words for these.
            Kind::Bool => Err(E::invalid_type(serde::de::Unexpected::Str(text), &self)),
            kind => parse_text(kind, text).map(Some).map_err(E::custom),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<Value>, E> {
        self.visit_number(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<Value>, E> {
        self.visit_number(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<Value>, E> {
        // 1e3 and 5.0 are whole numbers too; `{}` writes them without an exponent or a point.
        self.visit_number(&format!("{number}"))
    }
}

impl ScalarVisitor<'_> {
    fn visit_number<E: Error>(&self, text: &str) -> Result<Option<Value>, E> {
        match self.0 {
            Kind::String | Kind::Bytes | Kind::Bool => Err(E::custom(format!(
                "must be {}, not a number",
                Expected(self)
            ))),
            Kind::Enum(_) => match text.parse() {
                Ok(number) => Ok(Some(Value::EnumNumber(number))),
                Err(_) => Err(E::custom("must be the name of a value")),
            },
            kind => parse_text(kind, text).map(Some).map_err(E::custom),
        }
    }
}

struct Expected<'a, 'b>(&'a ScalarVisitor<'b>);

impl fmt::Display for Expected<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}
