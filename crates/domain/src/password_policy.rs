//! Rules of a pool about passwords: quality, age, guessing, common passwords.
//!
//! Invariant: stored policies are within the ranges of the public interface. Deliberately absent:
//! applying them to a password.

use rollcall_kit::timestamp::Span;

use crate::refusal::Refusal;

const LENGTH_MAX: i64 = 1_000;
const AGE_DAYS_MAX: i64 = 730;
const BRUTEFORCE_SPAN_MAX: Span = Span::hours(8_760);
const BRUTEFORCE_ATTEMPTS_MAX: i64 = 100;

/// Quality of new passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QualityPolicy {
    /// Whether passwords like earlier ones are allowed.
    pub allow_similar: bool,
    /// Longest password in characters; 0 = no limit.
    pub max_length: i64,
    /// Shortest substring that is compared with weak sequences; 0 = not compared.
    pub match_length: i64,
    /// How length and character classes are weighed.
    pub complexity: Complexity,
}

/// How length and character classes are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complexity {
    /// One rule for every password.
    Fixed(FixedComplexity),
    /// The length depends on the number of classes.
    Smart(SmartComplexity),
}

/// One rule for every password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FixedComplexity {
    /// A lower-case letter is required.
    pub lowers_required: bool,
    /// An upper-case letter is required.
    pub uppers_required: bool,
    /// A digit is required.
    pub digits_required: bool,
    /// Another character is required.
    pub specials_required: bool,
    /// Shortest password in characters.
    pub min_length: i64,
}

/// Shortest password in characters by its number of classes; 0 = that number is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SmartComplexity {
    /// Passwords with characters of one class.
    pub one_class: i64,
    /// Passwords with characters of two classes.
    pub two_classes: i64,
    /// Passwords with characters of three classes.
    pub three_classes: i64,
    /// Passwords with characters of all four classes.
    pub four_classes: i64,
}

/// Age of passwords, in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifetimePolicy {
    /// A password cannot be changed earlier.
    pub min_days_count: i64,
    /// A password must be changed after that; 0 = never expires.
    pub max_days_count: i64,
}

/// Guard against guessing; a zero span switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BruteforcePolicy {
    /// Span in which failures are counted.
    pub window: Span,
    /// How long sign-in is blocked.
    pub block: Span,
    /// Failures allowed in the window.
    pub attempts: i64,
}

/// Comparison with well-known passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlacklistPolicy {
    /// Whether common passwords are refused.
    pub check_common: bool,
}

impl Default for QualityPolicy {
    fn default() -> Self {
        Self {
            allow_similar: false,
            max_length: 128,
            match_length: 4,
            complexity: Complexity::Smart(SmartComplexity {
                one_class: 0,
                two_classes: 24,
                three_classes: 11,
                four_classes: 10,
            }),
        }
    }
}

impl Default for LifetimePolicy {
    fn default() -> Self {
        Self {
            min_days_count: 0,
            max_days_count: 365,
        }
    }
}

impl Default for BruteforcePolicy {
    fn default() -> Self {
        Self {
            window: Span::minutes(10),
            block: Span::minutes(10),
            attempts: 15,
        }
    }
}

impl Default for BlacklistPolicy {
    fn default() -> Self {
        Self { check_common: true }
    }
}

impl QualityPolicy {
    /// Checks the ranges.
    ///
    /// # Errors
    /// `Invalid` naming the field below `password_quality_policy`.
    pub fn check(&self) -> Result<(), Refusal> {
        let within = |field: &str, value| {
            check_range(
                &format!("password_quality_policy.{field}"),
                value,
                0,
                LENGTH_MAX,
            )
        };
        within("max_length", self.max_length)?;
        within("match_length", self.match_length)?;
        match self.complexity {
            Complexity::Fixed(fixed) => within("fixed.min_length", fixed.min_length),
            Complexity::Smart(smart) => {
                within("smart.one_class", smart.one_class)?;
                within("smart.two_classes", smart.two_classes)?;
                within("smart.three_classes", smart.three_classes)?;
                within("smart.four_classes", smart.four_classes)?;
                if smart == SmartComplexity::default() {
                    return Err(Refusal::invalid(
                        "password_quality_policy.smart",
                        "forbids every password: give a length for at least one number of classes",
                    ));
                }
                Ok(())
            }
        }
    }
}

impl LifetimePolicy {
    /// Checks the ranges.
    ///
    /// # Errors
    /// `Invalid` naming the field below `password_lifetime_policy`.
    pub fn check(&self) -> Result<(), Refusal> {
        let (min, max) = (self.min_days_count, self.max_days_count);
        check_range(
            "password_lifetime_policy.min_days_count",
            min,
            0,
            AGE_DAYS_MAX,
        )?;
        check_range(
            "password_lifetime_policy.max_days_count",
            max,
            0,
            AGE_DAYS_MAX,
        )?;
        if max != 0 && min > max {
            return Err(Refusal::invalid(
                "password_lifetime_policy.min_days_count",
                "must not exceed max_days_count, or no password could ever be changed in time",
            ));
        }
        Ok(())
    }
}

impl BruteforcePolicy {
    /// Whether failures are counted at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.window > Span::ZERO && self.block > Span::ZERO && self.attempts > 0
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// `Invalid` naming the field below `bruteforce_protection_policy`.
    pub fn check(&self) -> Result<(), Refusal> {
        for (field, span) in [("window", self.window), ("block", self.block)] {
            if span < Span::ZERO || span > BRUTEFORCE_SPAN_MAX {
                return Err(Refusal::invalid(
                    format!("bruteforce_protection_policy.{field}"),
                    "must be between 0 and 8760 hours",
                ));
            }
        }
        check_range(
            "bruteforce_protection_policy.attempts",
            self.attempts,
            0,
            BRUTEFORCE_ATTEMPTS_MAX,
        )
    }
}

fn check_range(field: &str, value: i64, min: i64, max: i64) -> Result<(), Refusal> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Refusal::invalid(
        field,
        format!("is {value}, must be between {min} and {max}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones_and_valid() {
        let quality = QualityPolicy::default();
        assert!(quality.check().is_ok());
        assert!(LifetimePolicy::default().check().is_ok());
        assert!(BruteforcePolicy::default().check().is_ok());
        assert!(BruteforcePolicy::default().is_on());
        assert!(BlacklistPolicy::default().check_common);
        let Complexity::Smart(smart) = quality.complexity else {
            panic!("smart is the default")
        };
        assert_eq!(
            (
                smart.one_class,
                smart.two_classes,
                smart.three_classes,
                smart.four_classes
            ),
            (0, 24, 11, 10)
        );
        assert_eq!(LifetimePolicy::default().max_days_count, 365);
    }

    #[track_caller]
    fn check(result: Result<(), Refusal>, field: &str) {
        match result {
            Err(Refusal::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("expected a refusal of {field}, got {other:?}"),
        }
    }

    #[test]
    fn values_out_of_range_name_their_field() {
        let quality = QualityPolicy {
            max_length: 1_001,
            ..QualityPolicy::default()
        };
        check(quality.check(), "password_quality_policy.max_length");
        let quality = QualityPolicy {
            complexity: Complexity::Smart(SmartComplexity::default()),
            ..QualityPolicy::default()
        };
        check(quality.check(), "password_quality_policy.smart");
        let lifetime = LifetimePolicy {
            min_days_count: 10,
            max_days_count: 5,
        };
        check(lifetime.check(), "password_lifetime_policy.min_days_count");
        let bruteforce = BruteforcePolicy {
            window: Span::hours(8_761),
            ..Default::default()
        };
        check(bruteforce.check(), "bruteforce_protection_policy.window");
        let bruteforce = BruteforcePolicy {
            attempts: 101,
            ..Default::default()
        };
        check(bruteforce.check(), "bruteforce_protection_policy.attempts");
    }
}
