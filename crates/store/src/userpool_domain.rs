//! Rows of the domains of pools.

use rollcall_domain::dns_name::DnsName;
use rollcall_domain::filter::Filter;
use rollcall_domain::id::UserpoolId;
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::userpool_domain::{DnsChallenge, UserpoolDomain};

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};

impl Listed for UserpoolDomain {
    const SELECT: &'static str = "select userpool_id, name, status, created_at, validated_at, \
         deletion_protection, challenge_value, challenge_status, challenge_created_at, \
         challenge_updated_at from userpool_domains";
    const KEY: [&'static str; 2] = ["created_at", "name"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            userpool_id: row.id()?,
            name: DnsName::from_checked(row.text()?),
            status: row.named()?,
            created_at: row.time()?,
            validated_at: row.opt_time()?,
            deletion_protection: row.bool()?,
            challenge: read_challenge(row)?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor {
            created_at: self.created_at,
            id: self.name.to_string(),
        }
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "domain" => Some("name"),
            "status" => Some("status"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "domain" => self.name.to_string(),
            "status" => self.status.to_string(),
            _ => String::new(),
        }
    }
}

impl Tx {
    /// Inserts a domain. A domain of any pool with this name is a conflict.
    pub async fn insert_userpool_domain(&self, domain: &UserpoolDomain) -> Result<(), Error> {
        let challenge = domain.challenge.as_ref();
        self.execute(
            "insert into userpool_domains (userpool_id, name, status, created_at, validated_at, \
             deletion_protection, challenge_value, challenge_status, challenge_created_at, \
             challenge_updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            params![
                &domain.userpool_id,
                domain.name.as_str(),
                domain.status.name(),
                domain.created_at,
                domain.validated_at,
                domain.deletion_protection,
                challenge.map(|challenge| &challenge.value),
                challenge.map(|challenge| challenge.status.name()),
                challenge.map(|challenge| challenge.created_at),
                challenge.map(|challenge| challenge.updated_at),
            ],
        )
        .await?;
        Ok(())
    }

    /// The domain `name` (lower case) of pool `userpool_id`.
    pub async fn find_userpool_domain(
        &self,
        userpool_id: &UserpoolId,
        name: &str,
    ) -> Result<Option<UserpoolDomain>, Error> {
        let sql = format!(
            "{} where name = $1 and userpool_id = $2",
            UserpoolDomain::SELECT
        );
        self.one(&sql, params![name, userpool_id], UserpoolDomain::read)
            .await
    }

    /// Saves the state of a domain and of its proof.
    pub async fn save_userpool_domain(&self, domain: &UserpoolDomain) -> Result<(), Error> {
        let challenge = domain.challenge.as_ref();
        self.execute(
            "update userpool_domains set status = $2, validated_at = $3, challenge_value = $4, \
             challenge_status = $5, challenge_created_at = $6, challenge_updated_at = $7 \
             where name = $1",
            params![
                domain.name.as_str(),
                domain.status.name(),
                domain.validated_at,
                challenge.map(|challenge| &challenge.value),
                challenge.map(|challenge| challenge.status.name()),
                challenge.map(|challenge| challenge.created_at),
                challenge.map(|challenge| challenge.updated_at),
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes a domain; tells whether it was there.
    pub async fn delete_userpool_domain(
        &self,
        userpool_id: &UserpoolId,
        name: &str,
    ) -> Result<bool, Error> {
        let deleted = self
            .execute(
                "delete from userpool_domains where name = $1 and userpool_id = $2",
                params![name, userpool_id],
            )
            .await?;
        Ok(deleted > 0)
    }

    /// A page of the domains of a pool, oldest first: the built-in one comes first.
    pub async fn list_userpool_domains(
        &self,
        userpool_id: &UserpoolId,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<UserpoolDomain>, Error> {
        let scope = params![userpool_id];
        list::page(
            self,
            "userpool_id = $1",
            scope,
            filter,
            Order::OldestFirst,
            page,
        )
        .await
    }
}

fn read_challenge(row: &mut Row) -> Result<Option<DnsChallenge>, Error> {
    let (value, status) = (row.opt_text()?, row.opt_named()?);
    let (created_at, updated_at) = (row.opt_time()?, row.opt_time()?);
    Ok(match (value, status, created_at, updated_at) {
        (Some(value), Some(status), Some(created_at), Some(updated_at)) => Some(DnsChallenge {
            value,
            status,
            created_at,
            updated_at,
        }),
        _ => None,
    })
}
