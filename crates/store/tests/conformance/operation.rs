//! Operations, remembered calls and tokens.

use rollcall_domain::access::Subject;
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::idempotency::IdempotencyRecord;
use rollcall_domain::operation::{
    Operation, OperationError, OperationResource, OperationResourceKind, Outcome, Payload,
};
use rollcall_domain::page::PageRequest;

use crate::world::{World, at, read, write};

crate::on_both_engines!(operations, remembered_calls, iam_tokens);

fn payload(name: &str) -> Payload {
    Payload {
        type_name: name.into(),
        bytes: vec![0, 255, 10],
    }
}

fn operation(n: i64) -> Operation {
    Operation::new(
        format!("ops{n}").into(),
        "Create user",
        "aje1".into(),
        OperationResource {
            kind: OperationResourceKind::User,
            id: format!("aje{}", n % 2),
            parent_id: "ek01".into(),
        },
        payload("a.CreateUserMetadata"),
        Outcome::Response(payload("a.User")),
        at(n),
    )
}

async fn operations(world: &World) {
    let store = &world.store;
    write(store, async |tx| {
        for n in 0..5 {
            tx.insert_operation(&operation(n)).await?;
        }
        Ok(())
    })
    .await;
    let error = OperationError {
        code: 9,
        message: "no".into(),
        status_bytes: vec![1, 0],
    };
    for outcome in [
        Outcome::Running,
        Outcome::Error(error),
        Outcome::Response(Payload::default()),
    ] {
        let changed = Operation {
            outcome,
            modified_at: at(9),
            ..operation(3)
        };
        let saved = changed.clone();
        write(store, async move |tx| tx.save_operation(&saved).await).await;
        let found = read(store, async |tx| tx.find_operation(&"ops3".into()).await).await;
        assert_eq!(found, Some(changed));
    }
    let page = read(store, async |tx| {
        let first = PageRequest::first();
        let kind = OperationResourceKind::User;
        let shown = operation(4).metadata.type_name;
        Ok((
            tx.list_operations(kind, "aje0", at(-1), &[], &first)
                .await?,
            tx.list_operations(kind, "aje0", at(0), &["a.Other"], &first)
                .await?,
            tx.list_operations(kind, "aje0", at(0), &["a.Other", &shown], &first)
                .await?,
        ))
    })
    .await;
    assert_eq!(page.0.items, [operation(4), operation(2), operation(0)]);
    assert_eq!(page.1.items, [operation(4), operation(2)]);
    assert!(page.2.items.is_empty());
    let left = write(store, async |tx| {
        let first = tx.delete_old_operations(at(4), 3).await?;
        let second = tx.delete_old_operations(at(4), 3).await?;
        Ok((
            first,
            second,
            tx.find_operation(&"ops4".into()).await?.is_some(),
        ))
    })
    .await;
    assert_eq!(left, (3, 1, true));
}

async fn remembered_calls(world: &World) {
    let store = &world.store;
    let record = IdempotencyRecord {
        subject_id: "aje1".into(),
        method: "/a.B/C".into(),
        key: "6f".into(),
        request_digest: vec![7; 32],
        operation_id: "ops1".into(),
        created_at: at(0),
    };
    let again = IdempotencyRecord {
        operation_id: "ops2".into(),
        created_at: at(90),
        request_digest: vec![8; 32],
        ..record.clone()
    };
    for record in [record, again] {
        let saved = record.clone();
        write(store, async move |tx| {
            tx.save_idempotency_record(&saved).await
        })
        .await;
        let found = read(store, async |tx| {
            tx.find_idempotency_record(&"aje1".into(), "/a.B/C", "6f")
                .await
        })
        .await;
        assert_eq!(found, Some(record));
    }
    let found = read(store, async |tx| {
        Ok([
            tx.find_idempotency_record(&"aje2".into(), "/a.B/C", "6f")
                .await?,
            tx.find_idempotency_record(&"aje1".into(), "/a.B/D", "6f")
                .await?,
            tx.find_idempotency_record(&"aje1".into(), "/a.B/C", "6F")
                .await?,
        ])
    })
    .await;
    assert_eq!(found, [None, None, None]);
    let deleted = write(store, async |tx| {
        let early = tx.delete_old_idempotency_records(at(90), 10).await?;
        Ok((early, tx.delete_old_idempotency_records(at(91), 10).await?))
    })
    .await;
    assert_eq!(deleted, (0, 1));
}

async fn iam_tokens(world: &World) {
    let store = &world.store;
    let token = |n: u8| {
        let subject = Subject::service_account(format!("aje{}", n % 4));
        let id = format!("aje1{n}");
        IamToken::issue(id.as_str().into(), vec![n; 32], subject, at(n.into()))
    };
    write(store, async move |tx| {
        for n in 0..4 {
            tx.insert_iam_token(&token(n)).await?;
        }
        Ok(())
    })
    .await;
    let found = read(store, async |tx| {
        Ok([
            tx.find_iam_token(&[2; 32]).await?,
            tx.find_iam_token(&[9; 32]).await?,
        ])
    })
    .await;
    assert_eq!(found, [Some(token(2)), None]);
    let end_of_second = token(1).expires_at;
    let deleted = write(store, async move |tx| {
        Ok((
            tx.delete_iam_token(&[3; 32]).await?,
            tx.delete_iam_token(&[3; 32]).await?,
            tx.delete_expired_iam_tokens(end_of_second, 10).await?,
            tx.find_iam_token(&[2; 32]).await?.is_some(),
        ))
    })
    .await;
    assert_eq!(deleted, (true, false, 2, true));

    let impersonated = token(5).impersonated_by(Subject::user("aje2"));
    let inserted = [token(6), impersonated.clone(), token(4)];
    let (found, ended, left) = write(store, async move |tx| {
        for token in &inserted {
            tx.insert_iam_token(token).await?;
        }
        Ok((
            tx.find_iam_token(&[5; 32]).await?,
            tx.delete_iam_tokens_of_subject(&"aje2".into()).await?,
            tx.find_iam_token(&[4; 32]).await?.is_some(),
        ))
    })
    .await;
    assert_eq!(
        (found, ended, left),
        (Some(impersonated), 3, true),
        "tokens of a subject end with those it asked for in other names"
    );
}
