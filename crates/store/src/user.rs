//! Rows of users.

use std::collections::{HashMap, HashSet};

use rollcall_domain::filter::Filter;
use rollcall_domain::id::{OrganizationId, UserId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::user::{Profile, Suspension, User, UserStatus};
use rollcall_domain::username::Username;
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Param, Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order, in_lists, placeholders};

/// A user found by its external id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// The user.
    pub user_id: UserId,
    /// The external id as it was asked for.
    pub external_id: String,
    /// When the stored password was set, as far as known.
    pub password_created_at: Option<Timestamp>,
}

macro_rules! columns {
    () => {
        "u.id, u.userpool_id, u.username, u.suspension, u.suspend_reason, u.full_name, \
         u.given_name, u.family_name, u.email, u.phone_number, u.company_name, u.department, \
         u.job_title, u.employee_id, u.external_id, u.expires_at, u.created_at, u.updated_at, \
         p.created_at"
    };
}

macro_rules! source {
    () => {
        " from users u left join passwords p on p.user_id = u.id"
    };
}

/// The status of a user at the moment `$2`: an account that has ended is suspended, swept or not.
macro_rules! status_now {
    () => {
        "(case when u.status = 'ACTIVE' and u.expires_at <= $2 then 'SUSPENDED' else u.status end)"
    };
}

/// A user as stored, and its status at the moment of the list.
struct ListedUser {
    user: User,
    status_now: UserStatus,
}

impl Listed for User {
    const SELECT: &'static str = concat!("select ", columns!(), source!());
    const KEY: [&'static str; 2] = ["u.created_at", "u.id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            userpool_id: row.id()?,
            username: Username::from_checked(row.text()?),
            suspension: read_suspension(row)?,
            suspend_reason: row.text()?,
            profile: Profile {
                full_name: row.text()?,
                given_name: row.text()?,
                family_name: row.text()?,
                email: row.text()?,
                phone_number: row.text()?,
                company_name: row.text()?,
                department: row.text()?,
                job_title: row.text()?,
                employee_id: row.text()?,
            },
            external_id: row.opt_text()?,
            expires_at: row.opt_time()?,
            created_at: row.time()?,
            updated_at: row.time()?,
            password_created_at: row.opt_time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }
}

impl Listed for ListedUser {
    const SELECT: &'static str = concat!("select ", columns!(), ", ", status_now!(), source!());
    const KEY: [&'static str; 2] = User::KEY;

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            user: User::read(row)?,
            status_now: row.named()?,
        })
    }

    fn cursor(&self) -> Cursor {
        self.user.cursor()
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "id" => Some("u.id"),
            "username" => Some("u.username_folded"),
            "full_name" => Some("u.full_name"),
            "given_name" => Some("u.given_name"),
            "family_name" => Some("u.family_name"),
            "email" => Some("u.email"),
            "external_id" => Some("coalesce(u.external_id, '')"),
            "status" => Some(status_now!()),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        let user = &self.user;
        match field {
            "id" => user.id.to_string(),
            "username" => user.username.folded(),
            "full_name" => user.profile.full_name.clone(),
            "given_name" => user.profile.given_name.clone(),
            "family_name" => user.profile.family_name.clone(),
            "email" => user.profile.email.clone(),
            "external_id" => user.external_id.clone().unwrap_or_default(),
            "status" => self.status_now.to_string(),
            _ => String::new(),
        }
    }
}

impl Tx {
    /// Inserts a user, without its password. A login or external id of another user of the pool
    /// is a conflict.
    pub async fn insert_user(&self, user: &User) -> Result<(), Error> {
        let profile = &user.profile;
        self.execute(
            "insert into users (id, userpool_id, username, username_folded, status, suspension, \
             suspend_reason, full_name, given_name, family_name, email, phone_number, \
             company_name, department, job_title, employee_id, external_id, expires_at, \
             created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
             $13, $14, $15, $16, $17, $18, $19, $20)",
            params![
                &user.id,
                &user.userpool_id,
                user.username.as_str(),
                &user.username.folded(),
                user.status(user.updated_at).name(),
                i64::from(user.suspension.as_bits()),
                &user.suspend_reason,
                &profile.full_name,
                &profile.given_name,
                &profile.family_name,
                &profile.email,
                &profile.phone_number,
                &profile.company_name,
                &profile.department,
                &profile.job_title,
                &profile.employee_id,
                user.external_id.as_ref(),
                user.expires_at,
                user.created_at,
                user.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// The user `id`.
    pub async fn find_user(&self, id: &UserId) -> Result<Option<User>, Error> {
        let sql = format!("{} where u.id = $1", User::SELECT);
        self.one(&sql, params![id], User::read).await
    }

    /// The user of a pool with this login, in the form in which logins are compared.
    pub async fn find_user_by_login(
        &self,
        userpool_id: &UserpoolId,
        folded: &str,
    ) -> Result<Option<User>, Error> {
        let sql = format!(
            "{} where u.userpool_id = $1 and u.username_folded = $2",
            User::SELECT
        );
        self.one(&sql, params![userpool_id, folded], User::read)
            .await
    }

    /// Saves all of a user but its pool, creation time and password.
    pub async fn save_user(&self, user: &User) -> Result<(), Error> {
        let profile = &user.profile;
        self.execute(
            "update users set username = $2, username_folded = $3, status = $4, suspension = $5, \
             suspend_reason = $6, full_name = $7, given_name = $8, family_name = $9, email = $10, \
             phone_number = $11, company_name = $12, department = $13, job_title = $14, \
             employee_id = $15, external_id = $16, expires_at = $17, updated_at = $18 \
             where id = $1",
            params![
                &user.id,
                user.username.as_str(),
                &user.username.folded(),
                user.status(user.updated_at).name(),
                i64::from(user.suspension.as_bits()),
                &user.suspend_reason,
                &profile.full_name,
                &profile.given_name,
                &profile.family_name,
                &profile.email,
                &profile.phone_number,
                &profile.company_name,
                &profile.department,
                &profile.job_title,
                &profile.employee_id,
                user.external_id.as_ref(),
                user.expires_at,
                user.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes a user with its passwords, memberships, bindings and tokens, also those it asked for
    /// in the name of others; tells whether it was there.
    pub async fn delete_user(&self, id: &UserId) -> Result<bool, Error> {
        for sql in [
            "delete from password_writebacks where user_id = $1",
            "delete from password_history where user_id = $1",
            "delete from passwords where user_id = $1",
            "delete from memberships where user_id = $1",
            "delete from access_bindings where subject_id = $1",
        ] {
            self.execute(sql, params![id]).await?;
        }
        self.delete_sign_in_sessions_of_user(id, None).await?;
        self.delete_iam_tokens_of_subject(&id.clone().into())
            .await?;
        Ok(self
            .execute("delete from users where id = $1", params![id])
            .await?
            > 0)
    }

    /// A page of the users of a pool, oldest first. They are returned as stored, but filtered by
    /// the status they have at `now`.
    pub async fn list_users(
        &self,
        userpool_id: &UserpoolId,
        filter: &Filter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<User>, Error> {
        let scope = params![userpool_id, now];
        let condition = "u.userpool_id = $1";
        let page: Page<ListedUser> =
            list::page(self, condition, scope, filter, Order::OldestFirst, page).await?;
        Ok(Page {
            items: page.items.into_iter().map(|row| row.user).collect(),
            next: page.next,
        })
    }

    /// The users of a pool with these external ids: only those found, in the order asked, each
    /// once (decision U67).
    pub async fn resolve_external_ids(
        &self,
        userpool_id: &UserpoolId,
        external_ids: &[String],
    ) -> Result<Vec<ResolvedUser>, Error> {
        let mut found = HashMap::with_capacity(external_ids.len());
        for mut list in in_lists(external_ids) {
            let sql = format!(
                "select u.id, u.external_id, p.created_at from users u \
                 left join passwords p on p.user_id = u.id \
                 where u.external_id in ({}) and u.userpool_id = ${}",
                placeholders(1, list.len()),
                list.len() + 1
            );
            list.push(Param::from(userpool_id));
            let users = self
                .all(&sql, &list, |row| {
                    Ok(ResolvedUser {
                        user_id: row.id()?,
                        external_id: row.text()?,
                        password_created_at: row.opt_time()?,
                    })
                })
                .await?;
            found.extend(
                users
                    .into_iter()
                    .map(|user| (user.external_id.clone(), user)),
            );
        }
        Ok(external_ids
            .iter()
            .filter_map(|id| found.remove(id))
            .collect())
    }

    /// Which of these users exist in pools of the organization.
    pub async fn list_known_users(
        &self,
        organization_id: &OrganizationId,
        ids: &[UserId],
    ) -> Result<HashSet<UserId>, Error> {
        let mut known = HashSet::with_capacity(ids.len());
        for mut list in in_lists(ids) {
            let sql = format!(
                "select u.id from users u join userpools o on o.id = u.userpool_id \
                 where u.id in ({}) and o.organization_id = ${}",
                placeholders(1, list.len()),
                list.len() + 1
            );
            list.push(Param::from(organization_id));
            known.extend(self.all(&sql, &list, Row::id).await?);
        }
        Ok(known)
    }

    /// Users whose account end has passed and who are not suspended for it yet, for the sweeper.
    pub async fn list_users_to_expire(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<User>, Error> {
        // 4 is the bit of the cause EXPIRED; both engines have `&`.
        let sql = format!(
            "{} where u.expires_at is not null and u.expires_at <= $1 and (u.suspension & 4) = 0 \
             order by u.expires_at, u.id limit $2",
            User::SELECT
        );
        self.all(&sql, params![now, limit], User::read).await
    }

    /// How many users a pool has.
    pub async fn count_users(&self, userpool_id: &UserpoolId) -> Result<u64, Error> {
        let sql = "select count(*) from users where userpool_id = $1";
        self.count(sql, params![userpool_id]).await
    }
}

fn read_suspension(row: &mut Row) -> Result<Suspension, Error> {
    let bits = row.int()?;
    Suspension::from_bits(bits)
        .ok_or_else(|| Error::corrupt(format!("a user has the unknown suspension {bits}")))
}
