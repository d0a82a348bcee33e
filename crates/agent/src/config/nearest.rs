//! Messages about malformed configuration, with the nearest known key for a misspelt one.
//!
//! Invariant: a message never shows a value of the file, only keys.

use serde_saphyr::Error;

/// Says what is wrong without showing any value.
pub fn explain(error: &Error) -> String {
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => unknown("key", field, expected),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => format!("the key {field} is missing"),
        Error::SerdeInvalidType { expected, .. } => format!("expected {expected} here"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {} occurs twice", first_word(key))
        }
        other => other.without_snippet().to_string(),
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let word = first_word(word);
    let nearest = known
        .iter()
        .min_by_key(|candidate| distance(word, candidate));
    match nearest {
        Some(nearest) => {
            format!("unknown {what} \"{word}\"; the nearest known one is \"{nearest}\"")
        }
        None => format!("unknown {what} \"{word}\""),
    }
}

/// What looks like a name at the start of `text`: after a forgotten colon the key holds its value,
/// which may be a password.
fn first_word(text: &str) -> &str {
    let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    text.split(ends).next().unwrap_or_default()
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            *cell = replaced.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_behind_a_forgotten_colon_is_not_shown() {
        for key in [
            "password hunter2x",
            "password=hunter2x",
            "password\nhunter2x",
        ] {
            let text = unknown("key", key, &["password", "host"]);
            assert!(text.starts_with("unknown key \"password\";"), "{text}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("organisation_units", "organization_units", 1),
            ("usernmae", "username", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
