//! Rows of access policies.

use rollcall_domain::access_policy::{AccessPolicyBinding, PolicyTemplate};
use rollcall_domain::filter::Filter;
use rollcall_domain::id::OrganizationId;
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};

use crate::db::Tx;
use crate::db::value::{Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order};
use crate::organization::{pack_labels, read_labels};

impl Listed for AccessPolicyBinding {
    const SELECT: &'static str =
        "select resource_id, template_id, parameters, created_at from access_policy_bindings";
    const KEY: [&'static str; 2] = ["created_at", "template_id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            organization_id: row.id()?,
            template: row.named()?,
            parameters: read_labels(row)?,
            created_at: row.time()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, self.template.name())
    }
}

impl Tx {
    /// The policy of an organization that was made from a template.
    pub async fn find_access_policy(
        &self,
        organization_id: &OrganizationId,
        template: PolicyTemplate,
    ) -> Result<Option<AccessPolicyBinding>, Error> {
        let sql = format!(
            "{} where resource_kind = 'organization' and resource_id = $1 and template_id = $2",
            AccessPolicyBinding::SELECT
        );
        self.one(
            &sql,
            params![organization_id, template.name()],
            AccessPolicyBinding::read,
        )
        .await
    }

    /// A page of the policies of an organization, oldest first.
    pub async fn list_access_policies(
        &self,
        organization_id: &OrganizationId,
        page: &PageRequest,
    ) -> Result<Page<AccessPolicyBinding>, Error> {
        list::page(
            self,
            "resource_kind = 'organization' and resource_id = $1",
            params![organization_id],
            &Filter::default(),
            Order::OldestFirst,
            page,
        )
        .await
    }

    /// Inserts a policy or changes its parameters.
    pub async fn save_access_policy(&self, policy: &AccessPolicyBinding) -> Result<(), Error> {
        let parameters = pack_labels(&policy.parameters);
        self.execute(
            "insert into access_policy_bindings \
             (resource_kind, resource_id, template_id, parameters, created_at) \
             values ('organization', $1, $2, $3, $4) \
             on conflict (resource_kind, resource_id, template_id) \
             do update set parameters = excluded.parameters",
            params![
                &policy.organization_id,
                policy.template.name(),
                &parameters,
                policy.created_at,
            ],
        )
        .await?;
        Ok(())
    }

    /// Deletes a policy; tells whether it was there.
    pub async fn delete_access_policy(
        &self,
        organization_id: &OrganizationId,
        template: PolicyTemplate,
    ) -> Result<bool, Error> {
        let deleted = self
            .execute(
                "delete from access_policy_bindings where resource_kind = 'organization' \
                 and resource_id = $1 and template_id = $2",
                params![organization_id, template.name()],
            )
            .await?;
        Ok(deleted > 0)
    }
}
