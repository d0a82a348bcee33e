//! Passwords in a directory, and signing in with them at the hub.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_kit::timestamp::Timestamp;
use rollcall_lab::samba::Dc;
use rollcall_proto::idp::User;
use rollcall_proto::signin::SignInRequest;
use rollcall_proto::signin::sign_in_response::Result as SignedIn;
use tonic::Code;

use crate::world::World;

/// Far more than the few seconds a password may take.
const PATIENCE: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_millis(50);

/// What came of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    In,
    MustChange,
    Refused,
}

/// The section of the configuration for the usual account.
pub fn drsr(world: &World) -> String {
    drsr_of(world, "svc-sync", world.dc.sync_password())
}

pub fn drsr_of(world: &World, name: &str, password: &str) -> String {
    let host = world.dc.ip();
    format!("drsr: {{host: '{host}', username: '{name}', password: '{password}'}}")
}

/// Whether a new password has to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Free,
    Demanded,
}

/// Sets a password as an administrator does (MS-ADTS 3.1.1.3.1.5.1) and nothing else: samba-tool would
/// enable the account as well.
pub fn set_password(dc: &Dc, name: &str, password: &str, change: Change) {
    let found = dc
        .admin_ldapsearch(&[&format!("(sAMAccountName={name})"), "dn"])
        .unwrap();
    let dn = found.lines().find(|line| line.starts_with("dn")).unwrap();
    let quoted = format!("\"{password}\"");
    let wide: Vec<u8> = quoted.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let value = STANDARD.encode(wide);
    let must = match change {
        Change::Free => "",
        Change::Demanded => "-\nreplace: pwdLastSet\npwdLastSet: 0\n",
    };
    let ldif =
        format!("{dn}\nchangetype: modify\nreplace: unicodePwd\nunicodePwd:: {value}\n{must}\n");
    dc.admin_ldapmodify(&ldif).unwrap();
}

/// Signs in at the hub.
pub async fn sign_in(world: &World, name: &str, password: &str) -> Entry {
    let request = SignInRequest {
        username: format!("{name}@{}", world.domain()),
        password: password.to_owned(),
    };
    match world.client.sign_ins().sign_in(request).await {
        Ok(answer) => match answer.into_inner().result.unwrap() {
            SignedIn::Tokens(_) => Entry::In,
            SignedIn::PasswordChangeRequired(_) => Entry::MustChange,
        },
        Err(status) if status.code() == Code::Unauthenticated => Entry::Refused,
        Err(status) => panic!("{status:?}"),
    }
}

pub async fn find(world: &World, name: &str) -> Option<User> {
    let wanted = format!("{name}@{}", world.domain());
    let users = world.users().await;
    users.into_iter().find(|user| user.username == wanted)
}

/// When the password that the hub has of this user was set.
pub async fn password_at(world: &World, name: &str) -> Option<Timestamp> {
    let at = find(world, name).await?.password_created_at?;
    Some(Timestamp::from_seconds_and_nanos(at.seconds, at.nanos))
}

/// Waits for another password than the one of `before`; asking by signing in would lock the user.
pub async fn wait_password(world: &World, name: &str, before: Option<Timestamp>) -> Duration {
    let started = Instant::now();
    loop {
        let now = password_at(world, name).await;
        if now.is_some() && now != before {
            return started.elapsed();
        }
        let waited = started.elapsed();
        assert!(waited < PATIENCE, "{name}: {now:?}\n{}", world.log());
        tokio::time::sleep(POLL).await;
    }
}
