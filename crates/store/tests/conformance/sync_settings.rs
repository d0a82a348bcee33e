//! Settings survive the database, whatever characters are in them.

use rollcall_domain::mask::Mask;
use rollcall_domain::supported_attribute::{GroupTarget, MappingKind, UserTarget};
use rollcall_domain::sync_settings::{
    LdapDeltaSyncMode, LdapSettings, Mapping, RemoveUserBehavior, SyncFilter, SyncSettings,
    SyncSettingsInput,
};
use rollcall_kit::timestamp::Span;

use crate::world::{NOW, World, at, pool_id, read, refused, write};

crate::on_both_engines!(settings);

fn input() -> SyncSettingsInput {
    SyncSettingsInput {
        filter: Some(SyncFilter {
            domain: "Corp.Example".into(),
            groups: vec!["Cloud \\ Users".into(), "CN=a\\,b,DC=corp".into()],
            organization_units: vec!["OU=Отдел,DC=corp".into()],
        }),
        remove_user_behavior: Some(RemoveUserBehavior::Block),
        interval: Some(Span::minutes(30)),
        allow_to_capture_groups: true,
        user_mappings: vec![
            Mapping {
                source: "mail".into(),
                target: UserTarget::Username,
                kind: MappingKind::Direct,
            },
            Mapping {
                source: String::new(),
                target: UserTarget::JobTitle,
                kind: MappingKind::Empty,
            },
        ],
        group_mappings: vec![Mapping {
            source: "extensionAttribute1".into(),
            target: GroupTarget::Description,
            kind: MappingKind::DirectArbitraryAttribute,
        }],
        ..Default::default()
    }
}

async fn settings(world: &World) {
    let store = &world.store;
    let made = SyncSettings::create(pool_id(), input(), NOW).unwrap();
    let inserted = made.clone();
    write(store, async move |tx| {
        tx.insert_sync_settings(&inserted).await
    })
    .await;
    let find = async || read(store, async |tx| tx.find_sync_settings(&pool_id()).await).await;
    assert_eq!(find().await, Some(made.clone()));
    let again = made.clone();
    let refusal = refused(store, async move |tx| tx.insert_sync_settings(&again).await).await;
    assert_eq!(
        refusal,
        "synchronization settings of this user pool already exists"
    );

    let ldap = LdapSettings {
        external_id_attribute: "entryUUID".into(),
        dn_attribute: "entryDN".into(),
        user_object_class: "inetOrgPerson".into(),
        group_object_class: "groupOfNames".into(),
        account_disabled_attribute: "nsAccountLock".into(),
        account_disabled_value: "TRUE\n\\".into(),
        account_enabled_value: "FALSE".into(),
        password_attribute: "userPassword".into(),
        delta_sync_mode: LdapDeltaSyncMode::FullSync,
        use_recursive_membership_filter: true,
    };
    let next = SyncSettingsInput {
        filter: Some(SyncFilter {
            domain: "d".into(),
            ..Default::default()
        }),
        enable_password_writeback: true,
        ldap: Some(ldap),
        ..Default::default()
    };
    let changed = made.update(next, &Mask::All, at(9)).unwrap().settings;
    let saved = changed.clone();
    write(store, async move |tx| tx.save_sync_settings(&saved).await).await;
    assert_eq!(find().await, Some(changed));
    let deleted = write(store, async |tx| {
        Ok((
            tx.delete_sync_settings(&pool_id()).await?,
            tx.delete_sync_settings(&pool_id()).await?,
        ))
    })
    .await;
    assert_eq!(deleted, (true, false));
}
