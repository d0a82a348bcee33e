//! The rules of a pool as flags: what people may change themselves, how passwords must be, when
//! guessing is stopped.
//!
//! Invariant: a flag changes its own rule and no other; giving a rule of one kind of complexity
//! switches to that kind.

use clap::Args;
use prost_types::Duration;
use rollcall_proto::idp::password_quality_policy::{ComplexityPolicy, Fixed, Smart};
use rollcall_proto::idp::{
    BruteforceProtectionPolicy, PasswordBlacklistPolicy, PasswordLifetimePolicy,
    PasswordQualityPolicy, UserSettings,
};

use crate::failure::Failure;
use crate::value::{self, Changes};

const HEADING: &str = "Rules";
const SETTINGS: &str = "user_settings";
const QUALITY: &str = "password_quality_policy";
const SMART: &str = "password_quality_policy.smart";
const FIXED: &str = "password_quality_policy.fixed";
const LIFETIME: &str = "password_lifetime_policy";
const BRUTEFORCE: &str = "bruteforce_protection_policy";
const BLACKLIST: &str = "password_blacklist_policy";

/// The rules that were given.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
pub struct PolicyArguments {
    /// People may change their passwords.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_edit_self_password: Option<bool>,
    /// People may change their names and pictures.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_edit_self_info: Option<bool>,
    /// People may change their e-mail and phone.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_edit_self_contacts: Option<bool>,
    /// People may change their logins.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    allow_edit_self_login: Option<bool>,

    /// Least length of a password with one kind of characters; 0 forbids such passwords.
    #[arg(long, value_name = "LENGTH", value_parser = length())]
    password_smart_one_class: Option<i64>,
    /// Least length with two kinds of characters; 0 forbids such passwords.
    #[arg(long, value_name = "LENGTH", value_parser = length())]
    password_smart_two_classes: Option<i64>,
    /// Least length with three kinds of characters; 0 forbids such passwords.
    #[arg(long, value_name = "LENGTH", value_parser = length())]
    password_smart_three_classes: Option<i64>,
    /// Least length with all four kinds of characters; 0 forbids such passwords.
    #[arg(long, value_name = "LENGTH", value_parser = length())]
    password_smart_four_classes: Option<i64>,
    /// Least length of every password, in place of the smart rule.
    #[arg(long, value_name = "LENGTH", value_parser = length())]
    password_fixed_min_length: Option<i64>,
    /// Every password must have a lower-case letter.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    password_fixed_lowers_required: Option<bool>,
    /// Every password must have an upper-case letter.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    password_fixed_uppers_required: Option<bool>,
    /// Every password must have a digit.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    password_fixed_digits_required: Option<bool>,
    /// Every password must have another character.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    password_fixed_specials_required: Option<bool>,
    /// A password may be like an earlier one.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    password_allow_similar: Option<bool>,
    /// How long a run of a well-known sequence makes a password weak; 0 switches that off.
    #[arg(long, value_name = "LENGTH", value_parser = length())]
    password_match_length: Option<i64>,
    /// Greatest length of a password; 0 for no limit.
    #[arg(long, value_name = "LENGTH", value_parser = length())]
    password_max_length: Option<i64>,
    /// Refuse well-known passwords.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    password_check_common: Option<bool>,

    /// Days before a password may be changed again.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(0..=730))]
    password_min_days: Option<i64>,
    /// Days after which a password must be changed; 0 for never.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(0..=730))]
    password_max_days: Option<i64>,

    /// Failures to sign in that are allowed in the window.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(i64).range(1..=100))]
    bruteforce_attempts: Option<i64>,
    /// Time in which failures are counted, as in 10m.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    bruteforce_window: Option<Duration>,
    /// How long signing in is blocked after too many failures, as in 10m; 0s switches that off.
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    bruteforce_block: Option<Duration>,
}

/// The rules as messages; those for which nothing was given are absent.
#[derive(Debug, Default)]
pub struct Policies {
    /// What people may change themselves.
    pub user_settings: Option<UserSettings>,
    /// How good a password must be.
    pub quality: Option<PasswordQualityPolicy>,
    /// How long a password lives.
    pub lifetime: Option<PasswordLifetimePolicy>,
    /// When guessing is stopped.
    pub bruteforce: Option<BruteforceProtectionPolicy>,
    /// Whether well-known passwords are refused.
    pub blacklist: Option<PasswordBlacklistPolicy>,
}

impl PolicyArguments {
    /// The messages; each field that was given is noted in `changes`.
    ///
    /// # Errors
    /// `Usage` when rules of both kinds of complexity are given.
    pub fn policies(self, changes: &mut Changes) -> Result<Policies, Failure> {
        let mut take = |field: &str, value| changes.take(&format!("{SETTINGS}.{field}"), value);
        let settings = UserSettings {
            allow_edit_self_password: take(
                "allow_edit_self_password",
                self.allow_edit_self_password,
            ),
            allow_edit_self_info: take("allow_edit_self_info", self.allow_edit_self_info),
            allow_edit_self_contacts: take(
                "allow_edit_self_contacts",
                self.allow_edit_self_contacts,
            ),
            allow_edit_self_login: take("allow_edit_self_login", self.allow_edit_self_login),
        };
        let mut take = |field: &str, value| changes.take(&format!("{LIFETIME}.{field}"), value);
        let lifetime = PasswordLifetimePolicy {
            min_days_count: take("min_days_count", self.password_min_days),
            max_days_count: take("max_days_count", self.password_max_days),
        };
        let check_common = self.password_check_common;
        if check_common.is_some() {
            changes.note(&format!("{BLACKLIST}.check_common"));
        }
        let bruteforce = self.bruteforce(changes);
        let quality = self.quality(changes)?;
        Ok(Policies {
            user_settings: changes.below(SETTINGS, settings),
            quality: changes.below(QUALITY, quality),
            lifetime: changes.below(LIFETIME, lifetime),
            bruteforce: changes.below(BRUTEFORCE, bruteforce),
            blacklist: changes.below(BLACKLIST, PasswordBlacklistPolicy { check_common }),
        })
    }

    fn bruteforce(&self, changes: &mut Changes) -> BruteforceProtectionPolicy {
        for (field, given) in [
            ("window", &self.bruteforce_window),
            ("block", &self.bruteforce_block),
        ] {
            if given.is_some() {
                changes.note(&format!("{BRUTEFORCE}.{field}"));
            }
        }
        let attempts = format!("{BRUTEFORCE}.attempts");
        BruteforceProtectionPolicy {
            window: self.bruteforce_window,
            block: self.bruteforce_block,
            attempts: changes.take(&attempts, self.bruteforce_attempts),
        }
    }

    fn quality(self, changes: &mut Changes) -> Result<PasswordQualityPolicy, Failure> {
        let mut take = |field: &str, value| changes.take(&format!("{SMART}.{field}"), value);
        let smart = Smart {
            one_class: take("one_class", self.password_smart_one_class),
            two_classes: take("two_classes", self.password_smart_two_classes),
            three_classes: take("three_classes", self.password_smart_three_classes),
            four_classes: take("four_classes", self.password_smart_four_classes),
        };
        let mut take = |field: &str, value| changes.take(&format!("{FIXED}.{field}"), value);
        let fixed = Fixed {
            lowers_required: take("lowers_required", self.password_fixed_lowers_required),
            uppers_required: take("uppers_required", self.password_fixed_uppers_required),
            digits_required: take("digits_required", self.password_fixed_digits_required),
            specials_required: take("specials_required", self.password_fixed_specials_required),
            min_length: changes.take(
                &format!("{FIXED}.min_length"),
                self.password_fixed_min_length,
            ),
        };
        let complexity_policy = match (changes.below(SMART, smart), changes.below(FIXED, fixed)) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "a pool has either the smart or the fixed rule: give --password-smart-… or \
                     --password-fixed-… flags, not both",
                ));
            }
            (Some(smart), None) => Some(ComplexityPolicy::Smart(smart)),
            (None, Some(fixed)) => Some(ComplexityPolicy::Fixed(fixed)),
            (None, None) => None,
        };
        let mut take = |field: &str, value| changes.take(&format!("{QUALITY}.{field}"), value);
        let match_length = take("match_length", self.password_match_length);
        let max_length = take("max_length", self.password_max_length);
        let allow_similar = format!("{QUALITY}.allow_similar");
        Ok(PasswordQualityPolicy {
            allow_similar: changes.take(&allow_similar, self.password_allow_similar),
            max_length,
            match_length,
            complexity_policy,
            ..Default::default()
        })
    }
}

fn length() -> clap::builder::RangedI64ValueParser {
    clap::value_parser!(i64).range(0..=1_000)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        policies: PolicyArguments,
    }

    fn read(arguments: &[&str]) -> Result<(Policies, Vec<String>), Failure> {
        let line = Line::try_parse_from([&["x"], arguments].concat()).unwrap();
        let mut changes = Changes::default();
        changes.note("name");
        let policies = line.policies.policies(&mut changes)?;
        Ok((policies, changes.mask()?.paths))
    }

    #[test]
    fn only_what_is_given_is_sent() {
        let (policies, paths) = read(&[]).unwrap();
        assert_eq!(paths, ["name"]);
        assert!(policies.quality.is_none() && policies.lifetime.is_none());
        assert!(policies.user_settings.is_none() && policies.bruteforce.is_none());
        assert!(policies.blacklist.is_none());
    }

    #[test]
    fn each_flag_has_its_field() {
        let (policies, paths) = read(&[
            "--password-smart-two-classes=30",
            "--password-check-common=false",
            "--bruteforce-window=1h",
            "--password-max-days=90",
            "--allow-edit-self-login",
        ])
        .unwrap();
        let quality = policies.quality.unwrap();
        let Some(ComplexityPolicy::Smart(smart)) = quality.complexity_policy else {
            panic!("{quality:?}");
        };
        assert_eq!(smart.two_classes, 30);
        assert_eq!(policies.blacklist.unwrap().check_common, Some(false));
        assert_eq!(policies.bruteforce.unwrap().window.unwrap().seconds, 3_600);
        assert_eq!(policies.lifetime.unwrap().max_days_count, 90);
        assert!(policies.user_settings.unwrap().allow_edit_self_login);
        assert_eq!(
            paths,
            [
                "name",
                "user_settings.allow_edit_self_login",
                "password_lifetime_policy.max_days_count",
                "password_blacklist_policy.check_common",
                "bruteforce_protection_policy.window",
                "password_quality_policy.smart.two_classes",
            ]
        );
    }

    #[test]
    fn two_kinds_of_complexity_are_refused() {
        let both = read(&[
            "--password-smart-two-classes=30",
            "--password-fixed-digits-required",
        ]);
        assert!(matches!(both, Err(Failure::Usage(_))));
    }
}
