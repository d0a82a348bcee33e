//! What a call is about: the thing that its request names, and the path to it.
//!
//! Invariant: the innermost thing that a request names counts. Deliberately absent: looking it up,
//! which is the store's.

use prost_reflect::DynamicMessage;
use rollcall_domain::audit::{AuditResource, AuditResourceKind, AuditTarget};
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_proto::Method;

use super::document::Document;

/// A field that names a thing, and the thing it names.
type NamingField = (&'static str, fn(&str) -> AuditTarget);

/// Fields that name things, the innermost first.
const FIELDS: &[NamingField] = &[
    ("user_id", |id| AuditTarget::User(id.into())),
    ("group_id", |id| AuditTarget::Group(id.into())),
    ("session_id", |id| AuditTarget::Session(id.into())),
    ("key_id", |id| AuditTarget::Key(id.into())),
    ("service_account_id", |id| {
        AuditTarget::ServiceAccount(id.into())
    }),
    ("userpool_id", |id| AuditTarget::Userpool(id.into())),
    // The organization of an external group comes before the pool it is tied to.
    ("organization_id", |id| AuditTarget::Organization(id.into())),
    ("subject_container_id", |id| {
        AuditTarget::Userpool(id.into())
    }),
];

/// The thing that a request of `method` names.
pub(super) fn find(method: &Method, request: &DynamicMessage) -> Option<AuditTarget> {
    let text = |field: &str| {
        let value = request.get_field_by_name(field)?;
        let text = value.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    if let Some(id) = text("resource_id") {
        let service = method.service.rsplit('.').next().unwrap_or_default();
        return match service {
            "OrganizationService" => Some(AuditTarget::Organization(id.into())),
            "UserpoolService" => Some(AuditTarget::Userpool(id.into())),
            "GroupService" => Some(AuditTarget::Group(id.into())),
            "ServiceAccountService" => Some(AuditTarget::ServiceAccount(id.into())),
            _ => None,
        };
    }
    FIELDS
        .iter()
        .find_map(|(field, target)| text(field).map(|id| target(&id)))
}

/// The thing that an operation is about.
pub(super) fn of_resource(resource: &OperationResource) -> Option<AuditTarget> {
    let id = resource.id.as_str();
    Some(match resource.kind {
        OperationResourceKind::Organization => AuditTarget::Organization(id.into()),
        OperationResourceKind::Userpool => AuditTarget::Userpool(id.into()),
        OperationResourceKind::Group => AuditTarget::Group(id.into()),
        OperationResourceKind::User => AuditTarget::User(id.into()),
        OperationResourceKind::ServiceAccount => AuditTarget::ServiceAccount(id.into()),
        OperationResourceKind::Synchronization => return None,
    })
}

/// Adds a new thing to the path of what it was made in.
pub(super) fn extend(
    path: &mut Vec<AuditResource>,
    resource: &OperationResource,
    response: &Document,
) {
    if path.iter().any(|known| known.id == resource.id) {
        return;
    }
    let Some(mut made) = of_resource(resource).and_then(|target| target.as_named()) else {
        return;
    };
    let name = match made.kind {
        AuditResourceKind::User => "username",
        _ => "name",
    };
    if let Some(name) = response.get(name).and_then(|name| name.as_str()) {
        made.name = name.to_owned();
    }
    path.push(made);
}
