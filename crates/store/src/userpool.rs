//! Rows of user pools.

use rollcall_domain::filter::Filter;
use rollcall_domain::id::{OrganizationId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_domain::password_policy::{
    BlacklistPolicy, BruteforcePolicy, Complexity, FixedComplexity, LifetimePolicy, QualityPolicy,
    SmartComplexity,
};
use rollcall_domain::userpool::{UserSettings, Userpool, UserpoolContents};
use rollcall_kit::timestamp::{Span, Timestamp};

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};
use crate::organization::{pack_labels, read_labels};
use crate::packed;

impl Listed for Userpool {
    const SELECT: &'static str = "select id, organization_id, name, description, labels, status, \
         user_settings, quality_allow_similar, quality_max_length, quality_match_length, \
         complexity, complexity_numbers, password_min_days, password_max_days, \
         bruteforce_window_micros, bruteforce_block_micros, bruteforce_attempts, \
         check_common_passwords, created_at, updated_at from userpools";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            organization_id: row.id()?,
            name: row.text()?,
            description: row.text()?,
            labels: read_labels(row)?,
            status: row.named()?,
            user_settings: unpack_user_settings(row.int()?),
            quality_policy: QualityPolicy {
                allow_similar: row.bool()?,
                max_length: row.int()?,
                match_length: row.int()?,
                complexity: unpack_complexity(&row.text()?, &row.text()?)?,
            },
            lifetime_policy: LifetimePolicy {
                min_days_count: row.int()?,
                max_days_count: row.int()?,
            },
            bruteforce_policy: BruteforcePolicy {
                window: Span::micros(row.int()?),
                block: Span::micros(row.int()?),
                attempts: row.int()?,
            },
            blacklist_policy: BlacklistPolicy {
                check_common: row.bool()?,
            },
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
            "status" => Some("status"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "id" => self.id.to_string(),
            "name" => self.name.clone(),
            "status" => self.status.to_string(),
            _ => String::new(),
        }
    }
}

impl Tx {
    /// Inserts a pool; its default domain is inserted on its own.
    pub async fn insert_userpool(&self, pool: &Userpool) -> Result<(), Error> {
        self.execute(
            "insert into userpools (id, organization_id, name, description, labels, status, \
             user_settings, quality_allow_similar, quality_max_length, quality_match_length, \
             complexity, complexity_numbers, password_min_days, password_max_days, \
             bruteforce_window_micros, bruteforce_block_micros, bruteforce_attempts, \
             check_common_passwords, created_at, updated_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
             $18, $19, $20)",
            params![
                &pool.id,
                &pool.organization_id,
                &pool.name,
                &pool.description,
                &pack_labels(&pool.labels),
                pool.status.name(),
                pack_user_settings(pool.user_settings),
                pool.quality_policy.allow_similar,
                pool.quality_policy.max_length,
                pool.quality_policy.match_length,
                complexity_name(pool.quality_policy.complexity),
                &pack_complexity(pool.quality_policy.complexity),
                pool.lifetime_policy.min_days_count,
                pool.lifetime_policy.max_days_count,
                pool.bruteforce_policy.window.as_micros(),
                pool.bruteforce_policy.block.as_micros(),
                pool.bruteforce_policy.attempts,
                pool.blacklist_policy.check_common,
                pool.created_at,
                pool.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// The pool `id`.
    pub async fn find_userpool(&self, id: &UserpoolId) -> Result<Option<Userpool>, Error> {
        let sql = format!("{} where id = $1", Userpool::SELECT);
        self.one(&sql, params![id], Userpool::read).await
    }

    /// Saves all of a pool but its organization and creation time.
    pub async fn save_userpool(&self, pool: &Userpool) -> Result<(), Error> {
        self.execute(
            "update userpools set name = $2, description = $3, labels = $4, status = $5, \
             user_settings = $6, quality_allow_similar = $7, quality_max_length = $8, \
             quality_match_length = $9, complexity = $10, complexity_numbers = $11, \
             password_min_days = $12, password_max_days = $13, bruteforce_window_micros = $14, \
             bruteforce_block_micros = $15, bruteforce_attempts = $16, \
             check_common_passwords = $17, updated_at = $18 where id = $1",
            params![
                &pool.id,
                &pool.name,
                &pool.description,
                &pack_labels(&pool.labels),
                pool.status.name(),
                pack_user_settings(pool.user_settings),
                pool.quality_policy.allow_similar,
                pool.quality_policy.max_length,
                pool.quality_policy.match_length,
                complexity_name(pool.quality_policy.complexity),
                &pack_complexity(pool.quality_policy.complexity),
                pool.lifetime_policy.min_days_count,
                pool.lifetime_policy.max_days_count,
                pool.bruteforce_policy.window.as_micros(),
                pool.bruteforce_policy.block.as_micros(),
                pool.bruteforce_policy.attempts,
                pool.blacklist_policy.check_common,
                pool.updated_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// How many things of a pool stand in the way of its deletion at `now`.
    pub async fn count_userpool_contents(
        &self,
        id: &UserpoolId,
        now: Timestamp,
    ) -> Result<UserpoolContents, Error> {
        Ok(UserpoolContents {
            users: self.count_users(id).await?,
            external_groups: self.count_external_groups(id).await?,
            open_sessions: self.count_opened_sync_sessions(id, now).await?,
        })
    }

    /// Deletes a pool with its domains, settings, tokens, ended sessions and bindings; tells
    /// whether it was there. It must hold no users and no external groups.
    pub async fn delete_userpool(&self, id: &UserpoolId) -> Result<bool, Error> {
        for sql in [
            "delete from password_change_streams where userpool_id = $1",
            "delete from replication_tokens where subject_container_id = $1",
            "delete from sync_settings where subject_container_id = $1",
            "delete from sync_sessions where subject_container_id = $1",
            "delete from userpool_domains where userpool_id = $1",
        ] {
            self.execute(sql, params![id]).await?;
        }
        self.delete_access_bindings_of_userpool(id).await?;
        let deleted = self
            .execute("delete from userpools where id = $1", params![id])
            .await?;
        Ok(deleted > 0)
    }

    /// A page of the pools of an organization, oldest first.
    pub async fn list_userpools(
        &self,
        organization_id: &OrganizationId,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Userpool>, Error> {
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
}

fn pack_user_settings(settings: UserSettings) -> i64 {
    let flags = [
        settings.allow_edit_self_password,
        settings.allow_edit_self_info,
        settings.allow_edit_self_contacts,
        settings.allow_edit_self_login,
    ];
    flags
        .into_iter()
        .rev()
        .fold(0, |bits, flag| bits << 1 | i64::from(flag))
}

fn unpack_user_settings(bits: i64) -> UserSettings {
    UserSettings {
        allow_edit_self_password: bits & 1 != 0,
        allow_edit_self_info: bits & 2 != 0,
        allow_edit_self_contacts: bits & 4 != 0,
        allow_edit_self_login: bits & 8 != 0,
    }
}

fn complexity_name(complexity: Complexity) -> &'static str {
    match complexity {
        Complexity::Fixed(_) => "FIXED",
        Complexity::Smart(_) => "SMART",
    }
}

fn pack_complexity(complexity: Complexity) -> String {
    let numbers = match complexity {
        Complexity::Fixed(fixed) => vec![
            i64::from(fixed.lowers_required),
            i64::from(fixed.uppers_required),
            i64::from(fixed.digits_required),
            i64::from(fixed.specials_required),
            fixed.min_length,
        ],
        Complexity::Smart(smart) => {
            vec![
                smart.one_class,
                smart.two_classes,
                smart.three_classes,
                smart.four_classes,
            ]
        }
    };
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    packed::pack(texts.iter().map(String::as_str))
}

fn unpack_complexity(name: &str, packed: &str) -> Result<Complexity, Error> {
    let numbers: Option<Vec<i64>> = packed::unpack(packed)?
        .iter()
        .map(|text| text.parse().ok())
        .collect();
    match (name, numbers.as_deref()) {
        ("FIXED", Some(&[lowers, uppers, digits, specials, min_length])) => {
            Ok(Complexity::Fixed(FixedComplexity {
                lowers_required: lowers != 0,
                uppers_required: uppers != 0,
                digits_required: digits != 0,
                specials_required: specials != 0,
                min_length,
            }))
        }
        ("SMART", Some(&[one_class, two_classes, three_classes, four_classes])) => {
            Ok(Complexity::Smart(SmartComplexity {
                one_class,
                two_classes,
                three_classes,
                four_classes,
            }))
        }
        _ => Err(Error::corrupt(
            "the password complexity of a pool cannot be read",
        )),
    }
}
