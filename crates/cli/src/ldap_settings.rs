//! `--ldap-settings` of `rollcall settings`: how to read a directory that is not Active Directory.

use clap::Args;
use rollcall_proto::idp::{
    CreateLdapSettingsRequest, LdapDeltaSyncMode, LdapSettings, UpdateLdapSettingsRequest,
};

const HELP: &str = "How to read a directory that is not Active Directory, as in \
                    external-id-attribute=entryUUID,dn-attribute=entryDN; an update keeps what is \
                    not given";
const KEYS: &str = "external-id-attribute, dn-attribute, user-object-class, group-object-class, \
                    account-disabled-attribute, account-disabled-value, account-enabled-value, \
                    password-attribute, delta-sync-mode and use-recursive-membership-filter";

/// The flags.
#[derive(Debug, Args)]
pub struct LdapArguments {
    #[arg(long = "ldap-settings", value_name = "KEY=VALUE", value_delimiter = ',', help = HELP,
          value_parser = read)]
    given: Option<Vec<Setting>>,
    /// The directory is Active Directory.
    #[arg(long, conflicts_with = "given")]
    no_ldap_settings: bool,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    key: Key,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    ExternalIdAttribute,
    DnAttribute,
    UserObjectClass,
    GroupObjectClass,
    AccountDisabledAttribute,
    AccountDisabledValue,
    AccountEnabledValue,
    PasswordAttribute,
    DeltaSyncMode,
    UseRecursiveMembershipFilter,
}

impl LdapArguments {
    /// Whether the settings change.
    pub fn is_change(&self) -> bool {
        self.given.is_some() || self.no_ldap_settings
    }

    /// `present` with what is given in its place; `None` for Active Directory.
    pub fn applied_to(&self, present: Option<LdapSettings>) -> Option<LdapSettings> {
        let Some(given) = &self.given else {
            return present.filter(|_| !self.no_ldap_settings);
        };
        let mut settings = present.unwrap_or_else(|| LdapSettings {
            delta_sync_mode: LdapDeltaSyncMode::FullSync.into(),
            ..Default::default()
        });
        for setting in given {
            setting.put(&mut settings);
        }
        Some(settings)
    }
}

impl Setting {
    fn put(&self, settings: &mut LdapSettings) {
        let field = match self.key {
            Key::ExternalIdAttribute => &mut settings.external_id_attribute,
            Key::DnAttribute => &mut settings.dn_attribute,
            Key::UserObjectClass => &mut settings.user_object_class,
            Key::GroupObjectClass => &mut settings.group_object_class,
            Key::AccountDisabledAttribute => &mut settings.account_disabled_attribute,
            Key::AccountDisabledValue => &mut settings.account_disabled_value,
            Key::AccountEnabledValue => &mut settings.account_enabled_value,
            Key::PasswordAttribute => &mut settings.password_attribute,
            Key::DeltaSyncMode => {
                settings.delta_sync_mode = LdapDeltaSyncMode::FullSync.into();
                return;
            }
            Key::UseRecursiveMembershipFilter => {
                settings.use_recursive_membership_filter = self.value == "true";
                return;
            }
        };
        field.clone_from(&self.value);
    }
}

fn read(text: &str) -> Result<Setting, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is no setting: write key=value"))?;
    let key = match name.trim().to_lowercase().replace('_', "-").as_str() {
        "external-id-attribute" => Key::ExternalIdAttribute,
        "dn-attribute" => Key::DnAttribute,
        "user-object-class" => Key::UserObjectClass,
        "group-object-class" => Key::GroupObjectClass,
        "account-disabled-attribute" => Key::AccountDisabledAttribute,
        "account-disabled-value" => Key::AccountDisabledValue,
        "account-enabled-value" => Key::AccountEnabledValue,
        "password-attribute" => Key::PasswordAttribute,
        "delta-sync-mode" if value.eq_ignore_ascii_case("full-sync") => Key::DeltaSyncMode,
        "delta-sync-mode" => return Err(format!("{value:?} is no mode: there is full-sync")),
        "use-recursive-membership-filter" if matches!(value, "true" | "false") => {
            Key::UseRecursiveMembershipFilter
        }
        "use-recursive-membership-filter" => {
            return Err(format!("{value:?} is neither true nor false"));
        }
        _ => return Err(format!("there is no setting {name:?}; there are {KEYS}")),
    };
    Ok(Setting {
        key,
        value: value.to_owned(),
    })
}

/// The settings as a new set of them has them.
pub fn for_create(settings: LdapSettings) -> CreateLdapSettingsRequest {
    CreateLdapSettingsRequest {
        external_id_attribute: settings.external_id_attribute,
        dn_attribute: settings.dn_attribute,
        user_object_class: settings.user_object_class,
        group_object_class: settings.group_object_class,
        account_disabled_attribute: settings.account_disabled_attribute,
        account_disabled_value: settings.account_disabled_value,
        account_enabled_value: settings.account_enabled_value,
        password_attribute: settings.password_attribute,
        delta_sync_mode: settings.delta_sync_mode,
        use_recursive_membership_filter: settings.use_recursive_membership_filter,
    }
}

/// The settings as an update has them.
pub fn for_update(settings: LdapSettings) -> UpdateLdapSettingsRequest {
    UpdateLdapSettingsRequest {
        external_id_attribute: settings.external_id_attribute,
        dn_attribute: settings.dn_attribute,
        user_object_class: settings.user_object_class,
        group_object_class: settings.group_object_class,
        account_disabled_attribute: settings.account_disabled_attribute,
        account_disabled_value: settings.account_disabled_value,
        account_enabled_value: settings.account_enabled_value,
        password_attribute: settings.password_attribute,
        delta_sync_mode: settings.delta_sync_mode,
        use_recursive_membership_filter: settings.use_recursive_membership_filter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(texts: &[&str]) -> LdapArguments {
        LdapArguments {
            given: Some(texts.iter().map(|text| read(text).unwrap()).collect()),
            no_ldap_settings: false,
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let first = given(&["external-id-attribute=entryUUID", "dn_attribute=entryDN"])
            .applied_to(None)
            .unwrap();
        assert_eq!(first.external_id_attribute, "entryUUID");
        assert_eq!(first.delta_sync_mode(), LdapDeltaSyncMode::FullSync);
        let second = given(&["dn-attribute=dn", "use-recursive-membership-filter=true"])
            .applied_to(Some(first))
            .unwrap();
        assert_eq!(second.external_id_attribute, "entryUUID");
        assert_eq!(second.dn_attribute, "dn");
        assert!(second.use_recursive_membership_filter);

        let none = LdapArguments {
            given: None,
            no_ldap_settings: true,
        };
        assert!(none.is_change());
        assert_eq!(none.applied_to(Some(second)), None);
    }

    #[test]
    fn wrong_settings_are_explained() {
        assert!(read("shoe=x").unwrap_err().contains("dn-attribute"));
        assert!(read("dn-attribute").unwrap_err().contains("key=value"));
        assert!(read("delta-sync-mode=x").unwrap_err().contains("full-sync"));
        assert!(read("use-recursive-membership-filter=1").is_err());
    }
}
