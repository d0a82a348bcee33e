//! Counts for quotas.
//!
//! Invariant: a count looks at no more rows of an index than the limit it is compared with.
//! Deliberately absent: the limits.

use rollcall_domain::id::UserId;
use rollcall_domain::quota::QuotaScope;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{in_lists, placeholders};

impl Tx {
    /// How much of a quota is used; a count that reaches `limit` ends there.
    pub async fn count_for_quota(&self, scope: QuotaScope<'_>, limit: u64) -> Result<u64, Error> {
        let rows = match scope {
            QuotaScope::SubjectsOf(_) => {
                "select u.id from users u join userpools p on p.id = u.userpool_id \
                 where p.organization_id = $1 \
                 union all select a.id from service_accounts a where a.organization_id = $1"
            }
            QuotaScope::GroupsOf(_) => "select id from groups where organization_id = $1",
            QuotaScope::MembersOf(_) => "select user_id from memberships where group_id = $1",
            QuotaScope::GroupsOfUser(_) => "select group_id from memberships where user_id = $1",
            QuotaScope::AccessBindingsOf(_) => {
                "select role from access_bindings \
                 where resource_kind = 'organization' and resource_id = $1"
            }
            QuotaScope::UserpoolsOf(_) => "select id from userpools where organization_id = $1",
            QuotaScope::UsersOf(_) => "select id from users where userpool_id = $1",
            QuotaScope::DomainsOf(_) => "select name from userpool_domains where userpool_id = $1",
            QuotaScope::ServiceAccountsOf(_) => {
                "select id from service_accounts where organization_id = $1"
            }
            QuotaScope::KeysOf(_) => {
                "select id from service_account_keys where service_account_id = $1"
            }
        };
        let sql = format!("select count(*) from ({rows} limit $2) as counted");
        let (_, id) = scope.holder();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.count(&sql, params![&id, limit]).await
    }

    /// How many groups each of these users is in; those in none are left out.
    pub async fn count_groups_of_users(
        &self,
        users: &[UserId],
    ) -> Result<Vec<(UserId, u64)>, Error> {
        let mut counts = Vec::with_capacity(users.len());
        for list in in_lists(users) {
            let sql = format!(
                "select user_id, count(*) from memberships where user_id in ({}) group by user_id",
                placeholders(1, list.len())
            );
            let found = self
                .all(&sql, &list, |row| Ok((row.id()?, Row::count(row)?)))
                .await?;
            counts.extend(found);
        }
        Ok(counts)
    }
}
