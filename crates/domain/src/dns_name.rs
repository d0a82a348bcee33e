//! Names of DNS domains.
//!
//! Invariant: a [`DnsName`] is lower case and keeps to the form of RFC 1035 section 2.3.1, with the
//! leading digits of RFC 1123 section 2.1 and underscores, which Active Directory tolerates.

use std::fmt;

use crate::refusal::Refusal;

/// Longest domain name in characters (RFC 1035 section 2.3.4).
pub const DNS_NAME_CHARACTERS_MAX: usize = 253;
const LABEL_CHARACTERS_MAX: usize = 63;

/// A domain name in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// Checks and lower-cases a domain name.
    ///
    /// # Errors
    /// `Invalid` naming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > DNS_NAME_CHARACTERS_MAX {
            return Err(Refusal::invalid(
                field,
                "must be a domain name of 1 to 253 characters",
            ));
        }
        if !text.is_ascii() {
            return Err(Refusal::invalid(
                field,
                "has letters outside ASCII: write the domain name in its ASCII form, with xn-- labels",
            ));
        }
        if let Some(label) = text.split('.').find(|label| !label_fits(label)) {
            return Err(Refusal::invalid(
                field,
                format!(
                    "is not a domain name: label {label:?} must have 1 to 63 letters, digits and hyphens and neither begin nor end with a hyphen"
                ),
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Takes over a name that was checked before, such as one from the database.
    #[must_use]
    pub fn from_checked(text: String) -> Self {
        Self(text)
    }

    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn label_fits(label: &str) -> bool {
    (1..=LABEL_CHARACTERS_MAX).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let parsed = DnsName::parse("domain", text).ok();
        assert_eq!(parsed.as_ref().map(DnsName::as_str), expected, "{text:?}");
    }

    #[test]
    fn domain_names() {
        check("corp.example", Some("corp.example"));
        check("Corp.EXAMPLE", Some("corp.example"));
        check("3com.example", Some("3com.example"));
        check("xn--80ak6aa92e.example", Some("xn--80ak6aa92e.example"));
        check("пример.example", None);
        check("", None);
        check("corp..example", None);
        check("corp.example.", None);
        check("-corp.example", None);
        check("corp example", None);
        check("*.example", None);
        check(&format!("{}.example", "a".repeat(64)), None);
        check(&"a.".repeat(127), None);
    }
}
