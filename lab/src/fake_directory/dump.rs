//! The domain as LDIF (RFC 2849), for [`crate::oracle`].
//!
//! Invariant: shows live users and groups as an administrator's `ldapsearch` would.

use super::domain::Domain;
use super::object::Object;

impl Domain {
    /// All live users and groups with all attributes, links as DNs, nothing folded.
    #[must_use]
    pub fn ldif(&self) -> String {
        let mut text = String::new();
        for id in self.ids() {
            let Some(object) = self.get(id) else { continue };
            let shown = object.has_class("user") || object.has_class("group");
            if shown && !object.deleted {
                self.append(&object, &mut text);
            }
        }
        text
    }

    fn append(&self, object: &Object, text: &mut String) {
        let mut line = |name: &str, value: &[u8]| {
            text.push_str(name);
            text.push_str(":: ");
            base64(value, text);
            text.push('\n');
        };
        line("dn", self.dn_of(object).as_bytes());
        line("objectGUID", &object.id.guid());
        line("cn", object.name().as_bytes());
        for attribute in object.attributes.values() {
            for value in &attribute.values {
                line(&attribute.name, value);
            }
        }
        for (member, _) in self.members(object) {
            line("member", self.dn(member).as_bytes());
        }
        text.push('\n');
    }
}

/// RFC 4648 4.
fn base64(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place)) as usize & 63);
            let shown = place <= three.len();
            text.push(char::from(*digit.filter(|_| shown).unwrap_or(&b'=')));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_as_the_standard_shows_it() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut text = String::new();
            super::base64(plain.as_bytes(), &mut text);
            assert_eq!(text, coded);
        }
    }
}
