//! Rows of access bindings.

use std::collections::BTreeMap;

use rollcall_domain::access::{
    AccessBinding, Permission, ResourceRef, Role, Subject, SubjectKind, SystemSubject,
};
use rollcall_domain::filter::Filter;
use rollcall_domain::id::{OrganizationId, SubjectId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::organization::Organization;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Param, Row, params};
use crate::error::Error;
use crate::list::{self, Order, in_lists, placeholders};

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

    /// A page of the bindings on a resource, by subject and role.
    pub async fn list_access_bindings_page(
        &self,
        resource: &ResourceRef,
        page: &PageRequest,
    ) -> Result<Page<AccessBinding>, Error> {
        // A binding has no id of its own: neither a subject nor a role has a blank in it.
        let after = page.after.as_ref().map(|cursor| cursor.id.as_str());
        let (subject, role) = after
            .unwrap_or_default()
            .rsplit_once(' ')
            .unwrap_or_default();
        let sql = format!(
            "{SELECT} where resource_kind = $1 and resource_id = $2 \
             and (subject_id, role) > ($3, $4) order by subject_id, role limit $5"
        );
        let values = params![
            resource.kind.name(),
            &resource.id,
            subject,
            role,
            page.size + 1
        ];
        let rows = self.all(&sql, values, read).await?;
        Ok(Page::cut(rows, page.size, |binding| Cursor {
            created_at: Timestamp::EPOCH,
            id: format!("{} {}", binding.subject.id, binding.role),
        }))
    }

    /// The bindings of these subjects on a resource.
    pub async fn list_access_bindings_of_subjects(
        &self,
        resource: &ResourceRef,
        subjects: &[SubjectId],
    ) -> Result<Vec<AccessBinding>, Error> {
        let mut found = Vec::new();
        for mut list in in_lists(subjects) {
            let n = list.len();
            let sql = format!(
                "{SELECT} where subject_id in ({}) and resource_kind = ${} and resource_id = ${}",
                placeholders(1, n),
                n + 1,
                n + 2
            );
            list.push(Param::from(resource.kind.name()));
            list.push(Param::from(&resource.id));
            found.extend(self.all(&sql, &list, read).await?);
        }
        Ok(found)
    }

    /// The bindings of a role on a resource.
    pub async fn list_access_bindings_of_role(
        &self,
        resource: &ResourceRef,
        role: Role,
    ) -> Result<Vec<AccessBinding>, Error> {
        let sql = format!(
            "{SELECT} where resource_kind = $1 and resource_id = $2 and role = $3 \
             order by subject_id"
        );
        let values = params![resource.kind.name(), &resource.id, role.name()];
        self.all(&sql, values, read).await
    }

    /// What these subjects are, for those that exist in an organization.
    pub async fn find_subject_kinds(
        &self,
        organization_id: &OrganizationId,
        subjects: &[SubjectId],
    ) -> Result<BTreeMap<SubjectId, SubjectKind>, Error> {
        let mut kinds = BTreeMap::new();
        for (kind, rows) in [
            (
                SubjectKind::UserAccount,
                "select t.id from users t join userpools o on o.id = t.userpool_id",
            ),
            (
                SubjectKind::ServiceAccount,
                "select t.id from service_accounts t",
            ),
            (SubjectKind::Group, "select t.id from groups t"),
            (SubjectKind::System, "select t.id from userpools t"),
        ] {
            let pools: Vec<SubjectId>;
            let subjects = match kind {
                SubjectKind::System => {
                    pools = subjects.iter().filter_map(pool_of).collect();
                    &pools
                }
                _ => subjects,
            };
            for mut list in in_lists(subjects) {
                let sql = format!(
                    "{rows} where t.id in ({}) and organization_id = ${}",
                    placeholders(1, list.len()),
                    list.len() + 1
                );
                list.push(Param::from(organization_id));
                for id in self.all(&sql, &list, Row::text).await? {
                    let id = match kind {
                        SubjectKind::System => SystemSubject::UsersOfUserpool(id.into()).id(),
                        _ => SubjectId::new(id),
                    };
                    kinds.insert(id, kind);
                }
            }
        }
        let users = SystemSubject::UsersOfOrganization(organization_id.clone()).id();
        if subjects.contains(&users) {
            kinds.insert(users, SubjectKind::System);
        }
        Ok(kinds)
    }

    /// The bindings that count for a caller on these resources, a thing and what is above it: its
    /// own, those of its groups, and those of the sets it belongs to.
    pub async fn list_access_bindings_for(
        &self,
        caller: &Subject,
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
        let sets = self.list_sets_of(caller).await?;
        let (condition, mut values) = counts_for(caller, &sets);
        let mut pairs = Vec::with_capacity(resources.len());
        for resource in resources {
            pairs.push(format!("(${}, ${})", values.len() + 1, values.len() + 2));
            values.push(Param::from(resource.kind.name()));
            values.push(Param::from(&resource.id));
        }
        let sql = format!(
            "{SELECT} where ({condition}) and (resource_kind, resource_id) in (values {})",
            pairs.join(", ")
        );
        self.all(&sql, &values, read).await
    }

    /// As [`Tx::list_access_bindings_for`], on whatever resource.
    pub async fn list_all_access_bindings_for(
        &self,
        caller: &Subject,
    ) -> Result<Vec<AccessBinding>, Error> {
        let sets = self.list_sets_of(caller).await?;
        let (condition, values) = counts_for(caller, &sets);
        let sql = format!("{SELECT} where {condition} order by resource_kind, resource_id, role");
        self.all(&sql, &values, read).await
    }

    /// A page of the organizations on which bindings of a caller carry `permission`, oldest first.
    pub async fn list_organizations_for(
        &self,
        caller: &Subject,
        permission: Permission,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Organization>, Error> {
        let sets = self.list_sets_of(caller).await?;
        let (condition, mut values) = counts_for(caller, &sets);
        let first = values.len() + 1;
        let roles = permission.roles().iter().chain(&[Role::Owner]);
        values.extend(roles.map(|role| Param::from(role.name())));
        let roles = placeholders(first, values.len() + 1 - first);
        let scope = format!(
            "id in (select resource_id from access_bindings where ({condition}) \
             and resource_kind = 'organization' and role in ({roles}))"
        );
        list::page(self, &scope, &values, filter, Order::OldestFirst, page).await
    }

    /// The predefined sets that a caller belongs to.
    async fn list_sets_of(&self, caller: &Subject) -> Result<Vec<SubjectId>, Error> {
        let mut sets = vec![
            SystemSubject::AllAuthenticatedUsers,
            SystemSubject::AllUsers,
        ];
        if caller.kind == SubjectKind::UserAccount {
            let sql = "select p.id, p.organization_id from users u \
                 join userpools p on p.id = u.userpool_id where u.id = $1";
            let homes = self
                .all(sql, params![&caller.id], |row| Ok((row.id()?, row.id()?)))
                .await?;
            for (pool, organization) in homes {
                sets.push(SystemSubject::UsersOfUserpool(pool));
                sets.push(SystemSubject::UsersOfOrganization(organization));
            }
        }
        Ok(sets.iter().map(SystemSubject::id).collect())
    }

    /// Deletes what a pool leaves behind: the bindings on it and those of all its users together.
    pub async fn delete_access_bindings_of_userpool(&self, id: &UserpoolId) -> Result<(), Error> {
        let users = SystemSubject::UsersOfUserpool(id.clone()).id();
        self.execute(
            "delete from access_bindings where (resource_kind = 'userpool' and resource_id = $1) \
             or (subject_kind = 'system' and subject_id = $2)",
            params![id, &users],
        )
        .await?;
        Ok(())
    }
}

/// The condition on rows that count for a caller.
fn counts_for<'a>(caller: &'a Subject, sets: &'a [SubjectId]) -> (String, Vec<Param<'a>>) {
    let mut values = params![&caller.id].to_vec();
    values.extend(sets.iter().map(Param::from));
    let mut condition = format!("subject_id in ({})", placeholders(1, values.len()));
    if caller.kind == SubjectKind::UserAccount {
        condition.push_str(
            " or subject_kind = 'group' and subject_id in \
             (select group_id from memberships where user_id = $1)",
        );
    }
    (condition, values)
}

fn pool_of(subject: &SubjectId) -> Option<SubjectId> {
    match SystemSubject::parse(subject.as_str()) {
        Some(SystemSubject::UsersOfUserpool(id)) => Some(SubjectId::new(id.into_string())),
        _ => None,
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
