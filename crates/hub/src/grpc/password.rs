//! Passwords on their way in: the handlers of `UserService.Create` and `SetPasswordHash`, and
//! `PasswordService`.
//!
//! Invariant: hashing, verifying and sealing happen before the transaction, and only for a caller
//! that has the right; a password or an NT hash is never written in the clear (decision U56).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use rollcall_domain::access::Permission;
use rollcall_domain::id::{PasswordId, UserId, UserpoolId};
use rollcall_domain::password::{
    self, HashType, ImportOutcome, ImportedHash, NewImport, Password, PasswordKind, Sameness,
    StoredForm,
};
use rollcall_domain::password_change::check_import_rank;
use rollcall_domain::password_quality::{self, Owner};
use rollcall_domain::password_writeback::{KeptSignIn, PasswordWriteback};
use rollcall_domain::progress::{ChangeType, ObjectType};
use rollcall_domain::refusal::Refusal;
use rollcall_domain::tally::Tally;
use rollcall_domain::user::User;
use rollcall_kit::secret::{SecretBytes, SecretString};
use rollcall_kit::timestamp::Timestamp;
use rollcall_proto::admin;
use rollcall_proto::admin::password_service_server::PasswordService;
use rollcall_proto::idp;
use rollcall_proto::idp::create_user_request::Credentials;
use rollcall_proto::operation::Operation;
use rollcall_store::Tx;
use tonic::{Request, Response, Status};

use crate::call::Call;
use crate::context::{Context, Done, Scope};
use crate::error::Error;
use crate::grpc::password_change::find_rank;
use crate::grpc::user::{self, Phone};
use crate::grpc::{Service, check};
use crate::hub::Hub;
use crate::password_change;
use crate::password_hash;
use crate::password_writeback::open;
use crate::wire::{WireEnum, parse_timestamp};

/// `UserService.Create`.
pub async fn create_user(
    service: &Service,
    request: Request<idp::CreateUserRequest>,
) -> Result<Response<Operation>, Status> {
    let answer = service
        .mutate_prepared(
            request,
            "Create a user",
            |service, call, request| prepare_user(service, call, request).boxed(),
            create,
        )
        .await;
    service.0.sealed_hash_arrived.notify_one();
    answer
}

/// A new user before its transaction.
struct NewUser {
    id: UserId,
    credential: Credential,
}

async fn prepare_user(
    service: &Service,
    call: &Arc<Call>,
    request: &idp::CreateUserRequest,
) -> Result<NewUser, Error> {
    let id = UserId::new(service.0.new_id(UserId::PREFIX, call.now));
    let credential = prepare_credential(service, call, request, &id).await?;
    Ok(NewUser { id, credential })
}

async fn create(
    cx: &Context,
    tx: &Tx,
    request: &idp::CreateUserRequest,
    new: &NewUser,
) -> Result<Done, Error> {
    let (user_id, credential) = (&new.id, &new.credential);
    let mut user = user::create(cx, tx, request, user_id.clone()).await?;
    let id = PasswordId::new(cx.new_id(PasswordId::PREFIX));
    let password = match credential {
        Credential::Own(argon2, kind) => {
            Password::set_here(id, user_id.clone(), argon2.clone(), *kind, cx.call.now)
        }
        Credential::Imported(import) => {
            let pool = Scope::Userpool(&user.userpool_id);
            cx.authorize(tx, Permission::UsersCreateWithHash, pool)
                .await?;
            let new = import.to_new(id, user_id.clone(), cx);
            match password::import(None, new, Sameness::Different, cx.call.now) {
                ImportOutcome::Replaced(password) | ImportOutcome::Kept(password) => password,
                ImportOutcome::Older => {
                    return Err(Error::Internal("an import was older than nothing".into()));
                }
            }
        }
    };
    tx.save_password(&password).await?;
    user.password_created_at = password.created_at;
    let metadata = idp::CreateUserMetadata {
        user_id: user.id.to_string(),
    };
    let resource = user::resource(&user);
    let response = user::render(user, Phone::Shown, cx.call.now);
    let made = Tally::one(ObjectType::User, ChangeType::Create);
    Ok(Done::new(&metadata, &response, resource).counting(made))
}

/// What a new user signs in with, ready to be stored.
enum Credential {
    /// Argon2id of a password, and whether it must be changed.
    Own(SecretString, PasswordKind),
    /// A hash of another directory.
    Imported(Import),
}

/// An imported hash, ready to be stored.
struct Import {
    form: StoredForm,
    created_at: Option<Timestamp>,
    kind: PasswordKind,
}

impl Import {
    fn to_new(&self, id: PasswordId, user_id: UserId, cx: &Context) -> NewImport {
        NewImport {
            id,
            user_id,
            form: self.form.clone(),
            created_at: self.created_at,
            kind: self.kind,
            session_id: cx.call.session_id.clone(),
        }
    }
}

async fn prepare_credential(
    service: &Service,
    call: &Arc<Call>,
    request: &idp::CreateUserRequest,
    user_id: &UserId,
) -> Result<Credential, Error> {
    check(request)?;
    match &request.credentials {
        Some(Credentials::PasswordSpec(spec)) => {
            if request.password_change_required {
                return Err(Refusal::invalid(
                    "password_change_required",
                    "goes with password_hash only",
                )
                .into());
            }
            prepare_own(service, call, request, spec).await
        }
        Some(Credentials::PasswordHash(hash)) => {
            let imported = parse_hash("password_hash", hash)?;
            Ok(Credential::Imported(Import {
                form: seal(&service.0, user_id, imported)?,
                created_at: hash.created_at.as_ref().map(parse_timestamp),
                kind: PasswordKind::from_need_change(request.password_change_required),
            }))
        }
        None => Err(Refusal::invalid("credentials", "send password_spec or password_hash").into()),
    }
}

async fn prepare_own(
    service: &Service,
    call: &Arc<Call>,
    request: &idp::CreateUserRequest,
    spec: &idp::PasswordSpec,
) -> Result<Credential, Error> {
    // Nobody without the right may make the hub compute.
    let pool_id = UserpoolId::from(request.userpool_id.as_str());
    let pool = service
        .find_first(call, async move |cx: &Context, tx: &Tx| {
            cx.authorize(tx, Permission::UsersManage, Scope::Userpool(&pool_id))
                .await?;
            let pool = tx.find_userpool(&pool_id).await?;
            pool.ok_or_else(|| Refusal::not_found("user pool", &pool_id).into())
        })
        .await?;
    let secret = SecretString::new(spec.password.clone());
    let kind = if spec.generation_proof.is_empty() {
        let owner = Owner {
            login: &request.username,
            names: [
                &request.full_name,
                &request.given_name,
                &request.family_name,
            ],
        };
        password_quality::check(
            &pool,
            owner,
            "password_spec.password",
            secret.expose(),
            None,
        )?;
        PasswordKind::Permanent
    } else {
        let (field, proof) = ("password_spec.generation_proof", &spec.generation_proof);
        let maker = &service.0.password_maker;
        maker.check(field, &secret, proof, call.now)?;
        PasswordKind::Temporary
    };
    let argon2 = password_change::hash(&service.0, &secret).await?;
    Ok(Credential::Own(argon2, kind))
}

/// `UserService.SetPasswordHash`.
pub async fn set_hash(
    service: &Service,
    request: Request<idp::SetPasswordHashRequest>,
) -> Result<Response<Operation>, Status> {
    let subject = request.get_ref().user_id.as_str().into();
    let answer = service
        .mutate_prepared(
            request,
            "Set the password hash of a user",
            |service, call, request| prepare_import(service, call, request).boxed(),
            import,
        )
        .await;
    service.0.tokens.forget_sessions(&subject);
    service.0.sealed_hash_arrived.notify_one();
    answer
}

/// An import, with the stored password it was compared to.
struct Prepared {
    import: Import,
    same_as: Option<PasswordId>,
    /// The stored password, when the import is the one before it.
    earlier_than: Option<PasswordId>,
    /// What stays signed in: the import is the echo of a change of the own password that an agent has
    /// written and not committed yet.
    kept: Option<KeptSignIn>,
    /// What the commit of that change stores, which may come before this import is stored.
    echoed: Option<SecretString>,
}

impl Prepared {
    /// How the imported password stands to `stored`, which may have taken the place of the one that
    /// was compared.
    fn sameness(&self, stored: &Password) -> Sameness {
        let is_echoed = match (&stored.form, &self.echoed) {
            (StoredForm::Argon2NtHash(phc), Some(echoed)) => phc == echoed,
            _ => false,
        };
        let is_stored = |id: &PasswordId| *id == stored.id;
        if is_echoed || self.same_as.as_ref().is_some_and(is_stored) {
            Sameness::Same
        } else if self.same_as.is_some() || self.earlier_than.as_ref().is_some_and(is_stored) {
            Sameness::Earlier
        } else {
            Sameness::Different
        }
    }
}

async fn prepare_import(
    service: &Service,
    call: &Arc<Call>,
    request: &idp::SetPasswordHashRequest,
) -> Result<Prepared, Error> {
    check(request)?;
    let hash = request
        .hash
        .as_ref()
        .ok_or_else(|| Refusal::invalid("hash", "must be set"))?;
    let imported = parse_hash("hash", hash)?;
    let user_id = UserId::from(request.user_id.as_str());
    let id = user_id.clone();
    let (stored, pending, before) = service
        .find_first(call, async move |cx: &Context, tx: &Tx| {
            let user = find_importable(cx, tx, id.as_str()).await?;
            let stored = tx.find_password(&user.id).await?;
            let pending = tx.find_pending_password_writeback(&user.id).await?;
            let before = match &stored {
                Some(stored) if stored.awaits_directory() => {
                    let earlier = tx.list_earlier_passwords(&user.id).await?;
                    earlier.into_iter().next()
                }
                _ => None,
            };
            Ok((stored, pending, before))
        })
        .await?;
    let echoed = pending.filter(|pending| is_echo(&service.0, pending, &imported));
    let created_at = hash.created_at.as_ref().map(parse_timestamp);
    let hub = &service.0;
    let same = async |form: &StoredForm| is_same(hub, &user_id, form, &imported).await;
    let (mut same_as, mut earlier_than) = (None, None);
    match (stored, before) {
        // Comparing may cost an Argon2 hash: an older one is not compared (decision U126). Equal
        // dates prove nothing: they may be as coarse as a second.
        (Some(stored), _) if created_at.is_some() && created_at < stored.created_at => {}
        (Some(stored), _) if same(&stored.form).await? => same_as = Some(stored.id),
        (Some(stored), Some(before)) if same(&before.form).await? => {
            earlier_than = Some(stored.id);
        }
        _ => {}
    }
    let phc = echoed
        .as_ref()
        .map(|pending| pending.secrets.argon2.clone());
    Ok(Prepared {
        echoed: phc,
        kept: echoed.and_then(|pending| pending.kept),
        import: Import {
            form: seal(&service.0, &user_id, imported)?,
            created_at,
            kind: PasswordKind::from_need_change(request.need_change),
        },
        same_as,
        earlier_than,
    })
}

/// A user whose hash the caller may import.
async fn find_importable(cx: &Context, tx: &Tx, id: &str) -> Result<User, Error> {
    let found = tx.find_user(&UserId::from(id)).await?;
    let permission = Permission::UsersImportHash;
    let (user, caller_bindings) = cx.admit(tx, permission, id, found).await?;
    let bindings = find_rank(tx, &user).await?;
    check_import_rank(&user, &bindings, &caller_bindings)?;
    Ok(user)
}

async fn import(
    cx: &Context,
    tx: &Tx,
    request: &idp::SetPasswordHashRequest,
    prepared: &Prepared,
) -> Result<Done, Error> {
    let user = find_importable(cx, tx, &request.user_id).await?;
    let stored = tx.find_password(&user.id).await?;
    let sameness = stored
        .as_ref()
        .map_or(Sameness::Different, |stored| prepared.sameness(stored));
    let id = PasswordId::new(cx.new_id(PasswordId::PREFIX));
    let new = prepared.import.to_new(id, user.id.clone(), cx);
    let outcome = password::import(stored.as_ref(), new, sameness, cx.call.now);
    let replaced = matches!(outcome, ImportOutcome::Replaced(_));
    match outcome {
        ImportOutcome::Older => {}
        ImportOutcome::Kept(password) => tx.save_password(&password).await?,
        ImportOutcome::Replaced(password) => {
            let kept = prepared.kept.as_ref();
            password_change::replace(tx, stored.as_ref(), &password, kept, cx.call.now).await?;
        }
    }
    let tally = Tally::one_if(replaced, ObjectType::User, ChangeType::PasswordHashUpdate);
    let metadata = idp::SetPasswordHashMetadata {
        user_id: user.id.to_string(),
    };
    Ok(Done::new(&metadata, &(), user::resource(&user)).counting(tally))
}

#[tonic::async_trait]
impl PasswordService for Service {
    async fn set_change_required(
        &self,
        request: Request<admin::SetPasswordChangeRequiredRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.mutate(request, "Say whether a password must change", set_kind)
            .await
    }
}

async fn set_kind(
    cx: &Context,
    tx: &Tx,
    request: &admin::SetPasswordChangeRequiredRequest,
) -> Result<Done, Error> {
    let permission = Permission::UsersRequirePasswordChange;
    let user = user::find(cx, tx, &request.user_id, permission).await?;
    let stored = tx.find_password(&user.id).await?.ok_or_else(|| {
        Refusal::precondition(
            "PASSWORD_MISSING",
            format!("user {} has no password: set one first", user.id),
        )
    })?;
    let changed = stored.of_kind(PasswordKind::from_need_change(request.required));
    if let Some(password) = &changed {
        tx.save_password(password).await?;
    }
    let metadata = admin::SetPasswordChangeRequiredMetadata {
        user_id: user.id.to_string(),
    };
    let response = admin::SetPasswordChangeRequiredResponse {
        changed: changed.is_some(),
    };
    let tally = Tally::one_if(response.changed, ObjectType::User, ChangeType::Update);
    Ok(Done::new(&metadata, &response, user::resource(&user)).counting(tally))
}

fn parse_hash(field: &str, hash: &idp::PasswordHash) -> Result<ImportedHash, Error> {
    let hash_type = HashType::parse_wire(
        &format!("{field}.password_hash_type"),
        hash.password_hash_type,
    )?;
    let text = SecretString::new(hash.password_hash.clone());
    hash_type
        .parse_hash(&text)
        .map_err(|refusal| match refusal {
            Refusal::Invalid { field: inner, why } => {
                Refusal::invalid(format!("{field}.{inner}"), why).into()
            }
            other => other.into(),
        })
}

/// Brings an imported hash into the form in which it waits for the strengthening job or for the
/// first sign-in.
fn seal(hub: &Hub, user_id: &UserId, imported: ImportedHash) -> Result<StoredForm, Error> {
    let entropy = hub.entropy.as_ref();
    Ok(match imported {
        ImportedHash::Nt(hash) => {
            let sealed = hub.sealing_key.seal(user_id.as_str(), &hash, entropy)?;
            StoredForm::SealedNtHash(SecretBytes::new(sealed))
        }
        ImportedHash::Foreign { scheme, text } => {
            let secret = SecretBytes::new(text.expose().as_bytes().to_vec());
            let sealed = hub.sealing_key.seal(user_id.as_str(), &secret, entropy)?;
            StoredForm::Foreign {
                scheme,
                text: SecretString::new(STANDARD.encode(sealed)),
            }
        }
    })
}

/// Whether the import brings the password of a change that waits for its commit.
fn is_echo(hub: &Hub, pending: &PasswordWriteback, imported: &ImportedHash) -> bool {
    let ImportedHash::Nt(hash) = imported else {
        return false;
    };
    open(hub, pending).is_ok_and(|opened| password_hash::nt_hash(&opened.new) == *hash)
}

/// Whether the import brings the stored password again, as far as the stored form can tell.
async fn is_same(
    hub: &Hub,
    user_id: &UserId,
    form: &StoredForm,
    imported: &ImportedHash,
) -> Result<bool, Error> {
    let row = user_id.as_str();
    Ok(match (form, imported) {
        (StoredForm::SealedNtHash(sealed), ImportedHash::Nt(hash)) => {
            let opened = hub.sealing_key.open(row, sealed.expose());
            // What does not open any more gives way to the import.
            opened.is_ok_and(|opened| opened == *hash)
        }
        (StoredForm::Argon2NtHash(phc), ImportedHash::Nt(hash)) => {
            let (hash, phc) = (hash.clone(), phc.clone());
            // An agent that brings all passwords of a directory must not keep people from signing in.
            hub.hashing
                .run_in_background(move || password_hash::verify(&hash, &phc))
                .await?
        }
        (
            StoredForm::Foreign { scheme, text },
            ImportedHash::Foreign {
                scheme: new_scheme,
                text: new_text,
            },
        ) => {
            let opened = open_foreign(hub, user_id, text);
            scheme == new_scheme && opened.is_ok_and(|opened| opened == *new_text)
        }
        _ => false,
    })
}

/// The text of a sealed foreign hash.
pub fn open_foreign(
    hub: &Hub,
    user_id: &UserId,
    text: &SecretString,
) -> Result<SecretString, Error> {
    let damaged = || Error::Internal("a stored foreign hash is damaged".into());
    let sealed = STANDARD.decode(text.expose()).map_err(|_| damaged())?;
    let bytes = hub.sealing_key.open(user_id.as_str(), &sealed)?;
    let text = String::from_utf8(bytes.expose().to_vec()).map_err(|_| damaged())?;
    Ok(SecretString::new(text))
}
