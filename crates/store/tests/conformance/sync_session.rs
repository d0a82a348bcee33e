//! Sessions: one open per stream, races, lists, retention.

use rollcall_domain::filter::{self, Filter};
use rollcall_domain::page::PageRequest;
use rollcall_domain::password::{Password, PasswordKind, StoredForm};
use rollcall_domain::progress::{ChangeInfo, ChangeType, Counts, ObjectType, ProgressEntry};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::sync_session::{
    self, Brake, Lease, OpenOutcome, OpenRequest, SessionStatus, SessionType, SyncMode, SyncSession,
};
use rollcall_kit::secret::SecretBytes;
use rollcall_kit::timestamp::Timestamp;
use rollcall_store::{Error, Store};

use crate::world::{World, at, insert_users, pool_id, read, refused, user_id, write};

crate::on_both_engines!(
    one_session,
    opening_race,
    reporting_race,
    lists,
    lists_by_status,
    retention,
    pending
);

fn request(id: &str, agent: &str) -> OpenRequest {
    OpenRequest {
        id: id.into(),
        subject_container_id: pool_id(),
        session_type: SessionType::AdSync,
        agent_id: agent.into(),
        caller: "aje1".into(),
        brake: Brake::On,
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] Error),
}

/// What the hub does for OpenSession.
async fn open(store: &Store, request: OpenRequest, now: Timestamp) -> Result<OpenOutcome, Failure> {
    store
        .write(async move |tx| {
            let facts = tx
                .find_open_facts(&request.subject_container_id, request.session_type)
                .await?;
            let outcome = sync_session::open(request.clone(), facts, Lease::default(), now)?;
            if let OpenOutcome::Success { session, ended } = &outcome {
                if let Some(ended) = ended {
                    tx.save_sync_session(ended).await?;
                }
                tx.insert_sync_session(session).await?;
            }
            Ok(outcome)
        })
        .await
}

async fn opened(store: &Store, id: &str, agent: &str, now: Timestamp) -> SyncSession {
    match open(store, request(id, agent), now).await.unwrap() {
        OpenOutcome::Success { session, .. } => session,
        other => panic!("a session is expected, got {other:?}"),
    }
}

async fn one_session(world: &World) {
    let store = &world.store;
    let session = opened(store, "sys1", "agent-a", at(0)).await;
    let found = read(store, async |tx| {
        Ok((
            tx.find_sync_session(&"sys1".into()).await?,
            tx.find_opened_sync_session(&pool_id(), SessionType::AdSync)
                .await?,
            tx.find_opened_sync_session(&pool_id(), SessionType::AdUserControl)
                .await?,
        ))
    })
    .await;
    assert_eq!(found, (Some(session.clone()), Some(session.clone()), None));

    let second = SyncSession {
        id: "sys2".into(),
        ..session.clone()
    };
    let refusal = refused(store, async move |tx| tx.insert_sync_session(&second).await).await;
    assert_eq!(
        refusal,
        "an open synchronization session of this type already exists"
    );

    let taken_over = open(store, request("sys3", "agent-a"), at(10))
        .await
        .unwrap();
    assert!(matches!(
        taken_over,
        OpenOutcome::Success { ended: Some(_), .. }
    ));
    let old = read(store, async |tx| tx.find_sync_session(&"sys1".into()).await)
        .await
        .unwrap();
    assert_eq!(
        (old.status, old.closed_at),
        (SessionStatus::Failed, Some(at(10)))
    );

    let lapsed = read(store, async |tx| {
        tx.list_lapsed_sync_sessions(at(70), 10).await
    })
    .await;
    assert_eq!(
        lapsed.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(),
        ["sys3"]
    );
    let counts = read(store, async |tx| {
        Ok((
            tx.list_lapsed_sync_sessions(at(69), 10).await?.len(),
            tx.count_opened_sync_sessions(&pool_id(), at(69)).await?,
            tx.count_opened_sync_sessions(&pool_id(), at(70)).await?,
        ))
    })
    .await;
    assert_eq!(counts, (0, 1, 0));
    let next = opened(store, "sys4", "agent-b", at(71)).await;
    assert_eq!(next.sync_mode, SyncMode::FullSync);
}

/// However the calls fall, one agent gets the session and all others are told about it.
async fn opening_race(world: &World) {
    let other = world.reopened().await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..12 {
        let store = if n % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        calls.spawn(async move {
            open(
                &store,
                request(&format!("sys{n}"), &format!("agent-{n}")),
                at(0),
            )
            .await
        });
    }
    let outcomes = calls.join_all().await;
    let mut winners = Vec::new();
    let mut told = Vec::new();
    for outcome in outcomes {
        match outcome.unwrap() {
            OpenOutcome::Success { session, .. } => winners.push(session.id),
            OpenOutcome::OpenedSessionExists { session } => told.push(session.id),
            other => panic!("unexpected outcome {other:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(told, vec![winners[0].clone(); 11]);
}

/// Reports that arrive together are merged, none is lost.
async fn reporting_race(world: &World) {
    opened(&world.store, "sys1", "agent-a", at(0)).await;
    let other = world.reopened().await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for (n, change) in [ChangeType::Create, ChangeType::Update, ChangeType::Delete]
        .into_iter()
        .cycle()
        .take(12)
        .enumerate()
    {
        let store = if n % 2 == 0 {
            world.store.clone()
        } else {
            other.clone()
        };
        calls.spawn(async move {
            let counts = Counts {
                successful: i64::try_from(n).unwrap(),
                failed: 1,
            };
            let entry = ProgressEntry {
                object_type: ObjectType::User,
                changes: vec![ChangeInfo {
                    change_type: change,
                    counts,
                }],
            };
            store
                .write(async move |tx| {
                    let session = tx.find_sync_session(&"sys1".into()).await?.unwrap();
                    let entries = std::slice::from_ref(&entry);
                    let changed = session.report_progress(
                        &"aje1".into(),
                        entries,
                        Lease::default(),
                        at(1),
                    )?;
                    tx.save_sync_session(&changed).await?;
                    Ok::<_, Failure>(())
                })
                .await
        });
    }
    for outcome in calls.join_all().await {
        outcome.unwrap();
    }
    let session = read(&world.store, async |tx| {
        tx.find_sync_session(&"sys1".into()).await
    })
    .await
    .unwrap();
    for (change, successful) in [
        (ChangeType::Create, 9),
        (ChangeType::Update, 10),
        (ChangeType::Delete, 11),
    ] {
        assert_eq!(
            session.progress.get(ObjectType::User, change),
            Some(Counts {
                successful,
                failed: 1
            }),
            "{change}"
        );
    }
    assert_eq!(session.expires_at, at(61));
}

fn ended(n: i64, session_type: SessionType, status: SessionStatus) -> SyncSession {
    SyncSession {
        id: format!("sys{n:03}").into(),
        subject_container_id: pool_id(),
        session_type,
        agent_id: format!("agent-{}", n % 2),
        opened_by: "aje1".into(),
        created_at: at(n),
        expires_at: at(n + 60),
        closed_at: (status != SessionStatus::Opened).then(|| at(n + 5)),
        sync_mode: SyncMode::Delta,
        status,
        progress: rollcall_domain::progress::Progress::default(),
        fail_reason: String::new(),
        settings_revision: Some(3),
    }
}

async fn lists(world: &World) {
    let store = &world.store;
    write(store, async |tx| {
        for (n, status) in [
            SessionStatus::Completed,
            SessionStatus::Failed,
            SessionStatus::Pending,
            SessionStatus::Expired,
        ]
        .into_iter()
        .cycle()
        .take(8)
        .enumerate()
        {
            let n = i64::try_from(n).unwrap();
            tx.insert_sync_session(&ended(n, SessionType::AdSync, status))
                .await?;
        }
        let other = ended(50, SessionType::AdPasswordHash, SessionStatus::Completed);
        tx.insert_sync_session(&other).await
    })
    .await;
    for (text, expected) in [
        ("session_type = AD_SYNC", vec![7, 6, 5, 4, 3, 2, 1, 0]),
        ("session_type = AD_PASSWORD_HASH", vec![50]),
        (
            "status IN (COMPLETED, EXPIRED) AND agent_id = 'agent-0'",
            vec![50, 4, 0],
        ),
        ("agent_id : 'T-1'", vec![7, 5, 3, 1]),
        ("sync_mode = FULL_SYNC", vec![]),
    ] {
        let filter = Filter::parse(text, filter::SESSION_FIELDS).unwrap();
        let found = read(store, async move |tx| {
            let first = PageRequest::new(3, None).unwrap();
            let page = tx
                .list_sync_sessions(&pool_id(), &filter, at(0), &first)
                .await?;
            let mut ids: Vec<_> = page.items.into_iter().map(|session| session.id).collect();
            if let Some(cursor) = page.next {
                let rest = PageRequest::new(100, Some(cursor)).unwrap();
                let page = tx
                    .list_sync_sessions(&pool_id(), &filter, at(0), &rest)
                    .await?;
                ids.extend(page.items.into_iter().map(|session| session.id));
            }
            Ok(ids)
        })
        .await;
        let expected: Vec<_> = expected
            .iter()
            .map(|n| format!("sys{n:03}").into())
            .collect();
        assert_eq!(found, expected, "{text}");
    }
    let facts = read(store, async |tx| {
        tx.find_open_facts(&pool_id(), SessionType::AdSync).await
    })
    .await;
    assert_eq!(facts.last_successful.unwrap().id.as_str(), "sys006");
    assert_eq!(facts.last_failed.unwrap().id.as_str(), "sys007");
    assert!(facts.opened.is_none() && !facts.has_token);
    assert_eq!(facts.settings_revision, None);
}

/// An open session whose lease has ended is listed as expired before it is stored so.
async fn lists_by_status(world: &World) {
    let store = &world.store;
    let session = opened(store, "sys1", "agent-a", at(0)).await;
    for (text, before, after) in [
        ("status = OPENED", 1, 0),
        ("status : 'OPEN'", 1, 0),
        ("status contains 'expi'", 0, 1),
        ("status NOT IN (OPENED)", 0, 1),
        ("", 1, 1),
    ] {
        let filter = Filter::parse(text, filter::SESSION_FIELDS).unwrap();
        let expires_at = session.expires_at;
        let found = read(store, async move |tx| {
            let mut found = Vec::new();
            for now in [at(0), expires_at] {
                let page = PageRequest::first();
                let page = tx
                    .list_sync_sessions(&pool_id(), &filter, now, &page)
                    .await?;
                found.push(page.items);
            }
            Ok(found)
        })
        .await;
        assert_eq!((found[0].len(), found[1].len()), (before, after), "{text}");
        // What is stored comes back as it is.
        assert!(found.iter().flatten().all(|found| *found == session));
    }
}

async fn retention(world: &World) {
    let store = &world.store;
    write(store, async |tx| {
        for n in 0..10 {
            let status = if n == 1 {
                SessionStatus::Pending
            } else {
                SessionStatus::Completed
            };
            tx.insert_sync_session(&ended(n, SessionType::AdSync, status))
                .await?;
        }
        tx.insert_sync_session(&ended(
            20,
            SessionType::AdUserControl,
            SessionStatus::Failed,
        ))
        .await
    })
    .await;
    let deleted = write(store, async |tx| {
        tx.delete_old_sync_sessions(at(8), 4, 100).await
    })
    .await;
    assert_eq!(
        deleted, 5,
        "0 to 5 are old and not among the newest 4, but 1 is pending"
    );
    let left = read(store, async |tx| {
        tx.list_sync_sessions(&pool_id(), &Filter::default(), at(0), &PageRequest::first())
            .await
    })
    .await;
    let ids: Vec<_> = left
        .items
        .iter()
        .map(|session| session.id.as_str())
        .collect();
    assert_eq!(
        ids,
        ["sys020", "sys009", "sys008", "sys007", "sys006", "sys001"]
    );
    let one = write(store, async |tx| {
        tx.delete_old_sync_sessions(at(100), 0, 1).await
    })
    .await;
    assert_eq!(one, 1, "a limit per call");
}

async fn pending(world: &World) {
    let store = &world.store;
    insert_users(store, 1).await;
    write(store, async |tx| {
        tx.insert_sync_session(&ended(1, SessionType::AdSync, SessionStatus::Pending))
            .await?;
        tx.insert_sync_session(&ended(2, SessionType::AdSync, SessionStatus::Completed))
            .await?;
        tx.save_password(&Password {
            id: "pw".into(),
            user_id: user_id(0),
            form: StoredForm::SealedNtHash(SecretBytes::new(vec![1])),
            kind: PasswordKind::Permanent,
            created_at: None,
            stored_at: at(0),
            expires_at: None,
            session_id: Some("sys001".into()),
        })
        .await
    })
    .await;
    let finished = async || {
        read(store, async |tx| {
            tx.list_finished_pending_sync_sessions(10).await
        })
        .await
    };
    assert!(
        finished().await.is_empty(),
        "a hash of the session still waits"
    );
    write(store, async |tx| {
        let argon2 = rollcall_kit::secret::SecretString::new("$argon2id$".into());
        tx.save_strengthened(&"pw".into(), &argon2).await
    })
    .await;
    let done = finished().await;
    assert_eq!(
        done.iter()
            .map(|session| session.id.as_str())
            .collect::<Vec<_>>(),
        ["sys001"]
    );
    let completed = done[0].complete_pending().unwrap();
    write(store, async move |tx| {
        tx.save_sync_session(&completed).await
    })
    .await;
    assert!(finished().await.is_empty());
}
