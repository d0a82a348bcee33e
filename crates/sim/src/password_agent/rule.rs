//! What the agent does with a change that it may have begun before.
//!
//! Invariant: the table of decision 28, told once more. A change by the user is not written again
//! unless `pwdLastSet` proves that nothing was set since, which 0 before and after does not: the
//! password may have been set twice, and have to be changed again.

/// What of an account moves when its password is set, or a wrong one tried. `None` = not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traces {
    /// pwdLastSet.
    pub last_set: Option<i64>,
    /// badPasswordTime.
    pub bad_at: Option<i64>,
}

/// Who sets the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setter {
    /// The user, who gave the present one.
    User,
    /// An administrator, or the user after an administrator's reset.
    Administrator {
        /// It has to be changed at the next sign-in.
        must_change: bool,
    },
}

/// What to do with a change that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Write it.
    Write,
    /// Find out whether the new password is the present one.
    Verify,
    /// Leave it.
    LeaveAlone,
}

/// What to do when the account was `before` the write, and is `now`.
#[must_use]
pub fn after_beginning(setter: Setter, before: Traces, now: Traces) -> Next {
    let is_known = before.last_set.is_some() && now.last_set.is_some();
    let is_unmoved = is_known && before.last_set == now.last_set;
    let says_nothing = before.last_set == Some(0);
    match setter {
        Setter::User if says_nothing => Next::Verify,
        Setter::Administrator { .. } if is_unmoved => Next::Write,
        Setter::Administrator { must_change } if must_change && !is_known => Next::Write,
        Setter::User if is_unmoved && before.bad_at != now.bad_at => Next::LeaveAlone,
        Setter::User if is_unmoved => Next::Write,
        Setter::User | Setter::Administrator { .. } => Next::Verify,
    }
}
