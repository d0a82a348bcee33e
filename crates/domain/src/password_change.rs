//! Setting a password: who may, and where it is set first.
//!
//! Invariant: nobody becomes an owner of the organization by setting a password for another person, in
//! the clear, by a hash or by way of a directory; the own password is changed by whoever knows it, or
//! while it is a one-time one. Deliberately absent: what a good password is, hashing, and ranks below
//! that of owners: who looks after users of a pool sets the password of its administrators, too.

use rollcall_kit::timestamp::Timestamp;

use crate::access::{AccessBinding, Permission, Role, allows};
use crate::password::{Password, PasswordKind};
use crate::refusal::Refusal;
use crate::service_account::owns;
use crate::sync_settings::SyncSettings;
use crate::user::{User, UserStatus};
use crate::userpool::Userpool;

/// Longest external id of a user whose password can go to the directory (decision U100).
pub const WRITEBACK_EXTERNAL_ID_CHARACTERS_MAX: usize = 50;

/// Where a password is set first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// In the hub.
    Here,
    /// In the directory, and here when that accepted it.
    Directory,
}

/// What the caller showed of the present password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldPassword {
    /// Nothing.
    Absent,
    /// A text, right or wrong.
    Given,
}

/// Where a new password of `user` is set first (decision U100); `settings` are those of its pool.
#[must_use]
pub fn route(user: &User, settings: Option<&SyncSettings>) -> Route {
    let fits = user
        .external_id
        .as_ref()
        .is_some_and(|id| (1..=WRITEBACK_EXTERNAL_ID_CHARACTERS_MAX).contains(&id.chars().count()));
    if fits && settings.is_some_and(|settings| settings.enable_password_writeback) {
        Route::Directory
    } else {
        Route::Here
    }
}

/// Requires that the owner of `present` may change it at `now`.
///
/// # Errors
/// `Denied` for a user who may not sign in, or may not change the own password in this pool;
/// `Precondition` when a one-time password has ended or a permanent one is too young; `Invalid` when
/// the old password is missing.
pub fn require_own_change(
    pool: &Userpool,
    user: &User,
    present: &Password,
    old: OldPassword,
    now: Timestamp,
) -> Result<(), Refusal> {
    if user.status(now) != UserStatus::Active {
        return Err(Refusal::denied(
            "the account is suspended: ask an administrator",
        ));
    }
    if present.has_ended(now) {
        return Err(Refusal::precondition(
            "PASSWORD_ENDED",
            "the one-time password has ended: ask an administrator for another one",
        ));
    }
    if present.kind == PasswordKind::Temporary {
        return Ok(());
    }
    if !pool.user_settings.allow_edit_self_password {
        return Err(Refusal::denied(
            "users of this pool may not change their passwords themselves: ask an administrator",
        ));
    }
    if old == OldPassword::Absent {
        return Err(Refusal::invalid(
            "old_password",
            "must be set: only a one-time password is changed without it",
        ));
    }
    present.require_old_enough(&pool.lifetime_policy, now)
}

/// As [`check_rank`], for the import of a hash: that of an owner who is in a directory also comes from
/// those who synchronize it.
///
/// # Errors
/// `Precondition`: to an agent it is a matter of this one user.
pub fn check_import_rank(
    user: &User,
    user_bindings: &[AccessBinding],
    caller_bindings: &[AccessBinding],
) -> Result<(), Refusal> {
    if user.external_id.is_some() && allows(caller_bindings, Permission::SyncPasswordHashesUse) {
        return Ok(());
    }
    if owns(user_bindings) && !owns(caller_bindings) {
        return Err(out_of_reach("may import its password hash"));
    }
    Ok(())
}

/// As [`check_rank`], for tying a user to a directory, which has the say over its password then.
///
/// # Errors
/// `Precondition`, as for [`check_import_rank`].
pub fn check_capture_rank(
    user_bindings: &[AccessBinding],
    caller_bindings: &[AccessBinding],
) -> Result<(), Refusal> {
    if owns(user_bindings) && !owns(caller_bindings) {
        return Err(out_of_reach("may tie it to a directory"));
    }
    Ok(())
}

fn out_of_reach(what: &str) -> Refusal {
    let owner = Role::Owner;
    Refusal::precondition(
        "USER_IS_OWNER",
        format!("the user owns the organization: only a caller with the role {owner} {what}"),
    )
}

/// Refuses a caller who is no owner of the organization to set the password of one: it could sign in
/// as an owner then.
///
/// # Errors
/// `Denied`.
pub fn check_rank(
    user_bindings: &[AccessBinding],
    caller_bindings: &[AccessBinding],
) -> Result<(), Refusal> {
    if owns(user_bindings) && !owns(caller_bindings) {
        return Err(Refusal::denied(format!(
            "the user owns the organization: only a caller with the role {} may set the password",
            Role::Owner
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
