//! Users: uniqueness, pages, filters, resolution of external ids, expiry.

use rollcall_domain::access::Subject;
use rollcall_domain::filter::{self, Filter};
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::UserId;
use rollcall_domain::mask::Mask;
use rollcall_domain::page::PageRequest;
use rollcall_domain::user::{Actor, SuspensionCause, User, UserInput, UserStatus};

use crate::world::{
    NOW, World, at, group, insert_users, organization_id, pool, pool_id, read, refused, user,
    user_id, write,
};

crate::on_both_engines!(one_user, keys, pages, filters, external_ids, expiry);

async fn one_user(world: &World) {
    let store = &world.store;
    insert_users(store, 2).await;
    let found = read(store, async |tx| {
        Ok([
            tx.find_user(&user_id(1)).await?,
            tx.find_user(&"nobody".into()).await?,
        ])
    })
    .await;
    assert_eq!(found, [Some(user(1)), None]);

    let mask = Mask::parse(["job_title", "expires_at"]).unwrap();
    let mut input = UserInput {
        expires_at: Some(at(500)),
        ..Default::default()
    };
    input.profile.job_title = "0012".into();
    let changed = user(1)
        .update(input, &mask, None, at(7))
        .and_then(|user| user.suspend(Actor::Administrator, "audit", None, at(8)))
        .unwrap();
    let saved = changed.clone();
    write(store, async move |tx| tx.save_user(&saved).await).await;
    let found = read(store, async |tx| tx.find_user(&user_id(1)).await)
        .await
        .unwrap();
    assert_eq!(found, changed);
    assert_eq!(found.status(at(8)), UserStatus::Suspended);
    assert_eq!(
        found.profile.job_title, "0012",
        "a text is never taken for a number"
    );

    let token = |n: u8, subject| IamToken::issue("aje7".into(), vec![n; 32], subject, NOW);
    let account = || Subject::service_account("aje2");
    let tokens = [
        token(1, Subject::user(user_id(1))),
        token(2, account()).impersonated_by(Subject::user(user_id(1))),
        token(3, account()).impersonated_by(Subject::user(user_id(0))),
    ];
    let deleted = write(store, async move |tx| {
        tx.insert_group(&group(1)).await?;
        tx.add_members(&group(1).id, &[user_id(1)], at(9)).await?;
        for token in &tokens {
            tx.insert_iam_token(token).await?;
        }
        let first = tx.delete_user(&user_id(1)).await?;
        let again = tx.delete_user(&user_id(1)).await?;
        Ok((
            first,
            again,
            tx.count_users(&pool_id()).await?,
            tx.count_members(&group(1).id).await?,
            [
                tx.find_iam_token(&[1; 32]).await?.is_some(),
                tx.find_iam_token(&[2; 32]).await?.is_some(),
                tx.find_iam_token(&[3; 32]).await?.is_some(),
            ],
        ))
    })
    .await;
    assert_eq!(deleted, (true, false, 1, 0, [false, false, true]));
    write(store, async |tx| tx.insert_user(&user(1)).await).await;
}

async fn keys(world: &World) {
    let store = &world.store;
    insert_users(store, 1).await;
    let same_login = User {
        id: "aje-b".into(),
        external_id: None,
        username: rollcall_domain::username::Username::parse("USER.00000@staff.idp.hub.example")
            .unwrap(),
        ..user(0)
    };
    let refusal = refused(store, async move |tx| tx.insert_user(&same_login).await).await;
    assert_eq!(refusal, "a user with this login already exists");
    let same_object = User {
        id: "aje-c".into(),
        username: user(1).username,
        ..user(0)
    };
    let inserted = same_object.clone();
    let refusal = refused(store, async move |tx| tx.insert_user(&inserted).await).await;
    assert_eq!(refusal, "a user with this external id already exists");

    let other_pool = User {
        userpool_id: "ek02".into(),
        ..same_object
    };
    let (local_a, local_b) = (
        User {
            external_id: None,
            ..user(2)
        },
        User {
            external_id: None,
            ..user(3)
        },
    );
    write(store, async move |tx| {
        let made = pool("ek02", "other");
        tx.insert_userpool(&made.userpool).await?;
        tx.insert_user(&other_pool).await?;
        tx.insert_user(&local_a).await?;
        tx.insert_user(&local_b).await
    })
    .await;
    let clash = User {
        external_id: Some("guid-00000".into()),
        ..user(2)
    };
    let refusal = refused(store, async move |tx| tx.save_user(&clash).await).await;
    assert_eq!(refusal, "a user with this external id already exists");
}

async fn pages(world: &World) {
    let store = &world.store;
    // The same moment for all: then the id alone decides the order.
    write(store, async |tx| {
        for n in 0..25 {
            tx.insert_user(&User {
                created_at: at(0),
                ..user(n)
            })
            .await?;
        }
        Ok(())
    })
    .await;
    let mut seen: Vec<UserId> = Vec::new();
    let mut request = PageRequest::new(10, None).unwrap();
    loop {
        let asked = request.clone();
        let page = read(store, async move |tx| {
            tx.list_users(&pool_id(), &Filter::default(), NOW, &asked)
                .await
        })
        .await;
        seen.extend(page.items.into_iter().map(|user| user.id));
        // An insert between two pages, before the cursor, must not shift anything.
        let n = 100 + u32::try_from(seen.len()).unwrap();
        let early = User {
            created_at: at(-1),
            ..user(n)
        };
        write(store, async move |tx| tx.insert_user(&early).await).await;
        match page.next {
            Some(cursor) => request = request.following(cursor),
            None => break,
        }
    }
    assert_eq!(seen, (0..25).map(user_id).collect::<Vec<_>>());
}

async fn filters(world: &World) {
    let store = &world.store;
    insert_users(store, 30).await;
    let suspended = user(7).suspend(Actor::Agent, "", None, at(8)).unwrap();
    let local = User {
        external_id: None,
        ..user(8)
    };
    write(store, async move |tx| {
        tx.save_user(&suspended).await?;
        tx.save_user(&local).await
    })
    .await;
    let all: Vec<u32> = (0..30).collect();
    let without =
        |gone: &[u32]| -> Vec<u32> { all.iter().copied().filter(|n| !gone.contains(n)).collect() };
    for (text, expected) in [
        ("", all.clone()),
        ("status = SUSPENDED", vec![7]),
        ("status != SUSPENDED", without(&[7])),
        ("username = 'USER.00003@STAFF.idp.hub.example'", vec![3]),
        ("external_id = 'guid-00008'", vec![]),
        ("external_id = ''", vec![8]),
        ("external_id != 'guid-00003'", without(&[3])),
        (
            "external_id IN ('guid-00001', 'guid-00002') AND email = 'user2@example.com'",
            vec![2],
        ),
        ("external_id NOT IN ('guid-00001')", without(&[1])),
        (
            "full_name contains 'ПОЛЬЗОВАТЕЛЬ 2'",
            vec![2, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29],
        ),
        (
            "full_name : '1' AND status = ACTIVE AND email : 'R21@'",
            vec![21],
        ),
        ("full_name contains '%'", vec![]),
        ("email = 'USER2@example.com'", vec![]),
    ] {
        let filter = Filter::parse(text, filter::USER_FIELDS).unwrap();
        let page = read(store, async move |tx| {
            tx.list_users(&pool_id(), &filter, NOW, &PageRequest::first())
                .await
        })
        .await;
        let expected: Vec<_> = expected.into_iter().map(user_id).collect();
        let found: Vec<_> = page.items.into_iter().map(|user| user.id).collect();
        assert_eq!(found, expected, "{text}");
    }
    // A page that `contains` filled has a cursor that goes on right behind it.
    let filter = Filter::parse("full_name : '2'", filter::USER_FIELDS).unwrap();
    let pages = read(store, async move |tx| {
        let request = PageRequest::new(5, None).unwrap();
        let first = tx.list_users(&pool_id(), &filter, NOW, &request).await?;
        let rest = request.following(first.next.clone().unwrap());
        Ok((
            first.items,
            tx.list_users(&pool_id(), &filter, NOW, &rest).await?.items,
        ))
    })
    .await;
    let ids = |users: Vec<User>| users.into_iter().map(|user| user.id).collect::<Vec<_>>();
    assert_eq!(ids(pages.0), [2, 12, 20, 21, 22].map(user_id));
    assert_eq!(ids(pages.1), [23, 24, 25, 26, 27].map(user_id));
}

async fn external_ids(world: &World) {
    let store = &world.store;
    insert_users(store, 1_200).await;
    let asked: Vec<String> = (0..1_500)
        .rev()
        .map(|n| format!("guid-{n:05}"))
        .chain(["guid-00003".into(), "GUID-00004".into(), "guid-none".into()])
        .collect();
    let found = read(store, async move |tx| {
        tx.resolve_external_ids(&pool_id(), &asked).await
    })
    .await;
    let ids: Vec<_> = found.iter().map(|user| user.user_id.clone()).collect();
    assert_eq!(ids, (0..1_200).rev().map(user_id).collect::<Vec<_>>());
    assert!(found.iter().all(|user| user.password_created_at.is_none()));
    let none = read(store, async |tx| {
        tx.resolve_external_ids(&"ek02".into(), &["guid-00001".to_owned()])
            .await
    })
    .await;
    assert!(none.is_empty());
    let known = read(store, async |tx| {
        let ids: Vec<_> = (1_190..1_210).map(user_id).collect();
        let mine = tx.list_known_users(&organization_id(), &ids).await?;
        Ok((mine, tx.list_known_users(&"bpf2".into(), &ids).await?))
    })
    .await;
    assert_eq!(known.0, (1_190..1_200).map(user_id).collect());
    assert!(known.1.is_empty());
}

async fn expiry(world: &World) {
    let store = &world.store;
    write(store, async |tx| {
        tx.insert_user(&User {
            expires_at: Some(at(10)),
            ..user(1)
        })
        .await?;
        tx.insert_user(&User {
            expires_at: Some(at(20)),
            ..user(2)
        })
        .await?;
        tx.insert_user(&user(3)).await
    })
    .await;
    let due = async |now| {
        read(store, async move |tx| {
            tx.list_users_to_expire(at(now), 10).await
        })
        .await
    };
    assert_eq!(due(9).await, []);
    let expiring = due(10).await;
    assert_eq!(
        expiring.iter().map(|user| &user.id).collect::<Vec<_>>(),
        [&user_id(1)]
    );
    // Not swept yet, and filtered by the status of the moment all the same.
    let listed = async |text: &str, now| {
        let filter = Filter::parse(text, filter::USER_FIELDS).unwrap();
        let page = read(store, async move |tx| {
            let page = PageRequest::first();
            tx.list_users(&pool_id(), &filter, at(now), &page).await
        })
        .await;
        page.items
            .into_iter()
            .map(|user| user.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(listed("status = ACTIVE", 9).await, [1, 2, 3].map(user_id));
    assert_eq!(listed("status = SUSPENDED", 9).await, []);
    assert_eq!(listed("status = ACTIVE", 10).await, [2, 3].map(user_id));
    assert_eq!(listed("status != ACTIVE", 10).await, [user_id(1)]);
    assert_eq!(listed("status : 'susp'", 20).await, [1, 2].map(user_id));
    assert_eq!(listed("status NOT IN (SUSPENDED)", 20).await, [user_id(3)]);

    let expired = expiring[0].expire(at(10)).unwrap();
    assert!(expired.suspension.has(SuspensionCause::Expired));
    write(store, async move |tx| tx.save_user(&expired).await).await;
    let left = due(30).await;
    assert_eq!(
        left.iter().map(|user| &user.id).collect::<Vec<_>>(),
        [&user_id(2)]
    );
}

/// A condition that the database cannot check ends a call after a number of rows; the cursor goes
/// on behind them, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_scan_is_cut_into_calls() {
    let world = World::sqlite().await;
    insert_users(&world.store, 10_500).await;
    let filter = Filter::parse("full_name : ' 10499'", filter::USER_FIELDS).unwrap();
    let (first, rest) = read(&world.store, async move |tx| {
        let request = PageRequest::new(5, None).unwrap();
        let first = tx.list_users(&pool_id(), &filter, NOW, &request).await?;
        let rest = request.following(first.next.clone().unwrap());
        Ok((first, tx.list_users(&pool_id(), &filter, NOW, &rest).await?))
    })
    .await;
    assert!(first.items.is_empty());
    assert_eq!(first.next.unwrap().id, user_id(9_999).as_str());
    assert_eq!(
        rest.items.iter().map(|user| &user.id).collect::<Vec<_>>(),
        [&user_id(10_499)]
    );
    assert_eq!(rest.next, None);
}
