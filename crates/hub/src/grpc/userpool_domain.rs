//! The domains of `UserpoolService`: tied, proven and untied.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_types::Timestamp as WireTimestamp;
use rollcall_domain::access::Permission;
use rollcall_domain::filter::{DOMAIN_FIELDS, Filter};
use rollcall_domain::id::{OperationId, UserpoolId};
use rollcall_domain::operation::Outcome;
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::userpool::Userpool;
use rollcall_domain::userpool_domain::{CHALLENGE_BYTES, UserpoolDomain, ValidationStart};
use rollcall_proto::idp;
use rollcall_proto::idp::domain_challenge;
use rollcall_store::Tx;

use crate::context::{Context, Done, Scope};
use crate::domain_validation::end_operation;
use crate::error::{Error, cancelled};
use crate::grpc::userpool::resource;
use crate::limits;
use crate::wire::{WireEnum, render_timestamp};

pub(super) async fn get(
    cx: &Context,
    tx: &Tx,
    request: &idp::GetUserpoolDomainRequest,
) -> Result<idp::Domain, Error> {
    let pool = find_pool(cx, tx, Permission::DomainsGet, &request.userpool_id).await?;
    Ok(render(find(tx, &pool, &request.domain).await?))
}

pub(super) async fn list(
    cx: &Context,
    tx: &Tx,
    request: &idp::ListUserpoolDomainsRequest,
) -> Result<idp::ListUserpoolDomainsResponse, Error> {
    let pool = find_pool(cx, tx, Permission::DomainsGet, &request.userpool_id).await?;
    let filter = Filter::parse(&request.filter, DOMAIN_FIELDS)?;
    let list = cx.list(pool.id.as_str(), &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_userpool_domains(&pool.id, &filter, &page).await?;
    Ok(idp::ListUserpoolDomainsResponse {
        next_page_token: list.render(page.next.as_ref())?,
        domains: page.items.into_iter().map(render).collect(),
    })
}

pub(super) async fn add(
    cx: &Context,
    tx: &Tx,
    request: &idp::AddUserpoolDomainRequest,
) -> Result<Done, Error> {
    let pool = find_pool(cx, tx, Permission::DomainsManage, &request.userpool_id).await?;
    let mut challenge = [0; CHALLENGE_BYTES];
    cx.hub.entropy.fill(&mut challenge);
    let domain = UserpoolDomain::add(
        pool.id.clone(),
        &request.domain,
        BASE64_STANDARD.encode(challenge),
        cx.call.now,
    )?;
    domain.require_outside(&cx.hub.domain_suffix)?;
    cx.require_quota(tx, QuotaScope::DomainsOf(&pool.id), 1)
        .await?;
    tx.insert_userpool_domain(&domain).await?;
    let metadata = idp::AddUserpoolDomainMetadata {
        userpool_id: pool.id.to_string(),
        domain: domain.name.to_string(),
    };
    Ok(Done::new(&metadata, &render(domain), resource(&pool)))
}

pub(super) async fn validate(
    cx: &Context,
    tx: &Tx,
    request: &idp::ValidateUserpoolDomainRequest,
) -> Result<Done, Error> {
    let pool = find_pool(cx, tx, Permission::DomainsManage, &request.userpool_id).await?;
    let domain = find(tx, &pool, &request.domain).await?;
    let metadata = idp::ValidateUserpoolDomainMetadata {
        userpool_id: pool.id.to_string(),
        domain: domain.name.to_string(),
    };
    let id = OperationId::new(cx.new_id(OperationId::PREFIX));
    match domain.start_validation(id.clone(), cx.call.now) {
        ValidationStart::Proven => Ok(Done::new(&metadata, &render(domain), resource(&pool))),
        ValidationStart::Joined(domain, id) => {
            tx.save_userpool_domain(&domain).await?;
            match tx.find_operation(&id).await? {
                Some(operation) => Ok(Done::earlier(operation)),
                None => Err(Error::Internal(format!(
                    "operation {id} of a validation is gone"
                ))),
            }
        }
        ValidationStart::Started(domain) => {
            tx.save_userpool_domain(&domain).await?;
            Ok(Done::started(id, &metadata, resource(&pool)))
        }
    }
}

pub(super) async fn delete(
    cx: &Context,
    tx: &Tx,
    request: &idp::DeleteUserpoolDomainRequest,
) -> Result<Done, Error> {
    let pool = find_pool(cx, tx, Permission::DomainsManage, &request.userpool_id).await?;
    let domain = find(tx, &pool, &request.domain).await?;
    let name = domain.name.as_str();
    domain.check_deletable(tx.count_users_of_domain(&pool.id, name).await?)?;
    if let Some(validation) = &domain.validation {
        let outcome = Outcome::Error(cancelled("the domain was deleted"));
        end_operation(&cx.hub, tx, &validation.operation_id, outcome, cx.call.now).await?;
    }
    tx.delete_userpool_domain(&pool.id, name).await?;
    let metadata = idp::DeleteUserpoolDomainMetadata {
        userpool_id: pool.id.to_string(),
        domain: name.to_owned(),
    };
    Ok(Done::new(&metadata, &(), resource(&pool)))
}

/// Ends the searches for the proofs of all domains of a pool that goes; those domains go before it.
pub(super) async fn end_validations(
    cx: &Context,
    tx: &Tx,
    pool_id: &UserpoolId,
) -> Result<(), Error> {
    let batch = limits::DOMAIN_VALIDATION_BATCH_MAX;
    loop {
        let domains = tx.list_validating_userpool_domains(pool_id, batch).await?;
        if domains.is_empty() {
            return Ok(());
        }
        for domain in domains {
            if let Some(validation) = &domain.validation {
                let outcome = Outcome::Error(cancelled("the user pool of the domain was deleted"));
                end_operation(&cx.hub, tx, &validation.operation_id, outcome, cx.call.now).await?;
            }
            let name = domain.name.as_str();
            if !tx.delete_userpool_domain(pool_id, name).await? {
                return Err(Error::Internal(format!("domain {name} cannot be deleted")));
            }
        }
    }
}

/// Finds a pool and requires `permission` on it.
pub(super) async fn find_pool(
    cx: &Context,
    tx: &Tx,
    permission: Permission,
    id: &str,
) -> Result<Userpool, Error> {
    let id = UserpoolId::from(id);
    cx.authorize(tx, permission, Scope::Userpool(&id)).await?;
    let found = tx.find_userpool(&id).await?;
    Ok(found.ok_or_else(|| Refusal::not_found("user pool", id))?)
}

async fn find(tx: &Tx, pool: &Userpool, name: &str) -> Result<UserpoolDomain, Error> {
    let name = name.to_ascii_lowercase();
    let found = tx.find_userpool_domain(&pool.id, &name).await?;
    Ok(found.ok_or_else(|| Refusal::not_found("domain", name))?)
}

/// A domain in the form of the wire.
pub fn render(domain: UserpoolDomain) -> idp::Domain {
    let record_name = domain.challenge_record_name();
    idp::Domain {
        status: domain.status.to_wire(),
        status_code: domain.status_code(),
        domain: domain.name.as_str().to_owned(),
        created_at: Some(render_timestamp(domain.created_at)),
        // The interface shows the beginning of time until then.
        validated_at: Some(match domain.validated_at {
            Some(moment) => render_timestamp(moment),
            None => WireTimestamp::default(),
        }),
        challenges: domain
            .challenge
            .map(|challenge| idp::DomainChallenge {
                created_at: Some(render_timestamp(challenge.created_at)),
                updated_at: Some(render_timestamp(challenge.updated_at)),
                r#type: domain_challenge::Type::DnsTxt.into(),
                status: challenge.status.to_wire(),
                challenge: Some(domain_challenge::Challenge::DnsChallenge(
                    domain_challenge::DnsRecord {
                        name: record_name,
                        r#type: domain_challenge::dns_record::Type::Txt.into(),
                        value: challenge.value,
                    },
                )),
            })
            .into_iter()
            .collect(),
        deletion_protection: domain.deletion_protection,
    }
}
