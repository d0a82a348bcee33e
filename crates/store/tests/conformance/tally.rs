//! What operations changed under a session: kept with each operation, summed when it is asked for.

use rollcall_domain::filter::Filter;
use rollcall_domain::id::SessionId;
use rollcall_domain::operation::{
    Operation, OperationResource, OperationResourceKind, Outcome, Payload,
};
use rollcall_domain::page::PageRequest;
use rollcall_domain::progress::{ChangeType, ObjectType};
use rollcall_domain::sync_session::{SessionStatus, SessionType, SyncMode, SyncSession};
use rollcall_domain::tally::Tally;
use rollcall_store::Store;

use crate::world::{World, at, pool_id, read, write};

crate::on_both_engines!(
    what_operations_changed_is_summed,
    writers_do_not_wait_for_reports,
    operations_of_an_open_session_stay
);

fn session(id: &str, session_type: SessionType) -> SyncSession {
    SyncSession {
        id: id.into(),
        subject_container_id: pool_id(),
        session_type,
        agent_id: "agent".into(),
        opened_by: "aje1".into(),
        created_at: at(0),
        expires_at: at(60),
        closed_at: None,
        sync_mode: SyncMode::FullSync,
        status: SessionStatus::Opened,
        progress: rollcall_domain::progress::Progress::default(),
        fail_reason: String::new(),
        settings_revision: None,
    }
}

fn operation(n: i64) -> Operation {
    let resource = OperationResource {
        kind: OperationResourceKind::User,
        id: format!("aje{n}"),
        parent_id: pool_id().to_string(),
    };
    let payload = Payload {
        type_name: "a.Message".into(),
        bytes: vec![1],
    };
    let outcome = Outcome::Response(payload.clone());
    let id = format!("ops{n:04}").into();
    Operation::new(
        id,
        "Change",
        "aje1".into(),
        resource,
        payload,
        outcome,
        at(n),
    )
}

fn cells(session: &SyncSession) -> Vec<(ObjectType, ChangeType, i64, i64)> {
    let cells = session.progress.cells();
    cells
        .map(|(object, change, counts)| (object, change, counts.successful, counts.failed))
        .collect()
}

async fn insert(store: &Store, operations: Vec<Operation>) {
    write(store, async move |tx| {
        for operation in &operations {
            tx.insert_operation(operation).await?;
        }
        Ok(())
    })
    .await;
}

async fn what_operations_changed_is_summed(world: &World) {
    use ChangeType::{Create, Delete, Update};
    use ObjectType::{Membership, User};
    let store = &world.store;
    let (first, other) = (
        session("sys1", SessionType::AdSync),
        session("sys2", SessionType::AdUserControl),
    );
    let both = [first.clone(), other];
    write(store, async move |tx| {
        for session in &both {
            tx.insert_sync_session(session).await?;
        }
        Ok(())
    })
    .await;
    let mut members = Tally::of(Membership, Create, 12);
    members.add(Membership, Delete, 3);
    let (one, two) = (SessionId::from("sys1"), SessionId::from("sys2"));
    let work = vec![
        operation(1).under(one.clone(), Tally::one(User, Create)),
        operation(2).under(one.clone(), Tally::one(User, Create)),
        operation(3).under(one.clone(), members.clone()),
        operation(4).under(two.clone(), Tally::one(User, Update)),
        // Nothing changed, and no session.
        operation(5).under(one.clone(), Tally::default()),
        operation(6),
    ];
    insert(store, work.clone()).await;
    for expected in work {
        let id = expected.id.clone();
        let found = read(store, async move |tx| tx.find_operation(&id).await).await;
        assert_eq!(found, Some(expected));
    }

    let expected = [
        (User, Create, 2, 0),
        (Membership, Create, 12, 0),
        (Membership, Delete, 3, 0),
    ];
    let found = read(store, async |tx| {
        let raw = tx.find_sync_session(&"sys1".into()).await?.unwrap();
        let page = PageRequest::new(10, None).unwrap();
        let listed = tx
            .list_sync_sessions(&pool_id(), &Filter::default(), at(1), &page)
            .await?;
        let facts = tx.find_open_facts(&pool_id(), SessionType::AdSync).await?;
        Ok((
            raw.clone(),
            tx.count_sync_session(raw).await?,
            listed.items,
            facts.opened.unwrap(),
            tx.list_lapsed_sync_sessions(at(60), 10).await?,
        ))
    })
    .await;
    let (raw, counted, listed, opened, lapsed) = found;
    assert_eq!(raw, first);
    assert_eq!(cells(&counted), expected);
    assert_eq!(opened, counted);
    for sessions in [&listed, &lapsed] {
        let of = |id: &str| sessions.iter().find(|session| session.id == id.into());
        assert_eq!(cells(of("sys1").unwrap()), expected);
        assert_eq!(cells(of("sys2").unwrap()), [(User, Update, 1, 0)]);
    }

    // An ended session holds its sum, whatever its operations say.
    let ended = counted.expire(at(60)).unwrap();
    let saved = ended.clone();
    write(store, async move |tx| tx.save_sync_session(&saved).await).await;
    insert(store, vec![operation(7).under(one, members)]).await;
    let found = read(store, async |tx| {
        let raw = tx.find_sync_session(&"sys1".into()).await?.unwrap();
        tx.count_sync_session(raw).await
    })
    .await;
    assert_eq!(found, ended);
}

/// Calls of one session neither exclude each other nor a report beside them.
async fn writers_do_not_wait_for_reports(world: &World) {
    const WRITERS: i64 = 16;
    const EACH: i64 = 8;
    let opened = session("sys1", SessionType::AdSync);
    write(&world.store, async move |tx| {
        tx.insert_sync_session(&opened).await
    })
    .await;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let store = world.store.clone();
        tasks.push(tokio::spawn(async move {
            for n in 0..EACH {
                let made = Tally::one(ObjectType::User, ChangeType::Create);
                let made = operation(writer * EACH + n).under("sys1".into(), made);
                write(&store, async move |tx| {
                    // As the fence of a call.
                    tx.find_sync_session(&"sys1".into()).await?;
                    tx.insert_operation(&made).await
                })
                .await;
                if writer == 0 {
                    write(&store, async move |tx| {
                        let session = tx.find_sync_session(&"sys1".into()).await?.unwrap();
                        tx.save_sync_session(&session).await
                    })
                    .await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let found = read(&world.store, async |tx| {
        let raw = tx.find_sync_session(&"sys1".into()).await?.unwrap();
        tx.count_sync_session(raw).await
    })
    .await;
    let expected = [(ObjectType::User, ChangeType::Create, WRITERS * EACH, 0)];
    assert_eq!(cells(&found), expected);
}

async fn operations_of_an_open_session_stay(world: &World) {
    let store = &world.store;
    let opened = session("sys1", SessionType::AdSync);
    let inserted = opened.clone();
    write(store, async move |tx| {
        tx.insert_sync_session(&inserted).await
    })
    .await;
    let made = || Tally::one(ObjectType::User, ChangeType::Create);
    let work = vec![
        operation(1).under("sys1".into(), made()),
        operation(2),
        operation(3).under("sysgone".into(), made()),
        operation(4),
    ];
    insert(store, work).await;
    let delete = |limit| {
        write(store, async move |tx| {
            tx.delete_old_operations(at(4), limit).await
        })
    };
    // What stays does not take the place of what may go.
    assert_eq!(delete(1).await, 1);
    assert_eq!(delete(10).await, 1);
    assert_eq!(delete(10).await, 0);
    let closed = opened.expire(at(60)).unwrap();
    write(store, async move |tx| tx.save_sync_session(&closed).await).await;
    assert_eq!(delete(10).await, 1);
    let left = read(store, async |tx| tx.find_operation(&"ops0004".into()).await).await;
    assert!(left.is_some());
}
