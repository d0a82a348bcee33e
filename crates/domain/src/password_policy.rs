//! Rules of a pool about passwords: quality, age, guessing, common passwords.
//!
//! Invariant: stored policies are within the ranges of the public interface, and a refusal never
//! shows the password. Deliberately absent: comparing a password with weak sequences and common ones
//! (`password_quality`) and with earlier ones (`password_history`).

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

    /// Checks length and character classes of a new password that came in `field`.
    ///
    /// # Errors
    /// `Invalid` naming `field` and the rule that the password breaks.
    pub fn check_password(&self, field: &str, password: &str) -> Result<(), Refusal> {
        let length = i64::try_from(password.chars().count()).unwrap_or(i64::MAX);
        if self.max_length != 0 && length > self.max_length {
            let why = format!("must have at most {} characters", self.max_length);
            return Err(Refusal::invalid(field, why));
        }
        let classes = Classes::of(password);
        let broken = match self.complexity {
            Complexity::Fixed(rule) => rule.broken_by(classes, length),
            Complexity::Smart(rule) => rule.broken_by(classes, length),
        };
        broken.map_or(Ok(()), |why| Err(Refusal::invalid(field, why)))
    }
}

/// Which classes of characters a password has.
#[derive(Debug, Clone, Copy)]
struct Classes {
    lowers: bool,
    uppers: bool,
    digits: bool,
    specials: bool,
}

impl Classes {
    fn of(password: &str) -> Self {
        let is_special = |c: char| !(c.is_lowercase() || c.is_uppercase() || c.is_ascii_digit());
        Self {
            lowers: password.chars().any(char::is_lowercase),
            uppers: password.chars().any(char::is_uppercase),
            digits: password.chars().any(|c| c.is_ascii_digit()),
            specials: password.chars().any(is_special),
        }
    }

    fn count(self) -> usize {
        let present = [self.lowers, self.uppers, self.digits, self.specials];
        present.into_iter().filter(|is_present| *is_present).count()
    }
}

impl FixedComplexity {
    /// The rule that a password breaks, in words.
    fn broken_by(self, classes: Classes, length: i64) -> Option<String> {
        if length < self.min_length {
            return Some(format!("must have at least {} characters", self.min_length));
        }
        let missing = [
            (
                self.lowers_required && !classes.lowers,
                "a lower-case letter",
            ),
            (
                self.uppers_required && !classes.uppers,
                "an upper-case letter",
            ),
            (self.digits_required && !classes.digits, "a digit"),
            (
                self.specials_required && !classes.specials,
                "a character that is neither letter nor digit",
            ),
        ];
        missing
            .into_iter()
            .find_map(|(is_missing, what)| is_missing.then(|| format!("must have {what}")))
    }
}

impl SmartComplexity {
    /// The rule that a password breaks, in words.
    fn broken_by(self, classes: Classes, length: i64) -> Option<String> {
        let lengths = [
            self.one_class,
            self.two_classes,
            self.three_classes,
            self.four_classes,
        ];
        let length_min = match classes.count() {
            0 | 1 => self.one_class,
            2 => self.two_classes,
            3 => self.three_classes,
            _ => self.four_classes,
        };
        if length_min != 0 && length >= length_min {
            return None;
        }
        let allowed: Vec<_> = (1..)
            .zip(lengths)
            .filter(|(_, length_min)| *length_min != 0)
            .map(|(classes, length_min)| format!("{length_min} characters of {classes}"))
            .collect();
        Some(format!(
            "must have at least {} of these classes: lower-case letters, upper-case letters, \
             digits, other characters",
            allowed.join(" or ")
        ))
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

    #[track_caller]
    fn check_password(complexity: Complexity, password: &str, broken: Option<&str>) {
        let policy = QualityPolicy {
            max_length: 30,
            complexity,
            ..QualityPolicy::default()
        };
        match (policy.check_password("spec.password", password), broken) {
            (Ok(()), None) => {}
            (Err(Refusal::Invalid { field, why }), Some(rule)) => {
                assert_eq!(field, "spec.password");
                assert!(why.contains(rule), "{why}");
                assert!(password.is_empty() || !why.contains(password), "{why}");
            }
            (result, _) => panic!("{password}: {result:?}, expected {broken:?}"),
        }
    }

    #[test]
    fn a_smart_rule_weighs_length_by_classes() {
        let smart = QualityPolicy::default().complexity;
        let rule =
            Some("at least 24 characters of 2 or 11 characters of 3 or 10 characters of 4 of");
        check_password(smart, "", rule);
        check_password(smart, &"a".repeat(30), rule);
        check_password(smart, &("A".to_owned() + &"a".repeat(22)), rule);
        check_password(smart, &("A".to_owned() + &"a".repeat(23)), None);
        check_password(smart, "Aaaaaaaaa1", rule);
        check_password(smart, "Aaaaaaaaaa1", None);
        check_password(smart, "Aaaaaaa-1", rule);
        check_password(smart, "Aaaaaaaa-1", None);
        check_password(smart, "Жаворонок-1", None);
        let long = "A-1".to_owned() + &"a".repeat(28);
        check_password(smart, &long, Some("at most 30 characters"));
    }

    #[test]
    fn a_fixed_rule_names_what_is_missing() {
        let fixed = Complexity::Fixed(FixedComplexity {
            lowers_required: true,
            uppers_required: true,
            digits_required: true,
            specials_required: true,
            min_length: 6,
        });
        check_password(fixed, "aB3-x", Some("at least 6 characters"));
        check_password(fixed, "AB3-XY", Some("a lower-case letter"));
        check_password(fixed, "ab3-xy", Some("an upper-case letter"));
        check_password(fixed, "aBc-xy", Some("a digit"));
        check_password(fixed, "aB3cxy", Some("neither letter nor digit"));
        check_password(fixed, "aB3-xy", None);
        let lax = Complexity::Fixed(FixedComplexity {
            min_length: 1,
            ..FixedComplexity::default()
        });
        check_password(lax, "a", None);
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
