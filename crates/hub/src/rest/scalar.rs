//! One value written as text: in a path, in a query, or as a JSON string.
//!
//! Invariant: the text is taken whole or refused with a reason that says what is expected.
//! Deliberately absent: messages without a textual JSON form; they belong into a body.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Paths a field mask may name.
const MASK_PATHS_MAX: usize = 200;

/// Reads the text of one value of `kind`.
pub(super) fn parse_text(kind: &Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err("must be true or false".to_owned()),
        },
        Kind::Bytes => parse_base64(text)
            .map(|bytes| Value::Bytes(bytes.into()))
            .ok_or_else(|| "must be base64".to_owned()),
        Kind::Enum(descriptor) => parse_enum(descriptor, text).map(Value::EnumNumber),
        Kind::Message(descriptor) => parse_message(descriptor, text).map(Value::Message),
        _ => parse_number(kind, text),
    }
}

/// Reads a number; int64 comes as text in JSON, so this serves bodies too.
fn parse_number(kind: &Kind, text: &str) -> Result<Value, String> {
    let whole =
        |bits: u32, sign: &str| format!("must be a whole {sign}number of at most {bits} bits");
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            text.parse().map(Value::I32).map_err(|_| whole(32, ""))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            text.parse().map(Value::I64).map_err(|_| whole(64, ""))
        }
        Kind::Uint32 | Kind::Fixed32 => text
            .parse()
            .map(Value::U32)
            .map_err(|_| whole(32, "positive ")),
        Kind::Uint64 | Kind::Fixed64 => text
            .parse()
            .map(Value::U64)
            .map_err(|_| whole(64, "positive ")),
        Kind::Float => parse_float(text).map(|number| {
            // Narrowing is what the field's type asks for.
            #[allow(clippy::cast_possible_truncation)]
            Value::F32(number as f32)
        }),
        Kind::Double => parse_float(text).map(Value::F64),
        Kind::Bool | Kind::String | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) => {
            Err("must not be a number".to_owned())
        }
    }
}

fn parse_float(text: &str) -> Result<f64, String> {
    match text {
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        "NaN" => Ok(f64::NAN),
        _ => text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| "must be a number".to_owned()),
    }
}

/// Reads the name or the number of an enum value.
pub(super) fn parse_enum(descriptor: &EnumDescriptor, text: &str) -> Result<i32, String> {
    if let Some(value) = descriptor.get_value_by_name(text) {
        return Ok(value.number());
    }
    text.parse().map_err(|_| {
        let names: Vec<String> = descriptor
            .values()
            .map(|value| value.name().to_owned())
            .collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// Reads a message that JSON writes as one text: times, durations, masks and wrapped scalars.
pub(super) fn parse_message(
    descriptor: &MessageDescriptor,
    text: &str,
) -> Result<DynamicMessage, String> {
    let name = descriptor.full_name();
    match name {
        "google.protobuf.FieldMask" => parse_mask(descriptor, text),
        "google.protobuf.Timestamp" => from_json_text(descriptor, text)
            .ok_or_else(|| "must be a time such as 2026-01-31T12:00:00Z".to_owned()),
        "google.protobuf.Duration" => from_json_text(descriptor, text)
            .ok_or_else(|| "must be a duration in seconds such as 900s".to_owned()),
        _ if is_wrapper(name) => {
            let Some(field) = descriptor.get_field(1) else {
                return Err("must be an object in the body".to_owned());
            };
            let value = parse_text(&field.kind(), text)?;
            let mut message = DynamicMessage::new(descriptor.clone());
            message.set_field(&field, value);
            Ok(message)
        }
        _ => {
            Err("must be an object; give its fields one by one, such as filter.domain=…".to_owned())
        }
    }
}

/// Whether JSON writes this message as the scalar it wraps.
pub(super) fn is_wrapper(full_name: &str) -> bool {
    matches!(
        full_name,
        "google.protobuf.BoolValue"
            | "google.protobuf.BytesValue"
            | "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int32Value"
            | "google.protobuf.Int64Value"
            | "google.protobuf.StringValue"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.UInt64Value"
    )
}

fn from_json_text(descriptor: &MessageDescriptor, text: &str) -> Option<DynamicMessage> {
    let text: serde::de::value::StrDeserializer<'_, serde_json::Error> =
        serde::de::IntoDeserializer::into_deserializer(text);
    DynamicMessage::deserialize(descriptor.clone(), text).ok()
}

/// Reads `displayName,filter.domain`. Names may be spelled as in JSON or as in the contract; the
/// message holds those of the contract. Whether the fields exist is the receiver's question.
fn parse_mask(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    const EXPECTED: &str = "must be field names separated by commas, such as name,description";
    let mut paths = Vec::new();
    for path in text
        .split(',')
        .map(str::trim)
        .filter(|path| !path.is_empty())
    {
        if !path.split('.').all(is_mask_name) || paths.len() >= MASK_PATHS_MAX {
            return Err(EXPECTED.to_owned());
        }
        paths.push(snake_case(path));
    }
    let mut message = DynamicMessage::new(descriptor.clone());
    message
        .transcode_from(&prost_types::FieldMask { paths })
        .map_err(|_| EXPECTED.to_owned())?;
    debug_assert_eq!(message.descriptor(), *descriptor);
    Ok(message)
}

/// Whether a name can be spelled in both ways and back: `displayName`, `display_name`.
fn is_mask_name(name: &str) -> bool {
    let mut before = '_';
    for c in name.chars() {
        let fits = match before {
            '_' => c.is_ascii_lowercase(),
            _ => c.is_ascii_alphanumeric() || c == '_',
        };
        if !fits {
            return false;
        }
        before = c;
    }
    before != '_'
}

fn snake_case(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
            snake.push(c.to_ascii_lowercase());
        } else {
            snake.push(c);
        }
    }
    snake
}

fn parse_base64(text: &str) -> Option<Vec<u8>> {
    BASE64
        .decode(text)
        .or_else(|_| BASE64_URL.decode(text))
        .ok()
}

/// Reads base64 as gRPC metadata writes it, with or without padding.
pub(super) fn parse_metadata_base64(bytes: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_names_can_be_spelled_both_ways() {
        for name in ["name", "displayName", "display_name", "a1b", "a_bC"] {
            assert!(is_mask_name(name), "{name}");
        }
        for name in ["", "_a", "A", "a_", "a__b", "a_1", "a_B", "1a", "a-b", "ä"] {
            assert!(!is_mask_name(name), "{name}");
        }
        assert_eq!(snake_case("aB.cD.e_f"), "a_b.c_d.e_f");
    }
}
