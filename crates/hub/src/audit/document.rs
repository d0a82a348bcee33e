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

/// The text of the request of a refused attempt, without the `wrong_fields`, and cut like [`to_text`]
/// does it, but to less. Nobody knows what a value is that broke the rule of its field: people type
/// passwords where logins belong.
///
/// # Errors
/// `Internal` when `text` was not written by [`to_text`].
pub fn shorten_refused(text: &str, wrong_fields: &[String]) -> Result<String, Error> {
    let bytes_max = limits::AUDIT_REFUSED_REQUEST_BYTES_MAX;
    if text.len() <= bytes_max && wrong_fields.is_empty() {
        return Ok(text.to_owned());
    }
    let mut document = parse(text)?;
    // The others are only counted in the answer.
    if wrong_fields.len() >= limits::VIOLATIONS_SHOWN_MAX {
        document.clear();
    }
    for field in wrong_fields {
        remove_field(&mut document, field);
    }
    Ok(to_text_within(document, bytes_max))
}

/// Removes the field `path`, such as `password_spec.password`; of a list, all of it.
fn remove_field(document: &mut Document, path: &str) {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let name = json_name(name);
    match (document.get_mut(&name), rest.strip_prefix('.')) {
        (Some(Value::Object(inner)), Some(rest)) => remove_field(inner, rest),
        _ => drop(document.remove(&name)),
    }
}

/// The name of a field in canonical JSON.
fn json_name(name: &str) -> String {
    let mut words = name.split('_');
    let mut json = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        json.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        json.push_str(letters.as_str());
    }
    json
}

fn to_text_within(mut document: Document, bytes_max: usize) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_left_out_wherever_it_is() {
        let text =
            r#"{"fullName":"a","hash":{"createdAt":"b","passwordHashType":"c"},"ids":["d"]}"#;
        let check = |wrong: &[&str], left: &str| {
            let wrong: Vec<_> = wrong.iter().map(|&field| field.to_owned()).collect();
            assert_eq!(shorten_refused(text, &wrong).unwrap(), left);
        };
        check(&[], text);
        check(
            &["full_name", "hash.password_hash_type", "ids[0]"],
            r#"{"hash":{"createdAt":"b"}}"#,
        );
        let without_hash = r#"{"fullName":"a","ids":["d"]}"#;
        check(&["hash"], without_hash);
        check(
            &["ключ.x", "", "ids.x", "hash", "none"],
            r#"{"fullName":"a"}"#,
        );
        check(&["x"; limits::VIOLATIONS_SHOWN_MAX], "{}");
    }
}
