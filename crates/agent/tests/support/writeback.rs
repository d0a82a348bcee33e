//! Passwords on their way from the hub to a directory: people, switches, calls and their ends.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rollcall_client::{CallContext, Client, ClientOptions, Credentials};
use rollcall_directory::{Bind, Connection, Error, Options, Verified, verify_password};
use rollcall_kit::secret::SecretString;
use rollcall_kit::timestamp::Timestamp;
use rollcall_lab::samba::Dc;
use rollcall_proto::idp::{
    CreateSynchronizationSettingsRequest, PasswordSpec, PasswordWritebackErrorDetails,
    SetOthersPasswordRequest, SetOwnPasswordRequest, SynchronizationFilter,
    UpdateSynchronizationSettingsRequest, UpdateUserpoolRequest, UserSettings,
};
use rollcall_proto::operation::operation::Result as OperationResult;
use rollcall_proto::operation::{GetOperationRequest, Operation};
use rollcall_proto::rpc::{ErrorInfo, Status};
use rollcall_proto::signin::SignInRequest;
use rollcall_proto::signin::sign_in_response::Result as SignedIn;
use serde_json::Value as Json;

use crate::change::new_user;
use crate::sign_in::{Change, drsr, set_password};
use crate::states::{accounts, dn, other_agent};
use crate::world::World;

pub const FIRST: &str = "Erste-Losung-17";
pub const SECOND: &str = "Kürbis~Nacht-28";
pub const THIRD: &str = "Other/Words+39";
pub const FOURTH: &str = " Vierte_Stunde 40 ";
/// Far more than any of this takes.
pub const PATIENCE: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(50);
/// The shortest time the hub can give a directory.
pub const HASTY: &str = "{lease_seconds: 60}\npassword_writeback: {deadline_seconds: 10}";
/// Long enough for a restart of an agent.
pub const PATIENT: &str = "{lease_seconds: 60}\npassword_writeback: {deadline_seconds: 120}";

/// These people with the first password in the directory and at the hub, whose pool has the switch
/// on; `hub` is for its configuration.
pub async fn world_of(people: &[&str], hub: &str) -> World {
    let world = World::start_with(None, hub).await;
    policy(&world.dc, &["--min-pwd-age=0", "--history-length=3"]);
    for name in people {
        let made = new_user(name, &accounts());
        world.dc.admin_ldapmodify(&made).unwrap();
        set_password(&world.dc, name, FIRST, Change::Free);
    }
    let config = world.configure("", &drsr(&world));
    world.run(&config).await;
    switch(&world, true).await;
    let_people_change_passwords(&world).await;
    world
}

/// Users of the pool may change their own passwords.
pub async fn let_people_change_passwords(world: &World) {
    let request = UpdateUserpoolRequest {
        userpool_id: world.pool.id.clone(),
        user_settings: Some(UserSettings {
            allow_edit_self_password: true,
            ..UserSettings::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["user_settings.allow_edit_self_password".to_owned()],
        }),
        ..UpdateUserpoolRequest::default()
    };
    let allowed = world.client.userpools().update(request).await;
    allowed.unwrap();
}

pub fn policy(dc: &Dc, settings: &[&str]) {
    let set = ["domain", "passwordsettings", "set"];
    dc.samba_tool(&[&set[..], settings].concat()).unwrap();
}

/// The pool's switch.
pub async fn switch(world: &World, on: bool) {
    let filter = Some(SynchronizationFilter {
        domain: world.dc.realm().to_lowercase(),
        organization_units: world.units.clone(),
        groups: Vec::new(),
    });
    let mut synchronization = world.client.synchronization();
    let request = CreateSynchronizationSettingsRequest {
        subject_container_id: world.pool.id.clone(),
        filter,
        replacement_domain: world.domain().to_owned(),
        enable_password_writeback: on,
        ..CreateSynchronizationSettingsRequest::default()
    };
    if synchronization
        .create_synchronization_settings(request)
        .await
        .is_ok()
    {
        return;
    }
    let request = UpdateSynchronizationSettingsRequest {
        subject_container_id: world.pool.id.clone(),
        enable_password_writeback: on,
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["enable_password_writeback".to_owned()],
        }),
        ..UpdateSynchronizationSettingsRequest::default()
    };
    let updated = synchronization.update_synchronization_settings(request);
    updated.await.unwrap();
}

/// An agent that only writes passwords back, in a directory of its own.
pub fn writeback_agent(world: &World, name: &str, top: &str) -> PathBuf {
    let top = format!("enable_password_writeback: true\n{top}");
    let common = world.configure("", &top);
    other_agent(world, &common, name, "")
}

/// The same by a keytab: no password is in its configuration.
pub fn kerberos_agent(world: &World, name: &str) -> PathBuf {
    let keytab = world.dc.keytab("svc-sync").unwrap();
    let top = format!(
        "enable_password_writeback: true\nkerberos: {{keytab_path: '{}', principal: '{}', \
         krb5_config_path: '{}'}}",
        keytab.display(),
        world.dc.sync_principal(),
        world.dc.krb5_conf_path().display()
    );
    let (host, address) = (world.dc.host_name(), world.dc.ip());
    let ldap = format!("host: '{host}', address: '{address}', use_kerberos: true");
    let common = world.configure_directory("", &top, &ldap);
    other_agent(world, &common, name, "")
}

/// The state of password writeback that an agent shows.
pub fn shown(config: &Path) -> Json {
    let text = std::fs::read_to_string(config.with_file_name("status.json")).unwrap_or_default();
    let status: Json = serde_json::from_str(&text).unwrap_or_default();
    status["password_writeback"].clone()
}

/// Waits until an agent shows this number; it counts when the hub has answered, a moment after the
/// operation has ended.
pub async fn wait_counted(config: &Path, what: &str, number: usize) {
    wait_for(what, config, async || shown(config)[what] == number).await;
}

/// What the agent noted of the operations it works on.
pub fn notes(config: &Path) -> String {
    std::fs::read_to_string(config.with_file_name("password_writeback.json")).unwrap_or_default()
}

pub async fn wait_for(what: &str, config: &Path, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        let log = crate::states::log_of(config);
        assert!(started.elapsed() < PATIENCE, "{what}\n{log}");
        tokio::time::sleep(POLL).await;
    }
}

pub async fn wait_connected(config: &Path) {
    wait_for("the stream is open", config, async || {
        shown(config)["connected_at"].is_string()
    })
    .await;
}

/// A connection to the hub as a user, signed in with this password.
pub async fn signed_in(world: &World, name: &str, password: &str) -> Client {
    let request = SignInRequest {
        username: format!("{name}@{}", world.domain()),
        password: password.to_owned(),
    };
    let answer = world.client.sign_ins().sign_in(request).await.unwrap();
    let Some(SignedIn::Tokens(tokens)) = answer.into_inner().result else {
        panic!("{name} has to change the password first");
    };
    let token = SecretString::new(tokens.iam_token);
    let options = ClientOptions::new(&world.address)
        .with_ca(world.hub_ca())
        .with_credentials(Credentials::IamToken(token));
    Client::connect(options).await.unwrap()
}

fn spec(password: &str) -> Option<PasswordSpec> {
    Some(PasswordSpec {
        password: password.to_owned(),
        generation_proof: String::new(),
    })
}

/// The user changes the own password; the operation that has begun.
pub async fn change_own(user: &Client, old: &str, new: &str) -> Operation {
    let request = SetOwnPasswordRequest {
        password_spec: spec(new),
        old_password: old.to_owned(),
    };
    let context = CallContext::mutation();
    let begun = user.call_with_retry(&context, request, |hub, request| async move {
        hub.users().set_own_password(request).await
    });
    begun.await.unwrap()
}

/// An administrator sets a password; the operation that has begun.
pub async fn reset(world: &World, name: &str, new: PasswordSpec) -> Operation {
    let user = crate::sign_in::find(world, name).await.unwrap();
    let request = SetOthersPasswordRequest {
        user_id: user.id,
        password_spec: Some(new),
    };
    let context = CallContext::mutation();
    let begun = world
        .client
        .call_with_retry(&context, request, |hub, request| async move {
            hub.users().set_others_password(request).await
        });
    begun.await.unwrap()
}

/// As [`reset`], to a password of the administrator's.
pub async fn reset_to(world: &World, name: &str, new: &str) -> Operation {
    reset(world, name, spec(new).unwrap()).await
}

/// How an operation ends.
pub async fn ended(client: &Client, operation: Operation) -> Result<(), Status> {
    let started = Instant::now();
    let mut operation = operation;
    while !operation.done {
        assert!(started.elapsed() < PATIENCE, "{operation:?}");
        tokio::time::sleep(POLL).await;
        let request = GetOperationRequest {
            operation_id: operation.id.clone(),
        };
        let asked = client.operations().get(request).await;
        operation = asked.unwrap().into_inner();
    }
    match operation.result {
        Some(OperationResult::Error(error)) => Err(error),
        _ => Ok(()),
    }
}

/// Code and message of the details of a failed operation.
pub fn details(error: &Status) -> PasswordWritebackErrorDetails {
    let name = "PasswordWritebackErrorDetails";
    let found = error
        .details
        .iter()
        .find(|any| any.type_url.ends_with(name));
    let found = found.unwrap_or_else(|| panic!("{error:?}"));
    prost::Message::decode(&*found.value).unwrap()
}

/// The stable cause of a failed operation.
pub fn reason(error: &Status) -> String {
    let found = error
        .details
        .iter()
        .find(|any| any.type_url.ends_with("google.rpc.ErrorInfo"));
    let found = found.unwrap_or_else(|| panic!("{error:?}"));
    let info: ErrorInfo = prost::Message::decode(&*found.value).unwrap();
    info.reason
}

fn options(dc: &Dc, name: &str, password: &str) -> Options {
    let bind = Bind::Simple {
        account: dn(name),
        password: SecretString::new(password.to_owned()),
    };
    Options {
        ca_path: Some(dc.ca_path()),
        ..Options::new(dc.ldaps_url(), bind)
    }
}

/// Whether a person can work with this password in the directory.
pub async fn enters(dc: &Dc, name: &str, password: &str) -> bool {
    match Connection::open(&options(dc, name, password)).await {
        Ok(connection) => {
            connection.close().await;
            true
        }
        Err(Error::BindRefused { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Whether it is the present password of the directory, also of one who may not sign in.
pub async fn is_present(dc: &Dc, name: &str, password: &str) -> bool {
    let options = options(dc, name, password);
    verify_password(&options).await.unwrap() == Verified::Right
}

/// When the present password of the directory was set: `pwdLastSet` counts tenths of microseconds since
/// 1601 (MS-ADTS).
pub fn password_set_at(dc: &Dc, name: &str) -> Timestamp {
    const UNIX_EPOCH_MICROS: i64 = 11_644_473_600_000_000;
    Timestamp::from_micros(number(dc, name, "pwdLastSet") / 10 - UNIX_EPOCH_MICROS)
}

/// A number of an account.
pub fn number(dc: &Dc, name: &str, attribute: &str) -> i64 {
    let filter = format!("(sAMAccountName={name})");
    let dump = dc.admin_ldapsearch(&[&filter, attribute]).unwrap();
    let line = dump.lines().find_map(|line| line.strip_prefix(attribute));
    line.map_or(0, |line| line.trim_start_matches(": ").parse().unwrap())
}
