//! Groups of an organization.
//!
//! Invariant: a group is external when it is tied to an object of a subject container, by a pair
//! that is unique in the hub; else it is basic. Deliberately absent: members, and nesting, which
//! does not exist.

use rollcall_kit::timestamp::Timestamp;

use crate::access::{AccessBinding, ResourceRef, Role, Subject};
use crate::id::{GroupId, OrganizationId, UserpoolId};
use crate::labels::{self, Labels};
use crate::mask::Mask;
use crate::named::named_enum;
use crate::refusal::Refusal;
use crate::resource_name;
use crate::text_size::{self, TEXT_CHARACTERS_MAX};

/// Longest external id of a group in characters.
pub const EXTERNAL_ID_CHARACTERS_MAX: usize = 1_024;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Identifier.
    pub id: GroupId,
    /// The organization it belongs to.
    pub organization_id: OrganizationId,
    /// Name, unique in the organization.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Labels.
    pub labels: Labels,
    /// The object it mirrors; `None` = a basic group.
    pub external: Option<ExternalKey>,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

/// The object that an external group mirrors.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalKey {
    /// The pool whose directory holds the object.
    pub subject_container_id: UserpoolId,
    /// Identifier of the object in the directory.
    pub external_id: String,
}

/// The parts of a group that can be given and changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupInput {
    /// Name.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Labels.
    pub labels: Labels,
}

named_enum! {
    /// A field that an update can name.
    pub enum GroupField {
        /// Name.
        Name = "name",
        /// Free text.
        Description = "description",
        /// Labels.
        Labels = "labels",
    }
}

impl ExternalKey {
    /// Checks the pair.
    ///
    /// # Errors
    /// `Invalid` when one of the two is empty or too long.
    pub fn new(
        subject_container_id: UserpoolId,
        external_id: impl Into<String>,
    ) -> Result<Self, Refusal> {
        let external_id = external_id.into();
        if subject_container_id.as_str().is_empty() {
            return Err(Refusal::invalid(
                "subject_container_id",
                "must not be empty",
            ));
        }
        text_size::check_required("external_id", &external_id, EXTERNAL_ID_CHARACTERS_MAX)?;
        Ok(Self {
            subject_container_id,
            external_id,
        })
    }
}

impl Group {
    /// Makes a group: basic without `external`, else external.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn create(
        organization_id: OrganizationId,
        input: GroupInput,
        external: Option<ExternalKey>,
        id: GroupId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let group = Self {
            id,
            organization_id,
            name: input.name,
            description: input.description,
            labels: input.labels,
            external,
            created_at: now,
            updated_at: now,
        };
        group.check()?;
        Ok(group)
    }

    /// Replaces the fields that `mask` covers.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn update(
        &self,
        input: GroupInput,
        mask: &Mask<GroupField>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let mut changed = self.clone();
        if mask.covers(GroupField::Name) {
            changed.name = input.name;
        }
        if mask.covers(GroupField::Description) {
            changed.description = input.description;
        }
        if mask.covers(GroupField::Labels) {
            changed.labels = input.labels;
        }
        changed.updated_at = now;
        changed.check()?;
        Ok(changed)
    }

    /// Ties a basic group to an object; a group tied to that object already stays as it is.
    ///
    /// # Errors
    /// `Precondition` when the group is tied to another object.
    pub fn convert_to_external(&self, key: ExternalKey, now: Timestamp) -> Result<Self, Refusal> {
        match &self.external {
            Some(present) if *present == key => Ok(self.clone()),
            Some(present) => Err(Refusal::precondition(
                "GROUP_ALREADY_EXTERNAL",
                format!(
                    "group {} is already tied to {} of {}",
                    self.id, present.external_id, present.subject_container_id
                ),
            )),
            None => Ok(Self {
                external: Some(key),
                updated_at: now,
                ..self.clone()
            }),
        }
    }

    /// Whether the group mirrors an object of a directory.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.external.is_some()
    }

    /// The grant that `make_editor` asks for: the caller may manage this external group.
    #[must_use]
    pub fn editor_binding(&self, editor: Subject) -> AccessBinding {
        AccessBinding {
            resource: ResourceRef::group(&self.id),
            role: Role::GroupsExternalManager,
            subject: editor,
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        resource_name::check_group("name", &self.name)?;
        text_size::check("description", &self.description, TEXT_CHARACTERS_MAX)?;
        labels::check(&self.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn create(name: &str) -> Result<Group, Refusal> {
        let input = GroupInput {
            name: name.into(),
            ..Default::default()
        };
        Group::create("bpf1".into(), input, None, "aje1".into(), NOW)
    }

    #[test]
    fn a_group_is_tied_to_one_object_for_ever() {
        let basic = create("Staff").unwrap();
        assert!(!basic.is_external());
        let key = ExternalKey::new("ek01".into(), "guid-1").unwrap();
        let tied = basic.convert_to_external(key.clone(), NOW).unwrap();
        assert!(tied.is_external());
        assert_eq!(tied.convert_to_external(key, NOW).unwrap(), tied);
        let other = ExternalKey::new("ek01".into(), "guid-2").unwrap();
        assert!(matches!(
            tied.convert_to_external(other, NOW),
            Err(Refusal::Precondition {
                reason: "GROUP_ALREADY_EXTERNAL",
                ..
            })
        ));
    }

    #[test]
    fn bad_values_are_refused() {
        assert!(create("1group").is_err());
        assert!(ExternalKey::new("ek01".into(), "").is_err());
        assert!(ExternalKey::new("".into(), "x").is_err());
        assert!(ExternalKey::new("ek01".into(), "x".repeat(1_025)).is_err());
    }

    #[test]
    fn an_update_without_mask_replaces_everything() {
        let group = create("Staff").unwrap();
        let input = GroupInput {
            name: "All".into(),
            ..Default::default()
        };
        let described = Group {
            description: "old".into(),
            ..group
        };
        let changed = described.update(input.clone(), &Mask::All, NOW).unwrap();
        assert_eq!(
            (changed.name.as_str(), changed.description.as_str()),
            ("All", "")
        );
        let mask = Mask::parse(["name"]).unwrap();
        assert_eq!(
            described.update(input, &mask, NOW).unwrap().description,
            "old"
        );
        let unnamed = GroupInput::default();
        assert!(described.update(unnamed, &mask, NOW).is_err());
    }

    #[test]
    fn make_editor_grants_on_this_group_only() {
        let group = create("Staff").unwrap();
        let binding = group.editor_binding(Subject::service_account("aje9"));
        assert_eq!(binding.resource, ResourceRef::group(&group.id));
        assert_eq!(binding.role, Role::GroupsExternalManager);
    }
}
