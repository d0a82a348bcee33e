//! Deleting a pool: what stands in the way, and what goes with it.

use rollcall_domain::access::{AccessBinding, ResourceRef, Role, Subject};
use rollcall_domain::replication_token::ReplicationToken;
use rollcall_domain::sync_session::SessionType;
use rollcall_domain::sync_settings::{SyncFilter, SyncSettings, SyncSettingsInput};
use rollcall_domain::userpool::UserpoolContents;
use rollcall_kit::timestamp::Span;
use rollcall_store::{Error, Store};

use crate::world::{NOW, World, at, group, insert_users, pool, pool_id, read, write};

crate::on_both_engines!(contents, deletion, a_pool_with_users_stays);

async fn insert_session(store: &Store, minutes: i64) {
    use rollcall_domain::sync_session::{self, Brake, Lease, OpenOutcome, OpenRequest};
    write(store, async move |tx| {
        let facts = tx.find_open_facts(&pool_id(), SessionType::AdSync).await?;
        let request = OpenRequest {
            id: "sys1".into(),
            subject_container_id: pool_id(),
            session_type: SessionType::AdSync,
            agent_id: "agent".into(),
            caller: "aje1".into(),
            brake: Brake::On,
        };
        let lease = Lease::default();
        let opened = at(0).plus(Span::minutes(minutes));
        match sync_session::open(request, facts, lease, opened).unwrap() {
            OpenOutcome::Success { session, .. } => tx.insert_sync_session(&session).await,
            other => panic!("{other:?}"),
        }
    })
    .await;
}

async fn contents(world: &World) {
    let store = &world.store;
    insert_users(store, 2).await;
    write(store, async |tx| tx.insert_group(&group(1)).await).await;
    insert_session(store, 0).await;
    let (during, after) = read(store, async |tx| {
        Ok((
            tx.count_userpool_contents(&pool_id(), at(1)).await?,
            tx.count_userpool_contents(&pool_id(), at(3_600)).await?,
        ))
    })
    .await;
    let counted = UserpoolContents {
        users: 2,
        external_groups: 1,
        open_sessions: 1,
    };
    assert_eq!(during, counted);
    let lapsed = UserpoolContents {
        open_sessions: 0,
        ..counted
    };
    assert_eq!(after, lapsed);
}

async fn deletion(world: &World) {
    let store = &world.store;
    insert_session(store, 0).await;
    let binding = |id: &str| AccessBinding {
        resource: ResourceRef::userpool(&id.into()),
        role: Role::UserpoolsViewer,
        subject: Subject::service_account("aje1"),
    };
    let other = pool("ek02", "other");
    let kept = other.userpool.clone();
    write(store, async move |tx| {
        let input = SyncSettingsInput {
            filter: Some(SyncFilter {
                domain: "corp.example".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let settings = SyncSettings::create(pool_id(), input, NOW).unwrap();
        tx.insert_sync_settings(&settings).await?;
        let token: ReplicationToken = tx
            .get_replication_token(&pool_id(), SessionType::AdSync, NOW)
            .await?;
        tx.save_replication_token(&token.demand_full_run(at(1)))
            .await?;
        tx.insert_userpool(&other.userpool).await?;
        tx.insert_userpool_domain(&other.default_domain).await?;
        tx.insert_access_binding(&binding("ek01")).await?;
        tx.insert_access_binding(&binding("ek02")).await?;
        Ok(())
    })
    .await;
    let deleted = write(store, async |tx| {
        let first = tx.delete_userpool(&pool_id()).await?;
        Ok((first, tx.delete_userpool(&pool_id()).await?))
    })
    .await;
    assert_eq!(deleted, (true, false));
    for table in ["replication_tokens", "sync_settings", "sync_sessions"] {
        let rows = world
            .query_sql(&format!("select subject_container_id from {table}"))
            .await;
        assert!(rows.is_empty(), "{table}: {rows:?}");
    }
    let domains = world
        .query_sql("select userpool_id from userpool_domains")
        .await;
    let bindings = world
        .query_sql("select resource_id from access_bindings")
        .await;
    assert_eq!(
        (domains.as_slice(), bindings.as_slice()),
        (&["ek02".to_owned()][..], &["ek02".to_owned()][..])
    );
    // Its name and its domain are free again.
    let again = pool("ek03", "staff");
    write(store, async move |tx| {
        tx.insert_userpool(&again.userpool).await?;
        tx.insert_userpool_domain(&again.default_domain).await
    })
    .await;
    let found = read(store, async |tx| tx.find_userpool(&"ek02".into()).await).await;
    assert_eq!(found, Some(kept));
}

async fn a_pool_with_users_stays(world: &World) {
    let store = &world.store;
    insert_users(store, 1).await;
    let outcome = store
        .write(async |tx| tx.delete_userpool(&pool_id()).await)
        .await;
    assert!(matches!(outcome, Err(Error::Driver { .. })), "{outcome:?}");
    let found = read(store, async |tx| {
        tx.find_userpool_domain(&pool_id(), "staff.idp.hub.example")
            .await
    })
    .await;
    assert!(found.is_some(), "nothing of the refused deletion is left");
}
