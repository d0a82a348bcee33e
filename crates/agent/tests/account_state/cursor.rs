//! Where the account state goes on, and what happens when the directory does not know the place.

use std::path::PathBuf;

use rollcall_agent::engine::Guid;
use rollcall_agent::index_file::IndexFile;
use rollcall_agent::replication_token::{cookie_of, origin_of, token_of_controller};
use rollcall_proto::admin::SetPasswordChangeRequiredRequest;
use rollcall_proto::idp::{GetReplicationTokenRequest, SessionType, SetReplicationTokenRequest};

use super::*;

/// Anna, Boris and sixty others, in the hub.
async fn synchronized() -> (World, PathBuf) {
    let world = World::start(Some(change::people(60))).await;
    let config = world.configure("", "");
    let made = [
        new_user("anna", &accounts()),
        new_user("boris", &accounts()),
    ];
    world.dc.admin_ldapmodify(&made.concat()).unwrap();
    world.run(&config).await;
    (world, config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_cursor_leads_to_a_comparison_that_changes_only_what_differs() {
    let (world, config) = synchronized().await;
    let states = other_agent(&world, &config, "states", "account_state");
    let of = |summary: &Json| summary["streams"]["account_state"].clone();
    let first = of(&world.once(&states).await.1);
    assert_eq!(
        first["mode"], "delta",
        "the cursor is in the hub: {first:#}"
    );
    assert_unchanged(&first);

    let cookie = b"not a cookie of any directory";
    let file = IndexFile::open(states.parent().unwrap()).unwrap();
    file.set_account_cookie(cookie).unwrap();
    drop(file);
    let (origin, _) = cursor(&world).await;
    set_cursor(&world, &token_of_controller(cookie, Some(origin))).await;
    let off = Case {
        control: DISABLED,
        expires: FUTURE,
        must_change: true,
    };
    world.dc.admin_ldapmodify(&off.ldif(&dn("anna"))).unwrap();
    let (code, full) = world.once(&states).await;
    assert_eq!(code, 0, "{full:#}");
    let full = of(&full);
    assert_eq!(full["mode"], "full", "{full:#}");
    assert_eq!(full["users"]["deactivated"], 1, "{full:#}");
    assert_eq!(full["users"]["updated"], 1, "{full:#}");
    assert_eq!(full["users"]["activated"], 0, "{full:#}");
    wait(&world, &[("anna".into(), off)]).await;
    let (_, after) = world.once(&states).await;
    assert_eq!(of(&after)["mode"], "delta", "{after:#}");
    assert_unchanged(&of(&after));
}

/// The cursor of the account state at the hub: the controller and its cookie.
async fn cursor(world: &World) -> (Guid, Vec<u8>) {
    let request = GetReplicationTokenRequest {
        subject_container_id: world.pool.id.clone(),
        session_type: SessionType::AdUserControl as i32,
    };
    let mut synchronization = world.client.synchronization();
    let stored = synchronization.get_replication_token(request).await;
    let token = stored.unwrap().into_inner().replication_token;
    let (origin, plain) = origin_of(&token);
    (origin.unwrap(), cookie_of(plain, None).unwrap())
}

async fn set_cursor(world: &World, token: &str) {
    let request = SetReplicationTokenRequest {
        subject_container_id: world.pool.id.clone(),
        replication_token: token.to_owned(),
        session_type: SessionType::AdUserControl as i32,
    };
    let mut synchronization = world.client.synchronization();
    synchronization
        .set_replication_token(request)
        .await
        .unwrap();
}

/// AT-11: a cookie of another controller is answered with everything, as if it were all new.
#[tokio::test(flavor = "multi_thread")]
async fn at_11_a_cursor_of_another_controller_is_no_news_of_passwords() {
    let (world, config) = synchronized().await;
    let anna = user(&world, "anna").await.id;
    let state = |summary: &Json| summary["streams"]["account_state"].clone();
    let (here, cookie) = cursor(&world).await;
    let elsewhere = Guid::from_number(77);
    let mut foreign = cookie.clone();
    let at: Vec<usize> = (0..cookie.len().saturating_sub(15))
        .filter(|at| cookie[*at..*at + 16] == here.to_wire())
        .collect();
    assert!(!at.is_empty(), "the cookie says whose it is");
    for at in at {
        foreign[at..at + 16].copy_from_slice(&elsewhere.to_wire());
    }
    for (what, token) in [
        ("said so", token_of_controller(&foreign, Some(elsewhere))),
        (
            "claimed to be ours",
            token_of_controller(&foreign, Some(here)),
        ),
        ("of nobody", token_of_controller(&foreign, None)),
    ] {
        // An administrator wants this password changed, whatever the directory says.
        let request = SetPasswordChangeRequiredRequest {
            user_id: anna.clone(),
            required: true,
        };
        let mut passwords = world.client.passwords();
        passwords.set_change_required(request).await.unwrap();
        set_cursor(&world, &token).await;
        let off = Case {
            control: DISABLED,
            expires: FUTURE,
            must_change: true,
        };
        world.dc.admin_ldapmodify(&off.ldif(&dn("boris"))).unwrap();
        let full = state(&world.run(&config).await);
        assert_eq!(full["mode"], "full", "{what}: {full:#}");
        assert!(world.must_change_password(&anna).await, "{what}");
        wait(&world, &[("boris".into(), off)]).await;
        assert_eq!(cursor(&world).await.0, here, "{what}");
        let on = Case {
            control: ENABLED,
            must_change: false,
            ..off
        };
        world.dc.admin_ldapmodify(&on.ldif(&dn("boris"))).unwrap();
        let delta = state(&world.run(&config).await);
        assert_eq!(delta["mode"], "delta", "{what}: {delta:#}");
        wait(&world, &[("boris".into(), on)]).await;
        assert!(world.must_change_password(&anna).await, "{what}");
    }
}
