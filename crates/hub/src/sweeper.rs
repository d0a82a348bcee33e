//! The job that ends what has run out and forgets what is old.
//!
//! Invariant: nothing depends on its punctuality: leases, tokens and retention are judged by time
//! at each access too (decision U9). What it ends leaves an audit event. Each step touches a bounded number of rows, so that calls are
//! never kept waiting. Deliberately absent: work of the strengthening job.

use std::sync::Arc;

use rollcall_domain::audit::{AuditTarget, retained_from};
use rollcall_domain::id::AuditEventId;
use rollcall_domain::{idempotency, operation, password_writeback, sync_session};
use rollcall_kit::id::first_id;
use rollcall_kit::timestamp::Timestamp;
use rollcall_store::Tx;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::audit::document::Document;
use crate::audit::event_type::{ACCOUNT_ENDED, LEASE_ENDED};
use crate::error::Error;
use crate::hub::Hub;
use crate::limits;

/// Runs until `stop`.
pub async fn run(hub: Arc<Hub>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(limits::SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = hub.clock.now();
        hub.audit.tell_dropped(now);
        if let Err(error) = sweep(&hub, now).await {
            tracing::error!(%error, "what has run out could not be swept");
        }
    }
}

/// Ends and forgets what is due at `now`.
///
/// # Errors
/// When the database fails; what was done before stays done.
pub async fn sweep(hub: &Arc<Hub>, now: Timestamp) -> Result<(), Error> {
    let batch = limits::SWEEP_BATCH_MAX;
    let inner = Arc::clone(hub);
    hub.store
        .write(async move |tx: &Tx| expire_sessions(&inner, tx, now).await)
        .await?;
    let inner = Arc::clone(hub);
    hub.store
        .write(async move |tx: &Tx| expire_users(&inner, tx, now).await)
        .await?;
    hub.store
        .write(async move |tx: &Tx| {
            tx.delete_ended_sign_in_sessions(now, batch).await?;
            tx.delete_expired_iam_tokens(now, batch).await?;
            tx.delete_old_sign_in_guards(now, batch).await?;
            let writebacks_before = now.minus(password_writeback::RESULT_RETENTION);
            tx.delete_old_password_writebacks(writebacks_before, batch)
                .await?;
            let keys_before = now.minus(idempotency::RETENTION);
            tx.delete_old_idempotency_records(keys_before, batch)
                .await?;
            tx.delete_old_operations(now.minus(operation::RETENTION), batch)
                .await?;
            let sessions_before = now.minus(sync_session::RETENTION);
            let keep = sync_session::RETAINED_PER_TYPE_MIN;
            tx.delete_old_sync_sessions(sessions_before, keep, batch)
                .await?;
            Ok::<_, Error>(())
        })
        .await?;
    forget_audit_events(hub, now).await
}

/// Changes are many, so old events leave in several batches at once.
async fn forget_audit_events(hub: &Hub, now: Timestamp) -> Result<(), Error> {
    let Some(from) = retained_from(now, hub.audit.retention_days) else {
        return Ok(());
    };
    let first = AuditEventId::new(first_id(AuditEventId::PREFIX, from));
    for _ in 0..limits::AUDIT_SWEEP_BATCHES_MAX {
        let first = first.clone();
        let deleted = hub
            .store
            .write(async move |tx: &Tx| {
                let batch = limits::SWEEP_BATCH_MAX;
                Ok::<_, Error>(tx.delete_old_audit_events(&first, batch).await?)
            })
            .await?;
        if deleted < u64::from(limits::SWEEP_BATCH_MAX) {
            break;
        }
    }
    Ok(())
}

async fn expire_sessions(hub: &Hub, tx: &Tx, now: Timestamp) -> Result<(), Error> {
    let lapsed = tx
        .list_lapsed_sync_sessions(now, limits::SWEEP_BATCH_MAX)
        .await?;
    for session in lapsed.iter().filter_map(|session| session.expire(now)) {
        tx.save_sync_session(&session).await?;
        let details = Document::from_iter([
            ("sessionId".to_owned(), session.id.as_str().into()),
            ("failReason".to_owned(), session.fail_reason.into()),
        ]);
        let target = AuditTarget::Session(session.id);
        audit::record_own(hub, tx, &LEASE_ENDED, &target, details).await?;
    }
    Ok(())
}

async fn expire_users(hub: &Hub, tx: &Tx, now: Timestamp) -> Result<(), Error> {
    let due = tx
        .list_users_to_expire(now, limits::SWEEP_BATCH_MAX)
        .await?;
    for user in due.iter().filter_map(|user| user.expire(now)) {
        tx.save_user(&user).await?;
        tx.delete_sign_in_sessions_of_user(&user.id, None).await?;
        let end = user.expires_at.map(|end| end.to_string());
        let details = Document::from_iter([("expiresAt".to_owned(), end.into())]);
        let target = AuditTarget::User(user.id);
        audit::record_own(hub, tx, &ACCOUNT_ENDED, &target, details).await?;
    }
    Ok(())
}
