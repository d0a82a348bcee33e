//! Users who get their hash later: with `remove_user_behavior: block` the hub keeps those who left
//! the scope, suspended, and a suspended user is not told apart from them here.
//!
//! Invariant: such a user's hash is not sent while the user is suspended, and is asked for once the
//! user is active, also after a restart: who waits is kept beside the cursor, and a cursor without
//! that is not used.

use std::collections::BTreeSet;

use super::PasswordHashRun;
use super::deliver::Task;
use super::missing::next_of;
use crate::engine::Guid;
use crate::engine::plan::RemoveUserBehavior;
use crate::failure::Failure;
use crate::hub;

/// Users that are looked at in one retry; the others come in the next ones.
const LOOKS_MAX: usize = 5_000;

impl PasswordHashRun<'_> {
    /// Whether suspended users have to wait.
    pub(super) fn leaves_for_later(&self) -> bool {
        self.settings.remove_user_behavior == RemoveUserBehavior::Block
    }

    /// Those of `tasks` that are to be done now.
    pub(super) async fn without_later(&mut self, tasks: Vec<Task>) -> Result<Vec<Task>, Failure> {
        if !self.leaves_for_later() || tasks.is_empty() {
            return Ok(tasks);
        }
        let guids: Vec<Guid> = tasks.iter().map(|task| task.guid).collect();
        let active = self.active(&guids).await?.0;
        let (now, later): (Vec<Task>, Vec<Task>) = tasks
            .into_iter()
            .partition(|task| active.contains(&task.guid));
        self.missing
            .later
            .extend(later.iter().map(|task| task.guid));
        Ok(now)
    }

    /// Lets those be asked for who are active again.
    pub(super) async fn look_at_later(&mut self) -> Result<(), Failure> {
        let missing = &mut self.missing;
        let waiting = next_of(&missing.later, &mut missing.looked_at, LOOKS_MAX);
        if waiting.is_empty() {
            return Ok(());
        }
        let (active, suspended) = self.active(&waiting).await?;
        let over = waiting.iter().filter(|guid| !suspended.contains(guid));
        for guid in over {
            self.missing.later.remove(guid);
        }
        for guid in active {
            self.missing.enqueue(guid);
        }
        Ok(())
    }

    /// The active and the suspended ones of these users; others are gone.
    async fn active(&self, guids: &[Guid]) -> Result<(BTreeSet<Guid>, BTreeSet<Guid>), Failure> {
        let accounts = self.opened.session.hub().accounts(guids).await;
        let accounts = accounts.map_err(|error| hub::failure(&error))?;
        let (active, suspended): (Vec<_>, Vec<_>) = accounts
            .into_iter()
            .partition(|account| account.present.active);
        let guids = |accounts: Vec<hub::Account>| accounts.into_iter().map(|a| a.guid).collect();
        Ok((guids(active), guids(suspended)))
    }
}
