//! Sessions of users, their tokens, and logins.

use rollcall_domain::access::Subject;
use rollcall_domain::iam_token::IamToken;
use rollcall_domain::id::SignInSessionId;
use rollcall_domain::page::PageRequest;
use rollcall_domain::password::{ForeignScheme, Password, PasswordKind, StoredForm};
use rollcall_domain::sign_in_session::SignInSession;
use rollcall_kit::secret::SecretString;
use rollcall_store::{Error, Tx};

use crate::world::{World, at, insert_users, pool_id, read, user_id, write};

crate::on_both_engines!(sessions, ends, logins, better_hashes);

fn session(n: u8, user: u32) -> SignInSession {
    SignInSession {
        id: format!("sis{n}").into(),
        user_id: user_id(user),
        created_at: at(n.into()),
        renewed_at: at(n.into()),
        expires_at: at(100 + i64::from(n)),
        ends_at: at(1_000),
        family_digest: vec![0, n],
        refresh_digest: vec![n, 255],
        remote_address: "192.0.2.7".into(),
        user_agent: "a program".into(),
    }
}

fn token(n: u8, session: &SignInSession) -> IamToken {
    let subject = Subject::user(session.user_id.as_str());
    IamToken::issue(format!("aje{n}").into(), vec![n], subject, at(0))
        .of_session(session.id.clone(), at(500))
}

/// Inserts sessions 1 to 3 of user 0 and 4 of user 1, each with the token of its number, and token
/// 9 of user 0 without a session.
async fn fill(world: &World) {
    insert_users(&world.store, 2).await;
    write(&world.store, async |tx| {
        for (n, user) in [(1, 0), (2, 0), (3, 0), (4, 1)] {
            let session = session(n, user);
            tx.insert_sign_in_session(&session).await?;
            tx.insert_iam_token(&token(n, &session)).await?;
        }
        let subject = Subject::user(user_id(0).as_str());
        tx.insert_iam_token(&IamToken::issue("aje9".into(), vec![9], subject, at(0)))
            .await
    })
    .await;
}

/// The numbers of the sessions, then of the tokens that are left.
async fn left(world: &World) -> (Vec<u8>, Vec<u8>) {
    read(&world.store, async |tx| {
        let (mut sessions, mut tokens) = (Vec::new(), Vec::new());
        for n in 1..=9_u8 {
            let id = SignInSessionId::new(format!("sis{n}"));
            if tx.find_sign_in_session(&id).await?.is_some() {
                sessions.push(n);
            }
            if tx.find_iam_token(&[n]).await?.is_some() {
                tokens.push(n);
            }
        }
        Ok((sessions, tokens))
    })
    .await
}

async fn sessions(world: &World) {
    fill(world).await;
    let store = &world.store;
    let renewed = session(1, 0).renew(vec![7], rollcall_kit::timestamp::Span::seconds(50), at(60));
    let saved = renewed.clone();
    write(store, async move |tx| tx.save_sign_in_session(&saved).await).await;
    let id = renewed.id.clone();
    let found = read(store, async move |tx| {
        Ok((
            tx.find_sign_in_session(&id).await?,
            tx.find_iam_token(&[1]).await?,
        ))
    })
    .await;
    assert_eq!(found.1, Some(token(1, &renewed)));
    assert_eq!(found.0, Some(renewed));
    let page = |size: i64, after| PageRequest::new(size, after).unwrap();
    let list = async |page: PageRequest, now: i64| {
        read(store, async move |tx| {
            tx.list_sign_in_sessions(&user_id(0), at(now), &page).await
        })
        .await
    };
    let first = list(page(2, None), 50).await;
    let second = list(page(2, first.next.clone()), 50).await;
    let ids = |items: &[SignInSession]| -> Vec<String> {
        items.iter().map(|it| it.id.to_string()).collect()
    };
    assert_eq!(ids(&first.items), ["sis1", "sis2"]);
    assert_eq!(ids(&second.items), ["sis3"]);
    assert_eq!(second.next, None);
    let late = list(page(10, None), 102).await;
    assert_eq!(
        ids(&late.items),
        ["sis1", "sis3"],
        "what ended is not listed"
    );
}

/// What a deletion leaves.
async fn after<T: Send + 'static>(
    world: &World,
    work: impl AsyncFn(&Tx) -> Result<T, Error> + Send + 'static,
) -> (T, Vec<u8>, Vec<u8>) {
    let answer = write(&world.store, work).await;
    let (sessions, tokens) = left(world).await;
    (answer, sessions, tokens)
}

async fn ends(world: &World) {
    fill(world).await;
    let (_, sessions, tokens) = after(world, async |tx| {
        tx.delete_surplus_sign_in_sessions(&user_id(0), 2).await
    })
    .await;
    assert_eq!((sessions, tokens), (vec![2, 3, 4], vec![2, 3, 4, 9]));
    let (count, sessions, tokens) = after(world, async |tx| {
        let kept = "sis3".into();
        tx.delete_sign_in_sessions_of_user(&user_id(0), Some(&kept))
            .await
    })
    .await;
    assert_eq!((count, sessions, tokens), (1, vec![3, 4], vec![3, 4, 9]));
    let (count, sessions, tokens) = after(world, async |tx| {
        tx.delete_ended_sign_in_sessions(at(103), 10).await
    })
    .await;
    assert_eq!((count, sessions, tokens), (1, vec![4], vec![4, 9]));
    let (was, sessions, tokens) = after(world, async |tx| {
        tx.delete_sign_in_session(&"sis4".into()).await
    })
    .await;
    assert_eq!((was, sessions, tokens), (true, vec![], vec![9]));
    let gone = after(world, async |tx| {
        tx.insert_sign_in_session(&session(5, 0)).await?;
        tx.delete_user(&user_id(0)).await
    });
    assert_eq!(gone.await, (true, vec![], vec![]));
}

async fn logins(world: &World) {
    insert_users(&world.store, 2).await;
    let (pool, missing, user, nobody) = read(&world.store, async |tx| {
        let login = tx.find_user(&user_id(1)).await?.unwrap().username;
        let pool = pool_id();
        Ok((
            tx.find_userpool_of_domain(login.domain()).await?,
            tx.find_userpool_of_domain("missing.example").await?,
            tx.find_user_by_login(&pool, &login.folded()).await?,
            tx.find_user_by_login(&"ek0missing".into(), &login.folded())
                .await?,
        ))
    })
    .await;
    assert_eq!((pool, missing), (Some(pool_id()), None));
    assert_eq!(user.map(|user| user.id), Some(user_id(1)));
    assert_eq!(nobody, None);
}

async fn better_hashes(world: &World) {
    insert_users(&world.store, 1).await;
    let text = |text: &str| SecretString::new(text.into());
    let foreign = Password {
        id: "pw1".into(),
        user_id: user_id(0),
        form: StoredForm::Foreign {
            scheme: ForeignScheme::Pkcs5s2,
            text: text("sealed"),
        },
        kind: PasswordKind::Permanent,
        created_at: None,
        stored_at: at(0),
        expires_at: None,
        session_id: None,
    };
    let saved = foreign.clone();
    let changed = write(&world.store, async move |tx| {
        let argon2 = SecretString::new("$argon2id$".into());
        tx.save_password(&saved).await?;
        Ok((
            tx.save_rehashed(&"pw2".into(), &argon2).await?,
            tx.save_rehashed(&saved.id, &argon2).await?,
            tx.save_rehashed(&saved.id, &argon2).await?,
        ))
    })
    .await;
    assert_eq!(changed, (false, true, false));
    let found = read(&world.store, async |tx| tx.find_password(&user_id(0)).await).await;
    let expected = Password {
        form: StoredForm::Argon2Password(text("$argon2id$")),
        ..foreign
    };
    assert_eq!(found, Some(expected));
}
