//! Names of organizations, pools and groups.
//!
//! Invariant: a checked name matches its pattern as a whole.

use crate::refusal::Refusal;

const NAME_CHARACTERS_MAX: usize = 63;

/// Checks a name of an organization or pool: `[a-z]([-a-z0-9]{0,61}[a-z0-9])?`.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn check_lower(field: &str, name: &str) -> Result<(), Refusal> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = fits(
        name,
        |c| c.is_ascii_lowercase(),
        inner,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit(),
    );
    if good {
        return Ok(());
    }
    Err(Refusal::invalid(
        field,
        "must have 1 to 63 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen",
    ))
}

/// Checks a group name: `[a-zA-Z]([-a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?`.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn check_group(field: &str, name: &str) -> Result<(), Refusal> {
    let good = fits(
        name,
        |c| c.is_ascii_alphabetic(),
        |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'),
        |c| c.is_ascii_alphanumeric(),
    );
    if good {
        return Ok(());
    }
    Err(Refusal::invalid(
        field,
        "must have 1 to 63 Latin letters, digits, dots, hyphens and underscores, begin with a letter and end with a letter or digit",
    ))
}

fn fits(
    name: &str,
    first: impl Fn(char) -> bool,
    inner: impl Fn(char) -> bool,
    last: impl Fn(char) -> bool,
) -> bool {
    name.len() <= NAME_CHARACTERS_MAX
        && name.chars().next().is_some_and(first)
        && name.chars().all(inner)
        && name.chars().next_back().is_some_and(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, lower: bool, group: bool) {
        assert_eq!(
            check_lower("name", name).is_ok(),
            lower,
            "pool name {name:?}"
        );
        assert_eq!(
            check_group("name", name).is_ok(),
            group,
            "group name {name:?}"
        );
    }

    #[test]
    fn names() {
        check("a", true, true);
        check("staff-2", true, true);
        check("", false, false);
        check("2staff", false, false);
        check("staff-", false, false);
        check("Staff", false, true);
        check("a_b.c", false, true);
        check("a.", false, false);
        check("with space", false, false);
        check("имя", false, false);
        check(&"a".repeat(63), true, true);
        check(&"a".repeat(64), false, false);
    }
}
