//! Lengths of time as the configuration writes them: `15m`, `1h30m`, `500ms`, or plain seconds.

use std::time::Duration;

/// Reads a length of time.
///
/// # Errors
/// A sentence with the accepted forms.
pub fn parse_period(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a length of time; write 240s, 15m or 1h30m");
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(u64::from(seconds)));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let number = u64::from(number.parse::<u32>().map_err(|_| wrong())?);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(wrong)?;
        total = total.saturating_add(match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            "d" => Duration::from_secs(number.saturating_mul(86_400)),
            "h" => Duration::from_secs(number.saturating_mul(3_600)),
            _ => return Err(wrong()),
        });
        rest = tail;
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms() {
        for (text, seconds) in [
            ("240s", 240),
            ("15m", 900),
            ("1h30m", 5_400),
            ("7d", 604_800),
        ] {
            assert_eq!(
                parse_period(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        assert_eq!(parse_period("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "m", "15 minutes", "-5s", "1.5h", "99999999999s"] {
            assert!(parse_period(text).is_err(), "{text}");
        }
    }
}
