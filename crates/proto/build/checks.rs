//! Writes one `Check` implementation for each message from its validation options.
//!
//! Invariant: an option in a place where it has no meaning here is a build error.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor,
    OneofDescriptor, Value,
};

use crate::{bounds, names};

const DURATION: &str = "google.protobuf.Duration";
const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// The Rust text of all checks.
pub fn render(pool: &DescriptorPool) -> Result<String, String> {
    let mut writer = Writer {
        options: Options::find(pool)?,
        patterns: BTreeMap::new(),
    };
    let mut out = String::new();
    for message in names::own_messages(pool) {
        writer.message(&mut out, &message)?;
    }
    for (pattern, index) in &writer.patterns {
        let _ = writeln!(
            out,
            "static PATTERN_{index}: Pattern = Pattern::new({pattern:?});"
        );
    }
    let _ = writeln!(
        out,
        "/// Every pattern of the contract.\n#[cfg(test)]\npub(crate) static PATTERNS: &[&Pattern] \
         = &[{}];",
        writer
            .patterns
            .values()
            .map(|index| format!("&PATTERN_{index}"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(out)
}

/// The options of `yandex/cloud/validation.proto`.
struct Options {
    exactly_one: ExtensionDescriptor,
    required: ExtensionDescriptor,
    pattern: ExtensionDescriptor,
    value: ExtensionDescriptor,
    size: ExtensionDescriptor,
    length: ExtensionDescriptor,
    unique: ExtensionDescriptor,
    map_key: ExtensionDescriptor,
    bytes: ExtensionDescriptor,
}

impl Options {
    fn find(pool: &DescriptorPool) -> Result<Self, String> {
        let find = |name: &str| {
            pool.get_extension_by_name(&format!("yandex.cloud.{name}"))
                .ok_or_else(|| format!("the contract lacks the validation option {name}"))
        };
        Ok(Self {
            exactly_one: find("exactly_one")?,
            required: find("required")?,
            pattern: find("pattern")?,
            value: find("value")?,
            size: find("size")?,
            length: find("length")?,
            unique: find("unique")?,
            map_key: find("map_key")?,
            bytes: find("bytes")?,
        })
    }
}

/// What the options say about one field.
struct Rules {
    required: bool,
    unique: bool,
    pattern: Option<String>,
    value: Option<String>,
    size: Option<String>,
    length: Option<String>,
    bytes: Option<String>,
    map_key: Option<DynamicMessage>,
}

impl Rules {
    fn read(options: &Options, field: &FieldDescriptor) -> Self {
        let all = field.options();
        let text = |extension: &ExtensionDescriptor| {
            let value = all.get_extension(extension);
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let flag =
            |extension: &ExtensionDescriptor| all.get_extension(extension).as_bool() == Some(true);
        let map_key = match all.get_extension(&options.map_key).into_owned() {
            Value::Message(spec) if all.has_extension(&options.map_key) => Some(spec),
            _ => None,
        };
        Self {
            required: flag(&options.required),
            unique: flag(&options.unique),
            pattern: text(&options.pattern),
            value: text(&options.value),
            size: text(&options.size),
            length: text(&options.length),
            bytes: text(&options.bytes),
            map_key,
        }
    }
}

/// Whether an empty value counts as "not given".
#[derive(Clone, Copy)]
enum Presence {
    /// A singular field without presence: empty means unset.
    Implicit { required: bool },
    /// A list item, a map key, a oneof member or a wrapper: empty is a value.
    Explicit,
}

impl Presence {
    fn render(self) -> &'static str {
        match self {
            Self::Implicit { required: true } => "Presence::Required",
            Self::Implicit { required: false } => "Presence::Optional",
            Self::Explicit => "Presence::Given",
        }
    }
}

struct Writer {
    options: Options,
    /// Pattern text to number.
    patterns: BTreeMap<String, usize>,
}

impl Writer {
    fn message(&mut self, out: &mut String, message: &MessageDescriptor) -> Result<(), String> {
        let mut body = String::new();
        for field in message.fields() {
            if field.containing_oneof().is_none() {
                body.push_str(&self.field(message, &field)?);
            }
        }
        for oneof in message.oneofs() {
            body.push_str(&self.oneof(message, &oneof)?);
        }
        let arguments = if body.is_empty() {
            "_: &Path<'_>, _: &mut Violations"
        } else {
            "path: &Path<'_>, found: &mut Violations"
        };
        let _ = writeln!(
            out,
            "impl Check for {} {{ fn check_into(&self, {arguments}) {{\n{body}}} }}",
            names::message(message)
        );
        Ok(())
    }

    fn field(
        &mut self,
        message: &MessageDescriptor,
        field: &FieldDescriptor,
    ) -> Result<String, String> {
        let rules = Rules::read(&self.options, field);
        let rust = names::field(field.name());
        let inner = if field.is_map() {
            self.map_field(&rules, field, &rust)
        } else if field.is_list() {
            self.list_field(message, &rules, field, &rust)
        } else if matches!(field.kind(), Kind::Message(_)) {
            self.message_field(&rules, field, &rust)
        } else {
            let presence = Presence::Implicit {
                required: rules.required,
            };
            self.scalar(message, &rules, field, &format!("self.{rust}"), presence)
        }
        .map_err(|error| format!("{}: {error}", field.full_name()))?;
        Ok(in_field(field.name(), &inner))
    }

    fn message_field(
        &mut self,
        rules: &Rules,
        field: &FieldDescriptor,
        rust: &str,
    ) -> Result<String, String> {
        let mut inner = String::new();
        if rules.required {
            let _ = writeln!(inner, "found.present(&path, self.{rust}.is_some());");
        }
        let checks = self.given_message(rules, field)?;
        if !checks.is_empty() {
            let _ = writeln!(inner, "if let Some(value) = &self.{rust} {{ {checks} }}");
        }
        Ok(inner)
    }

    /// Checks of a message that is there, bound to `value`.
    fn given_message(&mut self, rules: &Rules, field: &FieldDescriptor) -> Result<String, String> {
        let Kind::Message(target) = field.kind() else {
            return Err("is no message".to_owned());
        };
        let range = match (target.full_name(), rules.value.as_deref()) {
            (DURATION, Some(text)) => {
                let range = bounds::durations(text)?;
                format!(
                    "found.duration(&path, value, {}, {}, {text:?});",
                    range.min, range.max
                )
            }
            (TIMESTAMP, Some(text)) => {
                let (first, last) = bounds::moments(text)?;
                format!(
                    "found.moment(&path, value, ({}, {}), ({}, {}), {:?});",
                    first.seconds,
                    first.nanos,
                    last.seconds,
                    last.nanos,
                    format!("from {} to {}", first.text, last.text)
                )
            }
            (DURATION, None) => "found.duration_form(&path, value);".to_owned(),
            (TIMESTAMP, None) => "found.moment_form(&path, value);".to_owned(),
            (_, Some(_)) => {
                return Err("a value range needs a number, Duration or Timestamp".into());
            }
            (_, None) if names::is_own(target.package_name()) => {
                "value.check_into(&path, found);".to_owned()
            }
            (_, None) => String::new(),
        };
        if rules.length.is_some() || rules.pattern.is_some() || rules.bytes.is_some() {
            return Err("text constraints have no meaning on a message".to_owned());
        }
        Ok(range)
    }

    fn list_field(
        &mut self,
        message: &MessageDescriptor,
        rules: &Rules,
        field: &FieldDescriptor,
        rust: &str,
    ) -> Result<String, String> {
        let mut inner = items(rules, rust)?;
        if rules.unique {
            let _ = writeln!(inner, "found.unique(&path, &self.{rust});");
        }
        let checks = if matches!(field.kind(), Kind::Message(_)) {
            self.given_message(rules, field)?
        } else {
            self.scalar(message, rules, field, "*value", Presence::Explicit)?
        };
        if !checks.is_empty() {
            let _ = writeln!(
                inner,
                "for (index, value) in self.{rust}.iter().enumerate() {{ let path = \
                 path.index(index); {checks} }}"
            );
        }
        Ok(inner)
    }

    fn map_field(
        &mut self,
        rules: &Rules,
        field: &FieldDescriptor,
        rust: &str,
    ) -> Result<String, String> {
        let Kind::Message(entry) = field.kind() else {
            return Err("a map has an entry message".to_owned());
        };
        let text_only = matches!(
            (
                entry.map_entry_key_field().kind(),
                entry.map_entry_value_field().kind()
            ),
            (Kind::String, Kind::String)
        );
        if !text_only || rules.unique || rules.value.is_some() || rules.bytes.is_some() {
            return Err("only maps of text to text are understood".to_owned());
        }
        let mut inner = items(rules, rust)?;
        let key_rules = rules.map_key.as_ref().map(|spec| {
            let text = |name: &str| {
                spec.get_field_by_name(name)
                    .and_then(|value| value.as_str().map(str::to_owned))
                    .filter(|text| !text.is_empty())
            };
            (text("length"), text("pattern"), text("value"))
        });
        let (length, pattern, value) = key_rules.unwrap_or_default();
        if value.is_some() {
            return Err("a value range on map keys is not understood".to_owned());
        }
        let key = self.text_rule(length.as_deref(), pattern.as_deref(), Presence::Explicit)?;
        let (length, pattern) = (rules.length.as_deref(), rules.pattern.as_deref());
        let value = self.text_rule(length, pattern, Presence::Explicit)?;
        let _ = writeln!(
            inner,
            "for (key, value) in &self.{rust} {{ let path = path.key(key); \
             found.key(&path, key, &{key}); found.text(&path, value, &{value}); }}"
        );
        Ok(inner)
    }

    fn scalar(
        &mut self,
        message: &MessageDescriptor,
        rules: &Rules,
        field: &FieldDescriptor,
        place: &str,
        presence: Presence,
    ) -> Result<String, String> {
        let required = matches!(presence, Presence::Implicit { required: true });
        match field.kind() {
            Kind::String => {
                if rules.value.is_some() || rules.bytes.is_some() {
                    return Err("value and bytes have no meaning on text".to_owned());
                }
                // Also without constraints: no text may hold U+0000.
                let rule =
                    self.text_rule(rules.length.as_deref(), rules.pattern.as_deref(), presence)?;
                Ok(format!("found.text(&path, &{place}, &{rule});"))
            }
            Kind::Bytes => {
                let range = bounds_or_all(rules.bytes.as_deref())?;
                Ok(format!(
                    "found.bytes(&path, &{place}, {}, {range});",
                    presence.render()
                ))
            }
            Kind::Enum(kind) => {
                let known: Vec<String> = kind
                    .values()
                    .map(|value| format!("({}, {:?})", value.number(), value.name()))
                    .collect();
                Ok(format!(
                    "found.choice(&path, {place}, {}, &[{}]);",
                    presence.render(),
                    known.join(", ")
                ))
            }
            Kind::Int32 | Kind::Int64 | Kind::Uint32 => {
                if !required && rules.value.is_none() {
                    return Ok(String::new());
                }
                let range = bounds_or_all(rules.value.as_deref())?;
                Ok(format!(
                    "found.number(&path, i64::from({place}), {}, {range});",
                    presence.render()
                ))
            }
            Kind::Bool if !required && rules.value.is_none() => Ok(String::new()),
            kind => {
                let constrained = required || rules.value.is_some();
                if constrained {
                    return Err(format!(
                        "{}: constraints on {kind:?} are not understood",
                        message.full_name()
                    ));
                }
                Ok(String::new())
            }
        }
    }

    fn oneof(
        &mut self,
        message: &MessageDescriptor,
        oneof: &OneofDescriptor,
    ) -> Result<String, String> {
        let options = oneof.options();
        let exactly_one = options.get_extension(&self.options.exactly_one).as_bool() == Some(true);
        let rust = names::field(oneof.name());
        let mut inner = String::new();
        if exactly_one {
            let choices: Vec<String> = oneof
                .fields()
                .map(|field| field.name().to_owned())
                .collect();
            let _ = writeln!(
                inner,
                "found.one_of(path, self.{rust}.is_some(), {:?}, {:?});",
                oneof.name(),
                choices.join(", ")
            );
        }
        let mut arms = String::new();
        for field in oneof.fields() {
            let rules = Rules::read(&self.options, &field);
            let checks = if matches!(field.kind(), Kind::Message(_)) {
                self.given_message(&rules, &field)?
            } else {
                self.scalar(message, &rules, &field, "*value", Presence::Explicit)?
            };
            if !checks.is_empty() {
                let _ = writeln!(
                    arms,
                    "Some({}::{}::{}(value)) => {{ {} }}",
                    names::inner_module(message),
                    names::camel(oneof.name()),
                    names::camel(field.name()),
                    in_field(field.name(), &checks)
                );
            }
        }
        if !arms.is_empty() {
            let _ = writeln!(
                inner,
                "match &self.{rust} {{ {arms} #[allow(unreachable_patterns)] _ => {{}} }}"
            );
        }
        Ok(inner)
    }

    fn text_rule(
        &mut self,
        length: Option<&str>,
        pattern: Option<&str>,
        presence: Presence,
    ) -> Result<String, String> {
        let range = bounds_or_all(length)?;
        let pattern = pattern.map_or_else(
            || "None".to_owned(),
            |pattern| {
                let next = self.patterns.len();
                let index = *self.patterns.entry(pattern.to_owned()).or_insert(next);
                format!("Some(&PATTERN_{index})")
            },
        );
        Ok(format!(
            "TextRule {{ presence: {}, length: {range}, pattern: {pattern} }}",
            presence.render()
        ))
    }
}

fn in_field(name: &str, inner: &str) -> String {
    if inner.is_empty() {
        String::new()
    } else {
        format!("{{ let path = path.field({name:?}); {inner} }}\n")
    }
}

/// The check of the number of items.
fn items(rules: &Rules, rust: &str) -> Result<String, String> {
    if rules.size.is_none() && !rules.required {
        return Ok(String::new());
    }
    let mut range = match rules.size.as_deref() {
        Some(text) => bounds::numbers(text)?,
        None => bounds::Bounds {
            min: 0,
            max: i64::MAX,
        },
    };
    if rules.required {
        range.min = range.min.max(1);
    }
    Ok(format!(
        "found.items(&path, self.{rust}.len(), {});\n",
        render_range(range)
    ))
}

fn bounds_or_all(text: Option<&str>) -> Result<String, String> {
    match text {
        Some(text) => Ok(render_range(bounds::numbers(text)?)),
        None => Ok("None".to_owned()),
    }
}

fn render_range(range: bounds::Bounds) -> String {
    format!("Some(Range {{ min: {}, max: {} }})", range.min, range.max)
}
