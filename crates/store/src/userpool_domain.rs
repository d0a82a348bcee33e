//! Rows of the domains of pools.

use rollcall_domain::dns_name::DnsName;
use rollcall_domain::filter::Filter;
use rollcall_domain::id::{OperationId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::userpool_domain::{DnsChallenge, UserpoolDomain, Validation};
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};

impl Listed for UserpoolDomain {
    const SELECT: &'static str = "select userpool_id, name, status, created_at, validated_at, \
         deletion_protection, challenge_value, challenge_status, challenge_created_at, \
         challenge_updated_at, last_failure, validation_operation_id, validation_started_at, \
         next_attempt_at, claimed_until from userpool_domains";
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
            last_failure: row.opt_named()?,
            validation: read_validation(row)?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.name)
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
        let validation = domain.validation.as_ref();
        self.execute(
            "insert into userpool_domains (userpool_id, name, status, created_at, validated_at, \
             deletion_protection, challenge_value, challenge_status, challenge_created_at, \
             challenge_updated_at, last_failure, validation_operation_id, \
             validation_started_at, next_attempt_at, claimed_until) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
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
                domain.last_failure.map(Named::name),
                validation.map(|validation| &validation.operation_id),
                validation.map(|validation| validation.started_at),
                validation.map(|validation| validation.next_attempt_at),
                validation.and_then(|validation| validation.claimed_until),
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

    /// The pool that a proven domain belongs to.
    pub async fn find_userpool_of_domain(&self, name: &str) -> Result<Option<UserpoolId>, Error> {
        let sql = "select userpool_id from userpool_domains where name = $1 and status = 'VALID'";
        self.one(sql, params![name], Row::id).await
    }

    /// Saves the state of a domain and of its proof.
    pub async fn save_userpool_domain(&self, domain: &UserpoolDomain) -> Result<(), Error> {
        let challenge = domain.challenge.as_ref();
        let validation = domain.validation.as_ref();
        self.execute(
            "update userpool_domains set status = $2, validated_at = $3, challenge_value = $4, \
             challenge_status = $5, challenge_created_at = $6, challenge_updated_at = $7, \
             last_failure = $8, validation_operation_id = $9, validation_started_at = $10, \
             next_attempt_at = $11, claimed_until = $12 where name = $1",
            params![
                domain.name.as_str(),
                domain.status.name(),
                domain.validated_at,
                challenge.map(|challenge| &challenge.value),
                challenge.map(|challenge| challenge.status.name()),
                challenge.map(|challenge| challenge.created_at),
                challenge.map(|challenge| challenge.updated_at),
                domain.last_failure.map(Named::name),
                validation.map(|validation| &validation.operation_id),
                validation.map(|validation| validation.started_at),
                validation.map(|validation| validation.next_attempt_at),
                validation.and_then(|validation| validation.claimed_until),
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

    /// Up to `limit` domains of any pool whose next look-up for their proof is due at `now` and is
    /// not claimed, the one that waits longest first.
    pub async fn list_due_userpool_domains(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<UserpoolDomain>, Error> {
        let sql = format!(
            "{} where next_attempt_at is not null and next_attempt_at <= $1 \
             and (claimed_until is null or claimed_until <= $1) \
             order by next_attempt_at, name limit $2",
            UserpoolDomain::SELECT
        );
        self.all(&sql, params![now, limit], UserpoolDomain::read)
            .await
    }

    /// The domain whose proof is looked for under the operation `operation_id`.
    pub async fn find_validating_userpool_domain(
        &self,
        operation_id: &OperationId,
    ) -> Result<Option<UserpoolDomain>, Error> {
        let sql = format!(
            "{} where next_attempt_at is not null and validation_operation_id = $1",
            UserpoolDomain::SELECT
        );
        self.one(&sql, params![operation_id], UserpoolDomain::read)
            .await
    }

    /// Up to `limit` domains of a pool whose proof is looked for.
    pub async fn list_validating_userpool_domains(
        &self,
        userpool_id: &UserpoolId,
        limit: u32,
    ) -> Result<Vec<UserpoolDomain>, Error> {
        let sql = format!(
            "{} where userpool_id = $1 and next_attempt_at is not null order by name limit $2",
            UserpoolDomain::SELECT
        );
        self.all(&sql, params![userpool_id, limit], UserpoolDomain::read)
            .await
    }

    /// How many users of a pool have a login that ends in the domain `name` (lower case).
    pub async fn count_users_of_domain(
        &self,
        userpool_id: &UserpoolId,
        name: &str,
    ) -> Result<u64, Error> {
        let ending = format!("@{name}");
        let characters = i64::try_from(ending.chars().count()).unwrap_or(i64::MAX);
        // The casts, because PostgreSQL has no substr with a bigint.
        let sql = "select count(*) from users where userpool_id = $1 and substr(username_folded, \
             cast(length(username_folded) + 1 - cast($2 as bigint) as integer)) = $3";
        self.count(sql, params![userpool_id, characters, &ending])
            .await
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

fn read_validation(row: &mut Row) -> Result<Option<Validation>, Error> {
    let operation_id = row.opt_id()?;
    let (started_at, next_attempt_at) = (row.opt_time()?, row.opt_time()?);
    let claimed_until = row.opt_time()?;
    Ok(match (operation_id, started_at, next_attempt_at) {
        (Some(operation_id), Some(started_at), Some(next_attempt_at)) => Some(Validation {
            operation_id,
            started_at,
            next_attempt_at,
            claimed_until,
        }),
        _ => None,
    })
}
