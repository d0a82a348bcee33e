//! Changing a pool: the fields that a mask can name, down to single rules of its policies.
//!
//! Invariant: a named field that the body leaves out gets the value it has in a new pool. The two
//! members of the complexity policy exclude each other: naming one clears the other
//! (decision U71). Deliberately absent: output-only fields, so a mask that names one is refused.

use rollcall_kit::timestamp::Timestamp;

use super::{UserSettings, Userpool, UserpoolInput};
use crate::mask::Mask;
use crate::named::named_enum;
use crate::password_policy::{
    BruteforcePolicy, Complexity, FixedComplexity, LifetimePolicy, QualityPolicy, SmartComplexity,
};
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
        let given = input.user_settings.unwrap_or_default();
        update_settings(&mut changed.user_settings, given, mask);
        let given = input.lifetime_policy.unwrap_or_default();
        update_lifetime(&mut changed.lifetime_policy, given, mask);
        let given = input.bruteforce_policy.unwrap_or_default();
        update_bruteforce(&mut changed.bruteforce_policy, given, mask);
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

fn update_settings(to: &mut UserSettings, from: UserSettings, mask: &PoolMask) {
    use UserpoolField as F;
    let flags = [
        (
            F::AllowEditSelfPassword,
            &mut to.allow_edit_self_password,
            from.allow_edit_self_password,
        ),
        (
            F::AllowEditSelfInfo,
            &mut to.allow_edit_self_info,
            from.allow_edit_self_info,
        ),
        (
            F::AllowEditSelfContacts,
            &mut to.allow_edit_self_contacts,
            from.allow_edit_self_contacts,
        ),
        (
            F::AllowEditSelfLogin,
            &mut to.allow_edit_self_login,
            from.allow_edit_self_login,
        ),
    ];
    for (field, to, from) in flags {
        replace(mask, field, to, from);
    }
}

fn update_lifetime(to: &mut LifetimePolicy, from: LifetimePolicy, mask: &PoolMask) {
    use UserpoolField as F;
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
}

fn update_bruteforce(to: &mut BruteforcePolicy, from: BruteforcePolicy, mask: &PoolMask) {
    use UserpoolField as F;
    replace(mask, F::Window, &mut to.window, from.window);
    replace(mask, F::Block, &mut to.block, from.block);
    replace(mask, F::Attempts, &mut to.attempts, from.attempts);
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
        // Clients that build a mask from what differs name the old member and the new one.
        (Some(fixed), Some(smart)) => match given.complexity {
            Complexity::Fixed(_) => fixed,
            Complexity::Smart(_) => smart,
        },
    };
    require_fixed_length(present.complexity, changed.complexity, mask)?;
    Ok(changed)
}

/// A pool that changes to `fixed` by single rules must get its length with them: without one every
/// password would do.
fn require_fixed_length(
    present: Complexity,
    changed: Complexity,
    mask: &PoolMask,
) -> Result<(), Refusal> {
    use UserpoolField as F;
    let begins = matches!(
        (present, changed),
        (Complexity::Smart(_), Complexity::Fixed(_))
    );
    if begins && !mask.covers(F::Fixed) && !mask.covers(F::FixedMinLength) {
        return Err(Refusal::invalid(
            "update_mask",
            "changes the pool from password_quality_policy.smart to fixed: name \
             password_quality_policy.fixed.min_length as well",
        ));
    }
    Ok(())
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
    let of = |complexity| match (complexity, default) {
        (Complexity::Smart(smart), _) | (_, Complexity::Smart(smart)) => smart,
        _ => SmartComplexity::default(),
    };
    let (mut to, from) = (of(present), of(given));
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
mod tests;
