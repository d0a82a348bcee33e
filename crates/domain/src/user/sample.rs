//! A user for the tests of other rules.
//!
//! Invariant: made as any other, so it keeps the rules of users. Deliberately absent: users for the
//! tests of those rules, which spell out what they are about.

use rollcall_kit::timestamp::Timestamp;

use super::{Actor, NewUser, Profile, User};
use crate::dns_name::DnsName;
use crate::userpool_domain::UserpoolDomain;

/// The user `aje1` of the pool `ek01`, made at `now` by an administrator. Login and full name are
/// filled in; the rest is as `new` says.
pub(crate) fn ann(new: NewUser, now: Timestamp) -> User {
    let name = DnsName::parse("domain", "corp.example").unwrap();
    let domain = UserpoolDomain::built_in("ek01".into(), name, now);
    let new = NewUser {
        username: "ann@corp.example".into(),
        profile: Profile {
            full_name: "Ann".into(),
            ..Profile::default()
        },
        ..new
    };
    let actor = Actor::Administrator;
    User::create("ek01".into(), Some(&domain), new, actor, "aje1".into(), now).unwrap()
}
