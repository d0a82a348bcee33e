//! Two hubs on one PostgreSQL database.

use std::collections::BTreeSet;

use rollcall_lab::postgres::Postgres;
use rollcall_proto::idp;
use rollcall_proto::idp::OpenSessionResult;
use rollcall_proto::idp::open_session_response::SessionInfo;
use rollcall_proto::operation::Operation;
use rollcall_proto::organizationmanager as om;
use rollcall_proto::signin;
use tonic::{Code, Status};

use rollcall_hub::init;
use rollcall_kit::clock::SystemClock;
use rollcall_kit::entropy::SystemEntropy;

use crate::harness::{Harness, expect};
use crate::scenarios::sign_in;

fn session_id(response: &idp::OpenSessionResponse) -> String {
    match &response.session_info {
        Some(SessionInfo::OpenedSession(session)) => session.session_id.clone(),
        other => panic!("no session: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_everything() {
    let postgres = Postgres::start().unwrap();
    let first = Harness::start_on(Some(postgres.fresh_database().unwrap())).await;
    let second = first.start_replica().await;

    // One session for both, whichever hub is asked.
    let opened = first
        .open(&first.administrator, "agent-1", idp::SessionType::AdSync)
        .await;
    assert_eq!(opened.result(), OpenSessionResult::Success);
    let exists = second
        .open(&second.administrator, "agent-2", idp::SessionType::AdSync)
        .await;
    assert_eq!(exists.result(), OpenSessionResult::OpenedSessionExists);
    assert_eq!(session_id(&exists), session_id(&opened));

    // A user made through one, under the session, is there through the other.
    let caller = first
        .administrator
        .with("x-sync-session-id", &session_id(&opened));
    let caller = caller.with("idempotency-key", "key-1");
    let operation: Operation = caller
        .call("UserService/Create", &first.new_user("ann"))
        .await
        .unwrap();
    let list = idp::ListUsersRequest {
        userpool_id: first.pool_id.clone(),
        ..Default::default()
    };
    let page: idp::ListUsersResponse = second
        .administrator
        .call("UserService/List", &list)
        .await
        .unwrap();
    assert_eq!(page.users.len(), 1);

    // A repetition through the other hub finds the operation of the first.
    let caller = second
        .administrator
        .with("x-sync-session-id", &session_id(&opened));
    let caller = caller.with("idempotency-key", "key-1");
    let again: Operation = caller
        .call("UserService/Create", &first.new_user("ann"))
        .await
        .unwrap();
    assert_eq!(again, operation);

    // Page tokens of one are taken by the other.
    for login in ["bob", "cyd"] {
        first.create_user(login).await;
    }
    let mut list = idp::ListUsersRequest {
        page_size: 2,
        ..list
    };
    let page: idp::ListUsersResponse = first
        .administrator
        .call("UserService/List", &list)
        .await
        .unwrap();
    list.page_token = page.next_page_token;
    let page: idp::ListUsersResponse = second
        .administrator
        .call("UserService/List", &list)
        .await
        .unwrap();
    assert_eq!(page.users.len(), 1);
    first.running.stop().await;
    second.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_agents_at_two_hubs_one_opens() {
    let postgres = Postgres::start().unwrap();
    let first = Harness::start_on(Some(postgres.fresh_database().unwrap())).await;
    let second = first.start_replica().await;
    let attempts = (0..16_u32).map(|number| {
        let hub = if number.is_multiple_of(2) {
            &first
        } else {
            &second
        };
        let agent_id = format!("agent-{number}");
        async move {
            hub.open(&hub.administrator, &agent_id, idp::SessionType::AdSync)
                .await
        }
    });
    let answers = futures::future::join_all(attempts).await;
    let won: Vec<_> = answers
        .iter()
        .filter(|answer| answer.result() == OpenSessionResult::Success)
        .map(session_id)
        .collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| session_id(answer) == won[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_initialised_once() {
    let postgres = Postgres::start().unwrap();
    let database = postgres.fresh_database().unwrap();
    let first = Harness::start_on(Some(database.clone())).await;
    let directory = tempfile::tempdir().unwrap();
    let request = init::Request {
        data: directory.path().join("hub"),
        organization: "Another".into(),
        address: "localhost:0".into(),
        database: Some(database),
    };
    let error = init::init(request, &SystemClock, &SystemEntropy)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("copy the data directory"), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    first.running.stop().await;
}

/// Many calls at once that each want one of the last places.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_never_exceeded_by_calls_at_once() {
    const PLACES: usize = 3;
    let postgres = Postgres::start().unwrap();
    let quotas = "quotas:\n  users_per_userpool: 3\n  groups_per_organization: 3\n  \
                  members_per_group: 3\n  groups_per_user: 2\n";
    let first = Harness::start_with(Some(postgres.fresh_database().unwrap()), quotas).await;
    let second = first.start_replica().await;
    let hub = |number: usize| {
        if number.is_multiple_of(2) {
            &first
        } else {
            &second
        }
    };

    let users = (0..12).map(|number| async move {
        let request = hub(number).new_user(&format!("user{number}"));
        hub(number)
            .administrator
            .call::<_, Operation>("UserService/Create", &request)
            .await
    });
    assert_eq!(places(futures::future::join_all(users).await), PLACES);

    let groups = (0..12).map(|number| async move {
        let request = om::CreateGroupRequest {
            organization_id: hub(number).made.organization_id.clone(),
            name: format!("Group-{number}"),
            ..Default::default()
        };
        hub(number)
            .administrator
            .call::<_, Operation>("GroupService/Create", &request)
            .await
    });
    assert_eq!(places(futures::future::join_all(groups).await), PLACES);

    // One user wants into three groups at once, and two fit.
    let list = idp::ListUsersRequest {
        userpool_id: first.pool_id.clone(),
        ..Default::default()
    };
    let page: idp::ListUsersResponse = first
        .administrator
        .call("UserService/List", &list)
        .await
        .unwrap();
    let user_id = &page.users[0].id;
    let list = om::ListGroupsRequest {
        organization_id: first.made.organization_id.clone(),
        ..Default::default()
    };
    let page: om::ListGroupsResponse = first
        .administrator
        .call("GroupService/List", &list)
        .await
        .unwrap();
    let joins = page
        .groups
        .iter()
        .enumerate()
        .map(|(number, group)| async move {
            let request = om::UpdateGroupMembersRequest {
                group_id: group.id.clone(),
                member_deltas: vec![om::MemberDelta {
                    action: om::member_delta::MemberAction::Add.into(),
                    subject_id: user_id.clone(),
                }],
            };
            hub(number)
                .administrator
                .call::<_, Operation>("GroupService/UpdateMembers", &request)
                .await
        });
    assert_eq!(places(futures::future::join_all(joins).await), 2);
    first.running.stop().await;
    second.running.stop().await;
}

/// How many calls found a place; all others were told that the quota is used up.
fn places(answers: Vec<Result<Operation, Status>>) -> usize {
    let mut found = 0;
    for answer in answers {
        match answer {
            Ok(_) => found += 1,
            Err(status) => expect(&status, Code::ResourceExhausted, "QUOTA_EXCEEDED"),
        }
    }
    found
}

/// The repetitions of one call race with it and with each other.
#[tokio::test(flavor = "multi_thread")]
async fn repetitions_at_once_all_answer_with_the_first_operation() {
    let postgres = Postgres::start().unwrap();
    let first = Harness::start_on(Some(postgres.fresh_database().unwrap())).await;
    let second = first.start_replica().await;
    for round in 0..6 {
        let key = format!("key-{round}");
        let calls = (0..16_u32).map(|number| {
            let hub = if number.is_multiple_of(2) {
                &first
            } else {
                &second
            };
            let caller = hub.administrator.with("idempotency-key", &key);
            async move {
                if round % 2 == 0 {
                    let request = hub.new_user(&format!("user{round}"));
                    return caller.call("UserService/Create", &request).await;
                }
                let request = om::CreateExternalGroupRequest {
                    organization_id: hub.made.organization_id.clone(),
                    name: format!("Group-{round}"),
                    subject_container_id: hub.pool_id.clone(),
                    external_id: format!("guid-{round}"),
                    make_editor: true,
                    ..Default::default()
                };
                caller.call("GroupService/CreateExternal", &request).await
            }
        });
        let answers: Vec<Result<Operation, Status>> = futures::future::join_all(calls).await;
        let ids: BTreeSet<_> = answers
            .into_iter()
            .map(|answer| answer.unwrap().id)
            .collect();
        assert_eq!(ids.len(), 1, "round {round}");
    }
    first.running.stop().await;
    second.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_share_blocks_and_sessions() {
    let postgres = Postgres::start().unwrap();
    let section = "sign_in: {failure_milliseconds: 0}\n";
    let first = Harness::start_with(Some(postgres.fresh_database().unwrap()), section).await;
    let second = first.start_replica().await;
    sign_in::create_user(&first, "ann").await;
    sign_in::create_user(&first, "bob").await;
    let tokens = sign_in::tokens(&first, "ann", sign_in::PASSWORD).await;
    let ann = sign_in::bearer(&second, "ann", &tokens);
    assert!(sign_in::is_known(&ann).await);

    // The default policy allows 15 failures, wherever they are counted.
    let guesses = (0..20_u32).map(|number| {
        let hub = if number.is_multiple_of(2) {
            &first
        } else {
            &second
        };
        sign_in::attempt(hub, "ann", "wrong")
    });
    for answer in futures::future::join_all(guesses).await {
        assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
    }
    for hub in [&first, &second] {
        let blocked = sign_in::attempt(hub, "ann", sign_in::PASSWORD).await;
        assert_eq!(blocked.unwrap_err().code(), Code::Unauthenticated);
        sign_in::tokens(hub, "bob", sign_in::PASSWORD).await;
    }
    // What was begun before goes on, at either hub.
    let request = signin::RefreshRequest {
        refresh_token: tokens.refresh_token,
    };
    let renewed: signin::RefreshResponse = second
        .anonymous()
        .call("SignInService/Refresh", &request)
        .await
        .unwrap();
    let ann = sign_in::bearer(&first, "ann", &renewed.tokens.unwrap());
    assert!(sign_in::is_known(&ann).await);
    first.running.stop().await;
    second.running.stop().await;
}
