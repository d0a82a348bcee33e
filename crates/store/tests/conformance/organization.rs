//! Organizations, pools and domains.

use rollcall_domain::access::{AccessBinding, Permission, ResourceRef, Role, Subject};
use rollcall_domain::filter::{self, Filter};
use rollcall_domain::id::OrganizationId;
use rollcall_domain::mask::Mask;
use rollcall_domain::organization::OrganizationInput;
use rollcall_domain::page::PageRequest;
use rollcall_domain::password_policy::{Complexity, FixedComplexity, QualityPolicy};
use rollcall_domain::userpool::{UserSettings, Userpool, UserpoolInput};
use rollcall_domain::userpool_domain::UserpoolDomain;

use crate::world::{World, at, organization, organization_id, pool, pool_id, read, refused, write};

crate::on_both_engines!(organizations, organizations_of_a_caller, pools, domains);

async fn organizations(world: &World) {
    let store = &world.store;
    let found = read(store, async |tx| {
        tx.find_organization(&organization_id()).await
    })
    .await;
    assert_eq!(found, Some(organization()));

    let again = organization();
    let twin = rollcall_domain::organization::Organization {
        id: "bpf2".into(),
        ..again.clone()
    };
    let refusal = refused(store, async move |tx| tx.insert_organization(&twin).await).await;
    assert_eq!(refusal, "an organization with this name already exists");

    let input = OrganizationInput {
        name: "acme-2".into(),
        ..Default::default()
    };
    let changed = again.update(input, &Mask::All, at(5)).unwrap();
    let saved = changed.clone();
    write(store, async move |tx| tx.save_organization(&saved).await).await;
    let page = read(store, async |tx| {
        tx.list_organizations(&Filter::default(), &PageRequest::first())
            .await
    })
    .await;
    assert_eq!(page.items, [changed]);
    assert_eq!(page.next, None);
}

async fn organizations_of_a_caller(world: &World) {
    let store = &world.store;
    let binding = |organization: &OrganizationId, role| AccessBinding {
        resource: ResourceRef::organization(organization),
        role,
        subject: Subject::service_account("aje1"),
    };
    let here = binding(&organization_id(), Role::GroupsViewer);
    let everywhere = binding(&"bpf9".into(), Role::Owner);
    write(store, async move |tx| {
        tx.insert_access_binding(&here).await?;
        tx.insert_access_binding(&everywhere).await?;
        Ok(())
    })
    .await;
    let list = async |caller: &'static str, permission| {
        read(store, async move |tx| {
            let caller = Subject::service_account(caller);
            let (filter, first) = (Filter::default(), PageRequest::first());
            tx.list_organizations_for(&caller, permission, &filter, &first)
                .await
        })
        .await
        .items
        .into_iter()
        .map(|organization| organization.id)
        .collect::<Vec<_>>()
    };
    let get = Permission::OrganizationsGet;
    assert_eq!(list("aje1", get).await, [organization_id()]);
    assert!(
        list("aje1", Permission::OrganizationsUpdate)
            .await
            .is_empty()
    );
    assert!(list("aje2", get).await.is_empty());
}

async fn pools(world: &World) {
    let store = &world.store;
    let first = pool("ek01", "staff").userpool;
    let input = UserpoolInput {
        name: "clients".into(),
        user_settings: Some(UserSettings {
            allow_edit_self_info: true,
            allow_edit_self_login: true,
            ..Default::default()
        }),
        quality_policy: Some(QualityPolicy {
            complexity: Complexity::Fixed(FixedComplexity {
                digits_required: true,
                min_length: 12,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let second = Userpool::create(
        input,
        "clients",
        "idp.hub.example",
        organization_id(),
        "ek02".into(),
        at(1),
    )
    .unwrap()
    .userpool;
    let inserted = second.clone();
    write(store, async move |tx| tx.insert_userpool(&inserted).await).await;
    let found = read(store, async |tx| tx.find_userpool(&"ek02".into()).await).await;
    assert_eq!(found, Some(second.clone()));

    let page = read(store, async |tx| {
        let filter = Filter::parse("status = 'ACTIVE'", filter::USERPOOL_FIELDS).unwrap();
        let page = PageRequest::new(1, None).unwrap();
        let first = tx
            .list_userpools(&organization_id(), &filter, &page)
            .await?;
        let next = page.following(first.next.clone().unwrap());
        Ok((
            first,
            tx.list_userpools(&organization_id(), &filter, &next)
                .await?,
        ))
    })
    .await;
    assert_eq!(
        (page.0.items, page.1.items),
        (vec![first.clone()], vec![second.clone()])
    );
    assert_eq!(page.1.next, None);

    let clash = Userpool {
        name: "staff".into(),
        ..second
    };
    let saved = clash.clone();
    let refusal = refused(store, async move |tx| tx.save_userpool(&saved).await).await;
    assert_eq!(refusal, "a user pool with this name already exists");
    let renamed = Userpool {
        name: "partners".into(),
        ..clash
    };
    let saved = renamed.clone();
    write(store, async move |tx| tx.save_userpool(&saved).await).await;
    let found = read(store, async |tx| tx.find_userpool(&"ek02".into()).await).await;
    assert_eq!(found, Some(renamed));
}

async fn domains(world: &World) {
    let store = &world.store;
    let added = UserpoolDomain::add(pool_id(), "Corp.Example", "proof=".into(), at(1)).unwrap();
    let inserted = added.clone();
    write(store, async move |tx| {
        tx.insert_userpool_domain(&inserted).await
    })
    .await;
    let other = pool("ek02", "other").userpool;
    write(store, async move |tx| tx.insert_userpool(&other).await).await;
    let stolen = UserpoolDomain {
        userpool_id: "ek02".into(),
        ..added.clone()
    };
    let refusal = refused(store, async move |tx| {
        tx.insert_userpool_domain(&stolen).await
    })
    .await;
    assert_eq!(
        refusal,
        "this domain, in this or another user pool, already exists"
    );

    let valid = added.mark_valid(at(9));
    let saved = valid.clone();
    write(store, async move |tx| tx.save_userpool_domain(&saved).await).await;
    let (mine, others) = read(store, async |tx| {
        Ok((
            tx.find_userpool_domain(&pool_id(), "corp.example").await?,
            tx.find_userpool_domain(&"ek02".into(), "corp.example")
                .await?,
        ))
    })
    .await;
    assert_eq!((mine, others), (Some(valid.clone()), None));
    let page = read(store, async |tx| {
        tx.list_userpool_domains(&pool_id(), &Filter::default(), &PageRequest::first())
            .await
    })
    .await;
    assert_eq!(page.items, [pool("ek01", "staff").default_domain, valid]);
    let deleted = write(store, async |tx| {
        let first = tx
            .delete_userpool_domain(&pool_id(), "corp.example")
            .await?;
        Ok((
            first,
            tx.delete_userpool_domain(&pool_id(), "corp.example")
                .await?,
        ))
    })
    .await;
    assert_eq!(deleted, (true, false));
}
