//! Our verifier against the module of OpenLDAP itself: `slappasswd` hashes with the code that
//! `slapd` stores and checks passwords with.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use rollcall_domain::password::ForeignScheme;
use rollcall_hub::foreign_hash::ForeignHash;
use rollcall_kit::secret::{SecretBytes, SecretString};

/// Where Debian puts the modules.
const MODULES: &str = "module-path=/usr/lib/ldap";

fn hash(scheme: &str, password: &str) -> SecretString {
    let output = Command::new("/usr/sbin/slappasswd")
        .args(["-o", MODULES, "-o", "module-load=pw-pbkdf2", "-h", scheme])
        .args(["-s", password])
        .output()
        .expect("OpenLDAP is not installed: apt-get install slapd slapd-contrib");
    let text = String::from_utf8(output.stdout).unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with(scheme), "{text:?} {why}");
    SecretString::new(text.trim().to_owned())
}

#[test]
fn hashes_of_openldap_are_verified() {
    for (scheme, name) in [
        (ForeignScheme::Pbkdf2Sha256Openldap, "{PBKDF2-SHA256}"),
        (ForeignScheme::Pbkdf2Sha512, "{PBKDF2-SHA512}"),
    ] {
        for password in ["Correct horse 7", "пароль ключ 7", "x"] {
            let hash = ForeignHash::parse(scheme, &hash(name, password)).unwrap();
            let bytes = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
            assert!(hash.verify(&bytes(password)), "{name} {password}");
            assert!(!hash.verify(&bytes("another")), "{name} {password}");
        }
    }
}
