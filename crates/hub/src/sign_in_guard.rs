//! The guards against guessing: of a user, by the policy of the pool, and of an address, by the
//! configuration.
//!
//! Invariant: a guess is judged by the guard in the very transaction that counts it, so guesses at
//! the same time pass no limit, and hubs of one database share all guards. Deliberately absent: the
//! rule, which is `rollcall_domain::sign_in_guard`.

use std::net::IpAddr;

use rollcall_domain::id::UserId;
use rollcall_domain::password_policy::BruteforcePolicy;
use rollcall_kit::timestamp::Timestamp;
use rollcall_store::Tx;

use crate::error::Error;
use crate::hub::Hub;
use crate::limits;
use crate::rate_limit::{TooFast, address_key};

/// Whether a password of the user may be tried now. A refusal must look like a wrong password.
///
/// # Errors
/// When the database fails.
pub async fn allowed(
    tx: &Tx,
    user_id: &UserId,
    policy: &BruteforcePolicy,
    now: Timestamp,
) -> Result<bool, Error> {
    let guard = tx.get_sign_in_guard(&of_user(user_id)).await?;
    Ok(guard.blocked_at(policy, now).is_none())
}

/// Counts a wrong password of the user.
///
/// # Errors
/// When the database fails.
pub async fn note_failure(
    tx: &Tx,
    user_id: &UserId,
    policy: &BruteforcePolicy,
    now: Timestamp,
) -> Result<(), Error> {
    count(tx, &of_user(user_id), policy, now).await
}

/// Forgets the wrong passwords of the user after a right one.
///
/// # Errors
/// When the database fails.
pub async fn note_success(tx: &Tx, user_id: &UserId) -> Result<(), Error> {
    tx.delete_sign_in_guard(&of_user(user_id)).await?;
    Ok(())
}

/// Refuses an address from which too many sign-ins failed, whoever they were for.
///
/// # Errors
/// `TooFast`; as for the database.
pub async fn require_address(
    hub: &Hub,
    tx: &Tx,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), Error> {
    let policy = hub.sign_in.address_policy();
    let Some(address) = address.filter(|_| policy.is_on()) else {
        return Ok(());
    };
    let guard = tx.get_sign_in_guard(&of_address(address)).await?;
    match guard.blocked_at(&policy, now) {
        Some(end) => Err(TooFast {
            retry_after: end.since(now),
        }
        .into()),
        None => Ok(()),
    }
}

/// Counts a failed sign-in of an address.
///
/// # Errors
/// When the database fails.
pub async fn note_address_failure(
    hub: &Hub,
    tx: &Tx,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), Error> {
    let policy = hub.sign_in.address_policy();
    match address.filter(|_| policy.is_on()) {
        Some(address) => count(tx, &of_address(address), &policy, now).await,
        None => Ok(()),
    }
}

async fn count(
    tx: &Tx,
    holder: &str,
    policy: &BruteforcePolicy,
    now: Timestamp,
) -> Result<(), Error> {
    if !policy.is_on() {
        return Ok(());
    }
    let guard = tx.get_sign_in_guard(holder).await?;
    let guard = guard.note_failure(policy, now);
    let end = guard.forgettable_at(policy).unwrap_or(now);
    // A policy may be made longer while failures are remembered.
    let end = end.plus(limits::SIGN_IN_GUARD_EXTRA);
    tx.save_sign_in_guard(holder, &guard, end).await?;
    Ok(())
}

fn of_user(id: &UserId) -> String {
    format!("user:{id}")
}

fn of_address(address: IpAddr) -> String {
    format!("address:{}", address_key(address))
}
