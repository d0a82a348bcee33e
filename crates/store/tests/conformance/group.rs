//! Groups and their members.

use rollcall_domain::access::{AccessBinding, Role, Subject};
use rollcall_domain::filter::{self, Filter};
use rollcall_domain::group::{ExternalKey, Group};
use rollcall_domain::id::UserId;
use rollcall_domain::membership::{self, MemberAction, MemberDelta};
use rollcall_domain::page::PageRequest;
use rollcall_domain::user::{Actor, User};
use rollcall_store::MemberScope;

use crate::world::{
    World, at, group, insert_users, organization_id, pool, pool_id, read, refused, user, user_id,
    write,
};

crate::on_both_engines!(
    groups,
    members,
    large_batches,
    groups_of_a_user,
    converted_groups
);

async fn groups(world: &World) {
    let store = &world.store;
    let basic = Group {
        external: None,
        ..group(2)
    };
    let inserted = basic.clone();
    write(store, async move |tx| {
        tx.insert_group(&group(1)).await?;
        tx.insert_group(&inserted).await
    })
    .await;
    let found = read(store, async |tx| {
        Ok([
            tx.find_group(&group(1).id).await?,
            tx.find_group_by_external_key(&group(1).external.unwrap())
                .await?,
            tx.find_group_by_external_key(&group(2).external.unwrap())
                .await?,
        ])
    })
    .await;
    assert_eq!(found, [Some(group(1)), Some(group(1)), None]);

    let same_name = Group {
        id: "aje-x".into(),
        external: group(3).external,
        ..group(1)
    };
    let refusal = refused(store, async move |tx| tx.insert_group(&same_name).await).await;
    assert_eq!(refusal, "a group with this name already exists");
    let same_object = Group {
        id: "aje-x".into(),
        name: "Other".into(),
        ..group(1)
    };
    let refusal = refused(store, async move |tx| tx.insert_group(&same_object).await).await;
    assert_eq!(refusal, "a group with this external id already exists");

    let tied = basic
        .convert_to_external(group(2).external.unwrap(), at(9))
        .unwrap();
    let saved = tied.clone();
    write(store, async move |tx| tx.save_group(&saved).await).await;
    let lists = read(store, async |tx| {
        let named = Filter::parse("name = \"Group-2\"", filter::GROUP_FIELDS).unwrap();
        let all = Filter::default();
        let page = PageRequest::first();
        Ok((
            tx.list_groups(&organization_id(), &named, &page)
                .await?
                .items,
            tx.list_external_groups(&pool_id(), &all, &page)
                .await?
                .items,
            tx.count_external_groups(&pool_id()).await?,
        ))
    })
    .await;
    assert_eq!(lists, (vec![tied.clone()], vec![group(1), tied], 2));
    let deleted = write(store, async |tx| {
        Ok((
            tx.delete_group(&group(1).id).await?,
            tx.delete_group(&group(1).id).await?,
        ))
    })
    .await;
    assert_eq!(deleted, (true, false));
}

async fn members(world: &World) {
    let store = &world.store;
    insert_users(store, 4).await;
    let suspended = user(1).suspend(Actor::Agent, "", None, at(5)).unwrap();
    let ending = User {
        expires_at: Some(at(20)),
        ..user(0)
    };
    write(store, async move |tx| {
        tx.save_user(&suspended).await?;
        tx.save_user(&ending).await?;
        tx.insert_group(&group(1)).await?;
        tx.insert_group(&group(2)).await?;
        tx.add_members(&group(1).id, &[user_id(1), user_id(2)], at(6))
            .await?;
        tx.add_members(&group(2).id, &[user_id(2)], at(7)).await?;
        tx.add_members(&group(1).id, &[user_id(0), user_id(2)], at(8))
            .await
    })
    .await;
    let lists = read(store, async |tx| {
        let page = PageRequest::new(2, None).unwrap();
        let all = tx
            .list_members(&group(1).id, MemberScope::All, &page)
            .await?;
        let rest = page.following(all.next.clone().unwrap());
        Ok((
            all.items,
            tx.list_members(&group(1).id, MemberScope::All, &rest)
                .await?
                .items,
            tx.list_members(&group(1).id, MemberScope::Active(at(19)), &page)
                .await?
                .items,
            tx.list_members(&group(1).id, MemberScope::Active(at(20)), &page)
                .await?
                .items,
            tx.list_groups_of_user(&user_id(2), &Filter::default(), &page)
                .await?
                .items,
        ))
    })
    .await;
    let ids = |members: Vec<membership::Membership>| {
        members
            .into_iter()
            .map(|member| member.user_id)
            .collect::<Vec<UserId>>()
    };
    assert_eq!(ids(lists.0), [user_id(1), user_id(2)]);
    assert_eq!(ids(lists.1), [user_id(0)]);
    assert_eq!(ids(lists.2), [user_id(2), user_id(0)]);
    assert_eq!(ids(lists.3), [user_id(2)], "the account has ended");
    let groups: Vec<_> = lists.4.into_iter().map(|found| found.group_id).collect();
    assert_eq!(groups, [group(1).id, group(2).id]);

    let facts = read(store, async |tx| {
        let deltas = ["x", user_id(0).as_str(), user_id(3).as_str()].map(|id| MemberDelta {
            action: MemberAction::Add,
            user_id: id.into(),
        });
        tx.find_membership_facts(&group(1), &deltas).await
    })
    .await;
    assert_eq!(facts.known, [user_id(0), user_id(3)].into());
    assert_eq!(facts.members, [user_id(0)].into());
}

async fn large_batches(world: &World) {
    let store = &world.store;
    insert_users(store, 1_600).await;
    write(store, async |tx| tx.insert_group(&group(1)).await).await;
    for batch in [0..1_000, 600..1_600] {
        write(store, async move |tx| {
            let deltas: Vec<_> = batch
                .clone()
                .map(|n| MemberDelta {
                    action: MemberAction::Add,
                    user_id: user_id(n),
                })
                .collect();
            let facts = tx.find_membership_facts(&group(1), &deltas).await?;
            let change = membership::update_members(&deltas, &facts).unwrap();
            tx.add_members(&group(1).id, &change.added, at(5)).await
        })
        .await;
    }
    assert_eq!(
        read(store, async |tx| tx.count_members(&group(1).id).await).await,
        1_600
    );
    let left = write(store, async |tx| {
        let gone: Vec<_> = (0..1_599).map(user_id).collect();
        tx.remove_members(&group(1).id, &gone).await?;
        tx.list_members(&group(1).id, MemberScope::All, &PageRequest::first())
            .await
    })
    .await;
    assert_eq!(left.items.len(), 1);
    assert_eq!(left.items[0].user_id, user_id(1_599));
}

/// A suspended user keeps its groups, and they are shown.
async fn groups_of_a_user(world: &World) {
    let store = &world.store;
    insert_users(store, 2).await;
    let suspended = user(1).suspend(Actor::Agent, "", None, at(5)).unwrap();
    write(store, async move |tx| {
        tx.save_user(&suspended).await?;
        for n in 1..=4 {
            tx.insert_group(&group(n)).await?;
            if n != 3 {
                tx.add_members(&group(n).id, &[user_id(1)], at(7)).await?;
            }
        }
        Ok(())
    })
    .await;
    let names = async |filter: &'static str, size: i64| {
        read(store, async move |tx| {
            let filter = Filter::parse(filter, filter::EFFECTIVE_GROUP_FIELDS).unwrap();
            let page = PageRequest::new(size, None).unwrap();
            let first = tx.list_groups_of_user(&user_id(1), &filter, &page).await?;
            let mut names: Vec<_> = first.items.into_iter().map(|row| row.group_name).collect();
            if let Some(cursor) = first.next {
                let page = page.following(cursor);
                let rest = tx.list_groups_of_user(&user_id(1), &filter, &page).await?;
                names.extend(rest.items.into_iter().map(|row| row.group_name));
            }
            Ok(names)
        })
        .await
    };
    assert_eq!(names("", 2).await, ["Group-1", "Group-2", "Group-4"]);
    assert_eq!(names("name = 'Group-2'", 9).await, ["Group-2"]);
    assert_eq!(names("name contains 'UP-4'", 9).await, ["Group-4"]);
    assert_eq!(
        names("name IN ('Group-4', \"Group-3\") and name : 'group'", 9).await,
        ["Group-4"]
    );
    assert_eq!(names("id = 'ajeg0000000000000001'", 9).await, ["Group-1"]);
    assert!(names("id = 'none'", 9).await.is_empty());
}

async fn converted_groups(world: &World) {
    let store = &world.store;
    let editor = Subject::service_account("aje-editor");
    write(store, async move |tx| {
        let other = pool("ek02", "other");
        tx.insert_userpool(&other.userpool).await?;
        let mut elsewhere = group(3);
        elsewhere.external = Some(ExternalKey::new(other.userpool.id, "group-guid-1").unwrap());
        for group in [group(1), group(2), elsewhere] {
            tx.insert_group(&group).await?;
            let grant = group.editor_binding(editor.clone());
            tx.insert_access_binding(&grant).await?;
            let role = Role::GroupsViewer;
            tx.insert_access_binding(&AccessBinding { role, ..grant })
                .await?;
        }
        Ok(())
    })
    .await;
    let converted = write(store, async |tx| {
        Ok((
            tx.convert_groups_to_basic(&pool_id(), at(9)).await?,
            tx.convert_groups_to_basic(&pool_id(), at(10)).await?,
        ))
    })
    .await;
    assert_eq!(converted, (2, 0));
    let (found, bindings) = read(store, async |tx| {
        let all = Filter::default();
        let page = PageRequest::first();
        let groups = tx.list_groups(&organization_id(), &all, &page).await?;
        let bindings = tx
            .list_all_access_bindings_for(&Subject::service_account("aje-editor"))
            .await?;
        Ok((groups.items, bindings))
    })
    .await;
    let tied: Vec<_> = found.iter().map(Group::is_external).collect();
    assert_eq!(tied, [false, false, true]);
    let basic = Group {
        external: None,
        updated_at: at(9),
        ..group(1)
    };
    assert_eq!(found[0], basic);
    let managed: Vec<_> = bindings
        .iter()
        .filter(|binding| binding.role == Role::GroupsExternalManager)
        .map(|binding| binding.resource.id.clone())
        .collect();
    assert_eq!(managed, [group(3).id.to_string()]);
    assert_eq!(bindings.len(), 4);
}
