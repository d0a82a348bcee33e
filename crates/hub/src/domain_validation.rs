//! The job that looks for the proofs of domains in DNS and ends the operations that wait for them
//! (decision U83).
//!
//! Invariant: the state of a domain and the end of its operation are stored in one transaction.
//! Several hubs may run the job on one database: each claims the look-ups it makes for a while.
//! Deliberately absent: when a look-up is due and what its outcome means, which the domain decides.

use std::sync::Arc;

use futures::{StreamExt, stream};
use rollcall_domain::id::OperationId;
use rollcall_domain::operation::{Operation, Outcome};
use rollcall_domain::userpool_domain::{AttemptFailure, AttemptOutcome, UserpoolDomain};
use rollcall_kit::timestamp::{Span, Timestamp};
use rollcall_store::Tx;
use tokio_util::sync::CancellationToken;

use crate::audit;
use crate::audit::document::Document;
use crate::error::Error;
use crate::grpc::userpool_domain::render;
use crate::hub::Hub;
use crate::limits;
use crate::wire::to_payload;

/// The rpc that begins a search.
const VALIDATE_DOMAIN: &str =
    "/yandex.cloud.organizationmanager.v1.idp.UserpoolService/ValidateDomain";

/// Runs until `stop`.
pub async fn run(hub: Arc<Hub>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        match step(&hub).await {
            Ok(Progress::Made) => continue,
            Ok(Progress::NothingToDo) => {}
            Err(error) => tracing::error!(%error, "the proofs of domains could not be looked for"),
        }
        tokio::select! {
            () = tokio::time::sleep(limits::DOMAIN_VALIDATION_PAUSE) => {}
            () = hub.domain_validation_due.notified() => {}
            () = stop.cancelled() => {}
        }
    }
}

enum Progress {
    Made,
    NothingToDo,
}

async fn step(hub: &Arc<Hub>) -> Result<Progress, Error> {
    let claimed = claim(hub).await?;
    if claimed.is_empty() {
        return Ok(Progress::NothingToDo);
    }
    let ended: Vec<_> = stream::iter(claimed)
        .map(|domain| attempt(hub, domain))
        .buffer_unordered(limits::DNS_LOOKUPS_MAX)
        .collect()
        .await;
    ended
        .into_iter()
        .collect::<Result<(), Error>>()
        .map(|()| Progress::Made)
}

/// Takes the look-ups that are due.
async fn claim(hub: &Hub) -> Result<Vec<UserpoolDomain>, Error> {
    let now = hub.clock.now();
    let until = now.plus(Span::seconds(limits::DOMAIN_VALIDATION_CLAIM_SECONDS));
    hub.store
        .write(async move |tx: &Tx| {
            let batch = limits::DOMAIN_VALIDATION_BATCH_MAX;
            let mut claimed = Vec::new();
            for domain in tx.list_due_userpool_domains(now, batch).await? {
                let domain = domain.claim_attempt(until, now);
                tx.save_userpool_domain(&domain).await?;
                claimed.push(domain);
            }
            Ok(claimed)
        })
        .await
}

async fn attempt(hub: &Arc<Hub>, claimed: UserpoolDomain) -> Result<(), Error> {
    let found = hub
        .dns
        .find_texts(&claimed.challenge_record_name())
        .await
        .and_then(|texts| claimed.judge_records(&texts));
    let now = hub.clock.now();
    let inner = Arc::clone(hub);
    hub.store
        .write(async move |tx: &Tx| end(&inner, tx, &claimed, found, now).await)
        .await
}

async fn end(
    hub: &Hub,
    tx: &Tx,
    claimed: &UserpoolDomain,
    found: Result<(), AttemptFailure>,
    now: Timestamp,
) -> Result<(), Error> {
    let present = tx
        .find_userpool_domain(&claimed.userpool_id, claimed.name.as_str())
        .await?;
    let (Some(present), Some(claim)) = (present, &claimed.validation) else {
        return Ok(());
    };
    match present.end_attempt(claim, found, now) {
        AttemptOutcome::Superseded => Ok(()),
        AttemptOutcome::Postponed(domain) => Ok(tx.save_userpool_domain(&domain).await?),
        AttemptOutcome::Proven(domain) => {
            tx.save_userpool_domain(&domain).await?;
            let outcome = Outcome::Response(to_payload(&render(domain)));
            end_operation(hub, tx, &claim.operation_id, outcome, now).await?;
            Ok(())
        }
        AttemptOutcome::GivenUp(domain, refusal) => {
            tx.save_userpool_domain(&domain).await?;
            let outcome = Outcome::Error(Error::from(refusal).to_operation_error());
            end_operation(hub, tx, &claim.operation_id, outcome, now).await?;
            Ok(())
        }
    }
}

/// Stores the end of the operation of a search, with its audit event, and returns it; `None` when it
/// is not there any more.
///
/// # Errors
/// When the database fails.
pub async fn end_operation(
    hub: &Hub,
    tx: &Tx,
    id: &OperationId,
    outcome: Outcome,
    now: Timestamp,
) -> Result<Option<Operation>, Error> {
    let Some(operation) = tx.find_operation(id).await? else {
        return Ok(None);
    };
    let operation = operation.end(outcome, now);
    tx.save_operation(&operation).await?;
    let more = Document::new();
    audit::record_end(hub, tx, VALIDATE_DOMAIN, &operation, more).await?;
    Ok(Some(operation))
}
