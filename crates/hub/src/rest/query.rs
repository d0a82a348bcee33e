//! The query of a request: `pageSize=10&filter.domain=corp.example`.
//!
//! Invariant: a field gets its value from one place only; a value given twice is refused, because
//! silently keeping one of them would surprise. Names that no field has are ignored, as unknown
//! fields of a body are.

use prost_reflect::DynamicMessage;

use super::field_path::FieldPath;
use super::path::{Plus, percent_decode};
use super::refusal::Refusal;
use super::scalar::parse_text;

/// Parameters a query may have.
const QUERY_PARAMETERS_MAX: usize = 500;

/// Puts the parameters of `query` into `message`. `bound` are fields the path fills: naming them
/// again is refused.
pub(super) fn apply_query(
    message: &mut DynamicMessage,
    query: &str,
    bound: &[FieldPath],
) -> Result<(), Refusal> {
    let mut lists: Vec<FieldPath> = Vec::new();
    let mut singles: Vec<FieldPath> = bound.to_vec();
    for (position, parameter) in query.split('&').enumerate() {
        if position >= QUERY_PARAMETERS_MAX {
            return Err(Refusal::invalid(
                "",
                format!("the query has more than {QUERY_PARAMETERS_MAX} parameters"),
            ));
        }
        let (raw_name, raw_value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = percent_decode(raw_name, Plus::Space)
            .map_err(|why| Refusal::invalid("", format!("a parameter name in the query {why}")))?;
        let Some(path) = FieldPath::resolve(&message_descriptor(message), &name) else {
            continue;
        };
        let value = percent_decode(raw_value, Plus::Space)
            .map_err(|why| Refusal::invalid(path.name(), why.to_string()))?;
        let field = path.last();
        if field.is_map() {
            return Err(Refusal::invalid(
                path.name(),
                "is a map and cannot be given in the query",
            ));
        }
        let value =
            parse_text(&field.kind(), &value).map_err(|why| Refusal::invalid(path.name(), why))?;
        if field.is_list() {
            if !lists.contains(&path) {
                if path.is_taken(message) {
                    return Err(given_twice(&path));
                }
                lists.push(path.clone());
            }
            path.append(message, value);
        } else {
            if singles.contains(&path) || path.is_taken(message) {
                return Err(given_twice(&path));
            }
            path.set(message, value);
            singles.push(path);
        }
    }
    Ok(())
}

fn message_descriptor(message: &DynamicMessage) -> prost_reflect::MessageDescriptor {
    prost_reflect::ReflectMessage::descriptor(message)
}

fn given_twice(path: &FieldPath) -> Refusal {
    Refusal::invalid(
        path.name(),
        "is given more than once, or with an alternative to it",
    )
}
