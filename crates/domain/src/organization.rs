//! Organizations: the root that pools, groups and service accounts belong to.
//!
//! Invariant: an organization is made at `init` of the hub only; the public interface changes its
//! texts. Deliberately absent: deletion.

use rollcall_kit::timestamp::Timestamp;

use crate::id::OrganizationId;
use crate::labels::{self, Labels};
use crate::mask::Mask;
use crate::named::named_enum;
use crate::refusal::Refusal;
use crate::resource_name;
use crate::text_size::{self, TEXT_CHARACTERS_MAX};

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Identifier.
    pub id: OrganizationId,
    /// Name, unique in the hub.
    pub name: String,
    /// Display name.
    pub title: String,
    /// Free text.
    pub description: String,
    /// Labels.
    pub labels: Labels,
    /// Creation time.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
}

/// The texts of an organization that can be given and changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrganizationInput {
    /// Name.
    pub name: String,
    /// Display name.
    pub title: String,
    /// Free text.
    pub description: String,
    /// Labels.
    pub labels: Labels,
}

named_enum! {
    /// A field that an update can name.
    pub enum OrganizationField {
        /// Name.
        Name = "name",
        /// Display name.
        Title = "title",
        /// Free text.
        Description = "description",
        /// Labels.
        Labels = "labels",
    }
}

impl Organization {
    /// Makes an organization.
    ///
    /// # Errors
    /// `Invalid` for a text that breaks its rule.
    pub fn create(
        input: OrganizationInput,
        id: OrganizationId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let organization = Self {
            id,
            name: input.name,
            title: input.title,
            description: input.description,
            labels: input.labels,
            created_at: now,
            updated_at: now,
        };
        organization.check()?;
        Ok(organization)
    }

    /// Replaces the fields that `mask` covers.
    ///
    /// # Errors
    /// `Invalid` for a text that breaks its rule.
    pub fn update(
        &self,
        input: OrganizationInput,
        mask: &Mask<OrganizationField>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let mut changed = self.clone();
        if mask.covers(OrganizationField::Name) {
            changed.name = input.name;
        }
        if mask.covers(OrganizationField::Title) {
            changed.title = input.title;
        }
        if mask.covers(OrganizationField::Description) {
            changed.description = input.description;
        }
        if mask.covers(OrganizationField::Labels) {
            changed.labels = input.labels;
        }
        changed.updated_at = now;
        changed.check()?;
        Ok(changed)
    }

    fn check(&self) -> Result<(), Refusal> {
        resource_name::check_lower("name", &self.name)?;
        text_size::check("title", &self.title, TEXT_CHARACTERS_MAX)?;
        text_size::check("description", &self.description, TEXT_CHARACTERS_MAX)?;
        labels::check(&self.labels)
    }
}
