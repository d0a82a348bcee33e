//! Access bindings.

use rollcall_domain::access::{
    AccessBinding, ResourceKind, ResourceRef, Role, Subject, SubjectKind, SystemSubject,
};
use rollcall_domain::id::SubjectId;
use rollcall_domain::page::PageRequest;

use crate::world::{
    NOW, World, group, insert_users, organization_id, pool, pool_id, read, user_id, write,
};

crate::on_both_engines!(
    bindings,
    what_counts_for_a_caller,
    pages_of_bindings,
    subjects_of_an_organization
);

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

    let caller = Subject::service_account("aje1");
    let asked = [organization.clone(), pool];
    let (some, on_organization, none) = read(store, async move |tx| {
        let elsewhere = [ResourceRef {
            kind: ResourceKind::Userpool,
            id: organization_id().to_string(),
        }];
        Ok((
            tx.list_access_bindings_for(&caller, &asked).await?,
            tx.list_access_bindings(&organization).await?,
            tx.list_access_bindings_for(&caller, &elsewhere).await?,
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

fn of_system(resource: &ResourceRef, role: Role, subject: &SystemSubject) -> AccessBinding {
    AccessBinding {
        resource: resource.clone(),
        role,
        subject: Subject {
            id: subject.id(),
            kind: SubjectKind::System,
        },
    }
}

async fn what_counts_for_a_caller(world: &World) {
    let store = &world.store;
    insert_users(store, 2).await;
    let organization = ResourceRef::organization(&organization_id());
    let on = organization.clone();
    let other_pool = pool("ek02", "guests").userpool;
    write(store, async move |tx| {
        tx.insert_userpool(&other_pool).await?;
        tx.insert_group(&group(1)).await?;
        tx.add_members(&group(1).id, &[user_id(1)], NOW).await?;
        for binding in [
            of_system(&on, Role::Viewer, &SystemSubject::AllAuthenticatedUsers),
            of_system(&on, Role::Auditor, &SystemSubject::AllUsers),
            of_system(
                &on,
                Role::GroupsViewer,
                &SystemSubject::UsersOfOrganization(organization_id()),
            ),
            of_system(
                &on,
                Role::GroupsEditor,
                &SystemSubject::UsersOfUserpool(pool_id()),
            ),
            of_system(
                &on,
                Role::Admin,
                &SystemSubject::UsersOfUserpool("ek02".into()),
            ),
            AccessBinding {
                resource: on.clone(),
                role: Role::Editor,
                subject: Subject {
                    id: group(1).id.as_str().into(),
                    kind: SubjectKind::Group,
                },
            },
            AccessBinding {
                resource: on.clone(),
                role: Role::GroupsAdmin,
                subject: Subject::user(user_id(0)),
            },
        ] {
            tx.insert_access_binding(&binding).await?;
        }
        Ok(())
    })
    .await;
    let roles = async |caller: Subject| {
        let organization = organization.clone();
        let (here, anywhere) = read(store, async move |tx| {
            let asked = [organization.clone()];
            let here = tx.list_access_bindings_for(&caller, &asked).await?;
            Ok((here, tx.list_all_access_bindings_for(&caller).await?))
        })
        .await;
        let sorted = |bindings: Vec<AccessBinding>| {
            let mut roles: Vec<_> = bindings.into_iter().map(|binding| binding.role).collect();
            roles.sort();
            roles
        };
        let here = sorted(here);
        assert_eq!(here, sorted(anywhere));
        here
    };
    let everybody = [Role::Auditor, Role::Viewer];
    assert_eq!(roles(Subject::service_account("aje9")).await, everybody);
    let member = roles(Subject::user(user_id(1))).await;
    let expected = [
        Role::GroupsViewer,
        Role::GroupsEditor,
        Role::Auditor,
        Role::Viewer,
        Role::Editor,
    ];
    assert_eq!(member, expected);
    let other = roles(Subject::user(user_id(0))).await;
    let expected = [
        Role::GroupsViewer,
        Role::GroupsEditor,
        Role::GroupsAdmin,
        Role::Auditor,
        Role::Viewer,
    ];
    assert_eq!(other, expected);
    assert_eq!(roles(Subject::user("ajenone")).await, everybody);

    write(store, async |tx| tx.delete_group(&group(1).id).await).await;
    let left = roles(Subject::user(user_id(1))).await;
    assert!(!left.contains(&Role::Editor), "its group is gone");
    write(store, async |tx| tx.delete_userpool(&"ek02".into()).await).await;
    let admins = read(store, async |tx| {
        let organization = ResourceRef::organization(&organization_id());
        tx.list_access_bindings_of_role(&organization, Role::Admin)
            .await
    });
    assert!(
        admins.await.is_empty(),
        "bindings of a pool's users go with it"
    );
}

async fn pages_of_bindings(world: &World) {
    let store = &world.store;
    let on = ResourceRef::userpool(&pool_id());
    let mut all = Vec::new();
    for subject in ["aje1", "aje2", "aje3"] {
        all.push(binding(on.clone(), Role::Editor, subject));
        all.push(binding(on.clone(), Role::Viewer, subject));
    }
    let inserted = all.clone();
    write(store, async move |tx| {
        for binding in &inserted {
            tx.insert_access_binding(binding).await?;
        }
        Ok(())
    })
    .await;
    let mut request = PageRequest {
        size: 2,
        after: None,
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let (on, asked) = (on.clone(), request.clone());
        let page = read(store, async move |tx| {
            tx.list_access_bindings_page(&on, &asked).await
        })
        .await;
        assert_eq!(page.items.len(), 2);
        seen.extend(page.items);
        match page.next {
            Some(cursor) => request = request.following(cursor),
            None => break,
        }
    }
    assert_eq!(seen, all);
    let (some, editors) = read(store, async move |tx| {
        let subjects: [SubjectId; 2] = ["aje1".into(), "aje9".into()];
        Ok((
            tx.list_access_bindings_of_subjects(&on, &subjects).await?,
            tx.list_access_bindings_of_role(&on, Role::Editor).await?,
        ))
    })
    .await;
    assert_eq!((some.len(), editors.len()), (2, 3));
}

async fn subjects_of_an_organization(world: &World) {
    let store = &world.store;
    insert_users(store, 1).await;
    let pool_users = SystemSubject::UsersOfUserpool(pool_id()).id();
    let users = SystemSubject::UsersOfOrganization(organization_id()).id();
    let asked: Vec<SubjectId> = vec![
        user_id(0).into(),
        group(1).id.as_str().into(),
        pool_users.clone(),
        users.clone(),
        "ek01".into(),
        "ajenone".into(),
        SystemSubject::UsersOfUserpool("ek09".into()).id(),
    ];
    let (here, elsewhere) = write(store, async move |tx| {
        tx.insert_group(&group(1)).await?;
        Ok((
            tx.find_subject_kinds(&organization_id(), &asked).await?,
            tx.find_subject_kinds(&"bpf9".into(), &asked).await?,
        ))
    })
    .await;
    let expected = [
        (user_id(0).into(), SubjectKind::UserAccount),
        (group(1).id.as_str().into(), SubjectKind::Group),
        (pool_users, SubjectKind::System),
        (users, SubjectKind::System),
    ];
    assert_eq!(here, expected.into());
    assert!(elsewhere.is_empty());
}
