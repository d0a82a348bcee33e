//! What changed since the last batch, and where a delta can start from.
//!
//! Invariant: a delta starts only from an index that corresponds to the token of the hub; the
//! cursor moves only after everything it covers was acknowledged.

use std::time::Duration;

use rollcall_directory::Error as DirectoryError;

use super::look_up::{apply, complete};
use super::{Held, Run};
use crate::engine::Guid;
use crate::engine::index::Index;
use crate::engine::object::Change;
use crate::engine::scope::Scope;
use crate::failure::Failure;
use crate::index_file::Cursor;
use crate::reader::{self, Changes, Reader};
use crate::replication_token::{cookie_of, token_of};
use crate::session::Mode;
use crate::settings::Settings;

/// Attempts to reach the directory again inside a session in follow mode.
const RECONNECTS_MAX: u32 = 5;

/// What a batch is to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thorough {
    /// Also items that failed before.
    RetryFailed,
    /// Only what changed.
    ChangesOnly,
}

/// How a delta ended.
pub(super) enum Followed {
    /// The index is at the present.
    Done(Held),
    /// Only a full comparison helps.
    CookieRefused(String),
}

impl Run<'_> {
    /// The index that corresponds to the hub's token, if there is one.
    pub(super) fn start_of_delta(&mut self) -> Result<Option<Held>, Failure> {
        let held = self.held.take();
        if self.opened.mode == Mode::Full {
            return Ok(None);
        }
        let token = &self.opened.token;
        if let Some(held) = held
            && held.token == *token
            && held.binding == self.binding
        {
            return Ok(Some(held));
        }
        let file = &self.agent.file;
        let Some(index) = file.load(&self.binding, token)? else {
            tracing::info!(
                "the local index does not match the hub's token; everything is compared"
            );
            return Ok(None);
        };
        let kept = file.cookie()?;
        Ok(cookie_of(token, kept.as_deref()).map(|cookie| Held {
            index,
            binding: self.binding.clone(),
            token: token.clone(),
            cookie,
        }))
    }

    /// One batch in follow mode.
    pub(super) async fn follow_once(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
    ) -> Result<(), Failure> {
        let Some(held) = self.held.take() else {
            return Err(Failure::Run("there is nothing to follow from".into()));
        };
        match self
            .delta(reader, scope, held, Thorough::ChangesOnly)
            .await?
        {
            Followed::Done(held) => self.held = Some(held),
            Followed::CookieRefused(why) => {
                tracing::warn!(
                    why,
                    "the directory refused the cursor; everything is compared"
                );
                self.held = Some(self.full(reader, scope).await?);
            }
        }
        Ok(())
    }

    /// Brings `held` to the present.
    pub(super) async fn delta(
        &mut self,
        reader: &mut Reader,
        scope: &Scope,
        mut held: Held,
        thorough: Thorough,
    ) -> Result<Followed, Failure> {
        let changes = match self.changes(reader, &held.cookie).await {
            Ok(changes) => changes,
            Err(DirectoryError::CookieRefused { text }) => {
                return Ok(Followed::CookieRefused(text));
            }
            Err(error) => return Err(reader::failure(&error)),
        };
        let quiet = changes.seen.is_empty() && changes.deleted.is_empty();
        if quiet && thorough == Thorough::ChangesOnly {
            // An old cursor is as good as a new one while nothing changed.
            return Ok(Followed::Done(held));
        }
        self.summary.objects_read += changes.seen.len() + changes.deleted.len();
        let index = &mut held.index;
        take_in(reader, &self.settings, scope, index, &changes).await?;
        self.write(index, scope).await?;
        let token = token_of(&changes.cookie);
        let cursor = Cursor {
            token: &token,
            cookie: &changes.cookie,
        };
        self.agent.file.save(index, cursor)?;
        self.opened.session.report().await?;
        if token != held.token {
            self.opened.session.set_token(&token).await?;
        }
        self.token.clone_from(&token);
        held.token = token;
        held.cookie = changes.cookie;
        Ok(Followed::Done(held))
    }

    /// Changes since the cookie, over a new connection if the present one broke.
    async fn changes(&self, reader: &mut Reader, cookie: &[u8]) -> Result<Changes, DirectoryError> {
        let mut backoff = rollcall_kit::backoff::Backoff::new();
        loop {
            let error = match reader.changes(&self.settings.mapping, cookie).await {
                Err(error) if error.is_transient() => error,
                other => return other,
            };
            if backoff.attempts() >= RECONNECTS_MAX {
                return Err(error);
            }
            tracing::warn!(%error, "the directory is asked again");
            let wait: Duration = backoff.next_wait(&*self.agent.entropy);
            tokio::time::sleep(wait).await;
            if let Ok(new) = self.connect().await {
                *reader = new;
            }
        }
    }
}

/// Brings the directory's side of `index` to the present.
///
/// # Errors
/// [`Failure`] when an object cannot be read completely.
pub(crate) async fn take_in(
    reader: &mut Reader,
    settings: &Settings,
    scope: &Scope,
    index: &mut Index,
    changes: &Changes,
) -> Result<(), Failure> {
    for guid in &changes.deleted {
        index.apply(Change::Deleted(*guid), &settings.mapping);
    }
    let seen: Vec<Guid> = changes.seen.iter().copied().collect();
    apply(reader, settings, index, &seen, &changes.members).await?;
    complete(reader, settings, scope, index).await
}
