//! Limits on the length of texts, in characters.
//!
//! Invariant: a text that passed is stored as it is. The wire checks the same limits first; the
//! domain repeats them because it has other callers too.

use crate::refusal::Refusal;

/// Longest text of most fields.
pub const TEXT_CHARACTERS_MAX: usize = 256;

/// Refuses a `text` longer than `max` characters or with the character U+0000, which PostgreSQL
/// cannot store.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn check(field: &str, text: &str, max: usize) -> Result<(), Refusal> {
    let characters = text.chars().count();
    if characters > max {
        return Err(Refusal::invalid(
            field,
            format!("has {characters} characters, at most {max} are allowed"),
        ));
    }
    if text.contains('\0') {
        return Err(Refusal::invalid(
            field,
            "must not contain the character U+0000",
        ));
    }
    Ok(())
}

/// Refuses an empty `text` or one longer than `max` characters.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn check_required(field: &str, text: &str, max: usize) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::invalid(field, "must not be empty"));
    }
    check(field, text, max)
}
