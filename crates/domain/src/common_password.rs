//! Passwords that everybody tries first.
//!
//! Invariant: one password per line, sorted by bytes, none twice. The lower-case ones are the 10,000
//! most frequent of the list of the zxcvbn estimator (licence in `common_passwords.licence.txt`), the
//! others are written here. Deliberately absent: what follows from a password being one of them.

use std::collections::HashSet;
use std::sync::LazyLock;

/// The common passwords, as they are typed.
pub fn common_passwords() -> impl Iterator<Item = &'static str> {
    include_str!("common_passwords.txt").lines()
}

/// Whether `password` is a common one, in whatever letter case.
#[must_use]
pub fn is_common(password: &str) -> bool {
    static FOLDED: LazyLock<HashSet<String>> =
        LazyLock::new(|| common_passwords().map(str::to_lowercase).collect());
    FOLDED.contains(&password.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_has_no_blanks() {
        let all: Vec<_> = common_passwords().collect();
        assert!(all.len() > 10_000);
        assert!(all.is_sorted_by(|a, b| a < b));
        assert!(all.iter().all(|password| *password == password.trim()));
        assert!(all.contains(&"password"));
    }

    #[test]
    fn letter_case_hides_no_common_password() {
        for common in ["password", "PassWord", "1qaz2wsx", "!QAZ2wsx", "!qaz2WSX"] {
            assert!(is_common(common), "{common}");
        }
        for rare in ["", "correct horse battery", "passwort-4711"] {
            assert!(!is_common(rare), "{rare}");
        }
    }
}
