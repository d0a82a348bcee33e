//! Rows of operations.

use rollcall_domain::filter::Filter;
use rollcall_domain::id::OperationId;
use rollcall_domain::named::Named;
use rollcall_domain::operation::{
    Operation, OperationError, OperationResource, OperationResourceKind, Outcome, Payload,
};
use rollcall_domain::page::{Cursor, Page, PageRequest};
use rollcall_kit::timestamp::Timestamp;

use crate::db::Tx;
use crate::db::value::{Param, Row, params};
use crate::error::Error;
use crate::list::{self, Listed, Order, placeholders};
use crate::tally::{self, read_work};

impl Listed for Operation {
    const SELECT: &'static str = "select id, description, created_at, created_by, modified_at, \
         metadata_type, metadata_bytes, outcome, response_type, response_bytes, error_code, \
         error_message, resource_kind, resource_id, parent_id, session_id, session_tally \
         from operations";
    const KEY: [&'static str; 2] = ["created_at", "id"];

    fn read(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id()?,
            description: row.text()?,
            created_at: row.time()?,
            created_by: row.id()?,
            modified_at: row.time()?,
            metadata: Payload {
                type_name: row.text()?,
                bytes: row.bytes()?,
            },
            outcome: read_outcome(row)?,
            resource: OperationResource {
                kind: row.named()?,
                id: row.text()?,
                parent_id: row.text()?,
            },
            session_work: read_work(row)?,
        })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.created_at, &self.id)
    }
}

impl Tx {
    /// Inserts an operation.
    pub async fn insert_operation(&self, operation: &Operation) -> Result<(), Error> {
        let [
            outcome,
            response_type,
            response_bytes,
            error_code,
            error_message,
        ] = outcome_columns(&operation.outcome);
        let work = operation.session_work.as_ref();
        let session_id = work.map(|work| work.session_id.as_str());
        let tally = work.map(|work| tally::pack(&work.tally));
        self.execute(
            "insert into operations (id, description, created_at, created_by, modified_at, \
             metadata_type, metadata_bytes, outcome, response_type, response_bytes, error_code, \
             error_message, resource_kind, resource_id, parent_id, session_id, session_tally) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            params![
                &operation.id,
                &operation.description,
                operation.created_at,
                &operation.created_by,
                operation.modified_at,
                &operation.metadata.type_name,
                &operation.metadata.bytes,
                outcome,
                response_type,
                response_bytes,
                error_code,
                error_message,
                operation.resource.kind.name(),
                &operation.resource.id,
                &operation.resource.parent_id,
                session_id,
                tally.as_ref(),
            ],
        )
        .await?;
        Ok(())
    }

    /// The operation `id`.
    pub async fn find_operation(&self, id: &OperationId) -> Result<Option<Operation>, Error> {
        let sql = format!("{} where id = $1", Operation::SELECT);
        self.one(&sql, params![id], Operation::read).await
    }

    /// Saves how an operation stands.
    pub async fn save_operation(&self, operation: &Operation) -> Result<(), Error> {
        let [
            outcome,
            response_type,
            response_bytes,
            error_code,
            error_message,
        ] = outcome_columns(&operation.outcome);
        self.execute(
            "update operations set modified_at = $2, metadata_type = $3, metadata_bytes = $4, \
             outcome = $5, response_type = $6, response_bytes = $7, error_code = $8, \
             error_message = $9 where id = $1",
            params![
                &operation.id,
                operation.modified_at,
                &operation.metadata.type_name,
                &operation.metadata.bytes,
                outcome,
                response_type,
                response_bytes,
                error_code,
                error_message,
            ],
        )
        .await?;
        Ok(())
    }

    /// A page of the operations about one thing that were created after `since`, newest first,
    /// but those whose metadata is one of the messages `hidden`.
    pub async fn list_operations(
        &self,
        kind: OperationResourceKind,
        resource_id: &str,
        since: Timestamp,
        hidden: &[&str],
        page: &PageRequest,
    ) -> Result<Page<Operation>, Error> {
        let mut scope = params![kind.name(), resource_id, since].to_vec();
        let mut condition =
            "resource_kind = $1 and resource_id = $2 and created_at > $3".to_owned();
        if !hidden.is_empty() {
            let types = placeholders(scope.len() + 1, hidden.len());
            condition.push_str(&format!(" and metadata_type not in ({types})"));
            scope.extend(hidden.iter().map(|name| Param::Text(name)));
        }
        let filter = Filter::default();
        list::page(self, &condition, &scope, &filter, Order::NewestFirst, page).await
    }

    /// Deletes up to `limit` operations created before `before`, but none that an open session
    /// still counts; tells how many.
    pub async fn delete_old_operations(&self, before: Timestamp, limit: u32) -> Result<u64, Error> {
        self.execute(
            "delete from operations where id in (select id from operations \
             where created_at < $1 and (session_id is null or session_id not in \
             (select s.id from sync_sessions s where s.status = 'OPENED')) \
             order by created_at limit $2)",
            params![before, limit],
        )
        .await
    }
}

fn outcome_columns(outcome: &Outcome) -> [Param<'_>; 5] {
    match outcome {
        Outcome::Running => [
            "RUNNING".into(),
            Param::Null,
            Param::Null,
            Param::Null,
            Param::Null,
        ],
        Outcome::Response(response) => [
            "RESPONSE".into(),
            (&response.type_name).into(),
            (&response.bytes).into(),
            Param::Null,
            Param::Null,
        ],
        Outcome::Error(error) => [
            "ERROR".into(),
            Param::Null,
            (&error.status_bytes).into(),
            i64::from(error.code).into(),
            (&error.message).into(),
        ],
    }
}

fn read_outcome(row: &mut Row) -> Result<Outcome, Error> {
    let outcome = row.text()?;
    let (type_name, bytes) = (row.opt_text()?, row.opt_bytes()?);
    let (code, message) = (row.opt_int()?, row.opt_text()?);
    match (outcome.as_str(), type_name, bytes, code, message) {
        ("RUNNING", None, None, None, None) => Ok(Outcome::Running),
        ("RESPONSE", Some(type_name), Some(bytes), None, None) => {
            Ok(Outcome::Response(Payload { type_name, bytes }))
        }
        ("ERROR", None, Some(status_bytes), Some(code), Some(message)) => {
            let code = i32::try_from(code)
                .map_err(|_| Error::corrupt("an operation has an unknown error code"))?;
            Ok(Outcome::Error(OperationError {
                code,
                message,
                status_bytes,
            }))
        }
        _ => Err(Error::corrupt(format!(
            "an operation in state {outcome} has other columns"
        ))),
    }
}
