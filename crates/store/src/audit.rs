//! Rows of audit events.
//!
//! Invariant: rows are inserted and, after their time, deleted; nothing updates one. Ids sort by
//! time, so the primary key also serves the export and the removal of old events.

use rollcall_domain::access::Subject;
use rollcall_domain::audit::{
    AuditCaller, AuditError, AuditEvent, AuditOrigin, AuditResource, AuditToken,
};
use rollcall_domain::filter::Filter;
use rollcall_domain::id::{AuditEventId, OrganizationId, UserpoolId};
use rollcall_domain::named::Named;
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Param, Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order, in_lists, placeholders};
use crate::packed::{pack, unpack, unpack_groups};

/// Rows read at once for a page: each may hold three documents.
const ROWS_PER_READ_MAX: u32 = 100;
/// Bytes of documents in a page; the page ends after the row that passes it.
const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

impl Listed for AuditEvent {
    const SELECT: &'static str = "select id, event_time, event_source, event_type, event_status, \
         resource_path, subject_id, subject_kind, subject_name, token_id, token_masked, \
         impersonator, authorized, remote_address, remote_port, user_agent, request_id, \
         error_code, error_message, error_bytes, details, request_parameters, response \
         from audit_events";
    const KEY: [&'static str; 2] = ["event_time", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            time: row.time()?,
            source: row.text()?,
            event_type: row.text()?,
            status: row.named()?,
            path: read_path(&row.text()?)?,
            caller: read_caller(row)?,
            token: read_token(row)?,
            authorized: row.bool()?,
            origin: AuditOrigin {
                remote_address: row.text()?,
                remote_port: u16::try_from(row.int()?)
                    .map_err(|_| Error::corrupt("an audit event has no port number"))?,
                user_agent: row.text()?,
                request_id: row.text()?,
            },
            error: read_error(row)?,
            details: row.text()?,
            request: row.text()?,
            response: row.text()?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.time, &self.id)
    }

    fn column(field: &str) -> Option<&'static str> {
        match field {
            "event_id" => Some("id"),
            "event_type" => Some("event_type"),
            "event_status" => Some("event_status"),
            "authorized" => Some("case when authorized then 'true' else 'false' end"),
            "subject_id" => Some("subject_id"),
            "resource_id" => Some("resource_id"),
            "request_id" => Some("request_id"),
            "remote_address" => Some("remote_address"),
            _ => None,
        }
    }

    fn value(&self, field: &str) -> String {
        match field {
            "event_id" => self.id.to_string(),
            "event_type" => self.event_type.clone(),
            "event_status" => self.status.name().to_owned(),
            "authorized" => self.authorized.to_string(),
            "subject_id" => self
                .caller
                .as_ref()
                .map_or_else(String::new, |caller| caller.subject.id.to_string()),
            "resource_id" => self.resource_id().to_owned(),
            "request_id" => self.origin.request_id.clone(),
            "remote_address" => self.origin.remote_address.clone(),
            _ => String::new(),
        }
    }
}

/// Which events are listed.
#[derive(Debug, Clone)]
pub struct AuditScope {
    /// Of this organization.
    pub organization_id: OrganizationId,
    /// Only of this pool.
    pub userpool_id: Option<UserpoolId>,
    /// Only at or after this moment.
    pub since: Option<Timestamp>,
    /// Only before this moment.
    pub until: Option<Timestamp>,
}

impl Tx {
    /// Inserts an event.
    pub async fn insert_audit_event(&self, event: &AuditEvent) -> Result<(), Error> {
        let (organization_id, userpool_id) = (event.organization_id(), event.userpool_id());
        let caller = event.caller.as_ref();
        let token = event.token.as_ref();
        let error = event.error.as_ref();
        self.execute(
            "insert into audit_events (id, event_time, event_source, event_type, event_status, \
             organization_id, userpool_id, resource_id, resource_path, subject_id, subject_kind, \
             subject_name, token_id, token_masked, impersonator, authorized, remote_address, \
             remote_port, user_agent, request_id, error_code, error_message, error_bytes, \
             details, request_parameters, response) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
             $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)",
            params![
                &event.id,
                event.time,
                &event.source,
                &event.event_type,
                event.status.name(),
                organization_id.as_ref().map_or("", OrganizationId::as_str),
                userpool_id.as_ref().map_or("", UserpoolId::as_str),
                event.resource_id(),
                &pack_path(&event.path),
                caller.map_or("", |caller| caller.subject.id.as_str()),
                caller.map(|caller| caller.subject.kind.name()),
                caller.map_or("", |caller| caller.name.as_str()),
                token.map(|token| token.id.as_str()),
                token.map_or("", |token| token.masked.as_str()),
                &pack_impersonator(token),
                event.authorized,
                &event.origin.remote_address,
                u32::from(event.origin.remote_port),
                &event.origin.user_agent,
                &event.origin.request_id,
                error.map(|error| i64::from(error.code)),
                error.map(|error| &error.message),
                error.map(|error| &error.status_bytes),
                &event.details,
                &event.request,
                &event.response,
            ],
        )
        .await?;
        Ok(())
    }

    /// The event `id`.
    pub async fn find_audit_event(&self, id: &AuditEventId) -> Result<Option<AuditEvent>, Error> {
        let sql = format!("{} where id = $1", AuditEvent::SELECT);
        self.one(&sql, params![id], AuditEvent::read).await
    }

    /// The moment of the event with the highest id.
    pub async fn find_newest_audit_event_time(&self) -> Result<Option<Timestamp>, Error> {
        let sql = "select event_time from audit_events order by id desc limit 1";
        self.one(sql, params![], Row::time).await
    }

    /// A page of events, newest first; it may be shorter than asked when its events are large.
    pub async fn list_audit_events(
        &self,
        scope: &AuditScope,
        filter: &Filter,
        request: &PageRequest,
    ) -> Result<Page<AuditEvent>, Error> {
        let mut condition = "organization_id = $1".to_owned();
        let mut params: Vec<Param<'_>> = vec![Param::from(&scope.organization_id)];
        if let Some(userpool_id) = &scope.userpool_id {
            params.push(Param::from(userpool_id));
            // Named again, so that the engines see that the partial index serves.
            condition.push_str(" and userpool_id = $2 and userpool_id <> ''");
        }
        for (moment, sign) in [(scope.since, ">="), (scope.until, "<")] {
            if let Some(moment) = moment {
                params.push(moment.into());
                condition.push_str(&format!(" and event_time {sign} ${}", params.len()));
            }
        }
        let mut page = Page {
            items: Vec::new(),
            next: request.after.clone(),
        };
        let mut bytes = 0;
        let mut missing = request.size;
        loop {
            let part = PageRequest {
                size: missing.min(ROWS_PER_READ_MAX),
                after: page.next.take(),
            };
            let order = Order::NewestFirst;
            let part =
                list::page::<AuditEvent>(self, &condition, &params, filter, order, &part).await?;
            let read = part.items.len();
            for event in part.items {
                bytes += document_bytes(&event);
                page.items.push(event);
                if bytes > PAGE_BYTES_MAX {
                    break;
                }
            }
            page.next = part.next;
            missing = request
                .size
                .saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
            if bytes > PAGE_BYTES_MAX {
                page.next = page.items.last().map(Listed::cursor);
                return Ok(page);
            }
            // A scan that gave up early found nothing: the caller goes on from there.
            if missing == 0 || page.next.is_none() || read == 0 {
                return Ok(page);
            }
        }
    }

    /// The ids of up to `limit` events after `after`, in their order. An id need not exist.
    pub async fn list_audit_event_ids_after(
        &self,
        after: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditEventId>, Error> {
        self.all(
            "select id from audit_events where id > $1 order by id limit $2",
            params![after, limit],
            Row::id,
        )
        .await
    }

    /// The events with these ids, in the order in which they happened.
    pub async fn list_audit_events_by_id(
        &self,
        ids: &[AuditEventId],
    ) -> Result<Vec<AuditEvent>, Error> {
        let mut events = Vec::with_capacity(ids.len());
        for list in in_lists(ids) {
            let sql = format!(
                "{} where id in ({})",
                AuditEvent::SELECT,
                placeholders(1, list.len())
            );
            events.extend(self.all(&sql, &list, AuditEvent::read).await?);
        }
        events.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Ok(events)
    }

    /// Deletes up to `limit` events whose ids sort before `before`; tells how many.
    pub async fn delete_old_audit_events(
        &self,
        before: &AuditEventId,
        limit: u32,
    ) -> Result<u64, Error> {
        self.execute(
            "delete from audit_events where id in (select id from audit_events \
             where id < $1 order by id limit $2)",
            params![before, limit],
        )
        .await
    }
}

fn document_bytes(event: &AuditEvent) -> usize {
    event.details.len() + event.request.len() + event.response.len()
}

fn pack_path(path: &[AuditResource]) -> String {
    pack(
        path.iter()
            .flat_map(|resource| [resource.kind.name(), &resource.id, &resource.name]),
    )
}

fn read_path(packed: &str) -> Result<Vec<AuditResource>, Error> {
    unpack_groups::<3>(packed)?
        .into_iter()
        .map(|[kind, id, name]| {
            let kind = Named::parse(&kind).ok_or_else(|| {
                Error::corrupt(format!("an audit event names a resource of kind {kind:?}"))
            })?;
            Ok(AuditResource { kind, id, name })
        })
        .collect()
}

fn read_caller(row: &mut Row) -> Result<Option<AuditCaller>, Error> {
    let (id, kind, name) = (row.id()?, row.opt_named()?, row.text()?);
    Ok(kind.map(|kind| AuditCaller {
        subject: Subject { id, kind },
        name,
    }))
}

fn pack_impersonator(token: Option<&AuditToken>) -> String {
    let impersonator = token.and_then(|token| token.impersonator.as_ref());
    pack(impersonator.into_iter().flat_map(|caller| {
        [
            caller.subject.id.as_str(),
            caller.subject.kind.name(),
            &caller.name,
        ]
    }))
}

fn read_token(row: &mut Row) -> Result<Option<AuditToken>, Error> {
    let (id, masked, packed) = (row.opt_id()?, row.text()?, row.text()?);
    let impersonator = match unpack(&packed)?.as_slice() {
        [] => None,
        [id, kind, name] => Some(AuditCaller {
            subject: Subject {
                id: id.as_str().into(),
                kind: Named::parse(kind).ok_or_else(|| {
                    Error::corrupt(format!("an audit event names a subject of kind {kind:?}"))
                })?,
            },
            name: name.clone(),
        }),
        _ => return Err(Error::corrupt("the impersonator of an event is damaged")),
    };
    Ok(id.map(|id| AuditToken {
        id,
        masked,
        impersonator,
    }))
}

fn read_error(row: &mut Row) -> Result<Option<AuditError>, Error> {
    match (row.opt_int()?, row.opt_text()?, row.opt_bytes()?) {
        (None, None, None) => Ok(None),
        (Some(code), Some(message), Some(status_bytes)) => Ok(Some(AuditError {
            code: i32::try_from(code)
                .map_err(|_| Error::corrupt("an audit event has an unknown error code"))?,
            message,
            status_bytes,
        })),
        _ => Err(Error::corrupt("the error of an audit event is incomplete")),
    }
}
