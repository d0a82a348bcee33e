//! Labels: short key/value pairs on organizations, pools and groups.
//!
//! Invariant: checked labels keep to the limits below.

use std::collections::BTreeMap;

use crate::refusal::Refusal;

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

const LABELS_MAX: usize = 64;
const LABEL_CHARACTERS_MAX: usize = 63;

/// Checks number, keys (`[a-z][-_0-9a-z]*`, 1–63) and values (`[-_0-9a-z]*`, 0–63).
///
/// # Errors
/// `Invalid` naming `labels`.
pub fn check(labels: &Labels) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if labels.len() > LABELS_MAX {
        return Err(Refusal::invalid(
            "labels",
            format!("at most {LABELS_MAX} labels are allowed"),
        ));
    }
    for (key, value) in labels {
        let key_fits = key.len() <= LABEL_CHARACTERS_MAX
            && key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.chars().all(allowed);
        if !key_fits {
            return Err(Refusal::invalid(
                "labels",
                format!(
                    "key {key:?} must have 1 to 63 of a-z, 0-9, - and _, and begin with a letter"
                ),
            ));
        }
        if value.len() > LABEL_CHARACTERS_MAX || !value.chars().all(allowed) {
            return Err(Refusal::invalid(
                "labels",
                format!("value of {key:?} must have at most 63 of a-z, 0-9, - and _"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_one(key: &str, value: &str, fits: bool) {
        let labels = Labels::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(check(&labels).is_ok(), fits, "{key:?}={value:?}");
    }

    #[test]
    fn keys_and_values() {
        check_one("team", "core-1", true);
        check_one("team", "", true);
        check_one("", "x", false);
        check_one("1team", "x", false);
        check_one("Team", "x", false);
        check_one("team", "X", false);
        check_one(&"a".repeat(64), "x", false);
        check_one("a", &"x".repeat(64), false);
    }

    #[test]
    fn at_most_64() {
        let labels: Labels = (0..65).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(check(&labels).is_err());
    }
}
