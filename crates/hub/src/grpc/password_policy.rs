//! The password policies of a pool in the form of the wire.
//!
//! Deliberately absent: rendering the deprecated fields of the quality policy. They are read, when
//! neither member of `complexity_policy` is given, as the rule that replaced them.

use rollcall_domain::password_policy::{
    BlacklistPolicy, BruteforcePolicy, Complexity, FixedComplexity, LifetimePolicy, QualityPolicy,
    SmartComplexity,
};
use rollcall_domain::refusal::Refusal;
use rollcall_proto::idp;
use rollcall_proto::idp::password_quality_policy::{ComplexityPolicy, Fixed, Smart};

use crate::wire::{parse_span, render_span};

/// A quality policy of a request.
///
/// # Errors
/// `Invalid` when the deprecated fields contradict each other.
pub fn parse_quality(policy: &idp::PasswordQualityPolicy) -> Result<QualityPolicy, Refusal> {
    let complexity = match &policy.complexity_policy {
        None => parse_deprecated(policy)?,
        Some(ComplexityPolicy::Fixed(fixed)) => Some(Complexity::Fixed(FixedComplexity {
            lowers_required: fixed.lowers_required,
            uppers_required: fixed.uppers_required,
            digits_required: fixed.digits_required,
            specials_required: fixed.specials_required,
            min_length: fixed.min_length,
        })),
        Some(ComplexityPolicy::Smart(smart)) => Some(Complexity::Smart(SmartComplexity {
            one_class: smart.one_class,
            two_classes: smart.two_classes,
            three_classes: smart.three_classes,
            four_classes: smart.four_classes,
        })),
    };
    Ok(QualityPolicy {
        allow_similar: policy.allow_similar,
        max_length: policy.max_length,
        match_length: policy.match_length,
        complexity: complexity.unwrap_or(QualityPolicy::default().complexity),
    })
}

/// The rule that the deprecated fields mean: lengths by class are `smart`, where four classes need
/// `min_length` or, without one, what three need; a length and required classes are `fixed`.
#[allow(deprecated)]
fn parse_deprecated(policy: &idp::PasswordQualityPolicy) -> Result<Option<Complexity>, Refusal> {
    let min_length = policy.min_length;
    match (
        &policy.required_classes,
        &policy.min_length_by_class_settings,
    ) {
        (Some(_), Some(_)) => Err(Refusal::invalid(
            "password_quality_policy.min_length_by_class_settings",
            "cannot be given together with required_classes: use smart or fixed, which replace them",
        )),
        (None, Some(lengths)) => Ok(Some(Complexity::Smart(SmartComplexity {
            one_class: lengths.one,
            two_classes: lengths.two,
            three_classes: lengths.three,
            four_classes: if min_length == 0 {
                lengths.three
            } else {
                min_length
            },
        }))),
        (None, None) if min_length == 0 => Ok(None),
        (classes, None) => {
            let classes = classes.unwrap_or_default();
            Ok(Some(Complexity::Fixed(FixedComplexity {
                lowers_required: classes.lowers,
                uppers_required: classes.uppers,
                digits_required: classes.digits,
                specials_required: classes.specials,
                min_length,
            })))
        }
    }
}

/// A lifetime policy of a request.
#[must_use]
pub fn parse_lifetime(policy: &idp::PasswordLifetimePolicy) -> LifetimePolicy {
    LifetimePolicy {
        min_days_count: policy.min_days_count,
        max_days_count: policy.max_days_count,
    }
}

/// A guard against guessing of a request.
#[must_use]
pub fn parse_bruteforce(policy: &idp::BruteforceProtectionPolicy) -> BruteforcePolicy {
    BruteforcePolicy {
        window: policy.window.as_ref().map(parse_span).unwrap_or_default(),
        block: policy.block.as_ref().map(parse_span).unwrap_or_default(),
        attempts: policy.attempts,
    }
}

/// A comparison with well-known passwords of a request.
#[must_use]
pub fn parse_blacklist(policy: &idp::PasswordBlacklistPolicy) -> BlacklistPolicy {
    BlacklistPolicy {
        check_common: policy.check_common.unwrap_or(true),
    }
}

/// A quality policy for an answer.
#[must_use]
pub fn render_quality(policy: &QualityPolicy) -> idp::PasswordQualityPolicy {
    idp::PasswordQualityPolicy {
        allow_similar: policy.allow_similar,
        max_length: policy.max_length,
        match_length: policy.match_length,
        complexity_policy: Some(match policy.complexity {
            Complexity::Fixed(fixed) => ComplexityPolicy::Fixed(Fixed {
                lowers_required: fixed.lowers_required,
                uppers_required: fixed.uppers_required,
                digits_required: fixed.digits_required,
                specials_required: fixed.specials_required,
                min_length: fixed.min_length,
            }),
            Complexity::Smart(smart) => ComplexityPolicy::Smart(Smart {
                one_class: smart.one_class,
                two_classes: smart.two_classes,
                three_classes: smart.three_classes,
                four_classes: smart.four_classes,
            }),
        }),
        ..Default::default()
    }
}

/// A lifetime policy for an answer.
#[must_use]
pub fn render_lifetime(policy: &LifetimePolicy) -> idp::PasswordLifetimePolicy {
    idp::PasswordLifetimePolicy {
        min_days_count: policy.min_days_count,
        max_days_count: policy.max_days_count,
    }
}

/// A guard against guessing for an answer.
#[must_use]
pub fn render_bruteforce(policy: &BruteforcePolicy) -> idp::BruteforceProtectionPolicy {
    idp::BruteforceProtectionPolicy {
        window: Some(render_span(policy.window)),
        block: Some(render_span(policy.block)),
        attempts: policy.attempts,
    }
}

/// A comparison with well-known passwords for an answer.
#[must_use]
pub fn render_blacklist(policy: &BlacklistPolicy) -> idp::PasswordBlacklistPolicy {
    idp::PasswordBlacklistPolicy {
        check_common: Some(policy.check_common),
    }
}

#[cfg(test)]
#[allow(deprecated)]
mod tests {
    use rollcall_proto::idp::password_quality_policy::{MinLengthByClassSettings, RequiredClasses};

    use super::*;

    #[track_caller]
    fn check(policy: idp::PasswordQualityPolicy, expected: Complexity) {
        assert_eq!(parse_quality(&policy).unwrap().complexity, expected);
    }

    fn smart(lengths: [i64; 4]) -> Complexity {
        let [one_class, two_classes, three_classes, four_classes] = lengths;
        Complexity::Smart(SmartComplexity {
            one_class,
            two_classes,
            three_classes,
            four_classes,
        })
    }

    #[test]
    fn deprecated_fields_mean_what_replaced_them() {
        let empty = idp::PasswordQualityPolicy::default;
        check(empty(), QualityPolicy::default().complexity);
        let classes = RequiredClasses {
            digits: true,
            ..Default::default()
        };
        let old = idp::PasswordQualityPolicy {
            min_length: 12,
            required_classes: Some(classes),
            ..empty()
        };
        let fixed = FixedComplexity {
            digits_required: true,
            min_length: 12,
            ..Default::default()
        };
        check(old, Complexity::Fixed(fixed));
        let lengths = MinLengthByClassSettings {
            one: 30,
            two: 20,
            three: 12,
        };
        let mut by_class = idp::PasswordQualityPolicy {
            min_length_by_class_settings: Some(lengths),
            ..empty()
        };
        check(by_class, smart([30, 20, 12, 12]));
        by_class.min_length = 8;
        check(by_class, smart([30, 20, 12, 8]));
        by_class.required_classes = Some(classes);
        assert!(parse_quality(&by_class).is_err());
        // The new fields win.
        by_class.complexity_policy = Some(ComplexityPolicy::Smart(Smart {
            four_classes: 9,
            ..Default::default()
        }));
        check(by_class, smart([0, 0, 0, 9]));
    }
}
