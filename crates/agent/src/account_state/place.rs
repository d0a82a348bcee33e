//! Which of a few users are in the scope.
//!
//! Invariant: their places are read from the directory at that moment; a user whose place cannot
//! be told is not in the scope. Deliberately absent: the index of the objects stream, which may be
//! in another process.

use std::collections::BTreeSet;

use super::AccountStateRun;
use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::scope::Verdict;
use crate::failure::Failure;
use crate::reader::{Reader, Told};
use crate::run::look_up::{apply, complete};

impl AccountStateRun<'_> {
    /// Those of `users` that are in the scope.
    pub(super) async fn in_scope(
        &self,
        reader: &mut Reader,
        users: &[Guid],
    ) -> Result<BTreeSet<Guid>, Failure> {
        let settings = &self.settings;
        let memory = Some(&self.agent.file);
        let scope = reader.resolve(&settings.filter, memory).await?.scope;
        let mut wanted: BTreeSet<Guid> = users.iter().copied().collect();
        wanted.extend(&scope.units);
        wanted.extend(&scope.groups);
        let wanted: Vec<Guid> = wanted.into_iter().collect();
        let mut index = Index::default();
        apply(reader, settings, &mut index, &wanted, &Told::default()).await?;
        complete(reader, settings, &scope, &mut index).await?;
        let view = scope
            .view(&index)
            .map_err(|gone| Failure::Run(gone.to_string()))?;
        let inside = |user: &&Guid| view.verdict(&index, **user) == Verdict::In;
        Ok(users.iter().filter(inside).copied().collect())
    }
}
