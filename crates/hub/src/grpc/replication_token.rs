//! Replication tokens: the handlers behind three methods of `SynchronizationService`.

use rollcall_domain::access::Permission;
use rollcall_domain::id::UserpoolId;
use rollcall_domain::sync_session::SessionType;
use rollcall_kit::secret::SecretString;
use rollcall_proto::idp;
use rollcall_store::Tx;

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::sync_settings::resource;
use crate::wire::WireEnum;

/// `SetReplicationToken`.
pub async fn set(
    cx: &Context,
    tx: &Tx,
    request: &idp::SetReplicationTokenRequest,
) -> Result<Done, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(
        tx,
        Permission::ReplicationTokenUse,
        Scope::Userpool(&pool_id),
    )
    .await?;
    let stream = SessionType::parse_wire("session_type", request.session_type)?;
    cx.authorize(tx, stream.permission(), Scope::Userpool(&pool_id))
        .await?;
    let opened = tx.find_opened_sync_session(&pool_id, stream).await?;
    let token = SecretString::new(request.replication_token.clone());
    let stored = tx
        .get_replication_token(&pool_id, stream, cx.call.now)
        .await?;
    let stored = stored.set(token, opened.as_ref(), &cx.caller()?.id, cx.call.now)?;
    tx.save_replication_token(&stored).await?;
    let subject_container_id = pool_id.to_string();
    Ok(Done::new(
        &idp::SetReplicationTokenMetadata {
            subject_container_id,
        },
        &(),
        resource(&pool_id),
    ))
}

/// `ResetReplicationToken`: all streams of the pool (decision U22).
pub async fn reset(
    cx: &Context,
    tx: &Tx,
    request: &idp::ResetReplicationTokenRequest,
) -> Result<Done, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(
        tx,
        Permission::ReplicationTokenReset,
        Scope::Userpool(&pool_id),
    )
    .await?;
    for token in tx.list_replication_tokens(&pool_id, cx.call.now).await? {
        tx.save_replication_token(&token.reset(cx.call.now)).await?;
    }
    let subject_container_id = pool_id.to_string();
    Ok(Done::new(
        &idp::ResetReplicationTokenMetadata {
            subject_container_id,
        },
        &(),
        resource(&pool_id),
    ))
}

/// `GetReplicationToken`: an empty text when none is stored (decision U23).
pub async fn get(
    cx: &Context,
    tx: &Tx,
    request: &idp::GetReplicationTokenRequest,
) -> Result<idp::GetReplicationTokenResponse, Error> {
    let pool_id = UserpoolId::from(request.subject_container_id.as_str());
    cx.authorize(
        tx,
        Permission::ReplicationTokenGet,
        Scope::Userpool(&pool_id),
    )
    .await?;
    let stream = SessionType::parse_wire("session_type", request.session_type)?;
    let stored = tx
        .get_replication_token(&pool_id, stream, cx.call.now)
        .await?;
    Ok(idp::GetReplicationTokenResponse {
        replication_token: stored
            .token
            .map(|token| token.expose().to_owned())
            .unwrap_or_default(),
    })
}

/// Demands a full run of every stream (decision U24).
pub async fn demand_full_run(cx: &Context, tx: &Tx, pool_id: &UserpoolId) -> Result<(), Error> {
    for token in tx.list_replication_tokens(pool_id, cx.call.now).await? {
        tx.save_replication_token(&token.demand_full_run(cx.call.now))
            .await?;
    }
    Ok(())
}
