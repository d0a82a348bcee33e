//! Rows of service accounts and their keys.

use std::collections::BTreeSet;

use rollcall_domain::access::{ResourceRef, Role};
use rollcall_domain::filter::Filter;
use rollcall_domain::id::{KeyId, OrganizationId, ServiceAccountId, SubjectId};
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::service_account::{ServiceAccount, ServiceAccountKey};

use crate::db::Tx;
use crate::db::value::{Param, Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order, in_lists, placeholders};

impl Listed for ServiceAccount {
    const SELECT: &'static str = "select id, organization_id, name, description, created_at, \
         updated_at, disabled_at from service_accounts";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            organization_id: row.id()?,
            name: row.text()?,
            description: row.text()?,
            created_at: row.time()?,
            updated_at: row.time()?,
            disabled_at: row.opt_time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "id" => Some("id"),
            "name" => Some("name"),
            "status" => Some("case when disabled_at is null then 'ACTIVE' else 'DISABLED' end"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "id" => self.id.to_string(),
            "name" => self.name.clone(),
            "status" => self.status().to_string(),
            _ => String::new(),
        }
    }
}

impl Listed for ServiceAccountKey {
    const SELECT: &'static str = "select id, service_account_id, description, public_key_pem, \
         created_at, disabled_at, last_used_at from service_account_keys";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            service_account_id: row.id()?,
            description: row.text()?,
            public_key_pem: row.text()?,
            created_at: row.time()?,
            disabled_at: row.opt_time()?,
            last_used_at: row.opt_time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }
}

impl Tx {
    /// Inserts a service account. A name of another one of the organization is a conflict.
    pub async fn insert_service_account(&self, account: &ServiceAccount) -> Result<(), Error> {
        self.execute(
            "insert into service_accounts (id, organization_id, name, description, created_at, \
             updated_at, disabled_at) values ($1, $2, $3, $4, $5, $6, $7)",
            params![
                &account.id,
                &account.organization_id,
                &account.name,
                &account.description,
                account.created_at,
                account.updated_at,
                account.disabled_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// The service account `id`.
    pub async fn find_service_account(
        &self,
        id: &ServiceAccountId,
    ) -> Result<Option<ServiceAccount>, Error> {
        let sql = format!("{} where id = $1", ServiceAccount::SELECT);
        self.one(&sql, params![id], ServiceAccount::read).await
    }

    /// How many enabled service accounts but `except` have `role` on `resource`.
    pub async fn count_enabled_service_accounts_with_role(
        &self,
        resource: &ResourceRef,
        role: Role,
        except: &ServiceAccountId,
    ) -> Result<u64, Error> {
        self.count(
            "select count(*) from access_bindings b join service_accounts a on a.id = b.subject_id \
             where b.resource_kind = $1 and b.resource_id = $2 and b.role = $3 \
             and a.id <> $4 and a.disabled_at is null",
            params![resource.kind.name(), &resource.id, role.name(), except],
        )
        .await
    }

    /// Which of these subjects are enabled service accounts of an organization.
    pub async fn find_enabled_service_accounts(
        &self,
        organization_id: &OrganizationId,
        subjects: &[SubjectId],
    ) -> Result<BTreeSet<SubjectId>, Error> {
        let mut enabled = BTreeSet::new();
        for mut list in in_lists(subjects) {
            let sql = format!(
                "select id from service_accounts where id in ({}) and organization_id = ${} \
                 and disabled_at is null",
                placeholders(1, list.len()),
                list.len() + 1
            );
            list.push(Param::from(organization_id));
            enabled.extend(self.all(&sql, &list, Row::id).await?);
        }
        Ok(enabled)
    }

    /// Saves all of a service account but its organization and creation time. A name of another
    /// one of the organization is a conflict.
    pub async fn save_service_account(&self, account: &ServiceAccount) -> Result<(), Error> {
        self.execute(
            "update service_accounts set name = $2, description = $3, updated_at = $4, \
             disabled_at = $5 where id = $1",
            params![
                &account.id,
                &account.name,
                &account.description,
                account.updated_at,
                account.disabled_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// A page of the service accounts of an organization, oldest first.
    pub async fn list_service_accounts(
        &self,
        organization_id: &OrganizationId,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<ServiceAccount>, Error> {
        let (scope, params) = ("organization_id = $1", params![organization_id]);
        list::page(self, scope, params, filter, Order::OldestFirst, page).await
    }

    /// Deletes a service account with its keys, bindings and tokens, also those it asked for in
    /// the name of others; tells whether it was there.
    pub async fn delete_service_account(&self, id: &ServiceAccountId) -> Result<bool, Error> {
        self.delete_iam_tokens_of_subject(&id.clone().into())
            .await?;
        for sql in [
            "delete from service_account_keys where service_account_id = $1",
            "delete from access_bindings where subject_id = $1",
        ] {
            self.execute(sql, params![id]).await?;
        }
        Ok(self
            .execute("delete from service_accounts where id = $1", params![id])
            .await?
            > 0)
    }

    /// Inserts a key.
    pub async fn insert_service_account_key(&self, key: &ServiceAccountKey) -> Result<(), Error> {
        self.execute(
            "insert into service_account_keys (id, service_account_id, description, \
             public_key_pem, created_at, disabled_at, last_used_at) \
             values ($1, $2, $3, $4, $5, $6, $7)",
            params![
                &key.id,
                &key.service_account_id,
                &key.description,
                &key.public_key_pem,
                key.created_at,
                key.disabled_at,
                key.last_used_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// The key `id`.
    pub async fn find_service_account_key(
        &self,
        id: &KeyId,
    ) -> Result<Option<ServiceAccountKey>, Error> {
        let sql = format!("{} where id = $1", ServiceAccountKey::SELECT);
        self.one(&sql, params![id], ServiceAccountKey::read).await
    }

    /// How many keys a service account has.
    pub async fn count_service_account_keys(
        &self,
        account_id: &ServiceAccountId,
    ) -> Result<u64, Error> {
        let sql = "select count(*) from service_account_keys where service_account_id = $1";
        self.count(sql, params![account_id]).await
    }

    /// Saves whether a key is disabled and when it was used.
    pub async fn save_service_account_key(&self, key: &ServiceAccountKey) -> Result<(), Error> {
        self.execute(
            "update service_account_keys set disabled_at = $2, last_used_at = $3 where id = $1",
            params![&key.id, key.disabled_at, key.last_used_at],
        )
        .await?;
        Ok(())
    }

    /// A page of the keys of a service account, oldest first.
    pub async fn list_service_account_keys(
        &self,
        account_id: &ServiceAccountId,
        page: &PageRequest,
    ) -> Result<Page<ServiceAccountKey>, Error> {
        let (scope, params) = ("service_account_id = $1", params![account_id]);
        let filter = Filter::default();
        list::page(self, scope, params, &filter, Order::OldestFirst, page).await
    }

    /// Deletes a key; tells whether it was there. Tokens issued for it live to their end.
    pub async fn delete_service_account_key(&self, id: &KeyId) -> Result<bool, Error> {
        let sql = "delete from service_account_keys where id = $1";
        Ok(self.execute(sql, params![id]).await? > 0)
    }
}
