//! A way through nested messages to one field: `filter.domain`.
//!
//! Invariant: every step but the last is a single message, so a value can be put at the end
//! without choosing an element of a list.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// Steps a dotted name may have.
pub(super) const FIELD_PATH_DEPTH_MAX: usize = 8;

/// The fields to step through, outermost first; never empty.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldPath {
    parents: Vec<FieldDescriptor>,
    last: FieldDescriptor,
}

/// Finds a field by its JSON name (camelCase) or its name in the contract (snake_case).
pub(super) fn find_field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))
}

impl FieldPath {
    /// Resolves a dotted name. None: no such field, or a step that is not a single message.
    pub fn resolve(message: &MessageDescriptor, dotted: &str) -> Option<Self> {
        let mut parents = Vec::new();
        let mut message = message.clone();
        let mut names = dotted.split('.').take(FIELD_PATH_DEPTH_MAX + 1).peekable();
        while let Some(name) = names.next() {
            let field = find_field(&message, name)?;
            if names.peek().is_none() {
                return Some(Self {
                    parents,
                    last: field,
                });
            }
            let Kind::Message(inner) = field.kind() else {
                return None;
            };
            if field.is_list() || field.is_map() || parents.len() >= FIELD_PATH_DEPTH_MAX {
                return None;
            }
            parents.push(field);
            message = inner;
        }
        None
    }

    /// The field the value goes into.
    pub fn last(&self) -> &FieldDescriptor {
        &self.last
    }

    /// The dotted name with the names of the contract, as errors spell it.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for parent in &self.parents {
            name.push_str(parent.name());
            name.push('.');
        }
        name.push_str(self.last.name());
        name
    }

    /// The dotted name with the names of JSON, as clients spell it.
    pub fn json_name(&self) -> String {
        let mut name = String::new();
        for parent in &self.parents {
            name.push_str(parent.json_name());
            name.push('.');
        }
        name.push_str(self.last.json_name());
        name
    }

    /// Sets the field, making the messages on the way.
    pub fn set(&self, message: &mut DynamicMessage, value: Value) {
        if let Some(message) = self.parent_in(message) {
            message.set_field(&self.last, value);
        }
    }

    /// Adds an element to the field, which must be a list.
    pub fn append(&self, message: &mut DynamicMessage, value: Value) {
        if let Some(message) = self.parent_in(message)
            && let Some(list) = message.get_field_mut(&self.last).as_list_mut()
        {
            list.push(value);
        }
    }

    /// Whether the field already has a value, or an alternative to it (its oneof) has one.
    pub fn is_taken(&self, message: &DynamicMessage) -> bool {
        is_taken_in(message, &self.parents, &self.last)
    }

    fn parent_in<'m>(&self, message: &'m mut DynamicMessage) -> Option<&'m mut DynamicMessage> {
        let mut message = message;
        for parent in &self.parents {
            message = message.get_field_mut(parent).as_message_mut()?;
        }
        Some(message)
    }
}

fn is_taken_in(
    message: &DynamicMessage,
    parents: &[FieldDescriptor],
    last: &FieldDescriptor,
) -> bool {
    let field = parents.first().unwrap_or(last);
    let has_alternative = field.containing_oneof().is_some_and(|oneof| {
        oneof
            .fields()
            .any(|other| other != *field && message.has_field(&other))
    });
    if has_alternative {
        return true;
    }
    match parents.split_first() {
        None => message.has_field(last),
        Some((parent, rest)) => {
            message.has_field(parent)
                && message
                    .get_field(parent)
                    .as_message()
                    .is_some_and(|inner| is_taken_in(inner, rest, last))
        }
    }
}
