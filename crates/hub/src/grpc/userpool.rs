//! `UserpoolService`: pools of users.

use rollcall_domain::access::Permission;
use rollcall_domain::filter::{Filter, USERPOOL_FIELDS};
use rollcall_domain::id::{OrganizationId, UserpoolId};
use rollcall_domain::operation::{OperationResource, OperationResourceKind};
use rollcall_domain::page::PageRequest;
use rollcall_domain::password_policy::{
    BlacklistPolicy, BruteforcePolicy, Complexity, FixedComplexity, LifetimePolicy, QualityPolicy,
    SmartComplexity,
};
use rollcall_domain::quota::QuotaScope;
use rollcall_domain::refusal::Refusal;
use rollcall_domain::userpool::{UserSettings, Userpool, UserpoolInput};
use rollcall_proto::access;
use rollcall_proto::idp;
use rollcall_proto::idp::password_quality_policy::{ComplexityPolicy, Fixed, Smart};
use rollcall_proto::idp::userpool_service_server::UserpoolService;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::{Service, not_served};
use crate::page_token::ListKey;
use crate::wire::{WireEnum, parse_span, render_span, render_timestamp};

#[tonic::async_trait]
impl UserpoolService for Service {
    async fn get(
        &self,
        request: Request<idp::GetUserpoolRequest>,
    ) -> Result<Response<idp::Userpool>, Status> {
        self.read(request, get).await
    }

    async fn list(
        &self,
        request: Request<idp::ListUserpoolsRequest>,
    ) -> Result<Response<idp::ListUserpoolsResponse>, Status> {
        self.read(request, list).await
    }

    async fn create(
        &self,
        request: Request<idp::CreateUserpoolRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Create a user pool", create).await
    }

    not_served! {
        update(idp::UpdateUserpoolRequest) -> Operation;
        delete(idp::DeleteUserpoolRequest) -> Operation;
        get_domain(idp::GetUserpoolDomainRequest) -> idp::Domain;
        list_domains(idp::ListUserpoolDomainsRequest) -> idp::ListUserpoolDomainsResponse;
        add_domain(idp::AddUserpoolDomainRequest) -> Operation;
        validate_domain(idp::ValidateUserpoolDomainRequest) -> Operation;
        delete_domain(idp::DeleteUserpoolDomainRequest) -> Operation;
        list_operations(idp::ListUserpoolOperationsRequest)
            -> idp::ListUserpoolOperationsResponse;
        list_access_bindings(access::ListAccessBindingsRequest)
            -> access::ListAccessBindingsResponse;
        set_access_bindings(access::SetAccessBindingsRequest) -> Operation;
        update_access_bindings(access::UpdateAccessBindingsRequest) -> Operation;
    }
}

async fn get(
    cx: &Context,
    tx: &Tx,
    request: &idp::GetUserpoolRequest,
) -> Result<idp::Userpool, Error> {
    let id = UserpoolId::from(request.userpool_id.as_str());
    cx.authorize(tx, Permission::UserpoolsGet, Scope::Userpool(&id))
        .await?;
    match tx.find_userpool(&id).await? {
        Some(pool) => render(tx, pool).await,
        None => Err(Refusal::not_found("user pool", id).into()),
    }
}

async fn list(
    cx: &Context,
    tx: &Tx,
    request: &idp::ListUserpoolsRequest,
) -> Result<idp::ListUserpoolsResponse, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    cx.authorize(
        tx,
        Permission::UserpoolsGet,
        Scope::Organization(&organization_id),
    )
    .await?;
    let filter = Filter::parse(&request.filter, USERPOOL_FIELDS)?;
    let list = ListKey {
        method: cx.method(),
        parent: organization_id.as_str(),
        filter: &request.filter,
    };
    let tokens = &cx.hub.page_tokens;
    let page = tokens.parse(list, request.page_size, &request.page_token)?;
    let page = tx.list_userpools(&organization_id, &filter, &page).await?;
    let mut userpools = Vec::with_capacity(page.items.len());
    for pool in page.items {
        userpools.push(render(tx, pool).await?);
    }
    Ok(idp::ListUserpoolsResponse {
        userpools,
        next_page_token: tokens.render(list, page.next.as_ref())?,
    })
}

async fn create(
    cx: &Context,
    tx: &Tx,
    request: &idp::CreateUserpoolRequest,
) -> Result<Done, Error> {
    let organization_id = OrganizationId::from(request.organization_id.as_str());
    cx.authorize(
        tx,
        Permission::UserpoolsCreate,
        Scope::Organization(&organization_id),
    )
    .await?;
    let made = Userpool::create(
        parse_input(request),
        &request.default_subdomain,
        &cx.hub.domain_suffix,
        organization_id,
        UserpoolId::new(cx.new_id(UserpoolId::PREFIX)),
        cx.call.now,
    )?;
    let pool = made.userpool;
    cx.require_quota(tx, QuotaScope::UserpoolsOf(&pool.organization_id), 1)
        .await?;
    tx.insert_userpool(&pool).await?;
    tx.insert_userpool_domain(&made.default_domain).await?;
    let metadata = idp::CreateUserpoolMetadata {
        userpool_id: pool.id.to_string(),
    };
    let resource = OperationResource {
        kind: OperationResourceKind::Userpool,
        id: pool.id.to_string(),
        parent_id: pool.organization_id.to_string(),
    };
    Ok(Done::new(&metadata, &render(tx, pool).await?, resource))
}

fn parse_input(request: &idp::CreateUserpoolRequest) -> UserpoolInput {
    UserpoolInput {
        name: request.name.clone(),
        description: request.description.clone(),
        labels: request.labels.clone(),
        user_settings: request.user_settings.as_ref().map(|settings| UserSettings {
            allow_edit_self_password: settings.allow_edit_self_password,
            allow_edit_self_info: settings.allow_edit_self_info,
            allow_edit_self_contacts: settings.allow_edit_self_contacts,
            allow_edit_self_login: settings.allow_edit_self_login,
        }),
        quality_policy: request.password_quality_policy.as_ref().map(parse_quality),
        lifetime_policy: request
            .password_lifetime_policy
            .as_ref()
            .map(|policy| LifetimePolicy {
                min_days_count: policy.min_days_count,
                max_days_count: policy.max_days_count,
            }),
        bruteforce_policy: request.bruteforce_protection_policy.as_ref().map(|policy| {
            BruteforcePolicy {
                window: policy.window.as_ref().map(parse_span).unwrap_or_default(),
                block: policy.block.as_ref().map(parse_span).unwrap_or_default(),
                attempts: policy.attempts,
            }
        }),
        blacklist_policy: request.password_blacklist_policy.as_ref().map(|policy| {
            BlacklistPolicy {
                check_common: policy.check_common.unwrap_or(true),
            }
        }),
    }
}

fn parse_quality(policy: &idp::PasswordQualityPolicy) -> QualityPolicy {
    let default = QualityPolicy::default();
    QualityPolicy {
        allow_similar: policy.allow_similar,
        max_length: policy.max_length,
        match_length: policy.match_length,
        complexity: match &policy.complexity_policy {
            None => default.complexity,
            Some(ComplexityPolicy::Fixed(fixed)) => Complexity::Fixed(FixedComplexity {
                lowers_required: fixed.lowers_required,
                uppers_required: fixed.uppers_required,
                digits_required: fixed.digits_required,
                specials_required: fixed.specials_required,
                min_length: fixed.min_length,
            }),
            Some(ComplexityPolicy::Smart(smart)) => Complexity::Smart(SmartComplexity {
                one_class: smart.one_class,
                two_classes: smart.two_classes,
                three_classes: smart.three_classes,
                four_classes: smart.four_classes,
            }),
        },
    }
}

async fn render(tx: &Tx, pool: Userpool) -> Result<idp::Userpool, Error> {
    let domains = tx
        .list_userpool_domains(&pool.id, &Filter::default(), &PageRequest::first())
        .await?
        .items
        .into_iter()
        .map(|domain| domain.name.as_str().to_owned())
        .collect();
    Ok(idp::Userpool {
        id: pool.id.into_string(),
        organization_id: pool.organization_id.into_string(),
        name: pool.name,
        description: pool.description,
        labels: pool.labels,
        created_at: Some(render_timestamp(pool.created_at)),
        updated_at: Some(render_timestamp(pool.updated_at)),
        domains,
        status: pool.status.to_wire(),
        user_settings: Some(idp::UserSettings {
            allow_edit_self_password: pool.user_settings.allow_edit_self_password,
            allow_edit_self_info: pool.user_settings.allow_edit_self_info,
            allow_edit_self_contacts: pool.user_settings.allow_edit_self_contacts,
            allow_edit_self_login: pool.user_settings.allow_edit_self_login,
        }),
        password_quality_policy: Some(render_quality(&pool.quality_policy)),
        password_lifetime_policy: Some(idp::PasswordLifetimePolicy {
            min_days_count: pool.lifetime_policy.min_days_count,
            max_days_count: pool.lifetime_policy.max_days_count,
        }),
        bruteforce_protection_policy: Some(idp::BruteforceProtectionPolicy {
            window: Some(render_span(pool.bruteforce_policy.window)),
            block: Some(render_span(pool.bruteforce_policy.block)),
            attempts: pool.bruteforce_policy.attempts,
        }),
        password_blacklist_policy: Some(idp::PasswordBlacklistPolicy {
            check_common: Some(pool.blacklist_policy.check_common),
        }),
    })
}

fn render_quality(policy: &QualityPolicy) -> idp::PasswordQualityPolicy {
    idp::PasswordQualityPolicy {
        allow_similar: policy.allow_similar,
        max_length: policy.max_length,
        match_length: policy.match_length,
        complexity_policy: Some(match policy.complexity {
            Complexity::Fixed(fixed) => ComplexityPolicy::Fixed(Fixed {
                lowers_required: fixed.lowers_required,
                uppers_required: fixed.uppers_required,
                digits_required: fixed.digits_required,
                specials_required: fixed.specials_required,
                min_length: fixed.min_length,
            }),
            Complexity::Smart(smart) => ComplexityPolicy::Smart(Smart {
                one_class: smart.one_class,
                two_classes: smart.two_classes,
                three_classes: smart.three_classes,
                four_classes: smart.four_classes,
            }),
        }),
        ..Default::default()
    }
}
