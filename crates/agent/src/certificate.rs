//! Certificates that will expire soon, told in time.
//!
//! Invariant: each is told at most once a day. Deliberately absent: those that expired; no
//! connection comes about with them, and its failure says so.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rollcall_kit::timestamp::{Span, Timestamp};

/// Days before the end from which on it is told.
pub const WARNING_DAYS: i64 = 14;
const SECONDS_PER_DAY: i64 = 86_400;
const REPEAT_AFTER: Span = Span::days(1);

/// When each was last told.
#[derive(Debug, Default)]
pub struct Certificates {
    told: Mutex<BTreeMap<&'static str, Timestamp>>,
}

/// Whole days left.
#[must_use]
pub fn days_left(expires_at: Timestamp, now: Timestamp) -> i64 {
    expires_at.since(now).as_seconds() / SECONDS_PER_DAY
}

impl Certificates {
    /// Looks at the certificate that `whose` showed and warns if it is time; tells whether it did.
    pub fn look(
        &self,
        whose: &'static str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<i64> {
        let days = days_left(expires_at?, now);
        if days >= WARNING_DAYS {
            return None;
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = told
            .get(whose)
            .is_some_and(|at| now < at.plus(REPEAT_AFTER));
        if recent {
            return None;
        }
        told.insert(whose, now);
        tracing::warn!(
            days_left = days,
            "the certificate of the {whose} expires soon; renew it"
        );
        Some(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_day_from_two_weeks_before() {
        let certificates = Certificates::default();
        let start = Timestamp::from_seconds(1_800_000_000);
        let look =
            |end, now: Span| certificates.look("hub", Some(start.plus(end)), start.plus(now));
        assert_eq!(look(Span::days(15), Span::days(0)), None);
        assert_eq!(look(Span::days(15), Span::days(2)), Some(13));
        assert_eq!(look(Span::days(15), Span::days(2)), None);
        assert_eq!(look(Span::days(15), Span::days(3)), Some(12));
        let other = certificates.look("directory", Some(start), start);
        assert_eq!(other, Some(0));
        assert_eq!(certificates.look("hub", None, start), None);
    }
}
