//! The deadline a gRPC client gives its call: header `grpc-timeout`.
//!
//! Invariant: a deadline is never longer than the one of the configuration; a malformed one counts as
//! none.

use std::time::Duration;

use http::HeaderMap;

const DIGITS_MAX: usize = 8;

/// How long a call with these headers may run: `longest` or less.
#[must_use]
pub fn read(headers: &HeaderMap, longest: Duration) -> Duration {
    headers
        .get("grpc-timeout")
        .and_then(|value| parse(value.to_str().ok()?))
        .map_or(longest, |timeout| timeout.min(longest))
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.checked_mul(3_600)?)),
        "M" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn all_units_are_read_and_bounded() {
        let check = |text: &str, expected: Duration| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            assert_eq!(read(&headers, LONGEST), expected, "{text}");
        };
        check("5S", Duration::from_secs(5));
        check("250m", Duration::from_millis(250));
        check("99u", Duration::from_micros(99));
        check("99n", Duration::from_nanos(99));
        check("99999999H", LONGEST);
        check("2M", LONGEST);
        for wrong in ["", "5", "S", "999999999S", "-1S", "5X", "5é"] {
            if wrong.is_ascii() {
                check(wrong, LONGEST);
            }
        }
    }
}
