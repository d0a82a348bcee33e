//! `UserService`: users of a pool.

use rollcall_domain::access::{self, Permission};
use rollcall_domain::access_policy::PolicyTemplate;
use rollcall_domain::filter::{Filter, USER_FIELDS};
use rollcall_domain::id::{SubjectId, UserId, UserpoolId};
use rollcall_domain::mask::Mask;
use rollcall_domain::operation::{OperationResource, OperationResourceKind, Outcome};
use rollcall_domain::password_change::check_capture_rank;
use rollcall_domain::progress::{ChangeType, ObjectType};
use rollcall_domain::quota::{Quota, QuotaScope};
use rollcall_domain::tally::Tally;
use rollcall_domain::user::{
    InitialState, NewUser, Profile, User, UserField, UserInput, UserStatus,
};
use rollcall_domain::username::Username;
use rollcall_domain::userpool_domain::UserpoolDomain;
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::idp;
use rollcall_proto::idp::user_service_server::UserService;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status, Streaming};

use crate::context::{Context, Done, Scope};
use crate::error::{Error, cancelled};
use crate::grpc::password_change::find_rank;
use crate::grpc::{Service, access_policy, password, password_change};
use crate::grpc::{password_change_stream, password_writeback};
use crate::password_writeback::give_up;
use crate::wire::{WireEnum, parse_mask, parse_timestamp, render_timestamp};

// Create and Update have the same fields under two message names.
macro_rules! parse_profile {
    ($request:expr) => {
        Profile {
            full_name: $request.full_name.clone(),
            given_name: $request.given_name.clone(),
            family_name: $request.family_name.clone(),
            email: $request.email.clone(),
            phone_number: $request.phone_number.clone(),
            company_name: $request.company_name.clone(),
            department: $request.department.clone(),
            job_title: $request.job_title.clone(),
            employee_id: $request.employee_id.clone(),
        }
    };
}
#[tonic::async_trait]
impl UserService for Service {
    type GetPasswordChangesStream = password_change_stream::Changes;

    async fn get(
        &self,
        request: Request<idp::GetUserRequest>,
    ) -> Result<Response<idp::User>, Status> {
        self.read(request, get).await
    }

    async fn list(
        &self,
        request: Request<idp::ListUsersRequest>,
    ) -> Result<Response<idp::ListUsersResponse>, Status> {
        self.read(request, list).await
    }

    async fn create(
        &self,
        request: Request<idp::CreateUserRequest>,
    ) -> Result<Response<Operation>, Status> {
        password::create_user(self, request).await
    }

    async fn update(
        &self,
        request: Request<idp::UpdateUserRequest>,
    ) -> Result<Response<Operation>, Status> {
        let subject = SubjectId::from(request.get_ref().user_id.as_str());
        let answer = self.mutate(request, "Update a user", update).await?;
        self.0.tokens.forget_sessions(&subject);
        Ok(answer)
    }

    async fn delete(
        &self,
        request: Request<idp::DeleteUserRequest>,
    ) -> Result<Response<Operation>, Status> {
        let subject = SubjectId::from(request.get_ref().user_id.as_str());
        let answer = self.mutate(request, "Delete a user", delete).await?;
        self.0.tokens.forget_subject(&subject);
        Ok(answer)
    }

    async fn suspend(
        &self,
        request: Request<idp::SuspendUserRequest>,
    ) -> Result<Response<Operation>, Status> {
        let subject = SubjectId::from(request.get_ref().user_id.as_str());
        let answer = self.mutate(request, "Suspend a user", suspend).await?;
        self.0.tokens.forget_sessions(&subject);
        Ok(answer)
    }

    async fn reactivate(
        &self,
        request: Request<idp::ReactivateUserRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Reactivate a user", reactivate).await
    }

    async fn convert_to_external(
        &self,
        request: Request<idp::ConvertToExternalUserRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(
            request,
            "Convert a user to an external user",
            convert_to_external,
        )
        .await
    }

    async fn set_password_hash(
        &self,
        request: Request<idp::SetPasswordHashRequest>,
    ) -> Result<Response<Operation>, Status> {
        password::set_hash(self, request).await
    }

    async fn resolve_external_ids(
        &self,
        request: Request<idp::ResolveExternalIdsRequest>,
    ) -> Result<Response<idp::ResolveExternalIdsResponse>, Status> {
        self.read(request, resolve_external_ids).await
    }

    async fn get_password_changes(
        &self,
        request: Request<Streaming<idp::GetPasswordChangesRequest>>,
    ) -> Result<Response<Self::GetPasswordChangesStream>, Status> {
        password_change_stream::subscribe(self, request).await
    }

    async fn commit_password(
        &self,
        request: Request<idp::CommitPasswordRequest>,
    ) -> Result<Response<Operation>, Status> {
        password_writeback::commit(self, request).await
    }

    async fn set_own_password(
        &self,
        request: Request<idp::SetOwnPasswordRequest>,
    ) -> Result<Response<Operation>, Status> {
        password_change::set_own(self, request).await
    }

    async fn set_others_password(
        &self,
        request: Request<idp::SetOthersPasswordRequest>,
    ) -> Result<Response<Operation>, Status> {
        password_change::set_others(self, request).await
    }

    async fn generate_password(
        &self,
        request: Request<idp::GeneratePasswordRequest>,
    ) -> Result<Response<idp::GeneratePasswordResponse>, Status> {
        self.read(request, password_change::generate).await
    }

    async fn get_self_password_metadata(
        &self,
        request: Request<()>,
    ) -> Result<Response<idp::PasswordMetadata>, Status> {
        self.read(request, password_change::get_self_metadata).await
    }
}

async fn get(cx: &Context, tx: &Tx, request: &idp::GetUserRequest) -> Result<idp::User, Error> {
    let found = tx
        .find_user(&UserId::from(request.user_id.as_str()))
        .await?;
    let (user, bindings) = cx
        .admit(tx, Permission::UsersGet, &request.user_id, found)
        .await?;
    Ok(render(user, Phone::of(&bindings), cx.call.now))
}

async fn list(
    cx: &Context,
    tx: &Tx,
    request: &idp::ListUsersRequest,
) -> Result<idp::ListUsersResponse, Error> {
    let pool_id = UserpoolId::from(request.userpool_id.as_str());
    let bindings = cx
        .authorize(tx, Permission::UsersGet, Scope::Userpool(&pool_id))
        .await?;
    if let Some(pool) = tx.find_userpool(&pool_id).await? {
        let template = PolicyTemplate::DenyUserListing;
        access_policy::require_allowed(tx, &pool.organization_id, template, &bindings).await?;
    }
    let filter = Filter::parse(&request.filter, USER_FIELDS)?;
    let list = cx.list(pool_id.as_str(), &request.filter);
    let page = list.parse(request.page_size, &request.page_token)?;
    let page = tx.list_users(&pool_id, &filter, cx.call.now, &page).await?;
    let phone = Phone::of(&bindings);
    Ok(idp::ListUsersResponse {
        users: page
            .items
            .into_iter()
            .map(|user| render(user, phone, cx.call.now))
            .collect(),
        next_page_token: list.render(page.next.as_ref())?,
    })
}

/// Makes the user of a `Create` request; its password is the caller's matter.
pub async fn create(
    cx: &Context,
    tx: &Tx,
    request: &idp::CreateUserRequest,
    id: UserId,
) -> Result<User, Error> {
    let pool_id = UserpoolId::from(request.userpool_id.as_str());
    cx.authorize(tx, Permission::UsersManage, Scope::Userpool(&pool_id))
        .await?;
    let new = NewUser {
        username: request.username.clone(),
        profile: parse_profile!(request),
        external_id: request.external_id.clone(),
        state: if request.is_active.unwrap_or(true) {
            InitialState::Active
        } else {
            InitialState::Suspended
        },
        expires_at: request.expires_at.as_ref().map(parse_timestamp),
    };
    require_room(cx, tx, &pool_id).await?;
    let domain = find_domain(tx, &pool_id, &request.username).await?;
    let user = User::create(
        pool_id,
        domain.as_ref(),
        new,
        cx.call.actor(),
        id,
        cx.call.now,
    )?;
    tx.insert_user(&user).await?;
    Ok(user)
}

/// Requires room for one more user in the pool and its organization.
async fn require_room(cx: &Context, tx: &Tx, pool_id: &UserpoolId) -> Result<(), Error> {
    cx.require_quota(tx, QuotaScope::UsersOf(pool_id), 1)
        .await?;
    if cx
        .hub
        .quotas
        .limit(Quota::SubjectsPerOrganization)
        .is_some()
        && let Some(pool) = tx.find_userpool(pool_id).await?
    {
        cx.require_quota(tx, QuotaScope::SubjectsOf(&pool.organization_id), 1)
            .await?;
    }
    Ok(())
}

async fn update(cx: &Context, tx: &Tx, request: &idp::UpdateUserRequest) -> Result<Done, Error> {
    let mask: Result<Mask<_>, _> = parse_mask(request.update_mask.as_ref());
    let permission = mask
        .as_ref()
        .map_or(Permission::UsersManage, update_permission);
    let found = tx
        .find_user(&UserId::from(request.user_id.as_str()))
        .await?;
    let (user, bindings) = cx.admit(tx, permission, &request.user_id, found).await?;
    let mask = mask?;
    let input = UserInput {
        username: request.username.clone(),
        profile: parse_profile!(request),
        expires_at: request.expires_at.as_ref().map(parse_timestamp),
    };
    let domain = find_domain(tx, &user.userpool_id, &request.username).await?;
    let user = user.update(input, &mask, domain.as_ref(), cx.call.now)?;
    tx.save_user(&user).await?;
    end_sessions_if_inactive(cx, tx, &user).await?;
    let metadata = idp::UpdateUserMetadata {
        user_id: user.id.to_string(),
    };
    let written = Tally::one(ObjectType::User, ChangeType::Update);
    Ok(done(cx, &metadata, user, &bindings).counting(written))
}

/// When an account ends is part of its state; the rest is more.
fn update_permission(mask: &Mask<UserField>) -> Permission {
    match mask {
        Mask::Only(fields) if fields.iter().eq([&UserField::ExpiresAt]) => {
            Permission::UsersManageState
        }
        _ => Permission::UsersManage,
    }
}

async fn delete(cx: &Context, tx: &Tx, request: &idp::DeleteUserRequest) -> Result<Done, Error> {
    let user = find(cx, tx, &request.user_id, Permission::UsersManage).await?;
    give_up_writeback(cx, tx, &user).await?;
    tx.delete_user(&user.id).await?;
    let metadata = idp::DeleteUserMetadata {
        user_id: user.id.to_string(),
    };
    let gone = Tally::one(ObjectType::User, ChangeType::Delete);
    Ok(Done::new(&metadata, &(), resource(&user)).counting(gone))
}

/// Ends the password change of a user that waits for the directory.
async fn give_up_writeback(cx: &Context, tx: &Tx, user: &User) -> Result<(), Error> {
    if let Some(pending) = tx.find_pending_password_writeback(&user.id).await? {
        let outcome = Outcome::Error(cancelled("the user was deleted"));
        give_up(&cx.hub, tx, &pending, outcome, cx.call.now).await?;
    }
    Ok(())
}

async fn suspend(cx: &Context, tx: &Tx, request: &idp::SuspendUserRequest) -> Result<Done, Error> {
    let before = find(cx, tx, &request.user_id, Permission::UsersManageState).await?;
    let expires_at = request.expires_at.as_ref().map(parse_timestamp);
    let user = before.suspend(cx.call.actor(), &request.reason, expires_at, cx.call.now)?;
    tx.save_user(&user).await?;
    end_sessions_if_inactive(cx, tx, &user).await?;
    let metadata = idp::SuspendUserMetadata {
        user_id: user.id.to_string(),
    };
    let tally = Tally::of_switch(&before, &user, cx.call.now);
    Ok(Done::new(&metadata, &(), resource(&user)).counting(tally))
}

async fn reactivate(
    cx: &Context,
    tx: &Tx,
    request: &idp::ReactivateUserRequest,
) -> Result<Done, Error> {
    let before = find(cx, tx, &request.user_id, Permission::UsersManageState).await?;
    let user = before.reactivate(cx.call.actor(), cx.call.now)?;
    tx.save_user(&user).await?;
    let metadata = idp::ReactivateUserMetadata {
        user_id: user.id.to_string(),
    };
    let tally = Tally::of_switch(&before, &user, cx.call.now);
    Ok(Done::new(&metadata, &(), resource(&user)).counting(tally))
}

async fn convert_to_external(
    cx: &Context,
    tx: &Tx,
    request: &idp::ConvertToExternalUserRequest,
) -> Result<Done, Error> {
    let found = tx
        .find_user(&UserId::from(request.user_id.as_str()))
        .await?;
    let permission = Permission::UsersManage;
    let (before, bindings) = cx.admit(tx, permission, &request.user_id, found).await?;
    check_capture_rank(&find_rank(tx, &before).await?, &bindings)?;
    let user = before.convert_to_external(&request.external_id, cx.call.now)?;
    tx.save_user(&user).await?;
    if user != before
        && let Some(own) = tx.find_password(&user.id).await?
    {
        tx.save_password(&own.handed_over()).await?;
    }
    let metadata = idp::ConvertToExternalUserMetadata {
        user_id: user.id.to_string(),
        external_id: request.external_id.clone(),
    };
    let tally = Tally::one_if(user != before, ObjectType::User, ChangeType::Update);
    Ok(done(cx, &metadata, user, &bindings).counting(tally))
}

/// Only those found, in the order asked for, each once (decision U67).
async fn resolve_external_ids(
    cx: &Context,
    tx: &Tx,
    request: &idp::ResolveExternalIdsRequest,
) -> Result<idp::ResolveExternalIdsResponse, Error> {
    let pool_id = UserpoolId::from(request.userpool_id.as_str());
    cx.authorize(tx, Permission::UsersGet, Scope::Userpool(&pool_id))
        .await?;
    let resolved = tx
        .resolve_external_ids(&pool_id, &request.external_ids)
        .await?;
    let resolved_users = resolved
        .into_iter()
        .map(|user| idp::ResolvedUser {
            user_id: user.user_id.into_string(),
            external_id: user.external_id,
            userpool_id: request.userpool_id.clone(),
            password_created_at: user.password_created_at.map(render_timestamp),
        })
        .collect();
    Ok(idp::ResolveExternalIdsResponse { resolved_users })
}

/// Finds a user and requires `permission` on its pool.
pub async fn find(cx: &Context, tx: &Tx, id: &str, permission: Permission) -> Result<User, Error> {
    let found = tx.find_user(&UserId::from(id)).await?;
    Ok(cx.admit(tx, permission, id, found).await?.0)
}

/// Ends the sessions of a user that may not sign in any more.
async fn end_sessions_if_inactive(cx: &Context, tx: &Tx, user: &User) -> Result<(), Error> {
    if user.status(cx.call.now) != UserStatus::Active {
        tx.delete_sign_in_sessions_of_user(&user.id, None).await?;
    }
    Ok(())
}

/// The domain of the pool that a login ends in. A login that cannot be read is refused by the
/// domain rules, with a better message.
async fn find_domain(
    tx: &Tx,
    pool_id: &UserpoolId,
    username: &str,
) -> Result<Option<UserpoolDomain>, Error> {
    match Username::parse(username) {
        Ok(username) => Ok(tx.find_userpool_domain(pool_id, username.domain()).await?),
        Err(_) => Ok(None),
    }
}

fn done<M: prost::Message + prost::Name>(
    cx: &Context,
    metadata: &M,
    user: User,
    bindings: &[access::AccessBinding],
) -> Done {
    let resource = resource(&user);
    let response = render(user, Phone::of(bindings), cx.call.now);
    Done::new(metadata, &response, resource)
}

/// The operations of a user.
pub fn resource(user: &User) -> OperationResource {
    OperationResource {
        kind: OperationResourceKind::User,
        id: user.id.to_string(),
        parent_id: user.userpool_id.to_string(),
    }
}

/// Whether the caller may see phone numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phone {
    /// It may.
    Shown,
    /// It may not.
    Hidden,
}

impl Phone {
    /// As the bindings of a caller say.
    pub fn of(bindings: &[access::AccessBinding]) -> Self {
        if access::allows(bindings, Permission::UsersGetPhone) {
            Self::Shown
        } else {
            Self::Hidden
        }
    }
}

/// A user in the form of the wire, with the status it has at `now`.
pub fn render(user: User, phone: Phone, now: Timestamp) -> idp::User {
    let status = user.status(now).to_wire();
    idp::User {
        id: user.id.into_string(),
        userpool_id: user.userpool_id.into_string(),
        status,
        username: user.username.as_str().to_owned(),
        full_name: user.profile.full_name,
        given_name: user.profile.given_name,
        family_name: user.profile.family_name,
        email: user.profile.email,
        phone_number: match phone {
            Phone::Shown => user.profile.phone_number,
            Phone::Hidden => String::new(),
        },
        created_at: Some(render_timestamp(user.created_at)),
        updated_at: Some(render_timestamp(user.updated_at)),
        external_id: user.external_id.unwrap_or_default(),
        company_name: user.profile.company_name,
        department: user.profile.department,
        job_title: user.profile.job_title,
        employee_id: user.profile.employee_id,
        expires_at: user.expires_at.map(render_timestamp),
        password_created_at: user.password_created_at.map(render_timestamp),
    }
}
