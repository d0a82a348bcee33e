//! Whether the account may do what a synchronisation needs, and what to grant if not.
//!
//! Invariant: only reads. Deliberately absent: "Replicating Directory Changes All", which shows only
//! when hashes are read, and rights on single organizational units, which show as missing objects.

use std::fmt;

use crate::connection::Connection;
use crate::dirsync::{Access, DIRSYNC, DirSyncEvent, DirSyncRequest, MemberDetail};
use crate::dn::Dn;
use crate::error::Error;
use crate::filter::Filter;
use crate::search::{Base, Deleted, SearchRequest};

/// Something the account may not do, or the directory cannot. `Display` names the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingRight {
    /// The domain itself cannot be read.
    ReadDomain(Dn),
    /// The directory does not offer DirSync.
    DirSyncUnsupported,
    /// Changes may not be read.
    ReplicateChanges(Dn),
    /// Deleted objects are invisible, so deletions would go unnoticed.
    ReadDeletedObjects(Dn),
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadDomain(domain) => write!(
                f,
                "the account cannot read {domain}; grant it \"Read\" there (members of Authenticated \
                 Users have it by default)"
            ),
            Self::DirSyncUnsupported => f.write_str(
                "this server does not offer the DirSync control; connect to a domain controller of \
                 Active Directory or Samba, not to a global catalog",
            ),
            Self::ReplicateChanges(domain) => write!(
                f,
                "the account may not read changes; grant it \"Replicating Directory Changes\" on \
                 {domain}"
            ),
            Self::ReadDeletedObjects(domain) => write!(
                f,
                "the account cannot see deleted objects, so deletions would go unnoticed; grant it \
                 list and read (RPLC) on CN=Deleted Objects,{domain}: dsacls \"CN=Deleted \
                 Objects,{domain}\" /takeownership, then /G ACCOUNT:LCRP"
            ),
        }
    }
}

impl Connection {
    /// Tries, without changing anything, what a synchronisation of the domain needs.
    ///
    /// # Errors
    /// When the tries themselves fail for other reasons than rights.
    pub async fn check_rights(&mut self) -> Result<Vec<MissingRight>, Error> {
        let root = self.root_dse().await?;
        let domain = root.default_naming_context.clone();
        let mut missing = Vec::new();
        let request = SearchRequest::object(Base::Dn(domain.clone()), &["name"]);
        if self.read(request).await?.is_none() {
            missing.push(MissingRight::ReadDomain(domain.clone()));
        }
        if !root.supports(DIRSYNC) {
            missing.push(MissingRight::DirSyncUnsupported);
        } else if !self.may_read_changes(&domain).await? {
            missing.push(MissingRight::ReplicateChanges(domain.clone()));
        }
        let request = SearchRequest {
            deleted: Deleted::Shown,
            ..SearchRequest::object(Base::DeletedObjects(domain.clone()), &["name"])
        };
        let visible = match self.read(request).await {
            Ok(found) => found.is_some(),
            Err(Error::RightsMissing { .. }) => false,
            Err(error) => return Err(error),
        };
        if !visible {
            missing.push(MissingRight::ReadDeletedObjects(domain));
        }
        Ok(missing)
    }

    async fn may_read_changes(&mut self, domain: &Dn) -> Result<bool, Error> {
        let mut read = self
            .dirsync(DirSyncRequest {
                base: domain.clone(),
                // One object: the domain itself.
                filter: Filter::equal("objectClass", "domainDNS"),
                attributes: vec!["name".to_owned()],
                cookie: None,
                access: Access::Replication,
                members: MemberDetail::Incremental,
            })
            .await?;
        loop {
            match read.next().await {
                Ok(Some(DirSyncEvent::Change(_) | DirSyncEvent::Page(_))) => {}
                Ok(Some(DirSyncEvent::Complete(_)) | None) => return Ok(true),
                Err(Error::RightsMissing { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}
