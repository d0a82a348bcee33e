//! Entries of an LDIF text (RFC 2849) as `ldapsearch` writes it, and typed looks at their values.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

/// One entry: attribute names in lower case.
pub(super) type Entry = BTreeMap<String, Vec<Vec<u8>>>;

/// The last number of a binary security identifier (MS-DTYP 2.4.2.2).
pub(super) fn rid(sid: &[u8]) -> Option<i64> {
    let tail: [u8; 4] = sid.last_chunk::<4>().copied()?;
    Some(i64::from(u32::from_le_bytes(tail)))
}

pub(super) fn dn_of(entry: &Entry) -> String {
    text(entry, "dn").unwrap_or_default()
}

/// A DN in lower case without escapes that a directory would not write: it may have been given with any
/// (RFC 4514 section 2.4), as `CN=Team\207` for `CN=Team 7`.
pub(super) fn plain_dn(given: &str) -> String {
    let mut plain = Vec::new();
    let mut rest = given.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let pair = after.get(..2).filter(|_| *byte == b'\\');
        let pair = pair.and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(special) if b",+\"\\<>;=".contains(&special) => plain.extend([b'\\', special]),
            Some(other) => plain.push(other),
            None => {
                plain.push(*byte);
                continue;
            }
        }
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8_lossy(&plain).to_lowercase()
}

pub(super) fn has_class(entry: &Entry, class: &str) -> bool {
    entry
        .get("objectclass")
        .into_iter()
        .flatten()
        .any(|value| value.eq_ignore_ascii_case(class.as_bytes()))
}

pub(super) fn text(entry: &Entry, attribute: &str) -> Option<String> {
    let value = entry.get(attribute)?.first()?;
    String::from_utf8(value.clone())
        .ok()
        .filter(|text| !text.is_empty())
}

pub(super) fn number(entry: &Entry, attribute: &str) -> Option<i64> {
    text(entry, attribute)?.parse().ok()
}

/// The text form of objectGUID: the first three parts are stored with the low byte first.
pub(super) fn external_id(entry: &Entry) -> anyhow::Result<String> {
    let guid = entry
        .get("objectguid")
        .and_then(|values| values.first())
        .and_then(|value| <[u8; 16]>::try_from(value.as_slice()).ok())
        .with_context(|| format!("{} has no objectGUID", dn_of(entry)))?;
    let mut text = String::new();
    for (position, index) in [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]
        .iter()
        .enumerate()
    {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!(
            "{:02x}",
            guid.get(*index).copied().unwrap_or_default()
        ));
    }
    Ok(text)
}

/// LDIF (RFC 2849) as `ldapsearch` writes it: no folded lines, `::` before base64.
pub(super) fn parse_ldif(ldif: &str) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut entry = Entry::new();
    for line in ldif.lines().chain([""]) {
        if line.is_empty() {
            if entry.contains_key("dn") {
                entries.push(std::mem::take(&mut entry));
            }
            entry.clear();
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, rest) = line
            .split_once(':')
            .with_context(|| format!("not LDIF: {line}"))?;
        let value = match rest.strip_prefix(':') {
            Some(encoded) => decode_base64(encoded.trim())?,
            None => rest.trim_start().as_bytes().to_vec(),
        };
        entry.entry(name.to_lowercase()).or_default().push(value);
    }
    Ok(entries)
}

fn decode_base64(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut count = 0;
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => bail!("not base64: {text}"),
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dn_is_compared_as_the_directory_writes_it() {
        for (given, plain) in [
            ("CN=Team\\2057,OU=Ä,DC=x", "cn=team 57,ou=ä,dc=x"),
            ("CN=\\d0\\96\\2c\\5C,DC=x", "cn=ж\\,\\\\,dc=x"),
            ("CN=a\\,b\\", "cn=a\\,b\\"),
        ] {
            assert_eq!(plain_dn(given), plain);
        }
    }
}
