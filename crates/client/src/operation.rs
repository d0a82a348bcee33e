//! Operations and what is inside them.

use std::time::Duration;

use prost::{Message, Name};
use prost_types::Any;
use rollcall_proto::operation::operation::Result as Outcome;
use rollcall_proto::operation::{GetOperationRequest, Operation};
use tonic::Status;

use crate::call::CallContext;
use crate::client::Client;
use crate::error::{ClientError, ErrorKind};

/// How often an operation that runs is asked for.
const POLLS_MAX: u32 = 120;
const FIRST_POLL_WAIT: Duration = Duration::from_millis(100);
const LONGEST_POLL_WAIT: Duration = Duration::from_secs(2);

impl Client {
    /// Waits until `operation` is done, at most some four minutes, and gives its response.
    ///
    /// # Errors
    /// The error of the operation, `Unavailable` when it is still running after that time, and
    /// what calls can end with.
    pub async fn wait<T: Message + Name + Default>(
        &self,
        mut operation: Operation,
    ) -> Result<T, ClientError> {
        let mut wait = FIRST_POLL_WAIT;
        for _ in 0..POLLS_MAX {
            if operation.done {
                return self.finished(operation);
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_POLL_WAIT);
            let request = GetOperationRequest {
                operation_id: operation.id.clone(),
            };
            operation = self
                .call_with_retry(&CallContext::read(), request, |hub, request| async move {
                    hub.operations().get(request).await
                })
                .await?;
        }
        Err(ClientError::local(
            ErrorKind::Unavailable,
            format!(
                "operation {} still runs; look at it again later with `rollcall operation get`",
                operation.id
            ),
        ))
    }

    fn finished<T: Message + Name + Default>(
        &self,
        operation: Operation,
    ) -> Result<T, ClientError> {
        operation_response(operation).map_err(|status| self.error(&status))
    }
}

/// The response of a finished operation.
///
/// # Errors
/// The error of the operation as a status with its details; UNKNOWN when it is not done or holds
/// another type.
pub fn operation_response<T: Message + Name + Default>(operation: Operation) -> Result<T, Status> {
    match operation.result {
        Some(Outcome::Response(any)) => unpack(&any),
        Some(Outcome::Error(error)) => {
            // The status travels whole in the details of a failed call.
            let details = error.encode_to_vec();
            Err(Status::with_details(
                tonic::Code::from(error.code),
                error.message,
                details.into(),
            ))
        }
        None => Err(Status::unknown(format!(
            "operation {} has no result yet",
            operation.id
        ))),
    }
}

/// The metadata of an operation.
///
/// # Errors
/// UNKNOWN when there is none or it has another type.
pub fn operation_metadata<T: Message + Name + Default>(operation: &Operation) -> Result<T, Status> {
    let any = operation
        .metadata
        .as_ref()
        .ok_or_else(|| Status::unknown(format!("operation {} has no metadata", operation.id)))?;
    unpack(any)
}

fn unpack<T: Message + Name + Default>(any: &Any) -> Result<T, Status> {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    if name != T::full_name() {
        return Err(Status::unknown(format!(
            "the operation holds {name} where {} was expected",
            T::full_name()
        )));
    }
    T::decode(any.value.as_slice())
        .map_err(|error| Status::unknown(format!("{name} cannot be decoded: {error}")))
}
