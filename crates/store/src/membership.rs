//! Rows of memberships. A batch of the largest size takes a handful of statements.

use std::collections::HashSet;

use rollcall_domain::filter::Filter;
use rollcall_domain::group::Group;
use rollcall_domain::id::{GroupId, UserId};
use rollcall_domain::membership::{MemberDelta, Membership, MembershipFacts};
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Param, Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order, in_lists, placeholders};

/// Rows of one insert statement.
const ROWS_PER_INSERT_MAX: usize = 250;

/// Which members a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberScope {
    /// Only those who may sign in at this moment.
    Active(Timestamp),
    /// Everybody.
    All,
}

/// A membership from the side of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOfUser {
    /// The group.
    pub group_id: GroupId,
    /// Its name.
    pub group_name: String,
    /// When the user was added.
    pub created_at: Timestamp,
}

impl Listed for Membership {
    const SELECT: &'static str = "select m.group_id, m.user_id, m.created_at from memberships m \
         join users u on u.id = m.user_id";
    const KEY: [&'static str; 2] = ["m.created_at", "m.user_id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            group_id: row.id()?,
            user_id: row.id()?,
            created_at: row.time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.user_id)
    }
}

impl Tx {
    /// What must be known to decide about a batch of deltas.
    pub async fn find_membership_facts(
        &self,
        group: &Group,
        deltas: &[MemberDelta],
    ) -> Result<MembershipFacts, Error> {
        let ids: Vec<UserId> = deltas.iter().map(|delta| delta.user_id.clone()).collect();
        let mut members = HashSet::with_capacity(ids.len());
        for mut list in in_lists(&ids) {
            let sql = format!(
                "select user_id from memberships where user_id in ({}) and group_id = ${}",
                placeholders(1, list.len()),
                list.len() + 1
            );
            list.push(Param::from(&group.id));
            members.extend(self.all(&sql, &list, Row::id).await?);
        }
        let known = self.list_known_users(&group.organization_id, &ids).await?;
        Ok(MembershipFacts { known, members })
    }

    /// Puts users into a group; those who are in it stay as they are.
    pub async fn add_members(
        &self,
        group_id: &GroupId,
        users: &[UserId],
        now: Timestamp,
    ) -> Result<(), Error> {
        for chunk in users.chunks(ROWS_PER_INSERT_MAX) {
            let rows: Vec<_> = (0..chunk.len())
                .map(|n| format!("($1, ${}, $2)", n + 3))
                .collect();
            let sql = format!(
                "insert into memberships (group_id, user_id, created_at) values {} \
                 on conflict (group_id, user_id) do nothing",
                rows.join(", ")
            );
            let mut values = params![group_id, now].to_vec();
            values.extend(chunk.iter().map(Param::from));
            self.execute(&sql, &values).await?;
        }
        Ok(())
    }

    /// Takes users out of a group.
    pub async fn remove_members(&self, group_id: &GroupId, users: &[UserId]) -> Result<(), Error> {
        for mut list in in_lists(users) {
            let sql = format!(
                "delete from memberships where user_id in ({}) and group_id = ${}",
                placeholders(1, list.len()),
                list.len() + 1
            );
            list.push(Param::from(group_id));
            self.execute(&sql, &list).await?;
        }
        Ok(())
    }

    /// A page of the members of a group, those added first at the beginning.
    pub async fn list_members(
        &self,
        group_id: &GroupId,
        scope: MemberScope,
        page: &PageRequest,
    ) -> Result<Page<Membership>, Error> {
        let (condition, params) = match scope {
            MemberScope::Active(now) => (
                "m.group_id = $1 and u.status = 'ACTIVE' \
                 and (u.expires_at is null or u.expires_at > $2)",
                params![group_id, now].to_vec(),
            ),
            MemberScope::All => ("m.group_id = $1", params![group_id].to_vec()),
        };
        let filter = Filter::default();
        let order = Order::OldestFirst;
        list::page(self, condition, &params, &filter, order, page).await
    }

    /// A page of the groups that a user is in, those first that it was added to first. It makes no
    /// difference whether the user may sign in.
    pub async fn list_groups_of_user(
        &self,
        user_id: &UserId,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<GroupOfUser>, Error> {
        let scope = params![user_id];
        list::page(
            self,
            "m.user_id = $1",
            scope,
            filter,
            Order::OldestFirst,
            page,
        )
        .await
    }

    /// How many members a group has.
    pub async fn count_members(&self, group_id: &GroupId) -> Result<u64, Error> {
        self.count(
            "select count(*) from memberships where group_id = $1",
            params![group_id],
        )
        .await
    }
}

impl Listed for GroupOfUser {
    const SELECT: &'static str = "select m.group_id, g.name, m.created_at from memberships m \
         join groups g on g.id = m.group_id";
    const KEY: [&'static str; 2] = ["m.created_at", "m.group_id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            group_id: row.id()?,
            group_name: row.text()?,
            created_at: row.time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.group_id)
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "id" => Some("m.group_id"),
            "name" => Some("g.name"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "id" => self.group_id.to_string(),
            "name" => self.group_name.clone(),
            _ => String::new(),
        }
    }
}
