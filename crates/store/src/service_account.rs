//! Rows of service accounts and their keys.

use rollcall_domain::filter::Filter;
use rollcall_domain::id::{KeyId, OrganizationId, ServiceAccountId};
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::service_account::{ServiceAccount, ServiceAccountKey};

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};

impl Listed for ServiceAccount {
    const SELECT: &'static str =
        "select id, organization_id, name, description, created_at from service_accounts";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            organization_id: row.id()?,
            name: row.text()?,
            description: row.text()?,
            created_at: row.time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor {
            created_at: self.created_at,
            id: self.id.to_string(),
        }
    }
}

impl Listed for ServiceAccountKey {
    const SELECT: &'static str =
        "select id, service_account_id, public_key_pem, created_at from service_account_keys";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            service_account_id: row.id()?,
            public_key_pem: row.text()?,
            created_at: row.time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor {
            created_at: self.created_at,
            id: self.id.to_string(),
        }
    }
}

impl Tx {
    /// Inserts a service account. A name of another one of the organization is a conflict.
    pub async fn insert_service_account(&self, account: &ServiceAccount) -> Result<(), Error> {
        self.execute(
            "insert into service_accounts (id, organization_id, name, description, created_at) \
             values ($1, $2, $3, $4, $5)",
            params![
                &account.id,
                &account.organization_id,
                &account.name,
                &account.description,
                account.created_at,
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

    /// The service account of an organization with this name.
    pub async fn find_service_account_by_name(
        &self,
        organization_id: &OrganizationId,
        name: &str,
    ) -> Result<Option<ServiceAccount>, Error> {
        let sql = format!(
            "{} where organization_id = $1 and name = $2",
            ServiceAccount::SELECT
        );
        self.one(&sql, params![organization_id, name], ServiceAccount::read)
            .await
    }

    /// A page of the service accounts of an organization, oldest first.
    pub async fn list_service_accounts(
        &self,
        organization_id: &OrganizationId,
        page: &PageRequest,
    ) -> Result<Page<ServiceAccount>, Error> {
        let scope = params![organization_id];
        let filter = Filter::default();
        list::page(
            self,
            "organization_id = $1",
            scope,
            &filter,
            Order::OldestFirst,
            page,
        )
        .await
    }

    /// Deletes a service account with its keys, bindings and tokens; tells whether it was there.
    pub async fn delete_service_account(&self, id: &ServiceAccountId) -> Result<bool, Error> {
        for sql in [
            "delete from service_account_keys where service_account_id = $1",
            "delete from access_bindings where subject_id = $1",
            "delete from iam_tokens where subject_id = $1",
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
            "insert into service_account_keys \
             (id, service_account_id, public_key_pem, created_at) values ($1, $2, $3, $4)",
            params![
                &key.id,
                &key.service_account_id,
                &key.public_key_pem,
                key.created_at
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

    /// A page of the keys of a service account, oldest first.
    pub async fn list_service_account_keys(
        &self,
        account_id: &ServiceAccountId,
        page: &PageRequest,
    ) -> Result<Page<ServiceAccountKey>, Error> {
        let scope = params![account_id];
        let filter = Filter::default();
        list::page(
            self,
            "service_account_id = $1",
            scope,
            &filter,
            Order::OldestFirst,
            page,
        )
        .await
    }

    /// Deletes a key; tells whether it was there. Tokens issued for it live to their end.
    pub async fn delete_service_account_key(&self, id: &KeyId) -> Result<bool, Error> {
        let sql = "delete from service_account_keys where id = $1";
        Ok(self.execute(sql, params![id]).await? > 0)
    }
}
