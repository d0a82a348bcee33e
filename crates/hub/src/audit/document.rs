//! Messages as JSON documents of the audit trail.
//!
//! Invariant: a document holds no secret field of the contract, at any depth, and no more bytes
//! than [`limits::AUDIT_DOCUMENT_BYTES_MAX`]. Deliberately absent: anything about single messages.

use prost_reflect::{
    DynamicMessage, MapKey, ReflectMessage as _, SerializeOptions, Value as Field,
};
use rollcall_domain::operation::Payload;
use rollcall_proto::{descriptor_pool, is_secret_field};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::limits;

/// A JSON object.
pub type Document = Map<String, Value>;

/// Decodes a message of the contract.
///
/// # Errors
/// `Internal` for bytes that are no such message; the hub encoded them itself.
pub fn decode(type_name: &str, bytes: &[u8]) -> Result<DynamicMessage, Error> {
    let damaged = || Error::Internal(format!("{type_name} cannot be written to the audit trail"));
    let descriptor = descriptor_pool()
        .get_message_by_name(type_name)
        .ok_or_else(damaged)?;
    DynamicMessage::decode(descriptor, bytes).map_err(|_| damaged())
}

/// The document of a stored message.
///
/// # Errors
/// As [`decode`].
pub fn of_payload(payload: &Payload) -> Result<Document, Error> {
    if payload.bytes.is_empty() {
        return Ok(Document::new());
    }
    of_message(decode(&payload.type_name, &payload.bytes)?)
}

/// The document of a message: canonical proto3 JSON without secret fields.
///
/// # Errors
/// `Internal` for a message without a JSON form.
pub fn of_message(mut message: DynamicMessage) -> Result<Document, Error> {
    clear_secrets(&mut message);
    let options = SerializeOptions::new().skip_default_fields(true);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    match json {
        Ok(Value::Object(document)) => Ok(document),
        _ => Err(Error::Internal(format!(
            "{} has no JSON object",
            message.descriptor().full_name()
        ))),
    }
}

/// The text of a document. One that is too long has its largest members replaced by a note of
/// their size.
#[must_use]
pub fn to_text(document: Document) -> String {
    to_text_within(document, limits::AUDIT_DOCUMENT_BYTES_MAX)
}

/// The text of a document within so many bytes.
pub(super) fn to_text_within(mut document: Document, bytes_max: usize) -> String {
    let text = write(&document);
    if text.len() <= bytes_max {
        return text;
    }
    let mut sizes: Vec<_> = document
        .iter()
        .map(|(name, value)| (value.to_string().len(), name.clone()))
        .collect();
    sizes.sort_unstable();
    let mut total = text.len();
    while total > bytes_max {
        let Some((bytes, name)) = sizes.pop() else {
            break;
        };
        let note = Value::String(format!("cut: {bytes} bytes"));
        total = total.saturating_sub(bytes) + note.to_string().len();
        document.insert(name, note);
    }
    write(&document)
}

/// Writing a JSON value into memory does not fail.
fn write(document: &Document) -> String {
    serde_json::to_string(document).unwrap_or_else(|_| "{}".to_owned())
}

/// Reads a document that [`to_text`] wrote.
///
/// # Errors
/// `Internal` when the text is damaged.
pub fn parse(text: &str) -> Result<Document, Error> {
    serde_json::from_str(text)
        .map_err(|_| Error::Internal("a document of the audit trail is damaged".into()))
}

/// Removes every member with this name, at any depth.
pub fn remove_members(document: &mut Document, name: &str) {
    document.remove(name);
    for value in document.values_mut() {
        remove_inner(value, name);
    }
}

fn remove_inner(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => remove_members(members, name),
        Value::Array(items) => {
            for item in items {
                remove_inner(item, name);
            }
        }
        _ => {}
    }
}

fn clear_secrets(message: &mut DynamicMessage) {
    let secret: Vec<_> = message
        .fields()
        .map(|(field, _)| field)
        .filter(|field| is_secret_field(field.name()) && field.kind().as_message().is_none())
        .collect();
    for field in secret {
        message.clear_field(&field);
    }
    for (_, value) in message.fields_mut() {
        clear_inner(value);
    }
}

fn clear_inner(value: &mut Field) {
    match value {
        Field::Message(message) => clear_secrets(message),
        Field::List(items) => items.iter_mut().for_each(clear_inner),
        Field::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, value): (&MapKey, &mut Field)| clear_inner(value)),
        _ => {}
    }
}
