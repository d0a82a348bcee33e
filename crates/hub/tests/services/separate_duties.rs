//! What an account that works in one stream cannot do to the others.

use rollcall_proto::operation::Operation;
use rollcall_proto::{admin, idp};
use tonic::Code;

use super::password_change::{FIRST, GENERATE, SET_OTHERS, others, spec};
use crate::harness::{Caller, Harness, expect, nt};

const OPEN: &str = "SynchronizationSessionService/OpenSession";
const SET_TOKEN: &str = "SynchronizationService/SetReplicationToken";

/// Roles and the streams they are for.
const DUTIES: [(&str, &[idp::SessionType]); 3] = [
    (
        "userpools.objectAgent",
        &[idp::SessionType::AdSync, idp::SessionType::LdapSync],
    ),
    (
        "userpools.accountStateAgent",
        &[idp::SessionType::AdUserControl],
    ),
    (
        "userpools.passwordHashAgent",
        &[idp::SessionType::AdPasswordHash],
    ),
];

#[tokio::test]
async fn a_role_opens_and_moves_its_own_stream_only() {
    let hub = Harness::start().await;
    for (role, own) in DUTIES {
        let agent = hub.account(&[role], hub.pool()).await;
        for stream in DUTIES.iter().flat_map(|(_, streams)| *streams) {
            let cursor = idp::SetReplicationTokenRequest {
                subject_container_id: hub.pool_id.clone(),
                replication_token: format!("of {role}"),
                session_type: (*stream).into(),
            };
            if own.contains(stream) {
                let opened = hub.open(&agent, "agent-1", *stream).await;
                assert_eq!(opened.result(), idp::OpenSessionResult::Success);
                let _: (idp::SetReplicationTokenMetadata, ()) =
                    agent.change(SET_TOKEN, &cursor).await.unwrap();
                continue;
            }
            let opening = idp::OpenSessionRequest {
                subject_container_id: hub.pool_id.clone(),
                agent_id: "agent-1".into(),
                session_type: (*stream).into(),
            };
            expect_denied(&agent, OPEN, &opening).await;
            expect_denied(&agent, SET_TOKEN, &cursor).await;
        }
    }
}

#[tokio::test]
async fn only_the_role_for_hashes_sets_passwords() {
    let hub = Harness::start().await;
    let ann = hub.create_user("ann").await;
    let hash = idp::SetPasswordHashRequest {
        user_id: ann.clone(),
        hash: Some(nt("00000000000000000000000000000001")),
        need_change: false,
    };
    let required = admin::SetPasswordChangeRequiredRequest {
        user_id: ann.clone(),
        required: true,
    };
    for (role, _) in DUTIES {
        let agent = hub.account(&[role], hub.pool()).await;
        let (is_hashes, is_states) = (role.contains("Hash"), role.contains("State"));
        if is_hashes {
            let _: Operation = agent
                .call("UserService/SetPasswordHash", &hash)
                .await
                .unwrap();
        } else {
            expect_denied(&agent, "UserService/SetPasswordHash", &hash).await;
        }
        if is_states {
            let _: Operation = agent
                .call("PasswordService/SetChangeRequired", &required)
                .await
                .unwrap();
        } else {
            expect_denied(&agent, "PasswordService/SetChangeRequired", &required).await;
        }
        expect_denied(&agent, SET_OTHERS, &others(&ann, spec(FIRST))).await;
        expect_denied(&agent, GENERATE, &idp::GeneratePasswordRequest {}).await;
        // Whoever makes the users of a directory makes them with a hash that nobody knows.
        let made = agent
            .call::<_, Operation>("UserService/Create", &hub.new_user("bob"))
            .await;
        assert_eq!(made.is_ok(), role.contains("object"), "{role} {made:?}");
    }
}

#[tokio::test]
async fn the_role_for_the_state_of_accounts_changes_nothing_else() {
    let hub = Harness::start().await;
    let new = idp::CreateUserRequest {
        phone_number: "+15550100".into(),
        ..hub.new_user("ann")
    };
    let (_, ann): (idp::CreateUserMetadata, idp::User) = hub
        .administrator
        .change("UserService/Create", &new)
        .await
        .unwrap();
    let ann = ann.id;
    let agent = hub
        .account(&["userpools.accountStateAgent"], hub.pool())
        .await;
    let update = |paths: &[&str]| idp::UpdateUserRequest {
        user_id: ann.clone(),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        full_name: "Somebody else".into(),
        ..Default::default()
    };
    for paths in [
        &["full_name"] as &[_],
        &["expires_at", "full_name"],
        &["username"],
        &[],
    ] {
        expect_denied(&agent, "UserService/Update", &update(paths)).await;
    }
    let delete = idp::DeleteUserRequest {
        user_id: ann.clone(),
    };
    expect_denied(&agent, "UserService/Delete", &delete).await;
    let convert = idp::ConvertToExternalUserRequest {
        user_id: ann.clone(),
        external_id: "guid-ann".into(),
    };
    expect_denied(&agent, "UserService/ConvertToExternal", &convert).await;

    let suspend = idp::SuspendUserRequest {
        user_id: ann.clone(),
        ..Default::default()
    };
    let reactivate = idp::ReactivateUserRequest {
        user_id: ann.clone(),
    };
    let changed = agent
        .change("UserService/Update", &update(&["expires_at"]))
        .await;
    let (_, ann): (idp::UpdateUserMetadata, idp::User) = changed.unwrap();
    assert_eq!(
        (ann.full_name.as_str(), ann.phone_number.as_str()),
        ("The ann", "")
    );
    for changed in [
        agent
            .call::<_, Operation>("UserService/Suspend", &suspend)
            .await,
        agent.call("UserService/Reactivate", &reactivate).await,
    ] {
        changed.unwrap();
    }
}

async fn expect_denied<Q>(caller: &Caller, method: &str, request: &Q)
where
    Q: prost::Message + Clone + 'static,
{
    let refused = caller.refused(method, request).await;
    expect(&refused, Code::PermissionDenied, "PERMISSION_DENIED");
}
