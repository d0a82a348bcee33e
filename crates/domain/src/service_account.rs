//! Service accounts and their authorized keys: how programs sign in.
//!
//! Invariant: the hub keeps the public half of a key only (decision U128).

use rollcall_kit::timestamp::Timestamp;

use crate::id::{KeyId, OrganizationId, ServiceAccountId};
use crate::refusal::Refusal;
use crate::resource_name;
use crate::text_size::{self, TEXT_CHARACTERS_MAX};

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Identifier.
    pub id: ServiceAccountId,
    /// The organization it belongs to.
    pub organization_id: OrganizationId,
    /// Name, unique in the organization.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Creation time.
    pub created_at: Timestamp,
}

/// An authorized key of a service account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountKey {
    /// Identifier; the `kid` of tokens signed with it.
    pub id: KeyId,
    /// Whose key it is.
    pub service_account_id: ServiceAccountId,
    /// Public key, PEM.
    pub public_key_pem: String,
    /// Creation time.
    pub created_at: Timestamp,
}

impl ServiceAccount {
    /// Makes a service account.
    ///
    /// # Errors
    /// `Invalid` for a value that breaks its rule.
    pub fn create(
        organization_id: OrganizationId,
        name: &str,
        description: &str,
        id: ServiceAccountId,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        resource_name::check_lower("name", name)?;
        text_size::check("description", description, TEXT_CHARACTERS_MAX)?;
        Ok(Self {
            id,
            organization_id,
            name: name.to_owned(),
            description: description.to_owned(),
            created_at: now,
        })
    }
}
