//! Audit events.

use rollcall_domain::access::Subject;
use rollcall_domain::audit::{
    AuditCaller, AuditError, AuditEvent, AuditOrigin, AuditResource, AuditResourceKind,
    AuditTarget, AuditToken, EventStatus,
};
use rollcall_domain::filter::{AUDIT_EVENT_FIELDS, Filter};
use rollcall_domain::page::PageRequest;
use rollcall_store::AuditScope;

use crate::world::{World, at, organization_id, read, user, user_id, write};

crate::on_both_engines!(
    events_come_back_whole,
    events_are_listed_newest_first,
    large_events_make_short_pages,
    the_export_finds_events_by_id,
    old_events_leave_in_batches,
    paths_lead_down_from_the_organization,
);

fn resource(kind: AuditResourceKind, id: &str) -> AuditResource {
    AuditResource {
        kind,
        id: id.into(),
        name: format!("the \\ {id}"),
    }
}

/// An event of the pool `ek01` for even numbers, of the organization alone for odd ones.
fn event(n: i64) -> AuditEvent {
    let caller = AuditCaller {
        subject: Subject::service_account("aje1"),
        name: "agent".into(),
    };
    let mut path = vec![resource(
        AuditResourceKind::Organization,
        organization_id().as_str(),
    )];
    if n % 2 == 0 {
        path.push(resource(AuditResourceKind::Userpool, "ek01"));
    }
    AuditEvent {
        id: format!("evt{n:02}").into(),
        time: at(n),
        source: "organizationmanager".into(),
        event_type: format!("a.Type{}", n % 3),
        status: EventStatus::Done,
        caller: Some(caller.clone()),
        token: Some(AuditToken {
            id: "aje2".into(),
            masked: "t1.aje2.***".into(),
            impersonator: Some(AuditCaller {
                subject: Subject::user("aje3"),
                name: "ann\nlee".into(),
            }),
        }),
        authorized: n != 3,
        path,
        origin: AuditOrigin {
            remote_address: "::1".into(),
            remote_port: 65_535,
            user_agent: "test".into(),
            request_id: format!("r{n}"),
        },
        error: None,
        details: "{\"a\":1}".into(),
        request: "{}".into(),
        response: "{\"b\":[2]}".into(),
    }
}

async fn insert(world: &World, events: Vec<AuditEvent>) {
    write(&world.store, async move |tx| {
        for event in &events {
            tx.insert_audit_event(event).await?;
        }
        Ok(())
    })
    .await;
}

fn scope() -> AuditScope {
    AuditScope {
        organization_id: organization_id(),
        userpool_id: None,
        since: None,
        until: None,
    }
}

/// The ids of a whole list, page by page.
async fn list(world: &World, scope: AuditScope, filter: &str, size: u32) -> Vec<String> {
    let filter = Filter::parse(filter, AUDIT_EVENT_FIELDS).unwrap();
    let mut ids = Vec::new();
    let mut request = PageRequest { size, after: None };
    loop {
        let (scope, filter, asked) = (scope.clone(), filter.clone(), request.clone());
        let page = read(&world.store, async move |tx| {
            tx.list_audit_events(&scope, &filter, &asked).await
        })
        .await;
        assert!(page.items.len() <= size as usize);
        ids.extend(page.items.into_iter().map(|event| event.id.into_string()));
        match page.next {
            Some(cursor) => request.after = Some(cursor),
            None => return ids,
        }
    }
}

async fn events_come_back_whole(world: &World) {
    let stranger = AuditEvent {
        id: "evt90".into(),
        caller: None,
        token: None,
        path: Vec::new(),
        status: EventStatus::Error,
        error: Some(AuditError {
            code: 16,
            message: "who?".into(),
            status_bytes: vec![0, 255],
        }),
        origin: AuditOrigin::default(),
        ..event(1)
    };
    for event in [event(2), event(3), stranger] {
        insert(world, vec![event.clone()]).await;
        let id = event.id.clone();
        let found = read(&world.store, async move |tx| tx.find_audit_event(&id).await).await;
        assert_eq!(found, Some(event));
    }
}

async fn events_are_listed_newest_first(world: &World) {
    insert(world, (0..7).map(event).collect()).await;
    let foreign = AuditEvent {
        id: "evt99".into(),
        path: vec![resource(AuditResourceKind::Organization, "bpf9")],
        ..event(1)
    };
    insert(world, vec![foreign]).await;
    let all = [
        "evt06", "evt05", "evt04", "evt03", "evt02", "evt01", "evt00",
    ];
    for size in [1, 3, 7, 100] {
        assert_eq!(list(world, scope(), "", size).await, all);
    }
    let pool = AuditScope {
        userpool_id: Some("ek01".into()),
        ..scope()
    };
    let since = AuditScope {
        since: Some(at(2)),
        until: Some(at(5)),
        ..scope()
    };
    let of_pool = AuditScope {
        since: Some(at(2)),
        ..pool.clone()
    };
    for (scope, filter, expected) in [
        (pool, "", &["evt06", "evt04", "evt02", "evt00"][..]),
        (of_pool, "event_type = a.Type0", &["evt06"]),
        (since, "", &["evt04", "evt03", "evt02"]),
        (scope(), "authorized = false", &["evt03"]),
        (
            scope(),
            "event_type IN (a.Type0, a.Type1) AND authorized = true",
            &["evt06", "evt04", "evt01", "evt00"],
        ),
        (scope(), "request_id = r5", &["evt05"]),
        (scope(), "event_id = evt05", &["evt05"]),
        (
            scope(),
            "resource_id = ek01 AND remote_address = '::1'",
            &["evt06", "evt04", "evt02", "evt00"],
        ),
        (
            scope(),
            "event_type contains 'TYPE2' AND subject_id = aje1",
            &["evt05", "evt02"],
        ),
        (scope(), "event_status = ERROR", &[]),
    ] {
        assert_eq!(list(world, scope, filter, 2).await, expected, "{filter}");
    }
}

async fn large_events_make_short_pages(world: &World) {
    let large = (0..6).map(|n| AuditEvent {
        request: format!("{{\"a\":\"{}\"}}", "x".repeat(1_000_000)),
        ..event(n)
    });
    insert(world, large.collect()).await;
    let first = read(&world.store, async |tx| {
        tx.list_audit_events(&scope(), &Filter::default(), &PageRequest::first())
            .await
    })
    .await;
    assert_eq!(first.items.len(), 3);
    assert!(first.next.is_some());
    assert_eq!(list(world, scope(), "", 100).await.len(), 6);
}

async fn the_export_finds_events_by_id(world: &World) {
    insert(world, (0..5).map(event).collect()).await;
    let found = read(&world.store, async |tx| {
        let ids = tx.list_audit_event_ids_after(&"".into(), 2).await?;
        let rest = tx.list_audit_event_ids_after(&ids[1], 100).await?;
        Ok((ids, tx.list_audit_events_by_id(&rest).await?))
    })
    .await;
    let newest = async || {
        read(&world.store, async |tx| {
            tx.find_newest_audit_event_time().await
        })
        .await
    };
    assert_eq!(newest().await, Some(at(4)));
    // The id counts, because ids are what the export goes by.
    let early = AuditEvent {
        time: at(1),
        ..event(9)
    };
    insert(world, vec![early]).await;
    assert_eq!(newest().await, Some(at(1)));
    assert_eq!(found.0, ["evt00".into(), "evt01".into()]);
    assert_eq!(found.1, [event(2), event(3), event(4)]);
}

async fn old_events_leave_in_batches(world: &World) {
    insert(world, (0..5).map(event).collect()).await;
    let deleted = write(&world.store, async |tx| {
        Ok((
            tx.delete_old_audit_events(&"evt03".into(), 2).await?,
            tx.delete_old_audit_events(&"evt03".into(), 2).await?,
        ))
    })
    .await;
    assert_eq!(deleted, (2, 1));
    assert_eq!(list(world, scope(), "", 100).await, ["evt04", "evt03"]);
}

async fn paths_lead_down_from_the_organization(world: &World) {
    let (organization, pool) = (organization_id(), "ek01");
    let user = user(1);
    write(&world.store, async move |tx| tx.insert_user(&user).await).await;
    let unknown = AuditTarget::Group("aje0".into());
    let found = read(&world.store, async move |tx| {
        Ok((
            tx.find_audit_path(&AuditTarget::User(user_id(1))).await?,
            tx.find_audit_path(&AuditTarget::Userpool("ek01".into()))
                .await?,
            tx.find_audit_path(&unknown).await?,
            tx.find_first_organization().await?,
        ))
    })
    .await;
    let ids = |path: Option<Vec<AuditResource>>| -> Vec<String> {
        path.unwrap().into_iter().map(|part| part.id).collect()
    };
    assert_eq!(
        ids(found.0),
        [organization.as_str(), pool, user_id(1).as_str()]
    );
    assert_eq!(ids(found.1), [organization.as_str(), pool]);
    assert_eq!(found.2, None);
    assert_eq!(found.3.unwrap().id, organization.as_str());
}
