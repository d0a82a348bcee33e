use rollcall_kit::timestamp::Span;
use rollcall_proto::{idp, signin};
use rollcall_store::Tx;
use tonic::{Code, Status};

use super::sign_in::{attempt, bearer, create_user, is_known, tokens};
use crate::harness::{Caller, Harness, expect, nt};

const REFRESH: &str = "SignInService/Refresh";
const LIST: &str = "SignInService/ListSessions";
const END: &str = "SignInService/EndSession";
const END_ALL: &str = "SignInService/EndAllSessions";
const SIGN_OUT: &str = "SignInService/SignOut";
const PASSWORD: &str = "Correct horse 7";

async fn refresh(
    hub: &Harness,
    tokens: &signin::SessionTokens,
) -> Result<signin::SessionTokens, Status> {
    let request = signin::RefreshRequest {
        refresh_token: tokens.refresh_token.clone(),
    };
    let answer: signin::RefreshResponse = hub.anonymous().call(REFRESH, &request).await?;
    Ok(answer.tokens.unwrap())
}

async fn sessions(caller: &Caller, user_id: &str) -> Result<Vec<String>, Status> {
    let request = signin::ListSignInSessionsRequest {
        user_id: user_id.into(),
        ..Default::default()
    };
    let answer: signin::ListSignInSessionsResponse = caller.call(LIST, &request).await?;
    Ok(answer.sessions.into_iter().map(|it| it.id).collect())
}

#[track_caller]
fn expect_unknown<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.unwrap_err();
    expect(&status, Code::Unauthenticated, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_session_is_renewed_with_its_newest_token() {
    let hub = Harness::start().await;
    create_user(&hub, "ann").await;
    let first = tokens(&hub, "ann", PASSWORD).await;
    hub.advance(Span::hours(11));
    let second = refresh(&hub, &first).await.unwrap();
    assert_eq!(second.sign_in_session_id, first.sign_in_session_id);
    assert_ne!(second.iam_token, first.iam_token);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert!(is_known(&bearer(&hub, "ann", &second)).await);
    // A start of the hub keeps the session.
    let hub = hub.restart().await;
    hub.advance(Span::hours(11));
    let third = refresh(&hub, &second).await.unwrap();
    hub.advance(Span::hours(12));
    expect_unknown(refresh(&hub, &third).await);
}

#[tokio::test]
async fn a_used_refresh_token_ends_its_session() {
    let hub = Harness::start().await;
    create_user(&hub, "ann").await;
    let other = tokens(&hub, "ann", PASSWORD).await;
    let first = tokens(&hub, "ann", PASSWORD).await;
    let second = refresh(&hub, &first).await.unwrap();
    assert!(is_known(&bearer(&hub, "ann", &second)).await);
    expect_unknown(refresh(&hub, &first).await);
    assert!(!is_known(&bearer(&hub, "ann", &second)).await);
    expect_unknown(refresh(&hub, &second).await);
    assert!(is_known(&bearer(&hub, "ann", &other)).await);
    // An invented token ends nothing.
    let invented = signin::SessionTokens {
        refresh_token: format!("rt1.{}.{}", other.sign_in_session_id, "A".repeat(86)),
        ..Default::default()
    };
    expect_unknown(refresh(&hub, &invented).await);
    assert!(is_known(&bearer(&hub, "ann", &other)).await);
}

#[tokio::test]
async fn users_see_and_end_their_own_sessions() {
    let hub = Harness::start().await;
    let user_id = create_user(&hub, "ann").await;
    let first = tokens(&hub, "ann", PASSWORD).await;
    hub.advance(Span::seconds(1));
    let second = tokens(&hub, "ann", PASSWORD).await;
    let (ann, also_ann) = (bearer(&hub, "ann", &first), bearer(&hub, "ann", &second));
    let both = [
        first.sign_in_session_id.clone(),
        second.sign_in_session_id.clone(),
    ];
    assert_eq!(sessions(&ann, &user_id).await.unwrap(), both);
    let request = signin::EndSignInSessionRequest {
        sign_in_session_id: second.sign_in_session_id.clone(),
    };
    let _: signin::EndSignInSessionResponse = ann.call(END, &request).await.unwrap();
    assert!(!is_known(&also_ann).await);
    expect(
        &ann.refused(END, &request).await,
        Code::NotFound,
        "NOT_FOUND",
    );
    let out: signin::SignOutResponse = ann
        .call(SIGN_OUT, &signin::SignOutRequest {})
        .await
        .unwrap();
    assert_eq!(out.sign_in_session_id, first.sign_in_session_id);
    assert!(!is_known(&ann).await);
    let robot = hub.administrator.clone();
    let refused = robot.refused(SIGN_OUT, &signin::SignOutRequest {}).await;
    expect(&refused, Code::FailedPrecondition, "NO_SIGN_IN_SESSION");
}

#[tokio::test]
async fn sessions_of_others_need_the_right_to_manage_them() {
    let hub = Harness::start().await;
    let user_id = create_user(&hub, "ann").await;
    create_user(&hub, "bob").await;
    let of_ann = tokens(&hub, "ann", PASSWORD).await;
    let of_bob = tokens(&hub, "bob", PASSWORD).await;
    let (ann, bob) = (bearer(&hub, "ann", &of_ann), bearer(&hub, "bob", &of_bob));
    let viewer = hub.account(&["userpools.viewer"], hub.pool()).await;
    let end = signin::EndSignInSessionRequest {
        sign_in_session_id: of_ann.sign_in_session_id.clone(),
    };
    let end_all = signin::EndAllSignInSessionsRequest {
        user_id: user_id.clone(),
    };
    for caller in [&bob, &viewer] {
        let refused = sessions(caller, &user_id).await.unwrap_err();
        expect(&refused, Code::NotFound, "NOT_FOUND");
        for refused in [
            caller.refused(END, &end).await,
            caller.refused(END_ALL, &end_all).await,
        ] {
            expect(&refused, Code::NotFound, "NOT_FOUND");
        }
    }
    let manager = hub.account(&["userpools.userAdmin"], hub.pool()).await;
    assert_eq!(sessions(&manager, &user_id).await.unwrap().len(), 1);
    let ended: signin::EndAllSignInSessionsResponse =
        manager.call(END_ALL, &end_all).await.unwrap();
    assert_eq!(ended.ended, 1);
    assert!(!is_known(&ann).await);
    assert!(is_known(&bob).await);
}

/// Signs in, lets `change` happen, and tells whether the session is still there.
async fn survives(hub: &Harness, name: &str, change: impl AsyncFn(&str)) -> bool {
    let user_id = create_user(hub, name).await;
    let tokens = tokens(hub, name, PASSWORD).await;
    let caller = bearer(hub, name, &tokens);
    assert!(is_known(&caller).await);
    change(&user_id).await;
    let known = is_known(&caller).await;
    assert_eq!(refresh(hub, &tokens).await.is_ok(), known);
    known
}

#[tokio::test]
async fn sessions_end_with_the_account_and_with_the_password() {
    let hub = Harness::start().await;
    let owner = &hub.administrator;
    let suspended = survives(&hub, "ann", async |id: &str| {
        let request = idp::SuspendUserRequest {
            user_id: id.into(),
            ..Default::default()
        };
        let _: (idp::SuspendUserMetadata, ()) =
            owner.change("UserService/Suspend", &request).await.unwrap();
    });
    assert!(!suspended.await);
    let deleted = survives(&hub, "bob", async |id: &str| {
        let request = idp::DeleteUserRequest { user_id: id.into() };
        let _: (idp::DeleteUserMetadata, ()) =
            owner.change("UserService/Delete", &request).await.unwrap();
    });
    assert!(!deleted.await);
    let ended = survives(&hub, "cyd", async |id: &str| {
        let request = idp::UpdateUserRequest {
            user_id: id.into(),
            expires_at: Some(prost_types::Timestamp {
                seconds: 1,
                nanos: 0,
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["expires_at".into()],
            }),
            ..Default::default()
        };
        let _: (idp::UpdateUserMetadata, idp::User) =
            owner.change("UserService/Update", &request).await.unwrap();
    });
    assert!(!ended.await);
    let set_hash = async |id: &str, hash: &str| {
        let request = idp::SetPasswordHashRequest {
            user_id: id.into(),
            hash: Some(nt(hash)),
            need_change: false,
        };
        let _: (idp::SetPasswordHashMetadata, ()) = owner
            .change("UserService/SetPasswordHash", &request)
            .await
            .unwrap();
    };
    let replaced = survives(&hub, "dan", async |id: &str| {
        set_hash(id, "0cb6948805f797bf2a82807973b89537").await;
    });
    assert!(!replaced.await);
    // Other changes end nothing.
    let renamed = survives(&hub, "eve", async |id: &str| {
        let request = idp::UpdateUserRequest {
            user_id: id.into(),
            full_name: "Eve".into(),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["full_name".into()],
            }),
            ..Default::default()
        };
        let _: (idp::UpdateUserMetadata, idp::User) =
            owner.change("UserService/Update", &request).await.unwrap();
    });
    assert!(renamed.await);
}

#[tokio::test]
async fn an_account_that_ends_takes_its_token_along() {
    let hub = Harness::start().await;
    let user_id = create_user(&hub, "ann").await;
    let tokens = tokens(&hub, "ann", PASSWORD).await;
    let ann = bearer(&hub, "ann", &tokens);
    let mut end = tokens.expires_at.unwrap();
    end.seconds -= 20 * 60;
    let request = idp::UpdateUserRequest {
        user_id,
        expires_at: Some(end),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["expires_at".into()],
        }),
        ..Default::default()
    };
    let _: (idp::UpdateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Update", &request)
        .await
        .unwrap();
    assert!(is_known(&ann).await);
    hub.advance(Span::minutes(10));
    assert!(!is_known(&ann).await);
    expect_unknown(refresh(&hub, &tokens).await);
    expect_unknown(attempt(&hub, "ann", PASSWORD).await);
}

#[tokio::test]
async fn what_has_ended_is_swept() {
    let hub = Harness::start_with(None, "sign_in: {failure_milliseconds: 0}\n").await;
    create_user(&hub, "ann").await;
    let tokens = tokens(&hub, "ann", PASSWORD).await;
    expect_unknown(attempt(&hub, "ann", "Another horse 8").await);
    hub.advance(Span::hours(12));
    let inner = &hub.running.hub;
    rollcall_hub::sweeper::sweep(inner, rollcall_kit::clock::Clock::now(&*hub.clock))
        .await
        .unwrap();
    let id = tokens.sign_in_session_id.as_str().into();
    let holder = format!("user:{}", tokens.user_id);
    let (session, guard) = inner
        .store
        .read(async move |tx: &Tx| {
            let session = tx.find_sign_in_session(&id).await?;
            Ok::<_, rollcall_store::Error>((session, tx.get_sign_in_guard(&holder).await?))
        })
        .await
        .unwrap();
    assert_eq!((session, guard.failures.len()), (None, 0));
}
