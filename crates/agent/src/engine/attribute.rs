//! Which attributes may be mapped beyond the supported sources (DIRECT_ARBITRARY_ATTRIBUTE).
//!
//! Invariant: nothing that opens a door is ever mapped, whoever asks for it: the account of the
//! agent may read more than people of the hub may see. Deliberately absent: what the schema of
//! the directory says of an attribute; the reader asks it.

/// Longest name of an attribute, in characters (MS-ADA1, lDAPDisplayName).
const NAME_CHARACTERS_MAX: usize = 256;

/// Attributes that hold passwords, keys or what they can be made from, in lower case: those of
/// MS-ADTS 3.1.1.4.4 and of the extensions for local administrators, BitLocker and credential
/// roaming.
const SECRETS: [&str; 22] = [
    "currentvalue",
    "dbcspwd",
    "initialauthincoming",
    "initialauthoutgoing",
    "lmpwdhistory",
    "ms-mcs-admpwd",
    "msds-executescriptpassword",
    "msds-managedpassword",
    "msfve-keypackage",
    "msfve-recoverypassword",
    "mslaps-encrypteddsrmpassword",
    "mslaps-encryptedpassword",
    "mslaps-password",
    "mspkiaccountcredentials",
    "ntpwdhistory",
    "priorvalue",
    "supplementalcredentials",
    "trustauthincoming",
    "trustauthoutgoing",
    "unicodepwd",
    "unixuserpassword",
    "userpassword",
];

/// Whether this can be the name of an attribute that is copied to the hub.
///
/// # Errors
/// Why not, for a person.
pub fn check_arbitrary(name: &str) -> Result<(), String> {
    // RFC 4512 2.5: a short name; options and numeric identifiers are not names of the schema.
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(inner)
        && name.len() <= NAME_CHARACTERS_MAX;
    if !fits {
        return Err(format!("\"{name}\" is no name of a directory attribute"));
    }
    if SECRETS.contains(&name.to_lowercase().as_str()) {
        return Err(format!(
            "{name} holds passwords or keys and is never copied"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_secrets_stay() {
        for name in ["extensionAttribute7", "msDS-cloudExtensionAttribute1", "x"] {
            assert_eq!(check_arbitrary(name), Ok(()));
        }
        for name in ["", "1a", "a b", "2.5.4.3", "member;range=0-1", "имя", "a*"] {
            let why = check_arbitrary(name).unwrap_err();
            assert!(why.contains("no name"), "{why}");
        }
        for name in ["unicodePwd", "msLAPS-Password", "UserPassword"] {
            let why = check_arbitrary(name).unwrap_err();
            assert!(why.contains("never copied"), "{why}");
        }
    }
}
