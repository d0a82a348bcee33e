//! Each stream, and password writeback, in a process of its own, with an account of its own in the directory and a token of
//! its own at the hub, none of which may do more than the stream needs.

// Helpers of tests fail by panicking, as tests do.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "support/change.rs"]
mod change;
#[path = "support/sign_in.rs"]
mod sign_in;
#[path = "support/states.rs"]
mod states;
#[path = "support/world.rs"]
mod world;
#[path = "support/writeback.rs"]
mod writeback;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use change::*;
use rollcall_client::{CallContext, render_key_file};
use rollcall_proto::access::{
    AccessBinding, AccessBindingAction, AccessBindingDelta, Subject, UpdateAccessBindingsRequest,
};
use rollcall_proto::admin::{CreateKeyRequest, CreateServiceAccountRequest, ServiceAccount};
use sign_in::*;
use states::{accounts, is_active, log_of, other_agent, spawn, wait_until};
use world::World;
use writeback::{
    change_own, ended, enters, let_people_change_passwords, reset_to, signed_in, switch,
    wait_connected,
};

const PASSWORD: &str = "Delegated-Passw0rd!1";
const FIRST: &str = "Erstes-Passwort-1";
const SECOND: &str = "Zweites-Passwort-2";
/// MS-ADTS 5.1.3.2.1.
const GET_CHANGES: &str = "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2";
const GET_CHANGES_ALL: &str = "1131f6ad-9c07-11d1-f79f-00c04fc2dcd2";
/// User-Force-Change-Password and User-Change-Password.
const SET_PASSWORD: [&str; 2] = [
    "00299570-246d-11d0-a768-00aa006e0529",
    "ab721a53-1e2f-11d0-9819-00aa0040529b",
];
/// The attribute pwdLastSet and the class user, by their schemaIDGUID.
const LAST_SET: &str = "bf967a0a-0de6-11d0-a285-00aa003049e2";
const USER: &str = "bf967aba-0de6-11d0-a285-00aa003049e2";
/// Not a stream: the process has none.
const WRITEBACK: &str = "";
const THIRD: &str = "Other/Words+39";
const FOURTH: &str = "Kürbis~Nacht-28";

/// One process.
struct Duty {
    stream: &'static str,
    /// Account in the directory.
    account: &'static str,
    /// Role on the pool.
    role: &'static str,
    /// Roles on the organization.
    above: &'static [&'static str],
}

const DUTIES: [Duty; 4] = [
    Duty {
        stream: "objects",
        account: "svc-sync",
        role: "objectAgent",
        above: &["viewer", "externalCreator", "externalConverter"],
    },
    Duty {
        stream: "account_state",
        account: "svc-states",
        role: "accountStateAgent",
        above: &[],
    },
    Duty {
        stream: "password_hashes",
        account: "svc-hashes",
        role: "passwordHashAgent",
        above: &[],
    },
    Duty {
        stream: WRITEBACK,
        account: "svc-writeback",
        role: "writebackAgent",
        above: &[],
    },
];

fn sid_of(world: &World, dn: &str) -> String {
    let dump = world
        .dc
        .admin_ldapsearch(&["-s", "base", "-b", dn, "(objectClass=*)", "objectSid"])
        .unwrap();
    let line = dump.lines().find_map(|l| l.strip_prefix("objectSid:: "));
    let bytes = STANDARD.decode(line.unwrap()).unwrap();
    let parts = bytes[8..].chunks_exact(4);
    let parts = parts.map(|part| u32::from_le_bytes(part.try_into().unwrap()).to_string());
    format!("S-1-{}-{}", bytes[7], parts.collect::<Vec<_>>().join("-"))
}

/// Gives (or denies) an account these rights on the domain.
fn set_rights(world: &World, dn: &str, kind: &str, rights: &[&str]) {
    let sid = sid_of(world, dn);
    for right in rights {
        let sddl = format!("--sddl=({kind};;CR;{right};;{sid})");
        let domain = format!("--objectdn={BASE}");
        world
            .dc
            .samba_tool(&["dsacl", "set", &domain, &sddl])
            .unwrap();
    }
}

/// Lets an account set passwords of users in a unit, and nothing else.
fn let_set_passwords(world: &World, account: &str, unit: &str) {
    let sid = sid_of(world, account);
    let control = SET_PASSWORD.map(|right| format!("(OA;CI;CR;{right};{USER};{sid})"));
    let sddl = format!(
        "--sddl={}(OA;CI;WP;{LAST_SET};{USER};{sid})",
        control.concat()
    );
    let unit = format!("--objectdn={unit}");
    let set = ["dsacl", "set", &unit, &sddl];
    world.dc.samba_tool(&set).unwrap();
}

fn binding(role: String, id: &str) -> AccessBindingDelta {
    AccessBindingDelta {
        action: AccessBindingAction::Add.into(),
        access_binding: Some(AccessBinding {
            role_id: role,
            subject: Some(Subject {
                id: id.to_owned(),
                r#type: "serviceAccount".to_owned(),
            }),
        }),
    }
}

/// A key of a new service account that may do what this duty needs.
async fn key_for(world: &World, duty: &Duty) -> PathBuf {
    let client = &world.client;
    let name = duty.role.to_lowercase();
    let request = CreateServiceAccountRequest {
        organization_id: world.pool.organization_id.clone(),
        name: name.clone(),
        description: String::new(),
    };
    let context = CallContext::mutation();
    let operation = client
        .call_with_retry(&context, request, |hub, request| async move {
            hub.service_accounts().create(request).await
        })
        .await
        .unwrap();
    let account: ServiceAccount = client.wait(operation).await.unwrap();
    let pool_role = format!("organization-manager.userpools.{}", duty.role);
    let request = UpdateAccessBindingsRequest {
        resource_id: world.pool.id.clone(),
        access_binding_deltas: vec![binding(pool_role, &account.id)],
    };
    let mut pools = client.userpools();
    pools.update_access_bindings(request).await.unwrap();
    if !duty.above.is_empty() {
        let above = duty.above.iter();
        let above = above.map(|role| format!("organization-manager.groups.{role}"));
        let request = UpdateAccessBindingsRequest {
            resource_id: world.pool.organization_id.clone(),
            access_binding_deltas: above.map(|role| binding(role, &account.id)).collect(),
        };
        let mut organizations = client.organizations();
        organizations.update_access_bindings(request).await.unwrap();
    }
    let request = CreateKeyRequest {
        service_account_id: account.id,
        description: String::new(),
    };
    let made = client.service_accounts().create_key(request).await.unwrap();
    let text = render_key_file(&made.into_inner()).unwrap();
    let path = world.directory.path().join(format!("{name}.json"));
    std::fs::write(&path, text.expose()).unwrap();
    path
}

/// The configuration of one process.
async fn configure(world: &World, duty: &Duty) -> PathBuf {
    let settings = "  hash_period: 200ms\n  state_period: 200ms";
    let top = match duty.stream {
        "password_hashes" => drsr_of(world, duty.account, PASSWORD),
        WRITEBACK => "enable_password_writeback: true".to_owned(),
        _ => String::new(),
    };
    let common = world.configure(settings, &top);
    let path = other_agent(world, &common, duty.account, duty.stream);
    let mut text = std::fs::read_to_string(&path).unwrap();
    if duty.account != "svc-sync" {
        text = text.replace(
            &world.dc.sync_account_dn(),
            &format!("CN={},CN=Users,{BASE}", duty.account),
        );
        text = text.replace(world.dc.sync_password(), PASSWORD);
    }
    let key = key_for(world, duty).await;
    let text = text.replace(&world.key.display().to_string(), &key.display().to_string());
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn each_stream_works_with_the_least_rights() {
    let world = World::start(None).await;
    for account in ["svc-states", "svc-hashes", "svc-writeback"] {
        world
            .dc
            .samba_tool(&["user", "create", account, PASSWORD])
            .unwrap();
    }
    let users = |account: &str| format!("CN={account},CN=Users,{BASE}");
    set_rights(&world, &users("svc-states"), "OA", &[GET_CHANGES]);
    let both = [GET_CHANGES, GET_CHANGES_ALL];
    set_rights(&world, &users("svc-hashes"), "OA", &both);
    // The account of the objects may not read hashes.
    let sync = world.dc.sync_account_dn();
    set_rights(&world, &sync, "OD", &[GET_CHANGES_ALL]);
    let place = accounts();
    let_set_passwords(&world, &users("svc-writeback"), &place);
    switch(&world, true).await;
    let_people_change_passwords(&world).await;
    world
        .dc
        .admin_ldapmodify(&new_user("anna", &place))
        .unwrap();
    set_password(&world.dc, "anna", FIRST, Change::Free);

    let mut configs = Vec::new();
    for duty in &DUTIES {
        configs.push(configure(&world, duty).await);
    }
    // The hashes are started first: they wait for the objects.
    let mut agents: Vec<_> = configs.iter().rev().map(|path| spawn(path)).collect();
    wait_password(&world, "anna", None).await;
    assert_eq!(sign_in(&world, "anna", FIRST).await, Entry::In);

    let before = password_at(&world, "anna").await;
    set_password(&world.dc, "anna", SECOND, Change::Free);
    let took = wait_password(&world, "anna", before).await;
    println!("a changed password arrived in {took:?}");
    assert_eq!(sign_in(&world, "anna", SECOND).await, Entry::In);
    world.dc.samba_tool(&["user", "disable", "anna"]).unwrap();
    wait_until("anna is suspended", &world, async || {
        !is_active(&world, "anna").await
    })
    .await;
    world
        .dc
        .admin_ldapmodify(&new_user("boris", &place))
        .unwrap();
    set_password(&world.dc, "boris", FIRST, Change::Free);
    wait_password(&world, "boris", None).await;
    assert_eq!(sign_in(&world, "boris", FIRST).await, Entry::In);

    // Back into the directory, by the user and by an administrator.
    let [.., writeback] = configs.as_slice() else {
        panic!("four are configured");
    };
    wait_connected(writeback).await;
    let boris = signed_in(&world, "boris", FIRST).await;
    let begun = change_own(&boris, FIRST, THIRD).await;
    ended(&boris, begun).await.unwrap();
    assert!(enters(&world.dc, "boris", THIRD).await);
    let begun = reset_to(&world, "boris", FOURTH).await;
    ended(&world.client, begun).await.unwrap();
    assert_eq!(sign_in(&world, "boris", FOURTH).await, Entry::In);
    for agent in agents.drain(..) {
        assert_eq!(agent.terminate().await, Some(0));
    }

    // The key of the hashes cannot make a user: it has no right to manage them.
    let keys = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        let line = |l: &&str| l.starts_with("cloud_credentials_file_path");
        text.lines().find(line).unwrap().to_owned()
    };
    let [objects, _, hashes, _] = configs.as_slice() else {
        panic!("four are configured");
    };
    let text = std::fs::read_to_string(objects).unwrap();
    let text = text.replace(&keys(objects), &keys(hashes));
    std::fs::write(objects, text).unwrap();
    world
        .dc
        .admin_ldapmodify(&new_user("clara", &place))
        .unwrap();
    let (code, summary) = world.once(objects).await;
    assert_eq!(code, 1, "{summary:#}\n{}", log_of(objects));
    assert!(find(&world, "clara").await.is_none());
}
