//! Rows of groups.

use rollcall_domain::access::Role;
use rollcall_domain::filter::Filter;
use rollcall_domain::group::{ExternalKey, Group};
use rollcall_domain::id::{GroupId, OrganizationId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};
use crate::organization::{pack_labels, read_labels};

impl Listed for Group {
    const SELECT: &'static str = "select id, organization_id, name, description, labels, \
         subject_container_id, external_id, created_at, updated_at from groups";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            organization_id: row.id()?,
            name: row.text()?,
            description: row.text()?,
            labels: read_labels(row)?,
            external: read_external(row)?,
            created_at: row.time()?,
            updated_at: row.time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "id" => Some("id"),
            "name" => Some("name"),
            "external_id" => Some("coalesce(external_id, '')"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "id" => self.id.to_string(),
            "name" => self.name.clone(),
            "external_id" => self
                .external
                .as_ref()
                .map(|key| key.external_id.clone())
                .unwrap_or_default(),
            _ => String::new(),
        }
    }
}

impl Tx {
    /// Inserts a group. A name of another group of the organization, or an object of another
    /// group, is a conflict.
    pub async fn insert_group(&self, group: &Group) -> Result<(), Error> {
        let external = group.external.as_ref();
        self.execute(
            "insert into groups (id, organization_id, name, description, labels, \
             subject_container_id, external_id, created_at, updated_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            params![
                &group.id,
                &group.organization_id,
                &group.name,
                &group.description,
                &pack_labels(&group.labels),
                external.map(|key| &key.subject_container_id),
                external.map(|key| &key.external_id),
                group.created_at,
                group.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// The group `id`.
    pub async fn find_group(&self, id: &GroupId) -> Result<Option<Group>, Error> {
        let sql = format!("{} where id = $1", Group::SELECT);
        self.one(&sql, params![id], Group::read).await
    }

    /// The group that mirrors this object.
    pub async fn find_group_by_external_key(
        &self,
        key: &ExternalKey,
    ) -> Result<Option<Group>, Error> {
        let sql = format!(
            "{} where subject_container_id = $1 and external_id = $2",
            Group::SELECT
        );
        self.one(
            &sql,
            params![&key.subject_container_id, &key.external_id],
            Group::read,
        )
        .await
    }

    /// Saves all of a group but its organization and creation time.
    pub async fn save_group(&self, group: &Group) -> Result<(), Error> {
        let external = group.external.as_ref();
        self.execute(
            "update groups set name = $2, description = $3, labels = $4, \
             subject_container_id = $5, external_id = $6, updated_at = $7 where id = $1",
            params![
                &group.id,
                &group.name,
                &group.description,
                &pack_labels(&group.labels),
                external.map(|key| &key.subject_container_id),
                external.map(|key| &key.external_id),
                group.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes a group with its members and the bindings on it and for it; tells whether it was
    /// there.
    pub async fn delete_group(&self, id: &GroupId) -> Result<bool, Error> {
        for sql in [
            "delete from memberships where group_id = $1",
            "delete from access_bindings where resource_kind = 'group' and resource_id = $1",
            "delete from access_bindings where subject_id = $1",
        ] {
            self.execute(sql, params![id]).await?;
        }
        Ok(self
            .execute("delete from groups where id = $1", params![id])
            .await?
            > 0)
    }

    /// A page of the groups of an organization, oldest first.
    pub async fn list_groups(
        &self,
        organization_id: &OrganizationId,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Group>, Error> {
        let scope = params![organization_id];
        list::page(
            self,
            "organization_id = $1",
            scope,
            filter,
            Order::OldestFirst,
            page,
        )
        .await
    }

    /// A page of the groups that mirror objects of a container, oldest first.
    pub async fn list_external_groups(
        &self,
        subject_container_id: &UserpoolId,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Group>, Error> {
        let scope = params![subject_container_id];
        let condition = "subject_container_id = $1 and external_id is not null";
        list::page(self, condition, scope, filter, Order::OldestFirst, page).await
    }

    /// Makes all groups that mirror objects of a container basic, and takes back the grants that
    /// `make_editor` made on them; tells how many groups there were.
    pub async fn convert_groups_to_basic(
        &self,
        subject_container_id: &UserpoolId,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.execute(
            "delete from access_bindings where resource_kind = 'group' and role = $2 \
             and resource_id in (select id from groups \
             where subject_container_id = $1 and external_id is not null)",
            params![subject_container_id, Role::GroupsExternalManager.name()],
        )
        .await?;
        self.execute(
            "update groups set subject_container_id = null, external_id = null, updated_at = $2 \
             where subject_container_id = $1 and external_id is not null",
            params![subject_container_id, now],
        )
        .await
    }

    /// How many groups mirror objects of a container.
    pub async fn count_external_groups(
        &self,
        subject_container_id: &UserpoolId,
    ) -> Result<u64, Error> {
        let sql = "select count(*) from groups \
             where subject_container_id = $1 and external_id is not null";
        self.count(sql, params![subject_container_id]).await
    }
}

fn read_external(row: &mut Row) -> Result<Option<ExternalKey>, Error> {
    let (container, external_id) = (row.opt_id()?, row.opt_text()?);
    Ok(container
        .zip(external_id)
        .map(|(subject_container_id, external_id)| ExternalKey {
            subject_container_id,
            external_id,
        }))
}
