//! The session of the hash stream, and the hashes that come in it.
//!
//! Invariant: a hash is stored only while its session is open, and a repeated call has no second
//! effect.

use rollcall_domain::id::PasswordId;
use rollcall_domain::password::{self, ImportOutcome, PasswordKind, Sameness};
use rollcall_domain::refusal::Refusal;
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::{Span, Timestamp};

use super::{HashSession, Import, PasswordHub, text_of};

/// A session lives that long without a sign of life (decision U2).
const SESSION_LEASE: Span = Span::seconds(60);

impl PasswordHub {
    /// SynchronizationSessionService.OpenSession of the hash stream.
    pub fn open_session(&mut self, agent: usize, now: Timestamp) -> Option<u64> {
        let is_held = self
            .session
            .as_ref()
            .is_some_and(|session| session.agent != agent && session.lease_until > now);
        if is_held {
            return None;
        }
        self.ids += 1;
        self.session = Some(HashSession {
            id: self.ids,
            agent,
            lease_until: now.plus(SESSION_LEASE),
        });
        Some(self.ids)
    }

    /// SynchronizationSessionService.Heartbeat; whether the session is still open.
    pub fn beat(&mut self, session: u64, now: Timestamp) -> bool {
        let is_open = self.is_open(session, now);
        if let Some(open) = self.session.as_mut().filter(|_| is_open) {
            open.lease_until = now.plus(SESSION_LEASE);
        }
        is_open
    }

    /// An administrator ends the session of the hash stream.
    pub fn end_session(&mut self) {
        self.session = None;
    }

    fn is_open(&self, session: u64, now: Timestamp) -> bool {
        let open = self.session.as_ref();
        open.is_some_and(|open| open.id == session && open.lease_until > now)
    }

    /// What SetPasswordHash finds out before its transaction: the stored password, if it is this one.
    #[must_use]
    pub fn prepare_import(&self, import: &Import) -> Option<PasswordId> {
        let stored = self.passwords.get(&import.user_id)?;
        let is_older = import.created_at.is_some() && import.created_at < stored.created_at;
        (!is_older && text_of(&stored.form) == import.password).then(|| stored.id.clone())
    }

    /// UserService.SetPasswordHash
    ///
    /// # Errors
    /// `Precondition` when the session is over, `NotFound` when the user is gone.
    pub fn import(
        &mut self,
        import: &Import,
        same: Option<&PasswordId>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.remembers(import) {
            return Ok(());
        }
        if !self.is_open(import.session, now) {
            return Err(Refusal::precondition("SESSION", "it is over".to_owned()));
        }
        let id = &import.user_id;
        let kind = PasswordKind::from_need_change(import.need_change);
        let new = self.new_import(id, &import.password, import.created_at, kind);
        let stored = self.passwords.get(id);
        let stored = stored.ok_or_else(|| Refusal::not_found("user", id))?;
        let sameness = match same == Some(&stored.id) {
            true => Sameness::Same,
            false => Sameness::Different,
        };
        match password::import(Some(stored), new, sameness, now) {
            ImportOutcome::Older => {}
            ImportOutcome::Kept(password) | ImportOutcome::Replaced(password) => {
                self.passwords.insert(id.clone(), password);
            }
        }
        self.remembered.insert(import.key);
        Ok(())
    }

    /// Whether a hash was stored under this key before.
    #[must_use]
    pub fn remembers(&self, import: &Import) -> bool {
        self.remembered.contains(&import.key)
    }

    /// The job that strengthens sealed hashes.
    pub fn strengthen(&mut self) {
        for password in self.passwords.values_mut() {
            let argon2 = SecretString::new(text_of(&password.form));
            if let Some(strong) = password.strengthened(&password.id.clone(), argon2) {
                *password = strong;
            }
        }
    }
}
