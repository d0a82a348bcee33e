//! The small checks that the generated code calls, and the trait it implements.
//!
//! Invariant: a check reports, it never changes a value and never panics. An empty text or a zero
//! of a field that is not required means "not given" and is fine; list items, map entries and
//! members of a oneof are always given. Deliberately absent: rules that need more than one field.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::OnceLock;

use prost_types::{Duration, Timestamp};
use regex::Regex;

/// How many violations of one request are reported at most.
pub const VIOLATIONS_MAX: usize = 50;

const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// The greatest magnitude of `google.protobuf.Duration`, in seconds (10,000 years).
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;
/// 0001-01-01T00:00:00Z, the first moment of `google.protobuf.Timestamp`, in seconds.
const TIMESTAMP_SECONDS_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z, the last second of `google.protobuf.Timestamp`.
const TIMESTAMP_SECONDS_MAX: i64 = 253_402_300_799;

/// One field that breaks a rule of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Where, in the spelling of the contract: `filter.groups[2]`.
    pub field: String,
    /// What is allowed there.
    pub description: String,
}

impl fmt::Display for FieldViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// A message that knows the rules of its fields.
pub trait Check {
    /// Reports what is wrong with this message, its fields being found under `path`.
    fn check_into(&self, path: &Path<'_>, found: &mut Violations);

    /// Checks a whole request.
    ///
    /// # Errors
    /// The violations, at most [`VIOLATIONS_MAX`] of them.
    fn check(&self) -> Result<(), Vec<FieldViolation>> {
        let mut found = Violations::default();
        self.check_into(&Path::Root, &mut found);
        if found.list.is_empty() {
            Ok(())
        } else {
            Err(found.list)
        }
    }
}

/// `google.protobuf.Empty`.
impl Check for () {
    fn check_into(&self, _: &Path<'_>, _: &mut Violations) {}
}

/// Where in a message a check is; turned into text only for a violation.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    /// The request itself.
    Root,
    /// A field of the message at the inner path.
    Field(&'a Path<'a>, &'static str),
    /// An item of the list at the inner path.
    Index(&'a Path<'a>, usize),
    /// An entry of the map at the inner path.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    /// The field `name` of what is here.
    #[must_use]
    pub fn field(&'a self, name: &'static str) -> Path<'a> {
        Path::Field(self, name)
    }

    /// The item at `index` of the list that is here.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// The entry `key` of the map that is here.
    #[must_use]
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }
}

/// Key characters shown in a path, so that a hostile key cannot blow up an answer.
const SHOWN_KEY_CHARACTERS_MAX: usize = 64;

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(outer, name) => write!(f, "{outer}.{name}"),
            Path::Index(outer, index) => write!(f, "{outer}[{index}]"),
            Path::Key(outer, key) => {
                let shown: String = key.chars().take(SHOWN_KEY_CHARACTERS_MAX).collect();
                write!(f, "{outer}[{shown:?}]")
            }
        }
    }
}

/// Whether a value must, may or does exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Must be there and not be empty or zero.
    Required,
    /// Empty or zero means "not given".
    Optional,
    /// Was given explicitly, so even an empty value is judged.
    Given,
}

/// Inclusive limits of a number, a length or a count.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The smallest allowed.
    pub min: i64,
    /// The greatest allowed.
    pub max: i64,
}

impl Range {
    fn holds(self, number: i64) -> bool {
        (self.min..=self.max).contains(&number)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, max) if min == max => write!(f, "exactly {min}"),
            (min, i64::MAX) => write!(f, "at least {min}"),
            (0, max) => write!(f, "at most {max}"),
            (min, max) => write!(f, "{min} to {max}"),
        }
    }
}

/// A regular expression that must match a whole value; compiled at its first use.
#[derive(Debug)]
pub struct Pattern {
    source: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// The pattern `source` of the contract.
    #[must_use]
    pub const fn new(source: &'static str) -> Self {
        Self {
            source,
            compiled: OnceLock::new(),
        }
    }

    /// Whether all of `text` matches. A pattern that is no regular expression matches nothing;
    /// a test compiles all of them.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.compiled().is_some_and(|regex| regex.is_match(text))
    }

    fn compiled(&self) -> Option<&Regex> {
        self.compiled
            .get_or_init(|| Regex::new(&format!(r"\A(?:{})\z", self.source)).ok())
            .as_ref()
    }
}

/// What a text must be.
#[derive(Debug)]
pub struct TextRule {
    /// Whether it must be there.
    pub presence: Presence,
    /// Limits of its length in characters.
    pub length: Option<Range>,
    /// The form of the whole text.
    pub pattern: Option<&'static Pattern>,
}

/// The violations found so far.
#[derive(Debug, Default)]
pub struct Violations {
    list: Vec<FieldViolation>,
}

impl Violations {
    /// Reports that the value at `path` is wrong.
    pub fn add(&mut self, path: &Path<'_>, description: impl Into<String>) {
        if self.list.len() < VIOLATIONS_MAX {
            self.list.push(FieldViolation {
                field: path.to_string(),
                description: description.into(),
            });
        }
    }

    /// A message that must be there.
    pub fn present(&mut self, path: &Path<'_>, is_present: bool) {
        if !is_present {
            self.add(path, "must be set");
        }
    }

    /// A text.
    pub fn text(&mut self, path: &Path<'_>, text: &str, rule: &TextRule) {
        if text.is_empty() {
            match rule.presence {
                Presence::Required => return self.add(path, "must be set"),
                Presence::Optional => return,
                Presence::Given => {}
            }
        }
        // No database can store it in a text, so it would come back as a fault of the hub.
        if text.contains('\0') {
            return self.add(path, "must not contain the character U+0000");
        }
        if let Some(length) = rule.length {
            let characters = count(text.chars().count());
            if !length.holds(characters) {
                let description = format!("must have {length} characters, has {characters}");
                return self.add(path, description);
            }
        }
        if let Some(pattern) = rule.pattern
            && !pattern.matches(text)
        {
            let description = match pattern.source.strip_prefix('|') {
                Some(form) => format!("must be empty or have the form {form}"),
                None => format!("must have the form {}", pattern.source),
            };
            self.add(path, description);
        }
    }

    /// The key of a map entry.
    pub fn key(&mut self, path: &Path<'_>, key: &str, rule: &TextRule) {
        let before = self.list.len();
        self.text(path, key, rule);
        if let Some(violation) = self.list.get_mut(before) {
            violation.description = format!("the key {}", violation.description);
        }
    }

    /// Bytes.
    pub fn bytes(
        &mut self,
        path: &Path<'_>,
        bytes: &[u8],
        presence: Presence,
        length: Option<Range>,
    ) {
        if bytes.is_empty() && presence == Presence::Required {
            return self.add(path, "must be set");
        }
        if bytes.is_empty() && presence == Presence::Optional {
            return;
        }
        let size = count(bytes.len());
        if let Some(length) = length
            && !length.holds(size)
        {
            self.add(path, format!("must have {length} bytes, has {size}"));
        }
    }

    /// A whole number.
    pub fn number(
        &mut self,
        path: &Path<'_>,
        number: i64,
        presence: Presence,
        value: Option<Range>,
    ) {
        if number == 0 && presence == Presence::Required {
            return self.add(path, "must be set");
        }
        if number == 0 && presence == Presence::Optional {
            return;
        }
        if let Some(value) = value
            && !value.holds(number)
        {
            self.add(
                path,
                format!("must be {} to {}, is {number}", value.min, value.max),
            );
        }
    }

    /// An enum number.
    pub fn choice(
        &mut self,
        path: &Path<'_>,
        number: i32,
        presence: Presence,
        known: &[(i32, &str)],
    ) {
        if number == 0 && presence != Presence::Required {
            return;
        }
        if number != 0 && known.iter().any(|(value, _)| *value == number) {
            return;
        }
        let names: Vec<&str> = known
            .iter()
            .filter(|(value, _)| *value != 0)
            .map(|(_, name)| *name)
            .collect();
        self.add(path, format!("must be one of {}", names.join(", ")));
    }

    /// The number of items of a list or map.
    pub fn items(&mut self, path: &Path<'_>, items: usize, size: Option<Range>) {
        let items = count(items);
        if let Some(size) = size
            && !size.holds(items)
        {
            self.add(path, format!("must have {size} items, has {items}"));
        }
    }

    /// A list without duplicates.
    pub fn unique<T: Eq + Hash>(&mut self, path: &Path<'_>, items: &[T]) {
        let mut seen = HashSet::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if !seen.insert(item) {
                self.add(&path.index(index), "must not repeat an earlier item");
            }
        }
    }

    /// A oneof of which one member must be set.
    pub fn one_of(&mut self, path: &Path<'_>, is_set: bool, name: &'static str, members: &str) {
        if !is_set {
            let path = path.field(name);
            self.add(&path, format!("exactly one of {members} must be set"));
        }
    }

    /// A length of time between `min` and `max` nanoseconds; `range` is how the contract says it.
    pub fn duration(
        &mut self,
        path: &Path<'_>,
        duration: &Duration,
        min: i64,
        max: i64,
        range: &str,
    ) {
        if !is_duration(duration) {
            return self.duration_form(path, duration);
        }
        let nanos = i128::from(duration.seconds) * NANOS_PER_SECOND + i128::from(duration.nanos);
        if nanos < i128::from(min) || nanos > i128::from(max) {
            self.add(path, format!("must be in the range {range}"));
        }
    }

    /// A length of time without limits of its own.
    pub fn duration_form(&mut self, path: &Path<'_>, duration: &Duration) {
        if !is_duration(duration) {
            self.add(
                path,
                "must be a Duration: nanos below one second and of the sign of seconds",
            );
        }
    }

    /// A moment between two moments given as seconds and nanoseconds.
    pub fn moment(
        &mut self,
        path: &Path<'_>,
        moment: &Timestamp,
        first: (i64, i32),
        last: (i64, i32),
        range: &str,
    ) {
        if !is_moment(moment) {
            return self.moment_form(path, moment);
        }
        if !(first..=last).contains(&(moment.seconds, moment.nanos)) {
            self.add(path, format!("must be {range}"));
        }
    }

    /// A moment without limits of its own.
    pub fn moment_form(&mut self, path: &Path<'_>, moment: &Timestamp) {
        if !is_moment(moment) {
            self.add(
                path,
                "must be a Timestamp of the years 0001 to 9999, nanos 0 to 999999999",
            );
        }
    }
}

fn is_duration(duration: &Duration) -> bool {
    let nanos = i128::from(duration.nanos);
    let same_sign = duration.seconds.signum() * i64::from(duration.nanos.signum()) >= 0;
    same_sign
        && nanos.abs() < NANOS_PER_SECOND
        && (-DURATION_SECONDS_MAX..=DURATION_SECONDS_MAX).contains(&duration.seconds)
}

fn is_moment(moment: &Timestamp) -> bool {
    (TIMESTAMP_SECONDS_MIN..=TIMESTAMP_SECONDS_MAX).contains(&moment.seconds)
        && (0..NANOS_PER_SECOND).contains(&i128::from(moment.nanos))
}

fn count(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// Deprecated fields are checked like the others.
#[allow(clippy::all, clippy::pedantic, deprecated)]
mod generated {
    use super::*;

    include!(concat!(env!("OUT_DIR"), "/checks.rs"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: impl FnOnce(&Path<'_>, &mut Violations)) -> Vec<FieldViolation> {
        let mut violations = Violations::default();
        check(&Path::Root.field("field"), &mut violations);
        violations.list
    }

    #[test]
    fn every_pattern_of_the_contract_is_a_regular_expression() {
        assert!(!generated::PATTERNS.is_empty());
        for pattern in generated::PATTERNS {
            assert!(pattern.compiled().is_some(), "{}", pattern.source);
        }
    }

    #[test]
    fn a_repeated_item_is_named_by_its_index() {
        assert_eq!(found(|path, all| all.unique(path, &["a", "b"])), []);
        let violations = found(|path, all| all.unique(path, &["a", "b", "a"]));
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].field, "field[2]");
    }

    #[test]
    fn bytes_are_counted() {
        let limit = Some(Range { min: 2, max: 3 });
        let check = |bytes: &'static [u8], presence| {
            found(|path, all| all.bytes(path, bytes, presence, limit)).len()
        };
        assert_eq!(check(b"", Presence::Optional), 0);
        assert_eq!(check(b"", Presence::Required), 1);
        assert_eq!(check(b"", Presence::Given), 1);
        assert_eq!(check(b"1", Presence::Optional), 1);
        assert_eq!(check(b"12", Presence::Optional), 0);
        assert_eq!(check(b"123", Presence::Optional), 0);
        assert_eq!(check(b"1234", Presence::Optional), 1);
    }

    #[test]
    fn a_required_number_is_not_zero() {
        let check =
            |number, presence| found(|path, all| all.number(path, number, presence, None)).len();
        assert_eq!(check(0, Presence::Required), 1);
        assert_eq!(check(0, Presence::Optional), 0);
        assert_eq!(check(7, Presence::Required), 0);
    }
}
