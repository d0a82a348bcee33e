//! The job that turns sealed NT hashes into Argon2id and completes the sessions that wait for it.
//!
//! Invariant: a sealed hash is erased in the same statement that stores its strengthened form, and
//! a hash superseded meanwhile never comes back (decision U56). Several hubs may run the job on
//! one database: hashes are claimed for a while. A hash that does not open is shelved, and its
//! session fails (decision U7). Deliberately absent: foreign hashes, which only a
//! sign-in can strengthen.

use std::sync::Arc;

use futures::{StreamExt, stream};
use rollcall_domain::id::PasswordId;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Span;
use rollcall_store::{SealedPassword, Tx};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::hub::Hub;
use crate::limits;
use crate::password_hash::{self, Salt};

/// Runs until `stop`.
pub async fn run(hub: Arc<Hub>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let rest = match step(&hub, &stop).await {
            Ok(Progress::Made) => continue,
            Ok(Progress::NothingToDo) => limits::STRENGTHENING_PAUSE,
            Err(error) => {
                tracing::error!(%error, "imported password hashes could not be strengthened");
                limits::STRENGTHENING_RETRY_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = hub.sealed_hash_arrived.notified() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Why a session failed of which a hash does not open.
const HASH_UNUSABLE: &str = "a password hash that this session imported cannot be opened with the \
     sealing key of the hub: restore the key, or set the hash again";

enum Progress {
    Made,
    NothingToDo,
}

/// What became of a claimed hash.
enum Outcome {
    Strengthened(PasswordId, SecretString),
    Unusable(PasswordId),
}

async fn step(hub: &Arc<Hub>, stop: &CancellationToken) -> Result<Progress, Error> {
    let now = hub.clock.now();
    let until = now.plus(Span::seconds(limits::STRENGTHENING_CLAIM_SECONDS));
    let claimed = hub
        .store
        .write(async move |tx: &Tx| {
            let batch = limits::STRENGTHENING_BATCH_MAX;
            Ok::<_, Error>(tx.claim_sealed_passwords(batch, now, until).await?)
        })
        .await?;
    let is_empty = claimed.is_empty();
    let outcomes: Vec<_> = stream::iter(claimed)
        .map(|password| strengthen(hub, stop, password))
        .buffer_unordered(hub.hashing.background_workers())
        .filter_map(|outcome| async move { outcome })
        .collect()
        .await;
    hub.store
        .write(async move |tx: &Tx| {
            for outcome in &outcomes {
                match outcome {
                    Outcome::Strengthened(id, argon2) => {
                        tx.save_strengthened(id, argon2).await?;
                    }
                    Outcome::Unusable(id) => tx.shelve_sealed_password(id).await?,
                }
            }
            let stuck = tx
                .list_stuck_pending_sync_sessions(limits::SWEEP_BATCH_MAX)
                .await?;
            for session in stuck
                .iter()
                .filter_map(|session| session.fail_pending(HASH_UNUSABLE))
            {
                tx.save_sync_session(&session).await?;
            }
            let waiting = tx
                .list_finished_pending_sync_sessions(limits::SWEEP_BATCH_MAX)
                .await?;
            for session in waiting
                .iter()
                .filter_map(|session| session.complete_pending())
            {
                tx.save_sync_session(&session).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    Ok(if is_empty {
        Progress::NothingToDo
    } else {
        Progress::Made
    })
}

async fn strengthen(
    hub: &Arc<Hub>,
    stop: &CancellationToken,
    password: SealedPassword,
) -> Option<Outcome> {
    if stop.is_cancelled() {
        return None;
    }
    let row = password.user_id.as_str();
    let secret = match hub.sealing_key.open(row, password.sealed.expose()) {
        Ok(secret) => secret,
        Err(error) => {
            tracing::error!(user_id = row, %error, "an imported password hash stays unusable");
            return Some(Outcome::Unusable(password.id));
        }
    };
    let salt = Salt::random(hub.entropy.as_ref());
    match hub
        .hashing
        .run_in_background(move || password_hash::strengthen(&secret, salt))
        .await
    {
        Ok(Ok(argon2)) => Some(Outcome::Strengthened(password.id, argon2)),
        Ok(Err(error)) | Err(error) => {
            tracing::warn!(user_id = row, %error, "a password hash is strengthened later");
            None
        }
    }
}
