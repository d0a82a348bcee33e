//! Password changes that wait for a directory, and the streams that agents receive them by.

use rollcall_domain::id::OperationId;
use rollcall_domain::password::PasswordKind;
use rollcall_domain::password_change_stream::{PasswordChangeStream, StreamHolder};
use rollcall_domain::password_writeback::{
    FoundWriteback, KeptSignIn, PasswordWriteback, WritebackCause, WritebackSecrets,
};
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_store::Error;

use crate::world::{World, at, insert_users, pool_id, read, user_id, write};

crate::on_both_engines!(changes, ends, offsets, leavings);

fn change(user: u32, offset: i64) -> PasswordWriteback {
    PasswordWriteback {
        operation_id: format!("ops{user}{offset}").into(),
        userpool_id: pool_id(),
        user_id: user_id(user),
        external_user_id: format!("guid-{user}"),
        offset,
        cause: WritebackCause::OwnChange,
        secrets: WritebackSecrets {
            sealed_new: SecretBytes::new(vec![1, 2]),
            sealed_old: (user == 0).then(|| SecretBytes::new(vec![3])),
            argon2: SecretString::new("phc".into()),
        },
        kind: PasswordKind::Temporary,
        is_generated: user == 0,
        replaces: (user == 0).then(|| "aje5".into()),
        kept: (user == 0).then(|| KeptSignIn {
            token_id: "aje7".into(),
            session_id: Some("sis1".into()),
        }),
        created_at: at(0),
        deadline: at(60 + offset),
        delivered_at: None,
    }
}

async fn insert(world: &World, change: PasswordWriteback) -> Result<(), Error> {
    world
        .store
        .write(async move |tx| tx.insert_password_writeback(&change).await)
        .await
}

async fn list(world: &World, after: i64, now: i64, limit: u32) -> Vec<i64> {
    read(&world.store, async move |tx| {
        let pool = pool_id();
        let found = tx
            .list_password_changes(&pool, after, at(now), limit)
            .await?;
        Ok(found.iter().map(|change| change.offset).collect())
    })
    .await
}

async fn changes(world: &World) {
    insert_users(&world.store, 3).await;
    for (user, offset) in [(0, 1), (1, 2), (2, 3)] {
        insert(world, change(user, offset)).await.unwrap();
    }
    let found = read(&world.store, async |tx| {
        let of_user = tx.find_pending_password_writeback(&user_id(0)).await?;
        let of_operation = tx.find_password_writeback(&"ops12".into()).await?;
        Ok((of_user, of_operation))
    })
    .await;
    assert_eq!(found.0, Some(change(0, 1)));
    let expected = FoundWriteback::Pending(Box::new(change(1, 2)));
    assert_eq!(found.1, Some(expected));
    assert_eq!(list(world, 0, 0, 10).await, [1, 2, 3]);
    assert_eq!(list(world, 0, 0, 2).await, [1, 2]);
    assert_eq!(list(world, 1, 0, 10).await, [2, 3]);
    assert_eq!(list(world, 0, 61, 10).await, [2, 3]);
    // One pending change for a user, one for an offset.
    let again = insert(world, change(0, 9)).await.unwrap_err();
    assert!(again.as_refusal().is_some(), "{again:?}");
    write(&world.store, async |tx| {
        tx.note_password_change_delivered(&"ops01".into(), at(5))
            .await?;
        tx.note_password_change_delivered(&"ops01".into(), at(6))
            .await
    })
    .await;
    let found = read(&world.store, async |tx| {
        tx.find_pending_password_writeback(&user_id(0)).await
    })
    .await;
    assert_eq!(found.unwrap().delivered_at, Some(at(5)));
}

async fn ends(world: &World) {
    insert_users(&world.store, 2).await;
    insert(world, change(0, 1)).await.unwrap();
    insert(world, change(1, 2)).await.unwrap();
    let (overdue, next) = read(&world.store, async |tx| {
        let overdue = tx.list_overdue_password_writebacks(at(61), 10).await?;
        let next = tx.list_overdue_password_writebacks(at(60), 10).await?;
        Ok((overdue, next))
    })
    .await;
    assert_eq!(overdue, [change(0, 1)]);
    assert_eq!(next, []);
    let end = async |id: &'static str, digest: Option<Vec<u8>>, now: i64| {
        write(&world.store, async move |tx| {
            let digest = digest.as_deref();
            tx.end_password_writeback(&OperationId::from(id), digest, at(now))
                .await
        })
        .await;
    };
    end("ops01", Some(vec![9]), 50).await;
    // What ended does not end again.
    end("ops01", None, 51).await;
    end("ops12", None, 52).await;
    let find = async |id: &'static str| {
        read(&world.store, async move |tx| {
            tx.find_password_writeback(&id.into()).await
        })
        .await
    };
    let ended = |answer_digest| {
        Some(FoundWriteback::Ended {
            userpool_id: pool_id(),
            answer_digest,
        })
    };
    assert_eq!(find("ops01").await, ended(Some(vec![9])));
    assert_eq!(find("ops12").await, ended(None));
    assert_eq!(list(world, 0, 0, 10).await, [0; 0]);
    let left = world
        .query_sql(
            "select operation_id from password_writebacks where sealed_new is not null \
             or sealed_old is not null or argon2 is not null",
        )
        .await;
    assert_eq!(left, [""; 0]);
    // The user may begin another one.
    insert(world, change(0, 3)).await.unwrap();
    let deleted = async |before: i64| {
        world
            .store
            .write(async move |tx| tx.delete_old_password_writebacks(at(before), 10).await)
            .await
            .unwrap()
    };
    assert_eq!(deleted(50).await, 0);
    assert_eq!(deleted(52).await, 1);
    assert_eq!(find("ops01").await, None);
    assert_eq!(deleted(1_000).await, 1);
    assert!(find("ops03").await.is_some());
}

async fn offsets(world: &World) {
    let stream = async || {
        read(&world.store, async |tx| {
            tx.get_password_change_stream(&pool_id()).await
        })
        .await
    };
    assert_eq!(stream().await, PasswordChangeStream::new(pool_id()));
    for expected in 1..=3 {
        let next = world
            .store
            .write(async |tx| tx.next_password_change_offset(&pool_id()).await)
            .await;
        assert_eq!(next.unwrap(), expected);
    }
    let holder = StreamHolder {
        agent_id: "agent-1".into(),
        stream_id: "pcs1".into(),
        lease_until: at(5),
    };
    for lease_until in [at(5), at(9)] {
        let holder = StreamHolder {
            lease_until,
            ..holder.clone()
        };
        let saved = holder.clone();
        write(&world.store, async move |tx| {
            tx.save_password_change_holder(&pool_id(), &saved).await
        })
        .await;
        let found = stream().await;
        assert_eq!((found.head, found.holder), (3, Some(holder)));
    }
}

/// Nothing stands in the way of a user or a pool that goes.
async fn leavings(world: &World) {
    insert_users(&world.store, 1).await;
    insert(world, change(0, 1)).await.unwrap();
    write(&world.store, async |tx| {
        tx.next_password_change_offset(&pool_id()).await?;
        assert!(tx.delete_user(&user_id(0)).await?);
        assert!(tx.delete_userpool(&pool_id()).await?);
        Ok(())
    })
    .await;
}
