//! A password that has to be changed at the sign-in: the directory is asked first there, too.

use std::sync::Arc;
use std::time::Duration;

use rollcall_proto::idp::password_writeback_error_details::PasswordWritebackErrorCode as ErrorCode;
use rollcall_proto::signin::sign_in_response::Result as Answer;
use rollcall_proto::{admin, idp, signin};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use super::answer::refusal;
use super::hash::import_of;
use super::{Agent, FIRST, SECOND, THIRD, World, create};
use crate::harness::expect;

/// Longest wait for what must not have to wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// The user `bob` of the directory, who has to change the password.
async fn create_bob(world: &World) -> String {
    let bob_id = create(&world.hub, "bob").await;
    let required = admin::SetPasswordChangeRequiredRequest {
        user_id: bob_id.clone(),
        required: true,
    };
    let _: rollcall_proto::operation::Operation = world
        .hub
        .administrator
        .call("PasswordService/SetChangeRequired", &required)
        .await
        .unwrap();
    bob_id
}

/// A change that waits for its answer.
struct Changing {
    call: JoinHandle<Result<signin::ChangePasswordResponse, Status>>,
    change: idp::GetPasswordChangesResponse,
}

impl Changing {
    async fn begin(world: &World, agent: &mut Agent) -> Self {
        let request = signin::SignInRequest {
            username: "bob@staff.idp.rollcall.internal".into(),
            password: FIRST.into(),
        };
        let anonymous = world.hub.anonymous();
        let answer: signin::SignInResponse = anonymous
            .call("SignInService/SignIn", &request)
            .await
            .unwrap();
        let Some(Answer::PasswordChangeRequired(required)) = answer.result else {
            panic!("{answer:?}");
        };
        let request = signin::ChangePasswordRequest {
            change_token: required.change_token,
            new_password: SECOND.into(),
        };
        let call = tokio::spawn(async move {
            anonymous
                .call("SignInService/ChangePassword", &request)
                .await
        });
        let change = agent.next().await.unwrap();
        assert_eq!(
            (change.old_password.as_str(), change.need_change),
            ("", false)
        );
        assert!(!call.is_finished());
        Self { call, change }
    }

    async fn end(
        self,
        world: &World,
        error_details: Option<idp::PasswordWritebackErrorDetails>,
    ) -> Result<signin::ChangePasswordResponse, Status> {
        let answer = idp::CommitPasswordRequest {
            error_details,
            ..world.answer(&self.change)
        };
        world.commit(&answer).await.unwrap();
        self.call.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_change_waits_for_the_directory() {
    let world = World::start().await;
    let bob_id = create_bob(&world).await;
    let mut agent = world.subscribe("agent-1").await;
    let changing = Changing::begin(&world, &mut agent).await;
    let used_before = refusal(
        ErrorCode::PasswordPolicyViolation,
        "PASSWORD_USED_BEFORE: x",
    );
    let refused = changing.end(&world, used_before).await.unwrap_err();
    expect(&refused, Code::InvalidArgument, "PASSWORD_USED_BEFORE");
    let fields = tonic_types::StatusExt::get_details_bad_request(&refused).unwrap();
    assert_eq!(fields.field_violations[0].field, "new_password");
    let changing = Changing::begin(&world, &mut agent).await;
    let changed = changing.end(&world, None).await.unwrap();
    assert_eq!(changed.tokens.unwrap().user_id, bob_id);
}

/// The directory may have sent the hash of the new password before the answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_hash_may_come_before_the_answer() {
    let world = World::start().await;
    let bob_id = create_bob(&world).await;
    let mut agent = world.subscribe("agent-1").await;
    let changing = Changing::begin(&world, &mut agent).await;
    import_of(&world, &bob_id, SECOND, 1).await;
    let changed = changing.end(&world, None).await.unwrap();
    assert_eq!(changed.tokens.unwrap().user_id, bob_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_with_a_password_that_another_took_the_place_of() {
    let world = World::start().await;
    let bob_id = create_bob(&world).await;
    let mut agent = world.subscribe("agent-1").await;
    let changing = Changing::begin(&world, &mut agent).await;
    // An administrator of the directory set another one.
    import_of(&world, &bob_id, THIRD, 2).await;
    let refused = changing.end(&world, None).await.unwrap_err();
    expect(&refused, Code::Aborted, "CONFLICT");
    let request = signin::ListSignInSessionsRequest {
        user_id: bob_id,
        ..Default::default()
    };
    let listed: signin::ListSignInSessionsResponse = world
        .hub
        .administrator
        .call("SignInService/ListSessions", &request)
        .await
        .unwrap();
    assert_eq!(listed.sessions, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_the_directory_holds_up_no_change() {
    let world = World::start().await;
    create_bob(&world).await;
    let mut agent = world.subscribe("agent-1").await;
    let changes = Arc::clone(&world.hub.running.hub.changes);
    let places = u32::try_from(changes.available_permits()).unwrap();
    let changing = Changing::begin(&world, &mut agent).await;
    // All places for changes but one are taken; the answer needs that.
    let taken = changes.try_acquire_many_owned(places - 1);
    let ended = tokio::time::timeout(PATIENCE, changing.end(&world, None)).await;
    ended.expect("the answer waits for the change").unwrap();
    drop(taken);
}
