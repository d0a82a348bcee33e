//! How many events refused attempts may leave in a minute.
//!
//! Invariant: strangers share one budget and each subject has one of its own, so that nobody hides
//! the attempts of another. What is above is counted and told in the log. Deliberately absent: changes
//! that were made, which always leave their event.

use std::collections::HashMap;

use rollcall_domain::access::Subject;
use rollcall_domain::id::SubjectId;
use rollcall_kit::timestamp::Timestamp;

use crate::limits;

/// Refused attempts of the present minute.
#[derive(Debug, Default)]
pub(super) struct RefusalBudget {
    minute: i64,
    strangers: Tally,
    subjects: HashMap<SubjectId, Tally>,
    /// Of subjects that the table has no room for.
    others: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    recorded: u32,
    dropped: u64,
}

impl Tally {
    fn admit(&mut self, max: u32) -> bool {
        let admitted = self.recorded < max;
        if admitted {
            self.recorded += 1;
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        admitted
    }
}

impl RefusalBudget {
    /// Counts an attempt of `subject`, or of a stranger: whether it may leave an event.
    pub(super) fn admit(&mut self, subject: Option<&Subject>, now: Timestamp) -> bool {
        self.turn_to(now);
        let Some(subject) = subject else {
            return self
                .strangers
                .admit(limits::AUDIT_STRANGER_EVENTS_PER_MINUTE_MAX);
        };
        let is_full = self.subjects.len() >= limits::AUDIT_REFUSED_SUBJECTS_MAX;
        let tally = if is_full && !self.subjects.contains_key(&subject.id) {
            &mut self.others
        } else {
            self.subjects.entry(subject.id.clone()).or_default()
        };
        tally.admit(limits::AUDIT_REFUSED_EVENTS_PER_MINUTE_MAX)
    }

    /// Begins the minute of `now`, if it is another one, and tells what the last one dropped.
    pub(super) fn turn_to(&mut self, now: Timestamp) {
        let minute = now.as_seconds().div_euclid(60);
        if self.minute == minute {
            return;
        }
        if self.strangers.dropped > 0 {
            tracing::warn!(
                events = self.strangers.dropped,
                "attempts of strangers were too many for the audit trail"
            );
        }
        let loudest = self
            .subjects
            .iter()
            .max_by_key(|(_, tally)| tally.dropped)
            .map_or("", |(id, _)| id.as_str());
        let of_subjects = self.subjects.values().map(|tally| tally.dropped);
        let events = of_subjects.fold(self.others.dropped, u64::saturating_add);
        if events > 0 {
            tracing::warn!(
                events,
                subject = loudest,
                "refused attempts were too many for the audit trail; most of this subject"
            );
        }
        *self = Self {
            minute,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_040 + seconds)
    }

    fn admitted(budget: &mut RefusalBudget, subject: Option<&Subject>, now: Timestamp) -> u32 {
        (0..1_000)
            .map(|_| u32::from(budget.admit(subject, now)))
            .sum()
    }

    #[test]
    fn strangers_and_each_subject_have_a_budget_of_their_own() {
        let mut budget = RefusalBudget::default();
        let (ann, bob) = (Subject::user("aje1"), Subject::user("aje2"));
        let (strangers, each) = (
            limits::AUDIT_STRANGER_EVENTS_PER_MINUTE_MAX,
            limits::AUDIT_REFUSED_EVENTS_PER_MINUTE_MAX,
        );
        assert_eq!(admitted(&mut budget, Some(&ann), at(0)), each);
        assert_eq!(admitted(&mut budget, None, at(0)), strangers);
        assert_eq!(admitted(&mut budget, Some(&bob), at(59)), each);
        assert_eq!(admitted(&mut budget, Some(&ann), at(59)), 0);
        assert_eq!(admitted(&mut budget, Some(&ann), at(60)), each);
        assert_eq!(admitted(&mut budget, None, at(60)), strangers);
    }

    #[test]
    fn the_table_of_subjects_is_bounded() {
        let mut budget = RefusalBudget::default();
        for number in 0..limits::AUDIT_REFUSED_SUBJECTS_MAX {
            assert!(budget.admit(Some(&Subject::user(number.to_string())), at(0)));
        }
        let each = limits::AUDIT_REFUSED_EVENTS_PER_MINUTE_MAX;
        let late = |name: &str| Subject::user(name);
        assert_eq!(admitted(&mut budget, Some(&late("late")), at(0)), each);
        assert_eq!(admitted(&mut budget, Some(&late("later")), at(0)), 0);
        assert!(budget.admit(Some(&late("0")), at(0)));
        assert_eq!(budget.subjects.len(), limits::AUDIT_REFUSED_SUBJECTS_MAX);
    }
}
