//! Identifiers: a prefix of three characters and 17 of lower-case base32hex (decision U87).
//!
//! Invariant: the first 48 of the 85 bits are the creation time in milliseconds, so ids of one
//! prefix sort by time and inserts land at the end of an index.

use crate::entropy::Entropy;
use crate::timestamp::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const BODY_CHARACTERS: u32 = 17;
const BITS_PER_CHARACTER: u32 = 5;
const RANDOM_BITS: u32 = BODY_CHARACTERS * BITS_PER_CHARACTER - TIME_BITS;
const TIME_BITS: u32 = 48;

/// A new identifier with `prefix`, made at `now`.
#[must_use]
pub fn new_id(prefix: &str, now: Timestamp, entropy: &dyn Entropy) -> String {
    write_id(prefix, now, entropy.next_u64())
}

/// The identifier with `prefix` that sorts before all others made at `moment` or later.
#[must_use]
pub fn first_id(prefix: &str, moment: Timestamp) -> String {
    write_id(prefix, moment, 0)
}

fn write_id(prefix: &str, moment: Timestamp, random: u64) -> String {
    let millis = u128::from(moment.as_millis().unsigned_abs()) & ((1 << TIME_BITS) - 1);
    let random = u128::from(random) & ((1 << RANDOM_BITS) - 1);
    let number = millis << RANDOM_BITS | random;
    let mut id = String::with_capacity(prefix.len() + BODY_CHARACTERS as usize);
    id.push_str(prefix);
    for position in (0..BODY_CHARACTERS).rev() {
        let index = (number >> (position * BITS_PER_CHARACTER)) & 31;
        id.push(char::from(
            ALPHABET.get(index as usize).copied().unwrap_or(b'0'),
        ));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;
    use crate::timestamp::Span;

    #[test]
    fn ids_have_the_documented_form_and_sort_by_time() {
        let entropy = SeededEntropy::new(1);
        let mut now = Timestamp::from_seconds(1_700_000_000);
        let mut last = String::new();
        for _ in 0..1_000 {
            let id = new_id("aje", now, &entropy);
            assert_eq!(id.len(), 20);
            assert!(id.starts_with("aje"));
            assert!(id.bytes().all(|byte| ALPHABET.contains(&byte)));
            assert!(id > last);
            last = id;
            now = now.plus(Span::millis(1));
        }
    }

    #[test]
    fn the_first_id_of_a_moment_sorts_before_all_made_then() {
        let entropy = SeededEntropy::new(1);
        let now = Timestamp::from_seconds(1_700_000_000);
        let first = first_id("evt", now);
        assert!(first <= new_id("evt", now, &entropy));
        assert!(first > new_id("evt", now.minus(Span::millis(1)), &entropy));
    }

    #[test]
    fn ids_of_one_millisecond_differ() {
        let entropy = SeededEntropy::new(1);
        let now = Timestamp::from_seconds(1_700_000_000);
        assert_ne!(new_id("ops", now, &entropy), new_id("ops", now, &entropy));
    }
}
