//! Synchronization settings of a pool: scope, mapping and behaviour of its agents.
//!
//! Invariant: stored settings are valid; each change gets the next revision, and a change of what
//! is in scope or how it is mapped demands a full run (decision U24). Deliberately absent:
//! looking at the directory (U47).

use rollcall_kit::timestamp::{Span, Timestamp};

use crate::directory_name;
use crate::dns_name::{DNS_NAME_CHARACTERS_MAX, DnsName};
use crate::id::UserpoolId;
use crate::mask::Mask;
use crate::named::named_enum;
use crate::refusal::Refusal;
use crate::supported_attribute::{
    DirectoryFlavor, GroupTarget, MappingKind, MappingTarget, UserTarget,
};
use crate::text_size::{self, TEXT_CHARACTERS_MAX};

/// Pause between runs when none is given (decision U39).
pub const INTERVAL_DEFAULT: Span = Span::minutes(15);
const INTERVAL_MIN: Span = Span::minutes(15);
const INTERVAL_MAX: Span = Span::hours(6);
const FILTER_GROUPS_MAX: usize = 10;
const FILTER_UNITS_MAX: usize = 10;
const FILTER_ITEM_CHARACTERS_MAX: usize = 253;
const MAPPINGS_MAX: usize = 50;
const SOURCE_CHARACTERS_MAX: usize = 253;

/// Settings of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSettings {
    /// The pool.
    pub subject_container_id: UserpoolId,
    /// Scope in the directory.
    pub filter: SyncFilter,
    /// Domain of the pool put in place of the suffix of logins; empty = none.
    pub replacement_domain: String,
    /// What to do with users gone or out of scope.
    pub remove_user_behavior: RemoveUserBehavior,
    /// Pause between runs of the main stream.
    pub interval: Span,
    /// Whether users with the same login may be taken over.
    pub allow_to_capture_users: bool,
    /// Whether groups with the same name may be taken over.
    pub allow_to_capture_groups: bool,
    /// Overrides of the default mapping of users.
    pub user_mappings: Vec<Mapping<UserTarget>>,
    /// Overrides of the default mapping of groups.
    pub group_mappings: Vec<Mapping<GroupTarget>>,
    /// Whether password changes go back to the directory.
    pub enable_password_writeback: bool,
    /// Settings of a directory that is not Active Directory.
    pub ldap: Option<LdapSettings>,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
    /// Counts the changes, from 1.
    pub revision: i64,
}

/// Scope in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncFilter {
    /// DNS name of the directory domain.
    pub domain: String,
    /// Users must be in one of these groups; empty = no such condition. Each is a CN, a
    /// sAMAccountName or a DN.
    pub groups: Vec<String>,
    /// DNs of the units that bound the scope; empty = everything.
    pub organization_units: Vec<String>,
}

/// Override of the default mapping of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping<T> {
    /// Attribute of the directory; empty for [`MappingKind::Empty`].
    pub source: String,
    /// The field.
    pub target: T,
    /// Kind.
    pub kind: MappingKind,
}

/// How to read a directory that is not Active Directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapSettings {
    /// Attribute that identifies an object for ever.
    pub external_id_attribute: String,
    /// Attribute that holds the DN.
    pub dn_attribute: String,
    /// Object class of users.
    pub user_object_class: String,
    /// Object class of groups.
    pub group_object_class: String,
    /// Attribute that tells that an account is off.
    pub account_disabled_attribute: String,
    /// Its value when off.
    pub account_disabled_value: String,
    /// Its value when on.
    pub account_enabled_value: String,
    /// Attribute that a writeback sets.
    pub password_attribute: String,
    /// How later runs find changes.
    pub delta_sync_mode: LdapDeltaSyncMode,
    /// Whether the chain matching rule is used for the group filter.
    pub use_recursive_membership_filter: bool,
}

named_enum! {
    /// What to do with users gone or out of scope.
    pub enum RemoveUserBehavior {
        /// Delete them.
        Remove = "REMOVE",
        /// Suspend them.
        Block = "BLOCK",
    }
}

named_enum! {
    /// How later runs find changes in a generic LDAP directory.
    pub enum LdapDeltaSyncMode {
        /// They read everything.
        FullSync = "FULL_SYNC",
    }
}

/// The values that a creation or an update gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncSettingsInput {
    /// Scope; required.
    pub filter: Option<SyncFilter>,
    /// Replacement domain; empty = none.
    pub replacement_domain: String,
    /// What to do with users gone; `None` = remove (decision U38).
    pub remove_user_behavior: Option<RemoveUserBehavior>,
    /// Pause between runs; `None` = 15 minutes (decision U39).
    pub interval: Option<Span>,
    /// Whether users with the same login may be taken over.
    pub allow_to_capture_users: bool,
    /// Whether groups with the same name may be taken over.
    pub allow_to_capture_groups: bool,
    /// Overrides of the default mapping of users.
    pub user_mappings: Vec<Mapping<UserTarget>>,
    /// Overrides of the default mapping of groups.
    pub group_mappings: Vec<Mapping<GroupTarget>>,
    /// Whether password changes go back to the directory.
    pub enable_password_writeback: bool,
    /// Settings of a directory that is not Active Directory.
    pub ldap: Option<LdapSettings>,
}

named_enum! {
    /// A field that an update can name.
    pub enum SyncSettingsField {
        /// Scope.
        Filter = "filter",
        /// Replacement domain.
        ReplacementDomain = "replacement_domain",
        /// What to do with users gone.
        RemoveUserBehavior = "remove_user_behavior",
        /// Pause between runs.
        Interval = "synchronization_interval",
        /// Capture of users.
        AllowToCaptureUsers = "allow_to_capture_users",
        /// Capture of groups.
        AllowToCaptureGroups = "allow_to_capture_groups",
        /// Mapping of users.
        UserMappings = "user_attribute_mappings",
        /// Mapping of groups.
        GroupMappings = "group_attribute_mappings",
        /// Writeback.
        EnablePasswordWriteback = "enable_password_writeback",
        /// Generic LDAP.
        Ldap = "ldap_settings",
    }
}

/// Whether the next run must read everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullRun {
    /// It must, for every stream.
    Needed,
    /// The stored tokens stay good.
    NotNeeded,
}

/// Settings after an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSettingsUpdated {
    /// The settings.
    pub settings: SyncSettings,
    /// Whether the change demands a full run.
    pub full_run: FullRun,
}

impl SyncSettings {
    /// Makes settings.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn create(
        subject_container_id: UserpoolId,
        input: SyncSettingsInput,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let settings = Self {
            subject_container_id,
            filter: input.filter.unwrap_or_default().normalized(),
            replacement_domain: input.replacement_domain.to_lowercase(),
            remove_user_behavior: input
                .remove_user_behavior
                .unwrap_or(RemoveUserBehavior::Remove),
            interval: input.interval.unwrap_or(INTERVAL_DEFAULT),
            allow_to_capture_users: input.allow_to_capture_users,
            allow_to_capture_groups: input.allow_to_capture_groups,
            user_mappings: input.user_mappings,
            group_mappings: input.group_mappings,
            enable_password_writeback: input.enable_password_writeback,
            ldap: input.ldap,
            created_at: now,
            updated_at: now,
            revision: 1,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Replaces the fields that `mask` covers; absent ones get their default.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn update(
        &self,
        input: SyncSettingsInput,
        mask: &Mask<SyncSettingsField>,
        now: Timestamp,
    ) -> Result<SyncSettingsUpdated, Refusal> {
        use SyncSettingsField as F;
        let mut next = self.clone();
        if mask.covers(F::Filter) {
            next.filter = input.filter.unwrap_or_default().normalized();
        }
        if mask.covers(F::ReplacementDomain) {
            next.replacement_domain = input.replacement_domain.to_lowercase();
        }
        if mask.covers(F::RemoveUserBehavior) {
            next.remove_user_behavior = input
                .remove_user_behavior
                .unwrap_or(RemoveUserBehavior::Remove);
        }
        if mask.covers(F::Interval) {
            next.interval = input.interval.unwrap_or(INTERVAL_DEFAULT);
        }
        if mask.covers(F::AllowToCaptureUsers) {
            next.allow_to_capture_users = input.allow_to_capture_users;
        }
        if mask.covers(F::AllowToCaptureGroups) {
            next.allow_to_capture_groups = input.allow_to_capture_groups;
        }
        if mask.covers(F::UserMappings) {
            next.user_mappings = input.user_mappings;
        }
        if mask.covers(F::GroupMappings) {
            next.group_mappings = input.group_mappings;
        }
        if mask.covers(F::EnablePasswordWriteback) {
            next.enable_password_writeback = input.enable_password_writeback;
        }
        if mask.covers(F::Ldap) {
            next.ldap = input.ldap;
        }
        next.updated_at = now;
        next.revision = self.revision.saturating_add(1);
        next.check()?;
        let full_run = self.full_run_after(&next);
        Ok(SyncSettingsUpdated {
            settings: next,
            full_run,
        })
    }

    /// Whether going from these settings to `next` brings objects into scope or changes values
    /// that no delta would show (decision U24).
    fn full_run_after(&self, next: &Self) -> FullRun {
        let enables_capture = (next.allow_to_capture_users && !self.allow_to_capture_users)
            || (next.allow_to_capture_groups && !self.allow_to_capture_groups);
        let changed = self.filter != next.filter
            || self.replacement_domain != next.replacement_domain
            || self.user_mappings != next.user_mappings
            || self.group_mappings != next.group_mappings
            || self.ldap != next.ldap;
        if changed || enables_capture {
            FullRun::Needed
        } else {
            FullRun::NotNeeded
        }
    }

    /// The family of the directory.
    #[must_use]
    pub fn flavor(&self) -> DirectoryFlavor {
        if self.ldap.is_some() {
            DirectoryFlavor::GenericLdap
        } else {
            DirectoryFlavor::ActiveDirectory
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        self.filter.check()?;
        text_size::check(
            "replacement_domain",
            &self.replacement_domain,
            DNS_NAME_CHARACTERS_MAX,
        )?;
        if !self.replacement_domain.is_empty() {
            DnsName::parse("replacement_domain", &self.replacement_domain)?;
        }
        if self.interval < INTERVAL_MIN || self.interval > INTERVAL_MAX {
            return Err(Refusal::invalid(
                "synchronization_interval",
                "must be between 15 minutes and 6 hours",
            ));
        }
        if let Some(ldap) = &self.ldap {
            ldap.check()?;
        }
        check_mappings(
            "user_attribute_mappings",
            &self.user_mappings,
            self.flavor(),
        )?;
        check_mappings(
            "group_attribute_mappings",
            &self.group_mappings,
            self.flavor(),
        )
    }
}

/// Decides whether settings may be removed: not while a session is open (decision U44).
///
/// # Errors
/// `Precondition`.
pub fn check_delete(open_sessions: u64) -> Result<(), Refusal> {
    if open_sessions == 0 {
        return Ok(());
    }
    Err(Refusal::precondition(
        "SYNC_SESSION_OPEN",
        "a synchronization session is open: wait for its end or close it first",
    ))
}

impl SyncFilter {
    fn normalized(self) -> Self {
        Self {
            domain: self.domain.to_lowercase(),
            ..self
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        DnsName::parse("filter.domain", &self.domain)?;
        check_count("filter.groups", self.groups.len(), FILTER_GROUPS_MAX)?;
        check_count(
            "filter.organization_units",
            self.organization_units.len(),
            FILTER_UNITS_MAX,
        )?;
        for (index, group) in self.groups.iter().enumerate() {
            check_group(&format!("filter.groups[{index}]"), group)?;
        }
        for (index, unit) in self.organization_units.iter().enumerate() {
            directory_name::check(&format!("filter.organization_units[{index}]"), unit)?;
        }
        Ok(())
    }
}

/// A group of the filter is a CN, a sAMAccountName or a DN (decision U47).
fn check_group(field: &str, group: &str) -> Result<(), Refusal> {
    text_size::check_required(field, group, FILTER_ITEM_CHARACTERS_MAX)?;
    if directory_name::looks_like_dn(group) {
        return directory_name::check(field, group);
    }
    if group.trim() != group || group.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            field,
            "must be a CN, a sAMAccountName or a DN, without control characters and outer spaces",
        ));
    }
    Ok(())
}

impl LdapSettings {
    fn check(&self) -> Result<(), Refusal> {
        for (field, text) in [
            ("external_id_attribute", &self.external_id_attribute),
            ("dn_attribute", &self.dn_attribute),
            ("user_object_class", &self.user_object_class),
            ("group_object_class", &self.group_object_class),
            (
                "account_disabled_attribute",
                &self.account_disabled_attribute,
            ),
            ("account_disabled_value", &self.account_disabled_value),
            ("account_enabled_value", &self.account_enabled_value),
            ("password_attribute", &self.password_attribute),
        ] {
            text_size::check_required(
                &format!("ldap_settings.{field}"),
                text,
                TEXT_CHARACTERS_MAX,
            )?;
        }
        Ok(())
    }
}

/// The rules of mappings (decision U45).
fn check_mappings<T: MappingTarget + std::fmt::Display>(
    field: &str,
    mappings: &[Mapping<T>],
    flavor: DirectoryFlavor,
) -> Result<(), Refusal> {
    check_count(field, mappings.len(), MAPPINGS_MAX)?;
    for (index, mapping) in mappings.iter().enumerate() {
        let source = format!("{field}[{index}].source");
        text_size::check(&source, &mapping.source, SOURCE_CHARACTERS_MAX)?;
        if mappings
            .iter()
            .take(index)
            .any(|earlier| earlier.target == mapping.target)
        {
            return Err(Refusal::invalid(
                format!("{field}[{index}].target"),
                format!("{} is mapped twice", mapping.target),
            ));
        }
        if !mapping.target.kinds().contains(&mapping.kind) {
            return Err(Refusal::invalid(
                format!("{field}[{index}].type"),
                format!("{} is required and cannot be left empty", mapping.target),
            ));
        }
        match mapping.kind {
            MappingKind::Empty if !mapping.source.is_empty() => {
                return Err(Refusal::invalid(
                    source,
                    "must be empty for a mapping of type EMPTY",
                ));
            }
            MappingKind::Direct if !mapping.target.supports(flavor, &mapping.source) => {
                return Err(Refusal::invalid(
                    source,
                    format!(
                        "{:?} is not supported for {}; supported: {}",
                        mapping.source,
                        mapping.target,
                        mapping.target.sources(flavor).join(", ")
                    ),
                ));
            }
            MappingKind::DirectArbitraryAttribute if !attribute_name_fits(&mapping.source) => {
                return Err(Refusal::invalid(
                    source,
                    "must be the name of a directory attribute",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A short attribute name (RFC 4512 section 2.5).
fn attribute_name_fits(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn check_count(field: &str, count: usize, max: usize) -> Result<(), Refusal> {
    if count > max {
        return Err(Refusal::invalid(
            field,
            format!("has {count} items, at most {max} are allowed"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
