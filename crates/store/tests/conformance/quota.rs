//! Counts for quotas.

use rollcall_domain::access::{AccessBinding, ResourceRef, Role, Subject};
use rollcall_domain::id::ServiceAccountId;
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::service_account::{ServiceAccount, ServiceAccountKey};
use rollcall_store::Tx;

use crate::world::{
    NOW, World, at, group, insert_users, organization_id, pool, pool_id, read, user, user_id, write,
};

crate::on_both_engines!(counts, groups_of_many_users);

fn account_id() -> ServiceAccountId {
    "aje-account".into()
}

async fn fill(tx: &Tx) -> Result<(), rollcall_store::Error> {
    let account =
        ServiceAccount::create(organization_id(), "agent", "", account_id(), NOW).unwrap();
    tx.insert_service_account(&account).await?;
    for n in 0..2 {
        let id = format!("aje-key-{n}");
        let pem = "pem".to_owned();
        let key = ServiceAccountKey::create(account_id(), "", pem, id.as_str().into(), NOW);
        tx.insert_service_account_key(&key.unwrap()).await?;
    }
    let other = pool("ek02", "other");
    tx.insert_userpool(&other.userpool).await?;
    tx.insert_userpool_domain(&other.default_domain).await?;
    let mut elsewhere = user(9);
    elsewhere.userpool_id = other.userpool.id.clone();
    tx.insert_user(&elsewhere).await?;
    for n in 1..=2 {
        tx.insert_group(&group(n)).await?;
        tx.add_members(&group(n).id, &[user_id(0)], at(1)).await?;
    }
    tx.add_members(&group(1).id, &[user_id(1), user_id(2)], at(2))
        .await?;
    let resources = [
        ResourceRef::organization(&organization_id()),
        ResourceRef::userpool(&pool_id()),
        ResourceRef::group(&group(1).id),
    ];
    for resource in resources {
        for role in [Role::Viewer, Role::Admin] {
            tx.insert_access_binding(&AccessBinding {
                resource: resource.clone(),
                role,
                subject: Subject::service_account("aje-account"),
            })
            .await?;
        }
    }
    Ok(())
}

async fn counts(world: &World) {
    let store = &world.store;
    insert_users(store, 3).await;
    write(store, fill).await;
    let (organization, pool, group) = (organization_id(), pool_id(), group(1).id);
    let (user, account) = (user_id(0), account_id());
    let found = read(store, async move |tx| {
        let scopes = [
            // Three users here, one in the other pool, one service account.
            (QuotaScope::SubjectsOf(&organization), 5),
            (QuotaScope::GroupsOf(&organization), 2),
            (QuotaScope::MembersOf(&group), 3),
            (QuotaScope::GroupsOfUser(&user), 2),
            (QuotaScope::AccessBindingsOf(&organization), 2),
            (QuotaScope::UserpoolsOf(&organization), 2),
            (QuotaScope::UsersOf(&pool), 3),
            (QuotaScope::DomainsOf(&pool), 1),
            (QuotaScope::ServiceAccountsOf(&organization), 1),
            (QuotaScope::KeysOf(&account), 2),
        ];
        let mut found = Vec::new();
        for (scope, expected) in scopes {
            let counts = [
                tx.count_for_quota(scope, u64::MAX).await?,
                tx.count_for_quota(scope, 1).await?,
            ];
            found.push((scope.quota(), counts, [expected, 1]));
        }
        Ok(found)
    })
    .await;
    for (quota, counts, expected) in found {
        assert_eq!(counts, expected, "{quota}");
    }
}

async fn groups_of_many_users(world: &World) {
    let store = &world.store;
    insert_users(store, 600).await;
    write(store, async |tx| {
        let everybody: Vec<_> = (0..600).map(user_id).collect();
        for n in 1..=2 {
            tx.insert_group(&group(n)).await?;
        }
        tx.add_members(&group(1).id, &everybody, at(1)).await?;
        tx.add_members(&group(2).id, &[user_id(599)], at(1)).await
    })
    .await;
    let counts = read(store, async |tx| {
        let asked: Vec<_> = (0..600).map(user_id).chain(["x".into()]).collect();
        tx.count_groups_of_users(&asked).await
    })
    .await;
    assert_eq!(counts.len(), 600);
    for (id, count) in counts {
        assert_eq!(count, if id == user_id(599) { 2 } else { 1 }, "{id}");
    }
}
