//! Distinguished names, as text.
//!
//! Invariant: what passes is a DN by RFC 4514 with at least one RDN. Deliberately absent: parsing
//! into parts and comparing, which is the agent's work.

use crate::refusal::Refusal;

/// Longest distinguished name in a filter, in characters.
pub const DN_CHARACTERS_MAX: usize = 253;

/// Checks the syntax of a distinguished name (RFC 4514 section 3).
///
/// # Errors
/// `Invalid` naming `field`.
pub fn check(field: &str, dn: &str) -> Result<(), Refusal> {
    crate::text_size::check_required(field, dn, DN_CHARACTERS_MAX)?;
    let rdns = split_unescaped(dn, ',')
        .ok_or_else(|| Refusal::invalid(field, format!("{dn:?} ends inside an escape")))?;
    for rdn in rdns {
        let parts = split_unescaped(rdn, '+').unwrap_or_default();
        if parts.is_empty() || !parts.iter().all(|part| attribute_value_fits(part)) {
            return Err(Refusal::invalid(
                field,
                format!(
                    "{dn:?} is not a distinguished name: {rdn:?} must have the form attribute=value, with , + \" \\ < > ; escaped by \\"
                ),
            ));
        }
    }
    Ok(())
}

/// Whether a text looks like a distinguished name rather than a plain name.
#[must_use]
pub fn looks_like_dn(text: &str) -> bool {
    split_unescaped(text, '=').is_some_and(|parts| parts.len() > 1)
}

/// Splits at `separator` outside escapes; `None` when the text ends inside an escape.
fn split_unescaped(text: &str, separator: char) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.push(text.get(start..at)?);
            start = at + c.len_utf8();
        }
    }
    parts.push(text.get(start..)?);
    (!escaped).then_some(parts)
}

fn attribute_value_fits(part: &str) -> bool {
    let Some((attribute, value)) = part.split_once('=') else {
        return false;
    };
    attribute_type_fits(attribute.trim_start()) && value_fits(value)
}

/// A short name or a dotted number (RFC 4512 section 1.4).
fn attribute_type_fits(text: &str) -> bool {
    let name = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let number = text.split('.').count() > 1
        && text
            .split('.')
            .all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()));
    name || number
}

fn value_fits(value: &str) -> bool {
    if value.trim().is_empty() {
        return false;
    }
    if let Some(hex) = value.strip_prefix('#') {
        return !hex.is_empty() && hex.len() % 2 == 0 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let mut escaped = false;
    for c in value.chars() {
        if escaped {
            let escapable = matches!(
                c,
                ' ' | '#' | '=' | '"' | '+' | ',' | ';' | '<' | '>' | '\\'
            );
            if !escapable && !c.is_ascii_hexdigit() {
                return false;
            }
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if matches!(c, '"' | ';' | '<' | '>' | '\0') {
            return false;
        }
    }
    !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_dn(dn: &str, fits: bool) {
        assert_eq!(check("organization_units", dn).is_ok(), fits, "{dn:?}");
    }

    #[test]
    fn distinguished_names() {
        check_dn("OU=Staff,DC=corp,DC=example", true);
        check_dn("OU=Отдел продаж, DC=corp, DC=example", true);
        check_dn("OU=R\\, D,DC=corp", true);
        check_dn("CN=a+OU=b,DC=corp", true);
        check_dn("OU=\\D0\\90,DC=corp", true);
        check_dn("2.5.4.11=Staff,DC=corp", true);
        check_dn("OU=#04024869,DC=corp", true);
        check_dn("OU=a=b,DC=corp", true);
        check_dn("", false);
        check_dn("Staff", false);
        check_dn("OU=Staff,", false);
        check_dn("OU=,DC=corp", false);
        check_dn("=x,DC=corp", false);
        check_dn("OU=Staff;DC=corp", false);
        check_dn("OU=a\\", false);
        check_dn("OU=a\\zz,DC=corp", false);
        check_dn("O U=a,DC=corp", false);
        check_dn(&format!("OU={}", "a".repeat(251)), false);
    }

    #[test]
    fn names_and_distinguished_names_are_told_apart() {
        assert!(looks_like_dn("CN=Staff,DC=corp"));
        assert!(!looks_like_dn("Staff"));
        assert!(!looks_like_dn("a\\=b"));
    }
}
