//! The `details` of events: what the documentation promises for some types, the ids of the
//! operation for all.
//!
//! Invariant: names are those of the documentation, in lower camel case. Deliberately absent:
//! whatever the request and the answer say anyway, for the other types.

use rollcall_domain::audit::{AuditResource, AuditResourceKind};
use rollcall_domain::id::GroupId;
use rollcall_domain::operation::{Operation, Outcome};
use rollcall_store::Tx;
use serde_json::Value;

use super::document::Document;
use super::event_type::EventType;
use crate::error::Error;

/// The one type that tells the size of its group: counting costs time with every event.
const GROUP_SIZE_EVENT: &str = "UpdateGroup";

/// Messages whose fields become details: their name, what `id` and `name` are called, and the
/// fields taken over as they are.
struct Shown {
    message: &'static str,
    renamed: &'static [(&'static str, &'static str)],
    kept: &'static [&'static str],
}

const SHOWN: &[Shown] = &[
    Shown {
        message: "yandex.cloud.organizationmanager.v1.idp.User",
        renamed: &[("id", "userId")],
        kept: &[
            "userpoolId",
            "status",
            "username",
            "fullName",
            "givenName",
            "familyName",
            "email",
            "phoneNumber",
            "externalId",
            "expiresAt",
            "companyName",
            "department",
            "jobTitle",
            "employeeId",
        ],
    },
    Shown {
        message: "yandex.cloud.organizationmanager.v1.idp.Userpool",
        renamed: &[("id", "userpoolId"), ("name", "userpoolName")],
        kept: &[
            "status",
            "domains",
            "userSettings",
            "passwordQualityPolicy",
            "passwordLifetimePolicy",
            "bruteforceProtectionPolicy",
            "passwordBlacklistPolicy",
        ],
    },
    Shown {
        message: "yandex.cloud.organizationmanager.v1.Group",
        renamed: &[("id", "groupId"), ("name", "groupName")],
        kept: &["subjectContainerId", "externalId", "labels", "description"],
    },
];

/// Details of a change, from the metadata and the answer of its operation.
pub(super) fn of_change(
    outcome: &Outcome,
    metadata: Document,
    path: &[AuditResource],
    response: &Document,
) -> Document {
    let mut details = of_path(path);
    details.extend(metadata);
    if let Outcome::Response(payload) = outcome
        && let Some(shown) = SHOWN
            .iter()
            .find(|shown| shown.message == payload.type_name)
    {
        let kept = shown.kept.iter().map(|name| (*name, *name));
        for (from, to) in shown.renamed.iter().copied().chain(kept) {
            if let Some(value) = response.get(from) {
                details.insert(to.to_owned(), value.clone());
            }
        }
    }
    details
}

/// Details that follow from the place alone.
pub(super) fn of_path(path: &[AuditResource]) -> Document {
    let mut details = Document::new();
    for resource in path {
        let (id, name) = match resource.kind {
            AuditResourceKind::Organization => continue,
            AuditResourceKind::Userpool => ("userpoolId", "userpoolName"),
            AuditResourceKind::User => ("userId", "username"),
            AuditResourceKind::Group => ("groupId", "groupName"),
            AuditResourceKind::ServiceAccount => ("serviceAccountId", "serviceAccountName"),
        };
        details.insert(id.to_owned(), resource.id.clone().into());
        if !resource.name.is_empty() {
            details.insert(name.to_owned(), resource.name.clone().into());
        }
    }
    details
}

/// Adds the number of members of a group that was updated, when it has any.
pub(super) async fn add_group_size(
    tx: &Tx,
    details: &mut Document,
    event_type: &EventType,
    path: &[AuditResource],
) -> Result<(), Error> {
    let group = path
        .last()
        .filter(|resource| resource.kind == AuditResourceKind::Group);
    if let (Some(group), GROUP_SIZE_EVENT) = (group, event_type.name) {
        let size = tx.count_members(&GroupId::from(group.id.as_str())).await?;
        if size > 0 {
            details.insert("groupSize".to_owned(), Value::from(size));
        }
    }
    Ok(())
}

/// Adds the operation that the end of a change is told by.
pub(super) fn add_operation(details: &mut Document, operation: &Operation) {
    details.insert("operationId".to_owned(), operation.id.as_str().into());
}

/// Adds whether the password is a common one, when there was a password.
pub(super) fn add_common_password(details: &mut Document, common: Option<bool>) {
    if let Some(common) = common {
        details.insert("commonPasswordHash".to_owned(), Value::Bool(common));
    }
}
