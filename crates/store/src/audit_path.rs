//! Where things are, from the organization down, for the audit trail: one question for each kind.

use rollcall_domain::audit::{AuditResource, AuditResourceKind, AuditTarget};

use crate::db::Tx;
use crate::db::value::{Param, Row};
use crate::error::Error;

use AuditResourceKind::{Group, Organization, ServiceAccount, User, Userpool};

impl Tx {
    /// The path to a thing, with it as the last part; nothing when it is not there.
    pub async fn find_audit_path(
        &self,
        target: &AuditTarget,
    ) -> Result<Option<Vec<AuditResource>>, Error> {
        let (sql, id, kinds): (_, Param<'_>, &[_]) = match target {
            AuditTarget::Organization(id) => (
                "select id, name from organizations where id = $1",
                id.into(),
                &[Organization],
            ),
            AuditTarget::Userpool(id) => (
                "select o.id, o.name, p.id, p.name from userpools p \
                 join organizations o on o.id = p.organization_id where p.id = $1",
                id.into(),
                &[Organization, Userpool],
            ),
            AuditTarget::User(id) => (
                "select o.id, o.name, p.id, p.name, u.id, u.username from users u \
                 join userpools p on p.id = u.userpool_id \
                 join organizations o on o.id = p.organization_id where u.id = $1",
                id.into(),
                &[Organization, Userpool, User],
            ),
            AuditTarget::Session(id) => (
                "select o.id, o.name, p.id, p.name from sync_sessions s \
                 join userpools p on p.id = s.subject_container_id \
                 join organizations o on o.id = p.organization_id where s.id = $1",
                id.into(),
                &[Organization, Userpool],
            ),
            AuditTarget::Group(id) => (
                "select o.id, o.name, g.id, g.name from groups g \
                 join organizations o on o.id = g.organization_id where g.id = $1",
                id.into(),
                &[Organization, Group],
            ),
            AuditTarget::ServiceAccount(id) => (
                "select o.id, o.name, a.id, a.name from service_accounts a \
                 join organizations o on o.id = a.organization_id where a.id = $1",
                id.into(),
                &[Organization, ServiceAccount],
            ),
            AuditTarget::Key(id) => (
                "select o.id, o.name, a.id, a.name from service_account_keys k \
                 join service_accounts a on a.id = k.service_account_id \
                 join organizations o on o.id = a.organization_id where k.id = $1",
                id.into(),
                &[Organization, ServiceAccount],
            ),
        };
        self.one(sql, &[id], |row| read(row, kinds)).await
    }

    /// The organization that was made first: events of strangers are its matter.
    pub async fn find_first_organization(&self) -> Result<Option<AuditResource>, Error> {
        let found = self
            .one(
                "select id, name from organizations order by created_at, id limit 1",
                &[],
                |row| read(row, &[Organization]),
            )
            .await?;
        Ok(found.and_then(|path| path.into_iter().next()))
    }
}

fn read(row: &mut Row, kinds: &[AuditResourceKind]) -> Result<Vec<AuditResource>, Error> {
    kinds
        .iter()
        .map(|kind| {
            Ok(AuditResource {
                kind: *kind,
                id: row.text()?,
                name: row.text()?,
            })
        })
        .collect()
}
