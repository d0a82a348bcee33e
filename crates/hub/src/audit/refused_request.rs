//! The request of a refused attempt, as the trail keeps it.
//!
//! Invariant: no value that was refused is kept: nobody knows what it is, and people type passwords where
//! logins belong. Deliberately absent: requests that were carried out.

use serde_json::Value;
use tonic::Status;
use tonic_types::StatusExt as _;

use super::document::{Document, parse, to_text_within};
use crate::error::Error;
use crate::limits;

/// The fields whose values the hub refused.
pub(super) fn wrong_fields(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let fields = violations.into_iter().flatten();
    fields.map(|violation| violation.field.clone()).collect()
}

/// The text of the request of a refused attempt, without the `wrong_fields`, and cut as
/// [`super::document::to_text`] does it, but to less.
///
/// # Errors
/// `Internal` when `text` was not written by [`super::document::to_text`].
pub(super) fn shorten(text: &str, wrong_fields: &[String]) -> Result<String, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_left_out_wherever_it_is() {
        let text =
            r#"{"fullName":"a","hash":{"createdAt":"b","passwordHashType":"c"},"ids":["d"]}"#;
        let check = |wrong: &[&str], left: &str| {
            let wrong: Vec<_> = wrong.iter().map(|&field| field.to_owned()).collect();
            assert_eq!(shorten(text, &wrong).unwrap(), left);
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
