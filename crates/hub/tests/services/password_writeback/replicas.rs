//! Two hubs on one PostgreSQL database: a change begun through one reaches an agent at the other.

use rollcall_kit::timestamp::Span;
use rollcall_lab::postgres::Postgres;

use super::agent::Agent;
use super::{SECOND, THIRD, World, is_response};
use crate::harness::Harness;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_stream() {
    let postgres = Postgres::start().unwrap();
    let first = Harness::start_on(Some(postgres.fresh_database().unwrap())).await;
    let second = first.start_replica().await;
    let world = World::on(first).await;
    let token = world.agent.metadata("authorization").to_owned();
    let elsewhere = second.anonymous().with("authorization", &token);
    let pool_id = world.hub.pool_id.clone();

    let mut active = Agent::subscribe(&elsewhere, &pool_id, "agent-2", 0)
        .await
        .unwrap();
    active.hears_nothing().await;
    let mut standing_by = world.subscribe("agent-1").await;
    let operation = world.change_own().await;
    let change = active.next().await.unwrap();
    assert_eq!((change.offset, change.password.as_str()), (1, SECOND));
    standing_by.hears_nothing().await;

    // The hub of the active agent ends; the other agent takes over, and its answer counts.
    second.running.stop().await;
    world.hub.advance(Span::seconds(5));
    let change = standing_by.next().await.unwrap();
    assert_eq!(change.offset, 1);
    world.commit(&world.answer(&change)).await.unwrap();
    let ended = world.operation(&world.ann, &operation.id).await;
    assert!(is_response(&ended, "SetOwnPasswordResponse"));
    assert!(world.is_right(SECOND).await);

    // A newer stream of the same agent at another hub supersedes this one.
    let third = world.hub.start_replica().await;
    let elsewhere = third.anonymous().with("authorization", &token);
    let mut newer = Agent::subscribe(&elsewhere, &pool_id, "agent-1", 0)
        .await
        .unwrap();
    newer.hears_nothing().await;
    assert_eq!(
        standing_by.next().await.unwrap_err().code(),
        tonic::Code::Aborted
    );
    world.reset(THIRD).await.unwrap();
    let change = newer.next().await.unwrap();
    assert_eq!((change.offset, change.password.as_str()), (2, THIRD));
}
