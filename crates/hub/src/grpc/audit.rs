//! `AuditService`: reading the audit trail.
//!
//! Invariant: whoever may not see phone numbers of users finds none in an event. Deliberately
//! absent: recording, which is `crate::audit`.

use rollcall_domain::access::{self, Permission};
use rollcall_domain::audit::{AuditCaller, AuditEvent, EventStatus};
use rollcall_domain::filter::{AUDIT_EVENT_FIELDS, Filter};
use rollcall_domain::id::{AuditEventId, OrganizationId, UserpoolId};
use rollcall_domain::named::Named as _;
use rollcall_domain::refusal::Refusal;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::admin;
use rollcall_proto::admin::audit_service_server::AuditService;
use rollcall_store::{AuditScope, Tx};
use tonic::{Request, Response, Status};

use crate::audit::document::{self, Document};
use crate::audit::render_status;
use crate::context::{Context, Placed, Scope};
use crate::error::Error;
use crate::grpc::Service;
use crate::grpc::user::Phone;
use crate::wire::{parse_timestamp, render_timestamp};

/// The member of every document that holds a phone number.
const PHONE_NUMBER: &str = "phoneNumber";

#[tonic::async_trait]
impl AuditService for Service {
    async fn get(
        &self,
        request: Request<admin::GetAuditEventRequest>,
    ) -> Result<Response<admin::AuditEvent>, Status> {
        self.read(request, get).await
    }

    async fn list(
        &self,
        request: Request<admin::ListAuditEventsRequest>,
    ) -> Result<Response<admin::ListAuditEventsResponse>, Status> {
        self.read(request, list).await
    }
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &admin::GetAuditEventRequest,
) -> Result<admin::AuditEvent, Error> {
    let id = AuditEventId::from(request.event_id.as_str());
    let found = match tx.find_audit_event(&id).await? {
        Some(event) => Some(Found::new(tx, event).await?),
        None => None,
    };
    // Who may see the events of pools only, may not see those of none: they are not there.
    let permission = Permission::UserpoolsAuditGet;
    let (found, bindings) = match found {
        Some(found) if found.userpool_id.is_none() => {
            let scope = Scope::Organization(&found.organization_id);
            match cx.authorize(tx, Permission::AuditGet, scope).await {
                Ok(bindings) => (found, bindings),
                Err(Error::Refused(_)) => {
                    cx.admit(tx, permission, id.as_str(), None::<Found>).await?
                }
                Err(error) => return Err(error),
            }
        }
        found => cx.admit(tx, permission, id.as_str(), found).await?,
    };
    render(found.event, Phone::of(&bindings))
}

/// An event with the places where rights on it are given.
struct Found {
    event: AuditEvent,
    organization_id: OrganizationId,
    /// Its pool, while that is there.
    userpool_id: Option<UserpoolId>,
}

impl Found {
    async fn new(tx: &Tx, event: AuditEvent) -> Result<Self, Error> {
        let userpool_id = match event.userpool_id() {
            Some(id) => tx.find_userpool(&id).await?.map(|pool| pool.id),
            None => None,
        };
        let organization_id = event.organization_id();
        Ok(Self {
            organization_id: organization_id.unwrap_or_else(|| OrganizationId::new("")),
            userpool_id,
            event,
        })
    }
}

impl Placed for Found {
    const KIND: &'static str = "audit event";

    fn scope(&self) -> Scope<'_> {
        match &self.userpool_id {
            Some(id) => Scope::Userpool(id),
            None => Scope::Organization(&self.organization_id),
        }
    }
}

async fn list(
    cx: &Context,
    tx: &Tx,
    request: &admin::ListAuditEventsRequest,
) -> Result<admin::ListAuditEventsResponse, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    let userpool_id =
        (!request.userpool_id.is_empty()).then(|| UserpoolId::from(request.userpool_id.as_str()));
    let bindings = match &userpool_id {
        Some(pool_id) => authorize_pool(cx, tx, &organization_id, pool_id).await?,
        None => {
            let scope = Scope::Organization(&organization_id);
            cx.authorize(tx, Permission::AuditGet, scope).await?
        }
    };
    let filter = Filter::parse(&request.filter, AUDIT_EVENT_FIELDS)?;
    let scope = AuditScope {
        organization_id,
        userpool_id,
        since: request.since.as_ref().map(parse_timestamp),
        until: request.until.as_ref().map(parse_timestamp),
    };
    let parent = format!(
        "{}/{}/{}/{}",
        request.organization_id,
        request.userpool_id,
        micros(scope.since),
        micros(scope.until)
    );
    let list = cx.list(&parent, &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_audit_events(&scope, &filter, &page).await?;
    let phone = Phone::of(&bindings);
    let events: Result<_, _> = page
        .items
        .into_iter()
        .map(|event| render(event, phone))
        .collect();
    Ok(admin::ListAuditEventsResponse {
        events: events?,
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// The events of a pool are seen by whoever may see them on the pool; those of a pool that is gone
/// by whoever may see all of the organization.
async fn authorize_pool(
    cx: &Context,
    tx: &Tx,
    organization_id: &OrganizationId,
    pool_id: &UserpoolId,
) -> Result<Vec<access::AccessBinding>, Error> {
    let scope = Scope::Userpool(pool_id);
    let permission = Permission::UserpoolsAuditGet;
    match cx.authorize(tx, permission, scope).await {
        Err(Error::Refused(Refusal::NotFound { .. })) => {
            let scope = Scope::Organization(organization_id);
            cx.authorize(tx, permission, scope).await
        }
        answer => answer,
    }
}

fn micros(moment: Option<Timestamp>) -> String {
    moment.map_or_else(String::new, |moment| moment.as_micros().to_string())
}

/// An event in the form of the wire.
fn render(event: AuditEvent, phone: Phone) -> Result<admin::AuditEvent, Error> {
    let document = |text: &str| -> Result<Option<prost_types::Struct>, Error> {
        let mut document = document::parse(text)?;
        if phone == Phone::Hidden {
            document::remove_members(&mut document, PHONE_NUMBER);
        }
        Ok(Some(to_struct(document)))
    };
    Ok(admin::AuditEvent {
        details: document(&event.details)?,
        request_parameters: document(&event.request)?,
        response: document(&event.response)?,
        event_id: event.id.into_string(),
        event_source: event.source,
        event_type: event.event_type,
        event_time: Some(render_timestamp(event.time)),
        event_status: status_number(event.status),
        authentication: Some(admin::AuditAuthentication {
            authenticated: event.caller.is_some(),
            subject_type: subject_type(event.caller.as_ref()).to_owned(),
            subject_id: subject_id(event.caller.as_ref()),
            subject_name: event.caller.map_or_else(String::new, |caller| caller.name),
            token_info: event.token.map(|token| admin::AuditTokenInfo {
                masked_iam_token: token.masked,
                iam_token_id: token.id.into_string(),
                impersonator_id: subject_id(token.impersonator.as_ref()),
                impersonator_type: subject_type(token.impersonator.as_ref()).to_owned(),
                impersonator_name: token
                    .impersonator
                    .map_or_else(String::new, |caller| caller.name),
            }),
        }),
        authorization: Some(admin::AuditAuthorization {
            authorized: event.authorized,
        }),
        resource_metadata: Some(admin::AuditResourceMetadata {
            path: event
                .path
                .into_iter()
                .map(|resource| admin::AuditResource {
                    resource_type: resource.kind.name().to_owned(),
                    resource_id: resource.id,
                    resource_name: resource.name,
                })
                .collect(),
        }),
        request_metadata: Some(admin::AuditRequestMetadata {
            remote_address: event.origin.remote_address,
            remote_port: i64::from(event.origin.remote_port),
            user_agent: event.origin.user_agent,
            request_id: event.origin.request_id,
        }),
        error: event.error.map(render_status),
    })
}

fn status_number(status: EventStatus) -> i32 {
    admin::audit_event::EventStatus::from_str_name(status.name()).map_or(0, |value| value as i32)
}

fn subject_type(caller: Option<&AuditCaller>) -> &'static str {
    caller.map_or("", |caller| caller.subject_type())
}

fn subject_id(caller: Option<&AuditCaller>) -> String {
    caller.map_or_else(String::new, |caller| caller.subject.id.to_string())
}

fn to_struct(document: Document) -> prost_types::Struct {
    prost_types::Struct {
        fields: document
            .into_iter()
            .map(|(name, value)| (name, to_value(value)))
            .collect(),
    }
}

fn to_value(json: serde_json::Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(0.0)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.into_iter().map(to_value).collect(),
        }),
        serde_json::Value::Object(members) => Kind::StructValue(to_struct(members)),
    };
    prost_types::Value { kind: Some(kind) }
}
