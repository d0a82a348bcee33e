//! Rows of access bindings.

use rollcall_domain::access::{AccessBinding, ResourceRef, Subject};
use rollcall_domain::id::SubjectId;
use rollcall_domain::named::Named;

use crate::db::Tx;
use crate::db::value::{Param, Row, params};
use crate::error::Error;

const SELECT: &str =
    "select resource_kind, resource_id, role, subject_id, subject_kind from access_bindings";
/// Resources of one question; a call asks about a thing and what is above it.
const RESOURCES_MAX: usize = 8;

impl Tx {
    /// Inserts a binding; tells whether it was new.
    pub async fn insert_access_binding(&self, binding: &AccessBinding) -> Result<bool, Error> {
        let inserted = self
            .execute(
                "insert into access_bindings \
                 (resource_kind, resource_id, subject_id, subject_kind, role) \
                 values ($1, $2, $3, $4, $5) \
                 on conflict (resource_kind, resource_id, subject_id, role) do nothing",
                params![
                    binding.resource.kind.name(),
                    &binding.resource.id,
                    &binding.subject.id,
                    binding.subject.kind.name(),
                    binding.role.name(),
                ],
            )
            .await?;
        Ok(inserted > 0)
    }

    /// Deletes a binding; tells whether it was there.
    pub async fn delete_access_binding(&self, binding: &AccessBinding) -> Result<bool, Error> {
        let deleted = self
            .execute(
                "delete from access_bindings where resource_kind = $1 and resource_id = $2 \
                 and subject_id = $3 and role = $4",
                params![
                    binding.resource.kind.name(),
                    &binding.resource.id,
                    &binding.subject.id,
                    binding.role.name(),
                ],
            )
            .await?;
        Ok(deleted > 0)
    }

    /// All bindings on a resource, by subject and role.
    pub async fn list_access_bindings(
        &self,
        resource: &ResourceRef,
    ) -> Result<Vec<AccessBinding>, Error> {
        let sql = format!(
            "{SELECT} where resource_kind = $1 and resource_id = $2 order by subject_id, role"
        );
        self.all(&sql, params![resource.kind.name(), &resource.id], read)
            .await
    }

    /// The bindings of a subject on these resources: a thing and what is above it.
    pub async fn list_access_bindings_of_subject(
        &self,
        subject_id: &SubjectId,
        resources: &[ResourceRef],
    ) -> Result<Vec<AccessBinding>, Error> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        if resources.len() > RESOURCES_MAX {
            return Err(Error::failed(format!(
                "bindings on more than {RESOURCES_MAX} resources"
            )));
        }
        let mut values = params![subject_id].to_vec();
        let mut pairs = Vec::with_capacity(resources.len());
        for resource in resources {
            pairs.push(format!("(${}, ${})", values.len() + 1, values.len() + 2));
            values.push(Param::from(resource.kind.name()));
            values.push(Param::from(&resource.id));
        }
        let sql = format!(
            "{SELECT} where subject_id = $1 and (resource_kind, resource_id) in (values {})",
            pairs.join(", ")
        );
        self.all(&sql, &values, read).await
    }

    /// Every binding of a subject, wherever it is.
    pub async fn list_all_access_bindings_of_subject(
        &self,
        subject_id: &SubjectId,
    ) -> Result<Vec<AccessBinding>, Error> {
        let sql =
            format!("{SELECT} where subject_id = $1 order by resource_kind, resource_id, role");
        self.all(&sql, params![subject_id], read).await
    }
}

fn read(row: &mut Row) -> Result<AccessBinding, Error> {
    Ok(AccessBinding {
        resource: ResourceRef {
            kind: row.named()?,
            id: row.text()?,
        },
        role: row.named()?,
        subject: Subject {
            id: row.id()?,
            kind: row.named()?,
        },
    })
}
