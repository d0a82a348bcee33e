//! Filter expressions of lists: `field op value`, joined by AND (decision U68).
//!
//! Invariant: a parsed filter names known fields only and every value fits its field, so that
//! evaluating it cannot fail. Deliberately absent: OR, parentheses, and SQL.

use crate::refusal::Refusal;

const FILTER_CHARACTERS_MAX: usize = 1_000;
const CONDITIONS_MAX: usize = 20;
const LIST_VALUES_MAX: usize = 100;

/// A conjunction of conditions; empty = everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// All of them must hold.
    pub conditions: Vec<Condition>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The field, by its name in the interface.
    pub field: &'static str,
    /// What must hold of it.
    pub test: Test,
}

/// What must hold of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It equals the value.
    Equal(String),
    /// It differs from the value.
    NotEqual(String),
    /// It equals one of the values.
    In(Vec<String>),
    /// It differs from all of the values.
    NotIn(Vec<String>),
    /// It contains the value, in any case.
    Contains(String),
}

/// A field that a list can be filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterField {
    /// Name in the interface.
    pub name: &'static str,
    /// How its values are compared.
    pub kind: FilterFieldKind,
}

/// How values of a field are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterFieldKind {
    /// As they are.
    Text,
    /// Without regard to case.
    FoldedText,
    /// As one of these names.
    Enum(&'static [&'static str]),
}

/// Fields of users.
pub const USER_FIELDS: &[FilterField] = &[
    FilterField::text("id"),
    FilterField::folded("username"),
    FilterField::text("full_name"),
    FilterField::text("given_name"),
    FilterField::text("family_name"),
    FilterField::text("email"),
    FilterField::text("external_id"),
    FilterField::named("status", &["ACTIVE", "SUSPENDED", "DELETING", "CREATING"]),
];
/// Fields of pools.
pub const USERPOOL_FIELDS: &[FilterField] = &[
    FilterField::text("id"),
    FilterField::text("name"),
    FilterField::named("status", &["CREATING", "ACTIVE", "DELETING"]),
];
/// Fields of domains.
pub const DOMAIN_FIELDS: &[FilterField] = &[
    FilterField::folded("domain"),
    FilterField::named(
        "status",
        &[
            "NEED_TO_VALIDATE",
            "VALIDATING",
            "VALID",
            "INVALID",
            "DELETING",
        ],
    ),
];
/// Fields of groups.
pub const GROUP_FIELDS: &[FilterField] = &[
    FilterField::text("id"),
    FilterField::text("name"),
    FilterField::text("external_id"),
];
/// Fields of the groups of a subject.
pub const EFFECTIVE_GROUP_FIELDS: &[FilterField] =
    &[FilterField::text("id"), FilterField::text("name")];
/// Fields of organizations.
pub const ORGANIZATION_FIELDS: &[FilterField] =
    &[FilterField::text("id"), FilterField::text("name")];
/// Fields of audit events.
pub const AUDIT_EVENT_FIELDS: &[FilterField] = &[
    FilterField::text("event_id"),
    FilterField::text("event_type"),
    FilterField::named(
        "event_status",
        &["STARTED", "RUNNING", "DONE", "ERROR", "CANCELLED"],
    ),
    FilterField::named("authorized", &["true", "false"]),
    FilterField::text("subject_id"),
    FilterField::text("resource_id"),
    FilterField::text("request_id"),
    FilterField::text("remote_address"),
];
/// Fields of service accounts.
pub const SERVICE_ACCOUNT_FIELDS: &[FilterField] = &[
    FilterField::text("id"),
    FilterField::text("name"),
    FilterField::named("status", &["ACTIVE", "DISABLED"]),
];
/// Fields of sessions (decision U37).
pub const SESSION_FIELDS: &[FilterField] = &[
    FilterField::named(
        "session_type",
        &[
            "AD_SYNC",
            "AD_PASSWORD_HASH",
            "AD_USER_CONTROL",
            "LDAP_SYNC",
        ],
    ),
    FilterField::named(
        "status",
        &["OPENED", "PENDING", "COMPLETED", "FAILED", "EXPIRED"],
    ),
    FilterField::text("agent_id"),
    FilterField::named("sync_mode", &["FULL_SYNC", "DELTA"]),
];

impl FilterField {
    const fn text(name: &'static str) -> Self {
        Self {
            name,
            kind: FilterFieldKind::Text,
        }
    }

    const fn folded(name: &'static str) -> Self {
        Self {
            name,
            kind: FilterFieldKind::FoldedText,
        }
    }

    const fn named(name: &'static str, values: &'static [&'static str]) -> Self {
        Self {
            name,
            kind: FilterFieldKind::Enum(values),
        }
    }

    /// Checks a value and brings it into the form in which it is compared.
    fn value(&self, value: String) -> Result<String, Refusal> {
        match self.kind {
            FilterFieldKind::Text => Ok(value),
            FilterFieldKind::FoldedText => Ok(value.to_lowercase()),
            FilterFieldKind::Enum(names) => names
                .iter()
                .find(|name| name.eq_ignore_ascii_case(&value))
                .map(|name| (*name).to_owned())
                .ok_or_else(|| {
                    refuse(format!(
                        "{value:?} is no {}; known: {}",
                        self.name,
                        names.join(", ")
                    ))
                }),
        }
    }
}

impl Filter {
    /// Parses `text` for a list with these `fields`; an empty text is the empty filter.
    ///
    /// # Errors
    /// `Invalid` naming `filter` for an unknown field or bad syntax.
    pub fn parse(text: &str, fields: &'static [FilterField]) -> Result<Self, Refusal> {
        if text.chars().count() > FILTER_CHARACTERS_MAX {
            return Err(refuse(format!(
                "is longer than {FILTER_CHARACTERS_MAX} characters"
            )));
        }
        let mut tokens = tokenize(text)?.into_iter().peekable();
        let mut conditions = Vec::new();
        if tokens.peek().is_none() {
            return Ok(Self::default());
        }
        loop {
            conditions.push(parse_condition(&mut tokens, fields)?);
            match tokens.next() {
                None => break,
                Some(token) if token.is_word("AND") => {}
                Some(token) => {
                    return Err(refuse(format!("expected AND before {token}")));
                }
            }
        }
        if conditions.len() > CONDITIONS_MAX {
            return Err(refuse(format!("has more than {CONDITIONS_MAX} conditions")));
        }
        Ok(Self { conditions })
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }
}

impl Test {
    /// Whether `value` (in the form in which its field is compared) passes.
    #[must_use]
    pub fn passes(&self, value: &str) -> bool {
        match self {
            Self::Equal(expected) => value == expected,
            Self::NotEqual(other) => value != other,
            Self::In(values) => values.iter().any(|expected| value == expected),
            Self::NotIn(values) => values.iter().all(|other| value != other),
            Self::Contains(part) => value.to_lowercase().contains(&part.to_lowercase()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(&'static str),
}

impl Token {
    fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self, Self::Sign(found) if *found == sign)
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(text) => write!(f, "{text}"),
            Self::Quoted(text) => write!(f, "{text:?}"),
            Self::Sign(sign) => f.write_str(sign),
        }
    }
}

type Tokens = std::iter::Peekable<std::vec::IntoIter<Token>>;

fn parse_condition(
    tokens: &mut Tokens,
    fields: &'static [FilterField],
) -> Result<Condition, Refusal> {
    let field = match tokens.next() {
        Some(Token::Word(word)) => {
            fields
                .iter()
                .find(|field| field.name == word)
                .ok_or_else(|| {
                    let known: Vec<_> = fields.iter().map(|field| field.name).collect();
                    refuse(format!(
                        "field {word:?} is unknown; known: {}",
                        known.join(", ")
                    ))
                })?
        }
        Some(token) => return Err(refuse(format!("expected a field, found {token}"))),
        None => return Err(refuse("ends where a condition is expected")),
    };
    let test = match tokens.next() {
        Some(token) if token.is_sign("=") => Test::Equal(field.value(parse_value(tokens)?)?),
        Some(token) if token.is_sign("!=") => Test::NotEqual(field.value(parse_value(tokens)?)?),
        Some(token) if token.is_sign(":") || token.is_word("contains") => {
            Test::Contains(parse_value(tokens)?)
        }
        Some(token) if token.is_word("IN") => Test::In(parse_list(tokens, field)?),
        Some(token) if token.is_word("NOT") => match tokens.next() {
            Some(token) if token.is_word("IN") => Test::NotIn(parse_list(tokens, field)?),
            _ => return Err(refuse("expected IN after NOT")),
        },
        other => {
            let found = other.map_or("the end".to_owned(), |token| token.to_string());
            return Err(refuse(format!(
                "expected one of =, !=, IN, NOT IN, contains after {}, found {found}",
                field.name
            )));
        }
    };
    Ok(Condition {
        field: field.name,
        test,
    })
}

fn parse_value(tokens: &mut Tokens) -> Result<String, Refusal> {
    match tokens.next() {
        Some(Token::Quoted(text) | Token::Word(text)) => Ok(text),
        Some(token) => Err(refuse(format!("expected a value, found {token}"))),
        None => Err(refuse("ends where a value is expected")),
    }
}

fn parse_list(tokens: &mut Tokens, field: &FilterField) -> Result<Vec<String>, Refusal> {
    if !tokens.next().is_some_and(|token| token.is_sign("(")) {
        return Err(refuse("expected ( after IN"));
    }
    let mut values = Vec::new();
    loop {
        values.push(field.value(parse_value(tokens)?)?);
        match tokens.next() {
            Some(token) if token.is_sign(",") => {}
            Some(token) if token.is_sign(")") => break,
            _ => return Err(refuse("expected , or ) in a list")),
        }
    }
    if values.len() > LIST_VALUES_MAX {
        return Err(refuse(format!(
            "a list has more than {LIST_VALUES_MAX} values"
        )));
    }
    Ok(values)
}

fn tokenize(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => {}
            '=' => tokens.push(Token::Sign("=")),
            ':' => tokens.push(Token::Sign(":")),
            '(' => tokens.push(Token::Sign("(")),
            ')' => tokens.push(Token::Sign(")")),
            ',' => tokens.push(Token::Sign(",")),
            '!' => {
                if chars.next() != Some('=') {
                    return Err(refuse("! must be followed by ="));
                }
                tokens.push(Token::Sign("!="));
            }
            '"' | '\'' => tokens.push(Token::Quoted(read_quoted(c, &mut chars)?)),
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| is_word(*c)) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
            c => return Err(refuse(format!("unexpected character {c:?}; quote values"))),
        }
    }
    Ok(tokens)
}

fn read_quoted(quote: char, chars: &mut impl Iterator<Item = char>) -> Result<String, Refusal> {
    let mut value = String::new();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok(value),
            '\\' => match chars.next() {
                Some(c @ ('\\' | '"' | '\'')) => value.push(c),
                _ => return Err(refuse("\\ must be followed by \\ or a quote")),
            },
            c => value.push(c),
        }
    }
    Err(refuse("ends inside quotes"))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@')
}

fn refuse(why: impl Into<String>) -> Refusal {
    Refusal::invalid("filter", why)
}

#[cfg(test)]
mod tests;
