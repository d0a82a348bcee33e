//! Whether a password is one that everybody tries first, told from its NT hash.
//!
//! Deliberately absent: refusing such passwords, which is a policy of the pool.

use std::collections::HashSet;
use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, ReflectMessage as _};
use rollcall_domain::common_password::common_passwords;
use rollcall_domain::password::{HashType, ImportedHash};
use rollcall_kit::secret::{SecretBytes, SecretString};

use crate::password_hash::nt_hash;
use crate::wire::WireEnum as _;

/// Whether the password or NT hash of a request is one of the common ones; nothing for requests
/// without any, and for hashes that do not tell.
pub(super) fn judge(request: &DynamicMessage) -> Option<bool> {
    let hash = ["password_hash", "hash"]
        .into_iter()
        .find_map(|field| nt_hash_of(message(request, field)?))
        .or_else(|| {
            Some(nt_hash(&text(
                message(request, "password_spec")?,
                "password",
            )?))
        })
        .or_else(|| Some(nt_hash(&text(request, "password")?)))?;
    Some(is_common(&hash))
}

fn is_common(hash: &SecretBytes) -> bool {
    static HASHES: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
        // Where a capital is asked for, most people make it the first letter.
        let capitalized = common_passwords().map(capitalize);
        common_passwords()
            .map(str::to_owned)
            .chain(capitalized)
            .map(|password| nt_hash(&SecretString::new(password)).expose().to_vec())
            .collect()
    });
    HASHES.contains(hash.expose())
}

fn capitalize(password: &str) -> String {
    let mut letters = password.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn nt_hash_of(hash: &DynamicMessage) -> Option<SecretBytes> {
    let number = hash
        .get_field_by_name("password_hash_type")?
        .as_enum_number()?;
    if HashType::from_wire(number) != Some(HashType::AdMd4) {
        return None;
    }
    match HashType::AdMd4.parse_hash(&text(hash, "password_hash")?) {
        Ok(ImportedHash::Nt(hash)) => Some(hash),
        _ => None,
    }
}

/// The message in a field that is set.
fn message<'a>(of: &'a DynamicMessage, field: &str) -> Option<&'a DynamicMessage> {
    let descriptor = of.descriptor().get_field_by_name(field)?;
    let (_, value) = of.fields().find(|(known, _)| *known == descriptor)?;
    value.as_message()
}

fn text(of: &DynamicMessage, field: &str) -> Option<SecretString> {
    let value = of.get_field_by_name(field)?;
    let text = value.as_str()?;
    (!text.is_empty()).then(|| SecretString::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::document;
    use prost::Message as _;
    use rollcall_proto::idp;
    use rollcall_proto::idp::create_user_request::Credentials;

    #[track_caller]
    fn check(credentials: Option<Credentials>, expected: Option<bool>) {
        let request = idp::CreateUserRequest {
            credentials,
            ..Default::default()
        };
        let name = "yandex.cloud.organizationmanager.v1.idp.CreateUserRequest";
        let message = document::decode(name, &request.encode_to_vec()).unwrap();
        assert_eq!(judge(&message), expected);
    }

    fn hash(hex: &str, hash_type: HashType) -> Option<Credentials> {
        Some(Credentials::PasswordHash(idp::PasswordHash {
            password_hash: hex.into(),
            password_hash_type: hash_type.to_wire(),
            created_at: None,
        }))
    }

    #[test]
    fn common_passwords_are_known_by_their_hash() {
        check(
            hash("8846F7EAEE8FB117AD06BDD830B7586C", HashType::AdMd4),
            Some(true),
        );
        check(
            hash("00112233445566778899aabbccddeeff", HashType::AdMd4),
            Some(false),
        );
        check(
            hash("{PBKDF2_SHA256}AAAIAB", HashType::LdapPbkdf2Sha256),
            None,
        );
        check(hash("damaged", HashType::AdMd4), None);
        check(None, None);
        let own = |password: &str| {
            Some(Credentials::PasswordSpec(idp::PasswordSpec {
                password: password.into(),
                ..Default::default()
            }))
        };
        check(own("password"), Some(true));
        check(own("Password1"), Some(true));
        check(own("a rarely chosen one, 4711"), Some(false));
    }
}
