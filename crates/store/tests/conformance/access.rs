//! Access bindings.

use rollcall_domain::access::{AccessBinding, ResourceKind, ResourceRef, Role, Subject};

use crate::world::{World, group, organization_id, pool_id, read, write};

crate::on_both_engines!(bindings);

fn binding(resource: ResourceRef, role: Role, subject: &str) -> AccessBinding {
    AccessBinding {
        resource,
        role,
        subject: Subject::service_account(subject),
    }
}

async fn bindings(world: &World) {
    let store = &world.store;
    let organization = ResourceRef::organization(&organization_id());
    let pool = ResourceRef::userpool(&pool_id());
    let group_ref = ResourceRef::group(&group(1).id);
    let agent = binding(pool.clone(), Role::UserpoolsSyncAgent, "aje1");
    let creator = binding(organization.clone(), Role::GroupsExternalCreator, "aje1");
    let editor = group(1).editor_binding(Subject::service_account("aje1"));
    let other = binding(organization.clone(), Role::Admin, "aje2");
    let all = [
        agent.clone(),
        creator.clone(),
        editor.clone(),
        other.clone(),
    ];
    let inserted = write(store, async move |tx| {
        tx.insert_group(&group(1)).await?;
        let mut new = Vec::new();
        for binding in all.iter().chain([&all[0]]) {
            new.push(tx.insert_access_binding(binding).await?);
        }
        Ok(new)
    })
    .await;
    assert_eq!(inserted, [true, true, true, true, false]);

    let asked = [organization.clone(), pool];
    let (some, on_organization, none) = read(store, async move |tx| {
        let elsewhere = [ResourceRef {
            kind: ResourceKind::Userpool,
            id: organization_id().to_string(),
        }];
        Ok((
            tx.list_access_bindings_of_subject(&"aje1".into(), &asked)
                .await?,
            tx.list_access_bindings(&organization).await?,
            tx.list_access_bindings_of_subject(&"aje1".into(), &elsewhere)
                .await?,
        ))
    })
    .await;
    let mut some = some;
    some.sort();
    let mut expected = [agent.clone(), creator.clone()];
    expected.sort();
    assert_eq!(some, expected, "the group was not asked about");
    assert_eq!(on_organization, [creator, other]);
    assert!(none.is_empty(), "kind and id belong together");

    let left = write(store, async move |tx| {
        let first = tx.delete_access_binding(&agent).await?;
        let again = tx.delete_access_binding(&agent).await?;
        tx.delete_group(&group(1).id).await?;
        Ok((first, again, tx.list_access_bindings(&group_ref).await?))
    })
    .await;
    assert_eq!(
        left,
        (true, false, vec![]),
        "bindings on a group go with it"
    );
}
