//! The stream: who may open it, who receives, what comes again, and how it ends.

use rollcall_domain::access::{Permission, ResourceRef, Role};
use rollcall_domain::named::Named as _;
use rollcall_domain::password_change_stream::LEASE;
use rollcall_kit::clock::Clock as _;
use rollcall_kit::timestamp::Span;
use tonic::Code;

use super::agent::{Agent, message};
use super::{SECOND, THIRD, World, create};
use crate::harness::{expect, expect_field};

#[tokio::test]
async fn only_some_roles_open_it() {
    let world = World::start().await;
    let pool_id = world.hub.pool_id.clone();
    for role in Role::ALL {
        let short = role.name().trim_start_matches("organization-manager.");
        let caller = world.hub.account(&[short], world.hub.organization()).await;
        let opened = Agent::subscribe(&caller, &pool_id, "agent-1", 0).await;
        let may = *role == Role::Owner || Permission::PasswordChangesUse.roles().contains(role);
        assert_eq!(opened.is_ok(), may, "{short}");
        if let Err(status) = opened {
            expect(&status, Code::PermissionDenied, "PERMISSION_DENIED");
        }
    }
}

#[tokio::test]
async fn what_was_not_committed_comes_again() {
    let world = World::start().await;
    world.change_own().await;
    let mut agent = world.subscribe("agent-1").await;
    assert_eq!(agent.next().await.unwrap().offset, 1);
    drop(agent);
    let mut agent = world.subscribe("agent-1").await;
    let change = agent.next().await.unwrap();
    assert_eq!(change.offset, 1);
    agent.hears_nothing().await;
    world.commit(&world.answer(&change)).await.unwrap();
    agent.acknowledge(1).await;
    world.reset(THIRD).await.unwrap();
    assert_eq!(agent.next().await.unwrap().offset, 2);
    // Whoever names what it has seen gets the rest.
    let seen = Agent::subscribe(&world.agent, &world.hub.pool_id, "agent-1", 2).await;
    seen.unwrap().hears_nothing().await;
    let ahead = Agent::subscribe(&world.agent, &world.hub.pool_id, "agent-1", 3).await;
    expect(&ahead.err().unwrap(), Code::OutOfRange, "OUT_OF_RANGE");
    let negative = Agent::subscribe(&world.agent, &world.hub.pool_id, "agent-1", -1).await;
    expect_field(&negative.err().unwrap(), "offset");
}

#[tokio::test]
async fn a_stream_begins_with_the_time_of_the_hub() {
    let world = World::start().await;
    for ahead in [0, 90] {
        world.hub.advance(Span::seconds(ahead));
        let agent = world.subscribe("agent-1").await;
        assert_eq!(agent.hub_time, world.hub.clock.now().to_string());
    }
}

#[tokio::test]
async fn the_ids_stay_those_of_the_first_message() {
    let world = World::start().await;
    let pool_id = world.hub.pool_id.clone();
    for (wrong, field) in [
        (message("ek000000000000000000", "agent-1", 0), "userpool_id"),
        (message(&pool_id, "agent-2", 0), "agent_id"),
        (message(&pool_id, "", 0), "agent_id"),
    ] {
        let mut agent = world.subscribe("agent-1").await;
        agent.say(wrong).await;
        expect_field(&agent.next().await.unwrap_err(), field);
    }
    let mut agent = world.subscribe("agent-1").await;
    agent.acknowledge(1).await;
    expect(
        &agent.next().await.unwrap_err(),
        Code::OutOfRange,
        "OUT_OF_RANGE",
    );
}

#[tokio::test]
async fn one_agent_receives_and_another_stands_by() {
    let world = World::start().await;
    let mut first = world.subscribe("agent-1").await;
    world.change_own().await;
    assert_eq!(first.next().await.unwrap().offset, 1);
    let mut second = world.subscribe("agent-2").await;
    second.hears_nothing().await;
    // A later stream of the same agent takes over at once, and the earlier one is told.
    let mut again = world.subscribe("agent-1").await;
    assert_eq!(again.next().await.unwrap().offset, 1);
    expect(&first.next().await.unwrap_err(), Code::Aborted, "CONFLICT");
    second.hears_nothing().await;
    // The other one waits until the lease of a lost stream ends.
    drop(again);
    second.hears_nothing().await;
    world.hub.advance(Span::seconds(5));
    assert_eq!(second.next().await.unwrap().offset, 1);
}

/// Waits until `agent_id` receives, with a lease of full length from now.
async fn wait_renewed(world: &World, agent_id: &str) {
    let until = world.hub.clock.now().plus(LEASE);
    for _ in 0..2_000 {
        let pool = world.hub.pool_id.as_str().into();
        let store = &world.hub.running.hub.store;
        let stream = store
            .read(async move |tx: &rollcall_store::Tx| tx.get_password_change_stream(&pool).await)
            .await
            .unwrap();
        if let Some(holder) = stream.holder {
            assert_eq!(holder.agent_id, agent_id);
            if holder.lease_until == until {
                return;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the lease is not renewed");
}

#[tokio::test]
async fn the_active_one_stays_active_for_long() {
    let world = World::start().await;
    let mut first = world.subscribe("agent-1").await;
    wait_renewed(&world, "agent-1").await;
    let mut second = world.subscribe("agent-2").await;
    for _ in 0..3 {
        world.hub.advance(Span::seconds(3));
        wait_renewed(&world, "agent-1").await;
    }
    world.change_own().await;
    assert_eq!(first.next().await.unwrap().offset, 1);
    second.hears_nothing().await;
}

#[tokio::test]
async fn so_many_are_under_way_at_once() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    for number in 0..17 {
        let id = create(&world.hub, &format!("u{number}")).await;
        let request = rollcall_proto::idp::SetOthersPasswordRequest {
            user_id: id,
            password_spec: super::spec(SECOND),
        };
        let _: rollcall_proto::operation::Operation = world
            .hub
            .administrator
            .call("UserService/SetOthersPassword", &request)
            .await
            .unwrap();
    }
    for offset in 1..=16 {
        assert_eq!(agent.next().await.unwrap().offset, offset);
    }
    agent.hears_nothing().await;
    agent.acknowledge(1).await;
    assert_eq!(agent.next().await.unwrap().offset, 17);
}

#[tokio::test]
async fn the_streams_of_one_pool_leave_room_for_those_of_others() {
    let world = World::start().await;
    let pool_id = &world.hub.pool_id;
    let mut streams = Vec::new();
    let refused = loop {
        let agent_id = format!("agent-{}", streams.len());
        match Agent::subscribe(&world.agent, pool_id, &agent_id, 0).await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
        assert!(streams.len() < 1_000);
    };
    expect(&refused, Code::Unavailable, "BUSY");
    let guests = world.hub.create_pool("guests").await;
    let resource = ResourceRef::userpool(&guests.as_str().into());
    let roles = ["userpools.writebackAgent"];
    let caller = world.hub.account(&roles, resource).await;
    let other = Agent::subscribe(&caller, &guests, "agent-1", 0).await;
    assert!(other.is_ok(), "{:?}", other.err());
    // A place is free again when its stream has ended.
    drop(streams);
    for _ in 0..2_000 {
        match Agent::subscribe(&world.agent, pool_id, "agent-1", 0).await {
            Ok(_) => return,
            Err(status) => expect(&status, Code::Unavailable, "BUSY"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no place is free again");
}

#[tokio::test]
async fn it_ends_with_the_right_the_token_its_lifetime_and_the_hub() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    world.hub.advance(Span::hours(1));
    expect_code(&mut agent, Code::Unavailable).await;

    let caller = world
        .hub
        .account(&["userpools.writebackAgent"], world.hub.pool())
        .await;
    let mut agent = Agent::subscribe(&caller, &world.hub.pool_id, "agent-2", 0)
        .await
        .unwrap();
    let pool = world.hub.pool_id.clone();
    let store = &world.hub.running.hub.store;
    store
        .write(async move |tx: &rollcall_store::Tx| {
            tx.delete_access_bindings_of_userpool(&pool.as_str().into())
                .await
        })
        .await
        .unwrap();
    world.hub.advance(Span::seconds(5));
    world.reset(SECOND).await.unwrap();
    expect(
        &agent.next().await.unwrap_err(),
        Code::PermissionDenied,
        "PERMISSION_DENIED",
    );

    let caller = world
        .hub
        .account(&["userpools.writebackAgent"], world.hub.pool())
        .await;
    let mut agent = Agent::subscribe(&caller, &world.hub.pool_id, "agent-3", 0)
        .await
        .unwrap();
    agent.next().await.unwrap();
    let revoke = world.hub.clock.clone();
    let now = revoke.now();
    store
        .write(async move |tx: &rollcall_store::Tx| {
            let all = now.plus(Span::days(365));
            tx.delete_expired_iam_tokens(all, 1_000).await
        })
        .await
        .unwrap();
    world.hub.advance(Span::seconds(5));
    expect_code(&mut agent, Code::Unauthenticated).await;

    let caller = world
        .hub
        .account(&["userpools.writebackAgent"], world.hub.pool())
        .await;
    let mut agent = Agent::subscribe(&caller, &world.hub.pool_id, "agent-4", 0)
        .await
        .unwrap();
    world.hub.running.stop().await;
    expect_code(&mut agent, Code::Unavailable).await;
}

/// The stream ends with `code`, after what it may still have had to say.
async fn expect_code(agent: &mut Agent, code: Code) {
    let status = loop {
        if let Err(status) = agent.next().await {
            break status;
        }
    };
    assert_eq!(status.code(), code, "{status:?}");
}
