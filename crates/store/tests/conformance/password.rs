//! Passwords and the queue of hashes that wait to be strengthened.

use rollcall_domain::id::SessionId;
use rollcall_domain::password::{ForeignScheme, Password, PasswordKind, PasswordUse, StoredForm};
use rollcall_domain::password_history::{EarlierPassword, HISTORY_MAX};
use rollcall_kit::secret::{SecretBytes, SecretString};

use crate::world::{NOW, World, at, insert_users, read, user_id, write};

crate::on_both_engines!(forms, queue, last_use, history);

fn sealed(n: u32, session: Option<&str>) -> Password {
    Password {
        id: format!("pw{n}").into(),
        user_id: user_id(n),
        form: StoredForm::SealedNtHash(SecretBytes::new(vec![0, 255, u8::try_from(n).unwrap()])),
        kind: PasswordKind::Permanent,
        created_at: Some(at(-5)),
        stored_at: at(n.into()),
        expires_at: None,
        session_id: session.map(SessionId::from),
    }
}

async fn forms(world: &World) {
    let store = &world.store;
    insert_users(store, 1).await;
    let text = || SecretString::new("$argon2id$v=19$x".into());
    for (n, form) in [
        StoredForm::SealedNtHash(SecretBytes::new(vec![0, 1, 255])),
        StoredForm::Argon2NtHash(text()),
        StoredForm::Argon2Password(text()),
        StoredForm::Foreign {
            scheme: ForeignScheme::Pbkdf2Sha512,
            text: text(),
        },
    ]
    .into_iter()
    .enumerate()
    {
        let password = Password {
            id: format!("pw-{n}").into(),
            form,
            kind: PasswordKind::Temporary,
            created_at: (n > 0).then_some(at(3)),
            expires_at: (n > 1).then_some(at(4)),
            ..sealed(0, Some("sys1"))
        };
        let saved = password.clone();
        write(store, async move |tx| tx.save_password(&saved).await).await;
        let (found, user) = read(store, async |tx| {
            Ok((
                tx.find_password(&user_id(0)).await?,
                tx.find_user(&user_id(0)).await?,
            ))
        })
        .await;
        assert_eq!(user.unwrap().password_created_at, password.created_at);
        assert_eq!(found, Some(password), "one password per user, the last one");
    }
}

async fn queue(world: &World) {
    let store = &world.store;
    insert_users(store, 5).await;
    write(store, async |tx| {
        for n in [3, 1, 2, 0, 4] {
            tx.save_password(&sealed(n, Some(if n < 3 { "sys1" } else { "sys2" })))
                .await?;
        }
        Ok(())
    })
    .await;
    let claim = async |limit, now| {
        let claimed = write(store, async move |tx| {
            tx.claim_sealed_passwords(limit, at(now), at(now + 60))
                .await
        })
        .await;
        claimed
            .into_iter()
            .map(|password| password.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(claim(2, 100).await, ["pw0", "pw1"], "the oldest first");
    assert_eq!(
        claim(9, 100).await,
        ["pw2", "pw3", "pw4"],
        "a claimed one is not given twice"
    );
    assert!(claim(9, 159).await.is_empty());
    assert_eq!(claim(1, 160).await, ["pw0"], "a claim runs out");

    let argon2 = SecretString::new("$argon2id$".into());
    let newer = Password {
        id: "pw1-new".into(),
        ..sealed(1, Some("sys2"))
    };
    let saved = write(store, async move |tx| {
        tx.save_password(&newer).await?;
        Ok((
            tx.save_strengthened(&"pw0".into(), &argon2).await?,
            tx.save_strengthened(&"pw0".into(), &argon2).await?,
            tx.save_strengthened(&"pw1".into(), &argon2).await?,
        ))
    })
    .await;
    assert_eq!(
        saved,
        (true, false, false),
        "done twice or superseded: no effect"
    );
    let (first, second, password) = read(store, async |tx| {
        Ok((
            tx.count_sealed_passwords_of_session(&"sys1".into()).await?,
            tx.count_sealed_passwords_of_session(&"sys2".into()).await?,
            tx.find_password(&user_id(0)).await?.unwrap(),
        ))
    })
    .await;
    assert_eq!((first, second), (1, 3));
    assert!(matches!(password.form, StoredForm::Argon2NtHash(_)));
    assert_eq!(
        password.created_at,
        Some(NOW.minus(rollcall_kit::timestamp::Span::seconds(5)))
    );
    assert_eq!(
        claim(9, 159).await,
        ["pw1-new"],
        "a new value is not claimed"
    );
}

async fn last_use(world: &World) {
    let store = &world.store;
    insert_users(store, 1).await;
    let password = sealed(0, None);
    let changed = Password {
        kind: PasswordKind::Temporary,
        ..password.clone()
    };
    let other = Password {
        id: "pw0-new".into(),
        ..password.clone()
    };
    let found = write(store, async move |tx| {
        let mut found = Vec::new();
        tx.save_password(&password).await?;
        found.push(tx.find_password_use(&user_id(0)).await?);
        tx.note_password_use(&password.id, at(3), "192.0.2.1")
            .await?;
        tx.note_password_use(&password.id, at(4), "192.0.2.7")
            .await?;
        tx.note_password_use(&"unknown".into(), at(5), "192.0.2.8")
            .await?;
        tx.save_password(&changed).await?;
        found.push(tx.find_password_use(&user_id(0)).await?);
        tx.save_password(&other).await?;
        found.push(tx.find_password_use(&user_id(0)).await?);
        Ok(found)
    })
    .await;
    let used = PasswordUse {
        used_at: at(4),
        address: "192.0.2.7".into(),
    };
    assert_eq!(found, [None, Some(used), None]);
}

async fn history(world: &World) {
    let store = &world.store;
    insert_users(store, 2).await;
    let text = |n: u32| SecretString::new(format!("text {n}"));
    let earlier = move |n: u32| EarlierPassword {
        id: format!("old{n}").into(),
        user_id: user_id(0),
        form: match n % 3 {
            0 => StoredForm::Argon2NtHash(text(n)),
            1 => StoredForm::Argon2Password(text(n)),
            _ => StoredForm::Foreign {
                scheme: ForeignScheme::Pkcs5s2,
                text: text(n),
            },
        },
        replaced_at: at(i64::from(n)),
    };
    let (mine, others, none) = write(store, async move |tx| {
        for n in 0..HISTORY_MAX + 3 {
            tx.insert_earlier_password(&earlier(n)).await?;
        }
        let other = EarlierPassword {
            id: "other".into(),
            user_id: user_id(1),
            ..earlier(0)
        };
        tx.insert_earlier_password(&other).await?;
        let mine = tx.list_earlier_passwords(&user_id(0)).await?;
        let others = tx.list_earlier_passwords(&user_id(1)).await?;
        tx.delete_user(&user_id(0)).await?;
        Ok((
            mine,
            others.len(),
            tx.list_earlier_passwords(&user_id(0)).await?,
        ))
    })
    .await;
    let newest: Vec<_> = (3..HISTORY_MAX + 3).rev().map(earlier).collect();
    assert_eq!(mine, newest);
    assert_eq!((others, none), (1, vec![]));
    let sealed = EarlierPassword {
        form: StoredForm::SealedNtHash(SecretBytes::new(vec![1])),
        ..earlier(0)
    };
    let refused = store
        .write(async move |tx: &rollcall_store::Tx| tx.insert_earlier_password(&sealed).await)
        .await;
    assert!(matches!(
        refused,
        Err(rollcall_store::Error::Corrupt { .. })
    ));
}
