//! Logins: `local@domain`.
//!
//! Invariant: the domain part is lower case; two logins that differ only in case are the same
//! login (decision U85), which is what [`Username::folded`] compares.

use crate::refusal::Refusal;

/// Longest login in characters.
pub const USERNAME_CHARACTERS_MAX: usize = 254;
const LOCAL_CHARACTERS_MAX: usize = 64;

/// A checked login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username {
    text: String,
    domain_at: usize,
}

impl Username {
    /// Checks a login against `[a-z0-9A-Z\._-]{1,64}@.{1,256}`, at most 254 characters in all.
    ///
    /// # Errors
    /// `Invalid` naming `username`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        crate::text_size::check_required("username", text, USERNAME_CHARACTERS_MAX)?;
        let Some((local, domain)) = text.split_once('@') else {
            return Err(Refusal::invalid(
                "username",
                "must have the form local@domain",
            ));
        };
        let local_fits = (1..=LOCAL_CHARACTERS_MAX).contains(&local.len())
            && local
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !local_fits {
            return Err(Refusal::invalid(
                "username",
                "the part before @ must have 1 to 64 Latin letters, digits, dots, hyphens and underscores",
            ));
        }
        if domain.is_empty() {
            return Err(Refusal::invalid(
                "username",
                "the part after @ must not be empty",
            ));
        }
        Ok(Self {
            text: format!("{local}@{}", domain.to_lowercase()),
            domain_at: local.len() + 1,
        })
    }

    /// Takes over a login that was checked before, such as one from the database.
    #[must_use]
    pub fn from_checked(text: String) -> Self {
        let domain_at = text.find('@').map_or(text.len(), |at| at + 1);
        Self { text, domain_at }
    }

    /// The login as it is shown: local part as given, domain in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The domain in lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.get(self.domain_at..).unwrap_or_default()
    }

    /// The form in which logins are compared.
    #[must_use]
    pub fn folded(&self) -> String {
        self.text.to_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str, &str)>) {
        let parsed = Username::parse(text).ok();
        let found = parsed
            .as_ref()
            .map(|u| (u.as_str(), u.domain(), u.folded()));
        assert_eq!(
            found,
            expected.map(|(text, domain, folded)| (text, domain, folded.to_owned())),
            "{text:?}"
        );
    }

    #[test]
    fn logins() {
        check(
            "Ann.Lee@Corp.Example",
            Some((
                "Ann.Lee@corp.example",
                "corp.example",
                "ann.lee@corp.example",
            )),
        );
        check("", None);
        check("ann", None);
        check("ann@", None);
        check("@corp.example", None);
        check("o'neil@corp.example", None);
        check("анна@corp.example", None);
        check(&format!("{}@c", "a".repeat(65)), None);
        check(&format!("a@{}", "c".repeat(253)), None);
    }

    #[test]
    fn a_stored_login_keeps_its_parts() {
        let stored = Username::from_checked("Ann@corp.example".into());
        assert_eq!(stored, Username::parse("Ann@CORP.example").unwrap());
    }
}
