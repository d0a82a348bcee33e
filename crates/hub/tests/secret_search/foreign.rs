//! Hashes as other directories make them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use pbkdf2::pbkdf2_hmac;
use rollcall_kit::entropy::{Entropy as _, SystemEntropy};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// Types of the contract.
pub const SCHEMES: [&str; 4] = [
    "LDAP_PBKDF2_SHA256",
    "LDAP_PBKDF2_SHA256_OPENLDAP",
    "LDAP_PBKDF2_SHA512",
    "LDAP_PKCS5S2",
];
const ROUNDS: u32 = 1_000;
/// `{PKCS5S2}` does not say it.
const ROUNDS_OF_PKCS5S2: u32 = 10_000;

/// A hash.
pub struct Foreign {
    /// As it is imported.
    pub text: String,
    /// The secret part of that text.
    pub value: String,
    /// The bytes that prove a password.
    pub key: Vec<u8>,
}

/// What a server would store of `password`.
pub fn make(scheme: &str, password: &str) -> Foreign {
    let password = password.as_bytes();
    let mut salt = vec![0; if scheme == SCHEMES[0] { 64 } else { 16 }];
    SystemEntropy.fill(&mut salt);
    let dotted = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes).replace('+', ".");
    match scheme {
        "LDAP_PBKDF2_SHA256" => {
            let mut key = vec![0; 256];
            pbkdf2_hmac::<Sha256>(password, &salt, ROUNDS, &mut key);
            let all = [&ROUNDS.to_be_bytes(), salt.as_slice(), key.as_slice()].concat();
            Foreign::new("{PBKDF2_SHA256}", STANDARD.encode(all), key)
        }
        "LDAP_PBKDF2_SHA256_OPENLDAP" => {
            let mut key = vec![0; 32];
            pbkdf2_hmac::<Sha256>(password, &salt, ROUNDS, &mut key);
            let start = format!("{{PBKDF2-SHA256}}{ROUNDS}${}$", dotted(&salt));
            Foreign::new(&start, dotted(&key), key)
        }
        "LDAP_PBKDF2_SHA512" => {
            let mut key = vec![0; 64];
            pbkdf2_hmac::<Sha512>(password, &salt, ROUNDS, &mut key);
            let start = format!("{{PBKDF2-SHA512}}{ROUNDS}${}$", dotted(&salt));
            Foreign::new(&start, dotted(&key), key)
        }
        "LDAP_PKCS5S2" => {
            let mut key = vec![0; 32];
            pbkdf2_hmac::<Sha1>(password, &salt, ROUNDS_OF_PKCS5S2, &mut key);
            let all = [salt.as_slice(), key.as_slice()].concat();
            Foreign::new("{PKCS5S2}", STANDARD.encode(all), key)
        }
        _ => panic!("{scheme} is no scheme"),
    }
}

impl Foreign {
    fn new(start: &str, value: String, key: Vec<u8>) -> Self {
        Self {
            text: format!("{start}{value}"),
            value,
            key,
        }
    }
}
