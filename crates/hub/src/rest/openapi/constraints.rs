//! The validation options of the contract as keywords of JSON Schema.
//!
//! Invariant: a keyword says of a given value what the check generated from the same option says;
//! ranges that have no keyword are told in words. A contract without these options has no
//! constraints.

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    OneofDescriptor, Value,
};
use rollcall_proto::bounds::{self, Bounds};
use serde_json::{Map, Value as Json};

/// The options of `yandex/cloud/validation.proto`, as far as the contract has them.
#[derive(Debug)]
pub(super) struct Options {
    exactly_one: Option<ExtensionDescriptor>,
    required: Option<ExtensionDescriptor>,
    pattern: Option<ExtensionDescriptor>,
    value: Option<ExtensionDescriptor>,
    size: Option<ExtensionDescriptor>,
    length: Option<ExtensionDescriptor>,
    unique: Option<ExtensionDescriptor>,
    map_key: Option<ExtensionDescriptor>,
    bytes: Option<ExtensionDescriptor>,
}

/// What the options say about one field.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    pub is_required: bool,
    pub is_unique: bool,
    pattern: Option<String>,
    value: Option<String>,
    size: Option<Bounds>,
    length: Option<Bounds>,
    bytes: Option<Bounds>,
    key_pattern: Option<String>,
    key_length: Option<Bounds>,
}

/// Keywords of a schema.
pub(super) type Keywords = Map<String, Json>;

impl Options {
    /// Finds the options in `pool`.
    pub fn find(pool: &DescriptorPool) -> Self {
        let find = |name: &str| pool.get_extension_by_name(&format!("yandex.cloud.{name}"));
        Self {
            exactly_one: find("exactly_one"),
            required: find("required"),
            pattern: find("pattern"),
            value: find("value"),
            size: find("size"),
            length: find("length"),
            unique: find("unique"),
            map_key: find("map_key"),
            bytes: find("bytes"),
        }
    }

    /// The constraints of `field`.
    pub fn of(&self, field: &FieldDescriptor) -> Constraints {
        let options = field.options();
        let text = |extension: &Option<ExtensionDescriptor>| {
            let value = options.get_extension(extension.as_ref()?);
            let text = value.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let flag = |extension: &Option<ExtensionDescriptor>| {
            extension
                .as_ref()
                .is_some_and(|extension| options.get_extension(extension).as_bool() == Some(true))
        };
        let range = |extension: &Option<ExtensionDescriptor>| {
            // The build refuses what cannot be read.
            bounds::numbers(&text(extension)?).ok()
        };
        let mut constraints = Constraints {
            is_required: flag(&self.required),
            is_unique: flag(&self.unique),
            pattern: text(&self.pattern),
            value: text(&self.value),
            size: range(&self.size),
            length: range(&self.length),
            bytes: range(&self.bytes),
            key_pattern: None,
            key_length: None,
        };
        if let Some(map_key) = &self.map_key
            && let Value::Message(spec) = options.get_extension(map_key).as_ref()
        {
            constraints.key_pattern = text_in(spec, "pattern");
            constraints.key_length =
                text_in(spec, "length").and_then(|text| bounds::numbers(&text).ok());
        }
        constraints
    }

    /// Whether exactly one member of `oneof` must be given.
    pub fn is_exactly_one(&self, oneof: &OneofDescriptor) -> bool {
        self.exactly_one.as_ref().is_some_and(|extension| {
            oneof.options().get_extension(extension).as_bool() == Some(true)
        })
    }

    /// Whether `message`, or one inside it, has any constraint.
    pub fn constrain(&self, message: &MessageDescriptor) -> bool {
        let mut seen = vec![message.full_name().to_owned()];
        let mut waiting = vec![message.clone()];
        while let Some(message) = waiting.pop() {
            if message.oneofs().any(|oneof| self.is_exactly_one(&oneof)) {
                return true;
            }
            for field in message.fields() {
                if !self.of(&field).is_empty() {
                    return true;
                }
                if let Kind::Message(inner) = field.kind()
                    && !seen.iter().any(|name| name == inner.full_name())
                {
                    seen.push(inner.full_name().to_owned());
                    waiting.push(inner);
                }
            }
        }
        false
    }
}

fn text_in(message: &DynamicMessage, field: &str) -> Option<String> {
    let value = message.get_field_by_name(field)?;
    let text = value.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

impl Constraints {
    fn is_empty(&self) -> bool {
        !self.is_required
            && !self.is_unique
            && self.pattern.is_none()
            && self.value.is_none()
            && self.size.is_none()
            && self.length.is_none()
            && self.bytes.is_none()
            && self.key_pattern.is_none()
            && self.key_length.is_none()
    }

    /// Whether a list or map must have an item.
    pub fn is_size_positive(&self) -> bool {
        self.size.is_some_and(|size| size.min > 0)
    }

    /// Adds the keywords of one text.
    pub fn limit_text(&self, keywords: &mut Keywords) {
        limit_length(keywords, self.length, self.is_required);
        if let Some(pattern) = &self.pattern {
            keywords.insert("pattern".into(), whole(pattern).into());
        }
    }

    /// Adds the keywords of one number.
    pub fn limit_number(&self, keywords: &mut Keywords) {
        let Some(range) = self.number_range() else {
            return;
        };
        keywords.insert("minimum".into(), range.min.into());
        if range.max < i64::MAX {
            keywords.insert("maximum".into(), range.max.into());
        }
    }

    fn number_range(&self) -> Option<Bounds> {
        bounds::numbers(self.value.as_deref()?).ok()
    }

    /// Adds the keywords of a list or map as a whole, whose names end in `suffix`.
    pub fn limit_items(&self, keywords: &mut Keywords, suffix: &str) {
        let min = self
            .size
            .map_or(0, |size| size.min)
            .max(i64::from(self.is_required));
        if min > 0 {
            keywords.insert(format!("min{suffix}"), min.into());
        }
        if let Some(size) = self.size.filter(|size| size.max < i64::MAX) {
            keywords.insert(format!("max{suffix}"), size.max.into());
        }
    }

    /// The keywords of the keys of a map, if they are constrained.
    pub fn key_keywords(&self) -> Option<Keywords> {
        let mut keywords = Keywords::new();
        limit_length(&mut keywords, self.key_length, false);
        if let Some(pattern) = &self.key_pattern {
            keywords.insert("pattern".into(), whole(pattern).into());
        }
        (!keywords.is_empty()).then_some(keywords)
    }

    /// What no keyword can say, in words.
    pub fn in_words(&self, kind: &Kind) -> Option<String> {
        match kind {
            Kind::Message(_) => {
                let value = self.value.as_deref()?;
                Some(match bounds::moments(value) {
                    Ok((first, last)) => format!("From {} to {}.", first.text, last.text),
                    Err(_) => format!("Range: {value}."),
                })
            }
            Kind::Int64 | Kind::Uint64 => {
                let range = self.number_range()?;
                Some(match (range.min, range.max) {
                    (min, i64::MAX) => format!("At least {min}."),
                    (min, max) => format!("{min} to {max}."),
                })
            }
            Kind::Bytes => {
                let bytes = self.bytes?;
                Some(format!("{} to {} bytes.", bytes.min, bytes.max))
            }
            _ => None,
        }
    }
}

fn limit_length(keywords: &mut Keywords, length: Option<Bounds>, is_required: bool) {
    let min = length
        .map_or(0, |length| length.min)
        .max(i64::from(is_required));
    if min > 0 {
        keywords.insert("minLength".into(), min.into());
    }
    if let Some(length) = length.filter(|length| length.max < i64::MAX) {
        keywords.insert("maxLength".into(), length.max.into());
    }
}

/// A pattern of the contract looks at the whole value; one of JSON Schema looks for a part of it.
fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})$")
}
