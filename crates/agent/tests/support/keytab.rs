//! A keytab whose keys are other ones (format version 2 of MIT Kerberos).

/// The same entries, each with another key of the same kind.
pub fn with_other_keys(keytab: &[u8]) -> Vec<u8> {
    let mut changed = keytab.to_vec();
    let mut at = 2;
    let mut count = 0;
    while at < keytab.len() {
        let size = i32::from_be_bytes(keytab[at..at + 4].try_into().unwrap());
        at += 4;
        if size > 0 {
            let key = key_at(keytab, at);
            for byte in &mut changed[key] {
                *byte ^= 0x55;
            }
            count += 1;
        }
        at += size.unsigned_abs() as usize;
    }
    assert!(count > 0, "no key");
    changed
}

/// Where the key of the entry at `at` lies.
fn key_at(keytab: &[u8], mut at: usize) -> std::ops::Range<usize> {
    let number = |at: usize| usize::from(u16::from_be_bytes([keytab[at], keytab[at + 1]]));
    let components = number(at);
    at += 2;
    // The realm and the components of the name.
    for _ in 0..=components {
        at += 2 + number(at);
    }
    // Type of the name, time, version, type of the key.
    at += 4 + 4 + 1 + 2;
    let length = number(at);
    at + 2..at + 2 + length
}
