//! Changing a pool: the fields that a mask can name, down to single rules of its policies.
//!
//! Invariant: a named field that the body leaves out gets the value it has in a new pool. The two
//! members of the complexity policy exclude each other: naming one clears the other
//! (decision U71). Deliberately absent: output-only fields, so a mask that names one is refused.

use rollcall_kit::timestamp::Timestamp;

use super::{Userpool, UserpoolInput};
use crate::mask::Mask;
use crate::named::named_enum;
use crate::password_policy::{Complexity, FixedComplexity, QualityPolicy, SmartComplexity};
use crate::refusal::Refusal;

named_enum! {
    /// A field that an update can name.
    pub enum UserpoolField {
        /// Name.
        Name = "name",
        /// Free text.
        Description = "description",
        /// Labels.
        Labels = "labels",
        /// The own password.
        AllowEditSelfPassword = "user_settings.allow_edit_self_password",
        /// Names.
        AllowEditSelfInfo = "user_settings.allow_edit_self_info",
        /// Addresses and phone number.
        AllowEditSelfContacts = "user_settings.allow_edit_self_contacts",
        /// The login.
        AllowEditSelfLogin = "user_settings.allow_edit_self_login",
        /// Quality of new passwords.
        QualityPolicy = "password_quality_policy",
        /// Passwords like earlier ones.
        AllowSimilar = "password_quality_policy.allow_similar",
        /// Longest password.
        MaxLength = "password_quality_policy.max_length",
        /// Shortest substring that is compared.
        MatchLength = "password_quality_policy.match_length",
        /// One rule for every password.
        Fixed = "password_quality_policy.fixed",
        /// A lower-case letter.
        FixedLowers = "password_quality_policy.fixed.lowers_required",
        /// An upper-case letter.
        FixedUppers = "password_quality_policy.fixed.uppers_required",
        /// A digit.
        FixedDigits = "password_quality_policy.fixed.digits_required",
        /// Another character.
        FixedSpecials = "password_quality_policy.fixed.specials_required",
        /// Shortest password.
        FixedMinLength = "password_quality_policy.fixed.min_length",
        /// A length by number of classes.
        Smart = "password_quality_policy.smart",
        /// Characters of one class.
        SmartOneClass = "password_quality_policy.smart.one_class",
        /// Characters of two classes.
        SmartTwoClasses = "password_quality_policy.smart.two_classes",
        /// Characters of three classes.
        SmartThreeClasses = "password_quality_policy.smart.three_classes",
        /// Characters of all four classes.
        SmartFourClasses = "password_quality_policy.smart.four_classes",
        /// Days before a change.
        MinDaysCount = "password_lifetime_policy.min_days_count",
        /// Days until a change.
        MaxDaysCount = "password_lifetime_policy.max_days_count",
        /// Span in which failures are counted.
        Window = "bruteforce_protection_policy.window",
        /// How long sign-in is blocked.
        Block = "bruteforce_protection_policy.block",
        /// Failures allowed.
        Attempts = "bruteforce_protection_policy.attempts",
        /// Comparison with well-known passwords.
        CheckCommon = "password_blacklist_policy.check_common",
    }
}

type PoolMask = Mask<UserpoolField>;

impl Userpool {
    /// Replaces the fields that `mask` covers.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule, and for a mask that names members of both
    /// complexity policies.
    pub fn update(
        &self,
        input: UserpoolInput,
        mask: &PoolMask,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        use UserpoolField as F;
        let quality = input.quality_policy.unwrap_or_default();
        let mut changed = self.clone();
        changed.quality_policy = update_quality(&self.quality_policy, &quality, mask)?;
        replace(mask, F::Name, &mut changed.name, input.name);
        replace(
            mask,
            F::Description,
            &mut changed.description,
            input.description,
        );
        replace(mask, F::Labels, &mut changed.labels, input.labels);
        let (to, from) = (
            &mut changed.user_settings,
            input.user_settings.unwrap_or_default(),
        );
        replace(
            mask,
            F::AllowEditSelfPassword,
            &mut to.allow_edit_self_password,
            from.allow_edit_self_password,
        );
        replace(
            mask,
            F::AllowEditSelfInfo,
            &mut to.allow_edit_self_info,
            from.allow_edit_self_info,
        );
        replace(
            mask,
            F::AllowEditSelfContacts,
            &mut to.allow_edit_self_contacts,
            from.allow_edit_self_contacts,
        );
        replace(
            mask,
            F::AllowEditSelfLogin,
            &mut to.allow_edit_self_login,
            from.allow_edit_self_login,
        );
        let (to, from) = (
            &mut changed.lifetime_policy,
            input.lifetime_policy.unwrap_or_default(),
        );
        replace(
            mask,
            F::MinDaysCount,
            &mut to.min_days_count,
            from.min_days_count,
        );
        replace(
            mask,
            F::MaxDaysCount,
            &mut to.max_days_count,
            from.max_days_count,
        );
        let to = &mut changed.bruteforce_policy;
        let from = input.bruteforce_policy.unwrap_or_default();
        replace(mask, F::Window, &mut to.window, from.window);
        replace(mask, F::Block, &mut to.block, from.block);
        replace(mask, F::Attempts, &mut to.attempts, from.attempts);
        let from = input.blacklist_policy.unwrap_or_default();
        replace(
            mask,
            F::CheckCommon,
            &mut changed.blacklist_policy.check_common,
            from.check_common,
        );
        changed.updated_at = now;
        changed.check()?;
        Ok(changed)
    }
}

fn replace<T>(mask: &PoolMask, field: UserpoolField, to: &mut T, from: T) {
    if mask.covers(field) {
        *to = from;
    }
}

fn update_quality(
    present: &QualityPolicy,
    given: &QualityPolicy,
    mask: &PoolMask,
) -> Result<QualityPolicy, Refusal> {
    use UserpoolField as F;
    if mask.covers(F::QualityPolicy) {
        return Ok(*given);
    }
    let mut changed = *present;
    replace(
        mask,
        F::AllowSimilar,
        &mut changed.allow_similar,
        given.allow_similar,
    );
    replace(
        mask,
        F::MaxLength,
        &mut changed.max_length,
        given.max_length,
    );
    replace(
        mask,
        F::MatchLength,
        &mut changed.match_length,
        given.match_length,
    );
    let fixed = update_fixed(present.complexity, given.complexity, mask);
    let smart = update_smart(present.complexity, given.complexity, mask);
    changed.complexity = match (fixed, smart) {
        (None, None) => present.complexity,
        (Some(complexity), None) | (None, Some(complexity)) => complexity,
        (Some(_), Some(_)) => {
            return Err(Refusal::invalid(
                "update_mask",
                "names fields of password_quality_policy.fixed and of password_quality_policy.smart, of which a pool has only one",
            ));
        }
    };
    Ok(changed)
}

/// The complexity after a mask that names something of `fixed`.
fn update_fixed(present: Complexity, given: Complexity, mask: &PoolMask) -> Option<Complexity> {
    use UserpoolField as F;
    if mask.covers(F::Fixed) {
        return Some(match given {
            Complexity::Fixed(_) => given,
            Complexity::Smart(_) => QualityPolicy::default().complexity,
        });
    }
    let of = |complexity| match complexity {
        Complexity::Fixed(fixed) => fixed,
        Complexity::Smart(_) => FixedComplexity::default(),
    };
    let (mut to, from) = (of(present), of(given));
    replace(
        mask,
        F::FixedLowers,
        &mut to.lowers_required,
        from.lowers_required,
    );
    replace(
        mask,
        F::FixedUppers,
        &mut to.uppers_required,
        from.uppers_required,
    );
    replace(
        mask,
        F::FixedDigits,
        &mut to.digits_required,
        from.digits_required,
    );
    replace(
        mask,
        F::FixedSpecials,
        &mut to.specials_required,
        from.specials_required,
    );
    replace(mask, F::FixedMinLength, &mut to.min_length, from.min_length);
    let named = [
        F::FixedLowers,
        F::FixedUppers,
        F::FixedDigits,
        F::FixedSpecials,
        F::FixedMinLength,
    ];
    named
        .iter()
        .any(|field| mask.covers(*field))
        .then_some(Complexity::Fixed(to))
}

/// The complexity after a mask that names something of `smart`.
fn update_smart(present: Complexity, given: Complexity, mask: &PoolMask) -> Option<Complexity> {
    use UserpoolField as F;
    let default = QualityPolicy::default().complexity;
    if mask.covers(F::Smart) {
        return Some(match given {
            Complexity::Smart(_) => given,
            Complexity::Fixed(_) => default,
        });
    }
    let mut to = match present {
        Complexity::Smart(smart) => smart,
        Complexity::Fixed(_) => SmartComplexity::default(),
    };
    let from = match (given, default) {
        (Complexity::Smart(smart), _) | (_, Complexity::Smart(smart)) => smart,
        _ => SmartComplexity::default(),
    };
    replace(mask, F::SmartOneClass, &mut to.one_class, from.one_class);
    replace(
        mask,
        F::SmartTwoClasses,
        &mut to.two_classes,
        from.two_classes,
    );
    replace(
        mask,
        F::SmartThreeClasses,
        &mut to.three_classes,
        from.three_classes,
    );
    replace(
        mask,
        F::SmartFourClasses,
        &mut to.four_classes,
        from.four_classes,
    );
    let named = [
        F::SmartOneClass,
        F::SmartTwoClasses,
        F::SmartThreeClasses,
        F::SmartFourClasses,
    ];
    named
        .iter()
        .any(|field| mask.covers(*field))
        .then_some(Complexity::Smart(to))
}

#[cfg(test)]
mod tests {
    use rollcall_kit::timestamp::Span;

    use super::*;
    use crate::password_policy::{BruteforcePolicy, LifetimePolicy};
    use crate::userpool::UserSettings;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn pool(complexity: Complexity) -> Userpool {
        let input = UserpoolInput {
            name: "staff".into(),
            description: "people".into(),
            quality_policy: Some(QualityPolicy {
                complexity,
                max_length: 50,
                ..Default::default()
            }),
            ..Default::default()
        };
        Userpool::create(
            input,
            "s",
            "idp.hub.example",
            "bpf1".into(),
            "ek01".into(),
            NOW,
        )
        .unwrap()
        .userpool
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

    fn fixed(digits_required: bool, min_length: i64) -> Complexity {
        Complexity::Fixed(FixedComplexity {
            digits_required,
            min_length,
            ..Default::default()
        })
    }

    /// Updates the complexity of a pool that has `present` by a body that has `given`.
    #[track_caller]
    fn check(present: Complexity, paths: &[&str], given: Option<Complexity>, expected: Complexity) {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| format!("password_quality_policy.{path}"))
            .collect();
        let mask = Mask::parse(paths.iter().map(String::as_str)).unwrap();
        let input = UserpoolInput {
            quality_policy: given.map(|complexity| QualityPolicy {
                complexity,
                max_length: 9,
                ..Default::default()
            }),
            ..Default::default()
        };
        let changed = pool(present).update(input, &mask, NOW).unwrap();
        assert_eq!(changed.quality_policy.complexity, expected, "{paths:?}");
        assert_eq!(changed.quality_policy.max_length, 50, "it was not named");
    }

    #[test]
    fn a_member_of_the_complexity_policy_clears_the_other() {
        let (s, f) = (smart([0, 20, 12, 8]), fixed(true, 12));
        let default = QualityPolicy::default().complexity;
        check(s, &["fixed"], Some(f), f);
        check(f, &["smart"], Some(s), s);
        check(
            s,
            &["smart.four_classes"],
            Some(smart([1, 1, 1, 9])),
            smart([0, 20, 12, 9]),
        );
        check(
            f,
            &["smart.four_classes"],
            Some(smart([1, 1, 1, 9])),
            smart([0, 0, 0, 9]),
        );
        check(
            f,
            &["fixed.min_length"],
            Some(fixed(false, 15)),
            fixed(true, 15),
        );
        check(
            s,
            &["fixed.min_length"],
            Some(fixed(true, 15)),
            fixed(false, 15),
        );
        // Named, but absent from the body.
        check(f, &["fixed"], None, default);
        check(f, &["smart"], None, default);
        check(s, &["smart.four_classes"], None, smart([0, 20, 12, 10]));
        check(f, &["fixed.digits_required"], None, fixed(false, 12));
    }

    #[test]
    fn both_members_at_once_are_refused() {
        let paths = [
            "password_quality_policy.fixed",
            "password_quality_policy.smart.one_class",
        ];
        let mask = Mask::parse(paths).unwrap();
        let refusal = pool(fixed(true, 12))
            .update(UserpoolInput::default(), &mask, NOW)
            .unwrap_err();
        assert!(matches!(refusal, Refusal::Invalid { field, .. } if field == "update_mask"));
    }

    #[test]
    fn single_rules_of_the_policies_are_replaced() {
        let paths = [
            "user_settings.allow_edit_self_login",
            "password_lifetime_policy.min_days_count",
            "bruteforce_protection_policy.window",
        ];
        let input = UserpoolInput {
            user_settings: Some(UserSettings {
                allow_edit_self_login: true,
                allow_edit_self_info: true,
                ..Default::default()
            }),
            lifetime_policy: Some(LifetimePolicy {
                min_days_count: 2,
                max_days_count: 9,
            }),
            bruteforce_policy: Some(BruteforcePolicy {
                window: Span::hours(2),
                block: Span::hours(3),
                attempts: 4,
            }),
            ..Default::default()
        };
        let before = pool(fixed(true, 12));
        let mask = Mask::parse(paths).unwrap();
        let after = before.update(input, &mask, NOW).unwrap();
        assert_eq!(
            (after.name.as_str(), after.description.as_str()),
            ("staff", "people")
        );
        assert!(after.user_settings.allow_edit_self_login);
        assert!(!after.user_settings.allow_edit_self_info);
        let lifetime = after.lifetime_policy;
        assert_eq!((lifetime.min_days_count, lifetime.max_days_count), (2, 365));
        let bruteforce = after.bruteforce_policy;
        assert_eq!(bruteforce.window, Span::hours(2));
        assert_eq!(
            (bruteforce.block, bruteforce.attempts),
            (Span::minutes(10), 15)
        );
    }

    #[test]
    fn without_a_mask_everything_is_replaced() {
        let before = pool(fixed(true, 12));
        let input = UserpoolInput {
            name: "crew".into(),
            ..Default::default()
        };
        let after = before.update(input, &Mask::All, NOW).unwrap();
        assert_eq!(after.quality_policy, QualityPolicy::default());
        assert_eq!(after.description, "");
        let refusal = before.update(UserpoolInput::default(), &Mask::All, NOW);
        assert!(refusal.is_err(), "an empty name is refused");
    }

    #[test]
    fn output_only_paths_are_refused() {
        for path in [
            "status",
            "id",
            "domains",
            "password_quality_policy.min_length",
            "user_settings.allow",
        ] {
            assert!(Mask::<UserpoolField>::parse([path]).is_err(), "{path}");
        }
    }
}
