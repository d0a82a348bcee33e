//! Reads the range notation of the validation options: `<=50`, `1-63`, `>0`, `15m-6h`, and pairs
//! of moments such as `19700101T000000.000000000-21051231T235959.999999999`.

const SECONDS_PER_DAY: i64 = 86_400;
const MOMENT_LENGTH: usize = "19700101T000000.000000000".len();
const UNITS: [(&str, i64); 5] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// An inclusive range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The smallest allowed.
    pub min: i64,
    /// The greatest allowed; `i64::MAX` when there is no upper end.
    pub max: i64,
}

/// Reads a range of whole numbers.
///
/// # Errors
/// When the text is not in the notation.
pub fn numbers(text: &str) -> Result<Bounds, String> {
    range(text, |part| part.parse().ok(), 1)
}

/// Reads a range of lengths of time, in nanoseconds.
///
/// # Errors
/// When the text is not in the notation.
pub fn durations(text: &str) -> Result<Bounds, String> {
    range(text, duration_nanos, 1)
}

/// Reads a range of moments, written in full.
///
/// # Errors
/// When the text is not in the notation.
pub fn moments(text: &str) -> Result<(Moment, Moment), String> {
    let wrong = || format!("{text:?} is not a range of moments");
    if text.len() != 2 * MOMENT_LENGTH + 1 || !text.is_ascii() {
        return Err(wrong());
    }
    let (first, rest) = text.split_at(MOMENT_LENGTH);
    let last = rest.strip_prefix('-').ok_or_else(wrong)?;
    Ok((
        moment(first).ok_or_else(wrong)?,
        moment(last).ok_or_else(wrong)?,
    ))
}

/// Seconds and nanoseconds since the epoch, and the RFC 3339 text.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanos: i32,
    /// The moment in RFC 3339.
    pub text: String,
}

fn range(text: &str, read: impl Fn(&str) -> Option<i64>, step: i64) -> Result<Bounds, String> {
    let bounds = if let Some(rest) = text.strip_prefix("<=") {
        read(rest).map(|max| Bounds { min: 0, max })
    } else if let Some(rest) = text.strip_prefix(">=") {
        read(rest).map(|min| Bounds { min, max: i64::MAX })
    } else if let Some(rest) = text.strip_prefix('<') {
        read(rest).map(|max| Bounds {
            min: 0,
            max: max - step,
        })
    } else if let Some(rest) = text.strip_prefix('>') {
        read(rest).map(|min| Bounds {
            min: min + step,
            max: i64::MAX,
        })
    } else if let Some((min, max)) = text.split_once('-') {
        read(min)
            .zip(read(max))
            .map(|(min, max)| Bounds { min, max })
    } else {
        read(text).map(|only| Bounds {
            min: only,
            max: only,
        })
    };
    bounds
        .filter(|bounds| bounds.min <= bounds.max)
        .ok_or_else(|| format!("{text:?} is not a range this build understands"))
}

fn duration_nanos(text: &str) -> Option<i64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<i64>().ok()?.checked_mul(*nanos)
}

fn moment(text: &str) -> Option<Moment> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    if text.get(8..9)? != "T" || text.get(15..16)? != "." {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let nanos = text.get(16..)?.parse::<i32>().ok()?;
    let fraction = if nanos == 0 {
        String::new()
    } else {
        format!(".{nanos:09}")
    };
    Some(Moment {
        seconds: days_since_epoch(year, month, day) * SECONDS_PER_DAY
            + hour * 3_600
            + minute * 60
            + second,
        nanos,
        text: format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"),
    })
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that
/// the leap day is the last one.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_FROM_MARCH_YEAR_ZERO_TO_EPOCH: i64 = 719_468;
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days_before_month = (153 * month + 2) / 5;
    365 * year + year / 4 - year / 100 + year / 400 + days_before_month + day
        - 1
        - DAYS_FROM_MARCH_YEAR_ZERO_TO_EPOCH
}
