//! Transactions: what an error takes back, what a panic does, how collisions end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rollcall_domain::idempotency::IdempotencyRecord;
use rollcall_domain::operation::{
    Operation, OperationResource, OperationResourceKind, Outcome, Payload,
};
use rollcall_domain::organization::Organization;
use rollcall_store::{Error, Store, Tx};

use crate::world::{NOW, World, organization, organization_id, pool_id, read, server, user, write};

crate::on_both_engines!(
    an_error_takes_back_its_own_call_only,
    a_panic_is_an_error_of_its_call,
    concurrent_updates_are_all_kept,
    unrelated_writes_at_once_are_all_kept,
    a_read_cannot_write,
    a_read_sees_one_moment,
    a_vanished_parent_is_a_fault,
);

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("on purpose")]
    Mine,
    #[error(transparent)]
    Store(#[from] Error),
}

/// Hundreds of calls at once; every third one fails after it wrote.
async fn an_error_takes_back_its_own_call_only(world: &World) {
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..300 {
        let store = world.store.clone();
        calls.spawn(async move {
            let outcome = store
                .write(async move |tx| {
                    tx.insert_user(&user(n)).await?;
                    if n % 3 == 0 {
                        Err(Failure::Mine)
                    } else {
                        Ok(n)
                    }
                })
                .await;
            match outcome {
                Ok(found) => assert!(found == n && n % 3 != 0),
                Err(Failure::Mine) => assert_eq!(n % 3, 0),
                Err(Failure::Store(error)) => panic!("call {n}: {error}"),
            }
        });
    }
    calls.join_all().await;
    let kept = read(&world.store, async |tx| {
        let mut kept = Vec::new();
        for n in 0..300 {
            if tx.find_user(&user(n).id).await?.is_some() {
                kept.push(n);
            }
        }
        Ok(kept)
    })
    .await;
    assert_eq!(kept, (0..300).filter(|n| n % 3 != 0).collect::<Vec<_>>());
}

async fn a_panic_is_an_error_of_its_call(world: &World) {
    let outcome: Result<(), Error> = world
        .store
        .write(async |tx: &Tx| {
            tx.insert_user(&user(1)).await?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(outcome, Err(Error::Driver { .. })), "{outcome:?}");
    let outcome: Result<(), Error> = world.store.read(async |_: &Tx| panic!("on purpose")).await;
    assert!(matches!(outcome, Err(Error::Driver { .. })), "{outcome:?}");
    let count = write(&world.store, async |tx| {
        tx.insert_user(&user(2)).await?;
        tx.count_users(&pool_id()).await
    })
    .await;
    assert_eq!(
        count, 1,
        "the panicking call left nothing, and the next one works"
    );
}

async fn append(store: &Store, letter: char) -> Result<(), Error> {
    store
        .write(async move |tx| {
            let present = tx.find_organization(&organization_id()).await?.unwrap();
            let title = format!("{}{letter}", present.title);
            tx.save_organization(&Organization { title, ..present })
                .await
        })
        .await
}

/// Read, change, write from two places at once: no change is lost.
async fn concurrent_updates_are_all_kept(world: &World) {
    let other = world.reopened().await.unwrap();
    let (mut sent, mut calls) = (0, tokio::task::JoinSet::new());
    for store in [world.store.clone(), other] {
        sent += 10;
        calls.spawn(async move {
            for _ in 0..10 {
                append(&store, '+').await.unwrap();
            }
        });
    }
    calls.join_all().await;
    let found = read(&world.store, async |tx| {
        tx.find_organization(&organization_id()).await
    })
    .await;
    assert_eq!(found.unwrap().title.matches('+').count(), sent);
}

/// Makes a user the way the hub does: with what it looks up first and what it remembers.
async fn create_user(store: &Store, n: u32) -> Result<(), Error> {
    const METHOD: &str = "UserService/Create";
    let user = user(n);
    let operation = Operation::new(
        format!("ops{n:05}").as_str().into(),
        "Create user",
        "aje1".into(),
        OperationResource {
            kind: OperationResourceKind::User,
            id: user.id.to_string(),
            parent_id: pool_id().to_string(),
        },
        Payload::default(),
        Outcome::Response(Payload::default()),
        NOW,
    );
    let record = IdempotencyRecord {
        subject_id: "aje1".into(),
        method: METHOD.to_owned(),
        key: format!("key-{}", n.wrapping_mul(0x9e37_79b9)),
        request_digest: vec![0; 32],
        operation_id: operation.id.clone(),
        created_at: NOW,
    };
    store
        .write(async move |tx| {
            let (pool_id, domain) = (pool_id(), "staff.idp.hub.example");
            let known = tx.find_idempotency_record(&record.subject_id, METHOD, &record.key);
            assert_eq!(known.await?, None);
            assert!(tx.find_userpool(&pool_id).await?.is_some());
            assert!(tx.find_userpool_domain(&pool_id, domain).await?.is_some());
            tx.insert_user(&user).await?;
            tx.insert_operation(&operation).await?;
            tx.save_idempotency_record(&record).await
        })
        .await
}

/// Calls that have nothing to do with each other do not fail because there are many of them.
async fn unrelated_writes_at_once_are_all_kept(world: &World) {
    const CALLERS: u32 = 64;
    const CALLS_EACH: u32 = 4;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let store = world.store.clone();
        callers.spawn(async move {
            let mut refused = Vec::new();
            for call in 0..CALLS_EACH {
                refused.extend(create_user(&store, call * CALLERS + caller).await.err());
            }
            refused
        });
    }
    let refused = callers.join_all().await.concat();
    assert!(refused.is_empty(), "{} refused: {refused:?}", refused.len());
    let found = read(&world.store, async |tx| tx.count_users(&pool_id()).await).await;
    assert_eq!(found, u64::from(CALLERS * CALLS_EACH));
}

async fn a_read_cannot_write(world: &World) {
    let outcome: Result<(), Error> = world
        .store
        .read(async |tx: &Tx| tx.insert_user(&user(1)).await)
        .await;
    assert!(outcome.is_err());
    assert_eq!(
        read(&world.store, async |tx| tx.count_users(&pool_id()).await).await,
        0
    );
}

async fn a_read_sees_one_moment(world: &World) {
    let (started, wait_started) = std::sync::mpsc::channel();
    let (written, wait_written) = std::sync::mpsc::channel();
    let (store, wait) = (world.store.clone(), std::sync::Mutex::new(wait_written));
    let reading = tokio::spawn(async move {
        read(&store, async move |tx| {
            let before = tx.count_users(&pool_id()).await?;
            started.send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
            Ok((before, tx.count_users(&pool_id()).await?))
        })
        .await
    });
    tokio::task::spawn_blocking(move || wait_started.recv().unwrap())
        .await
        .unwrap();
    write(&world.store, async |tx| tx.insert_user(&user(1)).await).await;
    written.send(()).unwrap();
    assert_eq!(reading.await.unwrap(), (0, 0));
    assert_eq!(
        read(&world.store, async |tx| tx.count_users(&pool_id()).await).await,
        1
    );
}

async fn a_vanished_parent_is_a_fault(world: &World) {
    let orphan = rollcall_domain::user::User {
        userpool_id: "ek09".into(),
        ..user(1)
    };
    let outcome: Result<(), Error> = world
        .store
        .write(async move |tx| tx.insert_user(&orphan).await)
        .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Driver { .. }), "{error:?}");
    assert!(error.as_refusal().is_none());
}

/// A call that always collides is given up after a number of attempts, as busy.
#[tokio::test(flavor = "multi_thread")]
async fn collisions_end_after_a_number_of_attempts() {
    let server = server().await;
    let world = World::postgres(&server).await;
    let other = world.reopened().await.unwrap();
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let outcome: Result<(), Error> = world
        .store
        .write(async move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            let present = tx.find_organization(&organization_id()).await?.unwrap();
            append(&other, '!').await?;
            tx.save_organization(&Organization {
                title: "mine".into(),
                ..present
            })
            .await
        })
        .await;
    assert!(matches!(outcome, Err(Error::Busy { .. })), "{outcome:?}");
    // A slow machine may run out of time before it runs out of attempts.
    let attempts = attempts.load(Ordering::SeqCst);
    assert!((2..=32).contains(&attempts), "{attempts} attempts");
    let found = read(&world.store, async |tx| {
        tx.find_organization(&organization_id()).await
    })
    .await;
    let marks = "!".repeat(attempts.try_into().unwrap());
    assert_eq!(
        found.unwrap().title,
        format!("{}{marks}", organization().title)
    );
}

/// A broken unique index runs the closure once more: maybe it can see the reason then.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_looked_at_twice() {
    let server = server().await;
    let world = World::postgres(&server).await;
    write(&world.store, async |tx| tx.insert_user(&user(1)).await).await;
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let outcome: Result<(), Error> = world
        .store
        .write(async move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            tx.insert_user(&user(1)).await
        })
        .await;
    assert!(matches!(outcome, Err(Error::Conflict(_))), "{outcome:?}");
    assert_eq!(attempts.load(Ordering::SeqCst), 2);
}

/// A call that collided before is looked at twice, too: its conflict may come from its repetition.
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_after_a_collision_is_looked_at_twice() {
    let server = server().await;
    let world = World::postgres(&server).await;
    write(&world.store, async |tx| tx.insert_user(&user(1)).await).await;
    let other = world.reopened().await.unwrap();
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let outcome: Result<(), Error> = world
        .store
        .write(
            async move |tx| match counted.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    let present = tx.find_organization(&organization_id()).await?.unwrap();
                    append(&other, '!').await?;
                    tx.save_organization(&present).await
                }
                1 => tx.insert_user(&user(1)).await,
                _ => Ok(()),
            },
        )
        .await;
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
}
