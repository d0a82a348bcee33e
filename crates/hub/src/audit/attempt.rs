//! A call that the trail tells of, as far as it follows from the request, and where it happens.
//!
//! Invariant: of a request only what the trail may show is kept. Deliberately absent: how it ended.

use std::borrow::Cow;

use prost::Message;
use rollcall_domain::audit::{AuditResource, AuditTarget};
use rollcall_store::Tx;
use zeroize::Zeroizing;

use super::event_type::{EventType, find_event_type};
use super::{common_password, document, target};
use crate::call::Call;
use crate::error::Error;

/// A call that may change something: what the trail will say of its request.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub(super) event_type: &'static EventType,
    pub(super) request: String,
    pub(super) target: Option<AuditTarget>,
    /// An attempt that names no thing is about the caller itself, such as its own token.
    pub(super) is_about_caller: bool,
    pub(super) common_password: Option<bool>,
}

impl Attempt {
    /// Takes from a request what the trail needs; nothing for rpcs that leave no event.
    ///
    /// # Errors
    /// `Internal` when the request is not the one of the called method.
    pub fn new<Q: Message>(call: &Call, request: &Q) -> Result<Option<Self>, Error> {
        let Some((method, event_type)) = call
            .method
            .and_then(|method| Some((method, find_event_type(method.path)?)))
        else {
            return Ok(None);
        };
        let bytes = Zeroizing::new(request.encode_to_vec());
        let message = document::decode(method.request, &bytes)?;
        Ok(Some(Self {
            event_type,
            target: target::find(method, &message),
            is_about_caller: event_type.is_about_caller(),
            common_password: common_password::judge(&message),
            request: document::to_text(document::of_message(message)?),
        }))
    }

    /// The attempt as one of `event_type`, where that differs from the type of the method.
    #[must_use]
    pub fn of_type(&self, event_type: Option<&'static EventType>) -> Cow<'_, Self> {
        match event_type {
            None => Cow::Borrowed(self),
            Some(event_type) => Cow::Owned(Self {
                event_type,
                ..self.clone()
            }),
        }
    }
}

/// Where the thing of an attempt is, before the attempt changes it.
///
/// # Errors
/// When the database fails.
pub async fn find_path(
    tx: &Tx,
    call: &Call,
    attempt: &Attempt,
) -> Result<Vec<AuditResource>, Error> {
    if let Some(target) = &attempt.target {
        if let Some(path) = tx.find_audit_path(target).await? {
            return Ok(path);
        }
        let mut path: Vec<_> = find_home(tx, call).await?.into_iter().collect();
        match target.as_named() {
            // An organization that is not there has no place; its events are the caller's.
            Some(_) if matches!(target, AuditTarget::Organization(_)) => {}
            Some(named) => path.push(named),
            None => {}
        }
        return Ok(path);
    }
    let mut path = find_own_path(tx, call).await?;
    if !attempt.is_about_caller {
        path.truncate(1);
    }
    Ok(path)
}

/// The organization of the caller.
async fn find_home(tx: &Tx, call: &Call) -> Result<Option<AuditResource>, Error> {
    Ok(find_own_path(tx, call).await?.into_iter().next())
}

/// Where the caller is; for callers who are nowhere, the first organization.
async fn find_own_path(tx: &Tx, call: &Call) -> Result<Vec<AuditResource>, Error> {
    let own = match call.subject.as_ref().and_then(AuditTarget::of_subject) {
        Some(target) => tx.find_audit_path(&target).await?,
        None => None,
    };
    match own {
        Some(path) => Ok(path),
        None => Ok(tx.find_first_organization().await?.into_iter().collect()),
    }
}
