//! The hash that the directory sends beside the commit: the same password is not two.

use rollcall_domain::id::PasswordId;
use rollcall_domain::password::{Password, StoredForm};
use rollcall_hub::password_hash::nt_hash;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Span;
use rollcall_proto::idp;
use rollcall_proto::operation::{GetOperationRequest, Operation};
use rollcall_store::Tx;
use tonic::Code;

use super::super::password_change::stored;
use super::{FIRST, SECOND, THIRD, World, is_response, nt_hex};
use crate::harness::expect;

#[tokio::test]
async fn the_hash_that_the_directory_sends_afterwards_is_the_same() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    world.change_own().await;
    let change = agent.next().await.unwrap();
    world.commit(&world.answer(&change)).await.unwrap();
    let before = stored_id(&world).await;
    import(&world, SECOND, 30).await;
    assert_eq!(stored_id(&world).await, before);
    // An older one does not come back, a later one counts.
    import(&world, FIRST, -30).await;
    assert!(world.is_right(SECOND).await);
    import(&world, THIRD, 60).await;
    assert!(world.is_right(THIRD).await);
}

/// The directory sends the hash of `password`, set there `seconds` from now.
async fn import(world: &World, password: &str, seconds: i64) {
    import_of(world, &world.ann_id, password, seconds).await;
}

/// The same for another user.
pub(super) async fn import_of(world: &World, user_id: &str, password: &str, seconds: i64) {
    use rollcall_kit::clock::Clock as _;
    let set_at = world.hub.clock.now().plus(Span::seconds(seconds));
    let request = idp::SetPasswordHashRequest {
        user_id: user_id.to_owned(),
        hash: Some(idp::PasswordHash {
            password_hash: nt_hex(password),
            password_hash_type: idp::password_hash::PasswordHashType::AdMd4.into(),
            created_at: Some(rollcall_hub::wire::render_timestamp(set_at)),
        }),
        need_change: false,
    };
    let _: Operation = world
        .hub
        .administrator
        .call("UserService/SetPasswordHash", &request)
        .await
        .unwrap();
}

async fn stored_id(world: &World) -> PasswordId {
    stored(&world.hub, &world.ann_id).await.id
}

#[tokio::test]
async fn the_hash_may_come_before_the_commit() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    let operation = world.change_own().await;
    let change = agent.next().await.unwrap();
    import(&world, SECOND, 1).await;
    let echoed = stored_id(&world).await;
    // Whoever asked for the change stays signed in.
    world.hub.advance(Span::seconds(6));
    assert!(!world.operation(&world.ann, &operation.id).await.done);
    world.commit(&world.answer(&change)).await.unwrap();
    let ended = world.operation(&world.ann, &operation.id).await;
    assert!(is_response(&ended, "SetOwnPasswordResponse"));
    assert_eq!(stored_id(&world).await, echoed);
}

#[tokio::test]
async fn a_later_password_of_the_directory_is_not_overtaken_by_the_commit() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    let operation = world.change_own().await;
    let change = agent.next().await.unwrap();
    import(&world, THIRD, 2).await;
    world.commit(&world.answer(&change)).await.unwrap();
    assert!(world.is_right(THIRD).await);
    let ended = world
        .operation(&world.hub.administrator, &operation.id)
        .await;
    assert!(is_response(&ended, "SetOwnPasswordResponse"));
}

/// The hash of one change may still be under way when the next one is committed.
#[tokio::test]
async fn a_hash_that_comes_late_does_not_undo_the_next_change() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    for password in [SECOND, THIRD] {
        world.reset(password).await.unwrap();
        let change = agent.next().await.unwrap();
        world.commit(&world.answer(&change)).await.unwrap();
    }
    import(&world, SECOND, 1).await;
    assert!(world.is_right(THIRD).await);
    // Nothing is under way for so long.
    world.hub.advance(Span::minutes(10));
    import(&world, SECOND, 1).await;
    assert!(world.is_right(SECOND).await);
}

/// The echo of a change is sealed for as long as others are strengthened before it.
#[tokio::test]
async fn a_password_of_the_directory_ends_what_the_change_before_kept() {
    let world = World::start().await;
    let mut agent = world.subscribe("agent-1").await;
    world.change_own().await;
    let change = agent.next().await.unwrap();
    import(&world, SECOND, 1).await;
    world.commit(&world.answer(&change)).await.unwrap();
    let get = GetOperationRequest {
        operation_id: change.modifying_operation_id,
    };
    world.hub.advance(Span::seconds(6));
    let _: Operation = world.ann.call("OperationService/Get", &get).await.unwrap();
    seal(&world, SECOND).await;
    import(&world, THIRD, 60).await;
    world.hub.advance(Span::seconds(6));
    let refused = world.ann.refused("OperationService/Get", &get).await;
    expect(&refused, Code::Unauthenticated, "UNAUTHENTICATED");
}

/// Puts the sealed hash of `password` in the place of what is stored, and out of the reach of the
/// strengthening job.
async fn seal(world: &World, password: &str) {
    let hub = &world.hub.running.hub;
    let hash = nt_hash(&SecretString::new(password.into()));
    let sealed = hub
        .sealing_key
        .seal(&world.ann_id, &hash, hub.entropy.as_ref())
        .unwrap();
    let password = Password {
        form: StoredForm::SealedNtHash(SecretBytes::new(sealed)),
        ..stored(&world.hub, &world.ann_id).await
    };
    hub.store
        .write(async move |tx: &Tx| {
            tx.save_password(&password).await?;
            tx.shelve_sealed_password(&password.id).await
        })
        .await
        .unwrap();
}
