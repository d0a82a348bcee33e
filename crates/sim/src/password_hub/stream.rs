//! The hub's end of a stream of password changes.
//!
//! Invariant: as in the hub, one transaction judges the stream, renews its lease, lists the changes
//! and notes that they are on their way.

use rollcall_domain::id::OperationId;
use rollcall_domain::password::PasswordKind;
use rollcall_domain::password_change_stream::Standing;
use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::Timestamp;

use super::PasswordHub;
use crate::password_world::PasswordFlaw;

/// A change as an agent receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Its place in the stream.
    pub offset: i64,
    /// The operation.
    pub operation: OperationId,
    /// Whose.
    pub external_user_id: String,
    /// The new password.
    pub new: String,
    /// The old one.
    pub old: Option<String>,
    /// Whether it must be changed.
    pub need_change: bool,
    /// The end of the operation.
    pub deadline: Timestamp,
}

/// What a look of a stream led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// It is the active one.
    Active {
        /// Whether its lease was renewed.
        is_renewed: bool,
        /// What to send.
        changes: Vec<Delivered>,
    },
    /// Another one is.
    StandBy,
    /// A later one of the same agent took its place.
    Superseded,
}

impl PasswordHub {
    /// A new stream from `offset` on; its id.
    ///
    /// # Errors
    /// As the domain's rules.
    pub fn subscribe(&mut self, offset: i64) -> Result<String, Refusal> {
        self.stream.check_offset(offset)?;
        Ok(self.new_id("pcs"))
    }

    /// A look of the stream `id` for at most `room` changes after `sent`.
    pub fn serve(
        &mut self,
        agent_id: &str,
        id: &str,
        sent: i64,
        room: usize,
        now: Timestamp,
    ) -> Served {
        let is_renewed = match self.stream.judge(agent_id, id, now) {
            Standing::Active(Some(holder)) => {
                self.stream.holder = Some(holder);
                true
            }
            Standing::Active(None) => false,
            _ if self.flaw == PasswordFlaw::ServesStandBys => false,
            Standing::StandBy => return Served::StandBy,
            Standing::Superseded => return Served::Superseded,
        };
        let mut due: Vec<_> = self
            .pending
            .iter_mut()
            .filter(|it| it.offset > sent && !it.is_over(now))
            .collect();
        due.sort_by_key(|it| it.offset);
        let changes = due.into_iter().take(room).map(|it| {
            it.delivered_at.get_or_insert(now);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let secrets = &it.secrets;
            Delivered {
                offset: it.offset,
                operation: it.operation_id.clone(),
                external_user_id: it.external_user_id.clone(),
                new: text(secrets.sealed_new.expose()),
                old: secrets.sealed_old.as_ref().map(|old| text(old.expose())),
                need_change: it.kind == PasswordKind::Temporary,
                deadline: it.deadline,
            }
        });
        Served::Active {
            is_renewed,
            changes: changes.collect(),
        }
    }
}
