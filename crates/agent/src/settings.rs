//! The settings of one session: those of the hub where it has any, else those of the file.
//!
//! Invariant: a session works with one set of settings from its first to its last call. The hub
//! wins for scope, mapping, replacement domain, capture, removal and interval (decision U42).

use std::time::Duration;

use rollcall_proto::idp::{
    MappingType, RemoveUserBehavior as ProtoRemove, SynchronizationSettings,
};
use sha2::{Digest as _, Sha256};

use crate::config::{self, Config, MappingKind};
use crate::engine::attribute::check_arbitrary;
use crate::engine::mapping::{Mapping, Source};
use crate::engine::plan::{NestedGroups, RemoveUserBehavior};
use crate::engine::values::{GroupTarget, UserTarget};
use crate::failure::Failure;

/// The hub's interval when it has no settings (decision U41).
const SESSION_INTERVAL_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// What a session works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Scope as names; resolved by the reader.
    pub filter: config::Filter,
    /// Mapping of attributes.
    pub mapping: Mapping,
    /// Users gone or out of scope.
    pub remove_user_behavior: RemoveUserBehavior,
    /// Groups inside groups.
    pub nested_groups: NestedGroups,
    /// Take over users of the pool with the same login.
    pub capture_users: bool,
    /// Take over groups with the same name.
    pub capture_groups: bool,
    /// Start-to-start time of sessions.
    pub interval: Duration,
}

impl Settings {
    /// The settings of the file, as they are without any in the hub.
    #[must_use]
    pub fn of_file(config: &Config) -> Self {
        let file = &config.sync_settings;
        let mut mapping = Mapping::new(&file.filter.domain, file.replacement_domain.as_deref());
        for item in &file.user_attribute_mapping {
            if let Some(target) = UserTarget::ALL
                .into_iter()
                .find(|t| t.name() == item.target)
            {
                mapping.set_user(target, source(item.kind, &item.source));
            }
        }
        for item in &file.group_attribute_mapping {
            if let Some(target) = GroupTarget::ALL
                .into_iter()
                .find(|t| t.name() == item.target)
            {
                mapping.set_group(target, source(item.kind, &item.source));
            }
        }
        Self {
            filter: file.filter.clone(),
            mapping,
            remove_user_behavior: match file.remove_user_behavior {
                config::RemoveUserBehavior::Remove => RemoveUserBehavior::Remove,
                config::RemoveUserBehavior::Block => RemoveUserBehavior::Block,
            },
            nested_groups: match file.nested_groups {
                config::NestedGroups::Direct => NestedGroups::Direct,
                config::NestedGroups::Flatten => NestedGroups::Flatten,
            },
            capture_users: file.allow_to_capture_users,
            capture_groups: file.allow_to_capture_groups,
            interval: file.interval,
        }
    }

    /// The settings of a session.
    ///
    /// # Errors
    /// [`Failure::Config`] when the hub's settings ask for what this agent does not know.
    pub fn effective(
        config: &Config,
        hub: Option<&SynchronizationSettings>,
    ) -> Result<Self, Failure> {
        let mut settings = Self::of_file(config);
        let Some(hub) = hub else {
            settings.interval = SESSION_INTERVAL_DEFAULT;
            return Ok(settings);
        };
        if hub.ldap_settings.is_some() {
            return Err(Failure::Config(
                "the hub's settings describe a generic LDAP source, which this version does not read; remove ldap_settings".into(),
            ));
        }
        if let Some(filter) = &hub.filter {
            settings.filter = config::Filter {
                domain: filter.domain.clone(),
                organization_units: filter.organization_units.clone(),
                groups: filter.groups.clone(),
            };
        }
        let replacement = Some(hub.replacement_domain.as_str()).filter(|d| !d.is_empty());
        settings.mapping = Mapping::new(&settings.filter.domain, replacement);
        map_as_the_hub_says(&mut settings.mapping, hub)?;
        settings.remove_user_behavior = match hub.remove_user_behavior() {
            ProtoRemove::Block => RemoveUserBehavior::Block,
            ProtoRemove::Remove | ProtoRemove::Unspecified => RemoveUserBehavior::Remove,
        };
        settings.capture_users = hub.allow_to_capture_users;
        settings.capture_groups = hub.allow_to_capture_groups;
        settings.interval = hub
            .synchronization_interval
            .and_then(|interval| Duration::try_from(interval).ok())
            .unwrap_or(SESSION_INTERVAL_DEFAULT);
        Ok(settings)
    }

    /// The names of what differs from `file`, for the log.
    #[must_use]
    pub fn differences(&self, file: &Self) -> Vec<&'static str> {
        [
            ("filter", self.filter != file.filter),
            (
                "attribute mapping or replacement_domain",
                self.mapping != file.mapping,
            ),
            (
                "remove_user_behavior",
                self.remove_user_behavior != file.remove_user_behavior,
            ),
            (
                "allow_to_capture_users",
                self.capture_users != file.capture_users,
            ),
            (
                "allow_to_capture_groups",
                self.capture_groups != file.capture_groups,
            ),
            ("interval", self.interval != file.interval),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }

    /// Differs whenever an index made under other settings, or for another pool, would mislead.
    #[must_use]
    pub fn binding(&self, userpool_id: &str, directory: &str) -> Vec<u8> {
        let text = format!(
            "1\n{userpool_id}\n{directory}\n{:?}\n{}\n{:?}",
            self.filter,
            self.mapping.fingerprint(),
            self.nested_groups
        );
        Sha256::digest(text).to_vec()
    }
}

fn source(kind: MappingKind, name: &str) -> Source {
    match kind {
        MappingKind::Direct | MappingKind::DirectArbitraryAttribute => {
            Source::Attribute(name.to_owned())
        }
        MappingKind::Empty => Source::Unmapped,
    }
}

fn map_as_the_hub_says(
    mapping: &mut Mapping,
    hub: &SynchronizationSettings,
) -> Result<(), Failure> {
    for item in &hub.user_attribute_mappings {
        let target = UserTarget::from_number(item.target).ok_or_else(|| unknown(item.target))?;
        mapping.set_user(target, hub_source(item.r#type, &item.source)?);
    }
    for item in &hub.group_attribute_mappings {
        let target = GroupTarget::from_number(item.target).ok_or_else(|| unknown(item.target))?;
        mapping.set_group(target, hub_source(item.r#type, &item.source)?);
    }
    Ok(())
}

fn hub_source(kind: i32, name: &str) -> Result<Source, Failure> {
    match MappingType::try_from(kind) {
        Ok(MappingType::Empty) => Ok(Source::Unmapped),
        Ok(MappingType::Direct | MappingType::DirectArbitraryAttribute) => {
            check_arbitrary(name).map_err(|why| {
                Failure::Config(format!(
                    "the hub's settings map an attribute that cannot be mapped: {why}"
                ))
            })?;
            Ok(Source::Attribute(name.to_owned()))
        }
        _ => Err(unknown(kind)),
    }
}

fn unknown(number: i32) -> Failure {
    Failure::Config(format!(
        "the hub's settings hold an attribute mapping this version does not know (number {number}); update the agent or the settings"
    ))
}
