//! Rows of synchronization settings. Lists are packed into one column each.

use rollcall_domain::id::UserpoolId;
use rollcall_domain::named::Named;
use rollcall_domain::supported_attribute::MappingKind;
use rollcall_domain::sync_settings::{LdapSettings, Mapping, SyncFilter, SyncSettings};
use rollcall_kit::timestamp::Span;

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::packed;

const YES: &str = "yes";
const NO: &str = "no";

impl Tx {
    /// Inserts the settings of a pool. Settings that are there already are a conflict.
    pub async fn insert_sync_settings(&self, settings: &SyncSettings) -> Result<(), Error> {
        self.execute(
            "insert into sync_settings (subject_container_id, filter_domain, filter_groups, \
             filter_organization_units, replacement_domain, remove_user_behavior, \
             interval_micros, allow_to_capture_users, allow_to_capture_groups, user_mappings, \
             group_mappings, enable_password_writeback, ldap, created_at, updated_at, revision) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            params![
                &settings.subject_container_id,
                &settings.filter.domain,
                &pack_texts(&settings.filter.groups),
                &pack_texts(&settings.filter.organization_units),
                &settings.replacement_domain,
                settings.remove_user_behavior.name(),
                settings.interval.as_micros(),
                settings.allow_to_capture_users,
                settings.allow_to_capture_groups,
                &pack_mappings(&settings.user_mappings),
                &pack_mappings(&settings.group_mappings),
                settings.enable_password_writeback,
                settings.ldap.as_ref().map(pack_ldap).as_ref(),
                settings.created_at,
                settings.updated_at,
                settings.revision,
            ],
        )
        .await?;
        Ok(())
    }

    /// The settings of a pool.
    pub async fn find_sync_settings(
        &self,
        container: &UserpoolId,
    ) -> Result<Option<SyncSettings>, Error> {
        self.one(
            "select subject_container_id, filter_domain, filter_groups, \
             filter_organization_units, replacement_domain, remove_user_behavior, \
             interval_micros, allow_to_capture_users, allow_to_capture_groups, user_mappings, \
             group_mappings, enable_password_writeback, ldap, created_at, updated_at, revision \
             from sync_settings where subject_container_id = $1",
            params![container],
            read,
        )
        .await
    }

    /// Saves all of the settings of a pool but their creation time.
    pub async fn save_sync_settings(&self, settings: &SyncSettings) -> Result<(), Error> {
        self.execute(
            "update sync_settings set filter_domain = $2, filter_groups = $3, \
             filter_organization_units = $4, replacement_domain = $5, remove_user_behavior = $6, \
             interval_micros = $7, allow_to_capture_users = $8, allow_to_capture_groups = $9, \
             user_mappings = $10, group_mappings = $11, enable_password_writeback = $12, \
             ldap = $13, updated_at = $14, revision = $15 where subject_container_id = $1",
            params![
                &settings.subject_container_id,
                &settings.filter.domain,
                &pack_texts(&settings.filter.groups),
                &pack_texts(&settings.filter.organization_units),
                &settings.replacement_domain,
                settings.remove_user_behavior.name(),
                settings.interval.as_micros(),
                settings.allow_to_capture_users,
                settings.allow_to_capture_groups,
                &pack_mappings(&settings.user_mappings),
                &pack_mappings(&settings.group_mappings),
                settings.enable_password_writeback,
                settings.ldap.as_ref().map(pack_ldap).as_ref(),
                settings.updated_at,
                settings.revision,
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes the settings of a pool; tells whether there were any.
    pub async fn delete_sync_settings(&self, container: &UserpoolId) -> Result<bool, Error> {
        let sql = "delete from sync_settings where subject_container_id = $1";
        Ok(self.execute(sql, params![container]).await? > 0)
    }
}

fn read(row: &mut Row) -> Result<SyncSettings, Error> {
    Ok(SyncSettings {
        subject_container_id: row.id()?,
        filter: SyncFilter {
            domain: row.text()?,
            groups: packed::unpack(&row.text()?)?,
            organization_units: packed::unpack(&row.text()?)?,
        },
        replacement_domain: row.text()?,
        remove_user_behavior: row.named()?,
        interval: Span::micros(row.int()?),
        allow_to_capture_users: row.bool()?,
        allow_to_capture_groups: row.bool()?,
        user_mappings: unpack_mappings(&row.text()?)?,
        group_mappings: unpack_mappings(&row.text()?)?,
        enable_password_writeback: row.bool()?,
        ldap: row
            .opt_text()?
            .map(|packed| unpack_ldap(&packed))
            .transpose()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        revision: row.int()?,
    })
}

fn pack_texts(texts: &[String]) -> String {
    packed::pack(texts.iter().map(String::as_str))
}

fn pack_mappings<T: Named>(mappings: &[Mapping<T>]) -> String {
    packed::pack(mappings.iter().flat_map(|mapping| {
        [
            mapping.kind.name(),
            mapping.target.name(),
            mapping.source.as_str(),
        ]
    }))
}

fn unpack_mappings<T: Named>(packed: &str) -> Result<Vec<Mapping<T>>, Error> {
    packed::unpack_groups::<3>(packed)?
        .into_iter()
        .map(|[kind, target, source]| {
            MappingKind::parse(&kind)
                .zip(T::parse(&target))
                .map(|(kind, target)| Mapping {
                    source,
                    target,
                    kind,
                })
                .ok_or_else(|| Error::corrupt(format!("the mapping {kind} of {target} is unknown")))
        })
        .collect()
}

fn pack_ldap(ldap: &LdapSettings) -> String {
    packed::pack([
        ldap.external_id_attribute.as_str(),
        &ldap.dn_attribute,
        &ldap.user_object_class,
        &ldap.group_object_class,
        &ldap.account_disabled_attribute,
        &ldap.account_disabled_value,
        &ldap.account_enabled_value,
        &ldap.password_attribute,
        ldap.delta_sync_mode.name(),
        if ldap.use_recursive_membership_filter {
            YES
        } else {
            NO
        },
    ])
}

fn unpack_ldap(packed: &str) -> Result<LdapSettings, Error> {
    let unreadable = || Error::corrupt("LDAP settings cannot be read");
    let fields: [String; 10] = packed::unpack(packed)?
        .try_into()
        .map_err(|_| unreadable())?;
    let [
        external_id_attribute,
        dn_attribute,
        user_object_class,
        group_object_class,
        account_disabled_attribute,
        account_disabled_value,
        account_enabled_value,
        password_attribute,
        delta_sync_mode,
        recursive,
    ] = fields;
    Ok(LdapSettings {
        external_id_attribute,
        dn_attribute,
        user_object_class,
        group_object_class,
        account_disabled_attribute,
        account_disabled_value,
        account_enabled_value,
        password_attribute,
        delta_sync_mode: Named::parse(&delta_sync_mode).ok_or_else(unreadable)?,
        use_recursive_membership_filter: recursive == YES,
    })
}
