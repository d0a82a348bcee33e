//! What a dry run asks the hub: the cursor and the names that are taken.
//!
//! Invariant: it only reads; nothing here opens a session (decision U117).

use std::collections::HashMap;

use rollcall_client::ClientError;
use rollcall_proto::idp::domain::Status as DomainStatus;
use rollcall_proto::idp::user::Status;
use rollcall_proto::idp::{GetReplicationTokenRequest, ListUserpoolDomainsRequest, SessionType};
use rollcall_proto::organizationmanager::ListGroupsRequest;

use super::{Hub, PAGES_MAX};
use crate::engine::Guid;
use crate::engine::trial::{Holder, Names};

const PAGE_SIZE: i64 = 1_000;

impl Hub {
    /// The cursor of the objects; empty when there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub(crate) async fn replication_token(&self, of: SessionType) -> Result<String, ClientError> {
        let request = GetReplicationTokenRequest {
            subject_container_id: self.userpool_id(),
            session_type: of as i32,
        };
        let answer = self.read(request, |hub, request| async move {
            hub.synchronization().get_replication_token(request).await
        });
        Ok(answer.await?.replication_token)
    }

    /// Who has which login and which name of a group.
    ///
    /// # Errors
    /// [`ClientError`] when they cannot be read completely.
    pub(crate) async fn names(&self) -> Result<Names, ClientError> {
        let mut names = Names::default();
        let (logins, suspended) = (&mut names.logins, &mut names.suspended);
        let users = self.each_user(|user| {
            let login = user.username.to_lowercase();
            if user.status() != Status::Active {
                suspended.insert(login.clone());
            }
            logins.insert(login, holder(&user.external_id));
        });
        let (mut groups, mut domains) = (HashMap::new(), Vec::new());
        futures::try_join!(
            users,
            self.group_names(&mut groups),
            self.proven_domains(&mut domains)
        )?;
        names.groups = groups;
        names.domains = domains.into_iter().collect();
        Ok(names)
    }

    async fn group_names(&self, names: &mut HashMap<String, Holder>) -> Result<(), ClientError> {
        let mut request = ListGroupsRequest {
            organization_id: self.organization_id(),
            page_size: PAGE_SIZE,
            ..ListGroupsRequest::default()
        };
        for _ in 0..PAGES_MAX {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.groups().list(request).await
                })
                .await?;
            for group in page.groups {
                let is_ours = group.subject_container_id == self.userpool_id();
                let holder = match holder(&group.external_id) {
                    // The same identifier in another pool means another object.
                    Holder::Ours(_) if !is_ours => Holder::Foreign,
                    holder => holder,
                };
                names.insert(group.name, holder);
            }
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }

    async fn proven_domains(&self, names: &mut Vec<String>) -> Result<(), ClientError> {
        let mut request = ListUserpoolDomainsRequest {
            userpool_id: self.userpool_id(),
            page_size: PAGE_SIZE,
            ..ListUserpoolDomainsRequest::default()
        };
        for _ in 0..PAGES_MAX {
            let page = self
                .read(request.clone(), |hub, request| async move {
                    hub.userpools().list_domains(request).await
                })
                .await?;
            let domains = page.domains.into_iter();
            let proven = domains.filter(|domain| domain.status() == DomainStatus::Valid);
            names.extend(proven.map(|domain| domain.domain.to_lowercase()));
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
        Err(self.endless())
    }
}

fn holder(external_id: &str) -> Holder {
    match Guid::parse(external_id) {
        Some(guid) => Holder::Ours(guid),
        None if external_id.is_empty() => Holder::Local,
        None => Holder::Foreign,
    }
}
